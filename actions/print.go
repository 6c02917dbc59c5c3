package actions

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"triggerd/internal/event"
)

var printKind = Kind{
	Name: "print", Doc: "writes a line to standard output", Concurrency: 1, make: newPrint,
	Fields: []Field{
		{Name: "format", Values: []string{"text", "json"}, Default: `"text"`, Doc: "time, database, event, key and command; or the event as JSON"},
	},
}

// printAction writes one line per firing for a person or a pipe to read; it is
// what `triggerd listen` is made of.
//
// A line is one Write. Text is cut where it is long and escaped where it is not
// printable; JSON is whole.
type printAction struct {
	w    io.Writer
	json bool
}

// printing is held while a line is written, by all print actions together, for
// they share one terminal. A channel, because waiting for it must end with ctx.
var printing = make(chan struct{}, 1)

func newPrint(d *fields, o Options) Action {
	return &printAction{w: o.Stdout, json: d.choice("format", "text", "json") == "json"}
}

// Do returns the writer's error as it is, wrapped (EPIPE for a reader that went
// away). A Write that blocks outlasts ctx, and Do does not: no other line is
// written until the Write has ended, and the line may still be read.
func (a *printAction) Do(ctx context.Context, f *Firing) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	var line []byte
	if a.json {
		line = f.AppendJSON(nil)
	} else {
		line = appendTiming(appendValues(appendLine(nil, f.Event), f.Event), f)
	}
	line = append(line, '\n')

	select {
	case printing <- struct{}{}:
	case <-ctx.Done():
		return Result{}, unread(ctx)
	}
	written := make(chan error, 1)
	go func() {
		_, err := a.w.Write(line)
		<-printing
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			return Result{}, fmt.Errorf("print: %w", err)
		}
		return Result{}, nil
	case <-ctx.Done():
		return Result{}, unread(ctx)
	}
}

func unread(ctx context.Context) error {
	return fmt.Errorf("print: nobody reads standard output: %w", ctx.Err())
}

// Where the text form is cut.
const (
	maxPrintKey  = 256
	maxPrintArg  = 64
	maxPrintArgs = 8
)

// appendLine appends the text form of e:
//
//	2026-11-23T09:12:05.123Z 0 incrby stock:42 DECRBY stock:42 3
func appendLine(dst []byte, e *event.Event) []byte {
	dst = e.Time.UTC().AppendFormat(dst, stampFormat)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(e.DB), 10)
	dst = append(dst, ' ')
	dst = event.AppendText(dst, e.Name)
	dst = append(dst, ' ')
	if e.Key == nil {
		dst = append(dst, '-')
	} else {
		dst = append(dst, word(e.Key, maxPrintKey)...)
	}
	if e.Command == "" {
		return dst
	}
	dst = append(dst, ' ')
	dst = event.AppendText(dst, e.Command)
	for i, arg := range e.Args {
		if i == maxPrintArgs {
			return fmt.Appendf(dst, " ...(+%d args)", len(e.Args)-i)
		}
		dst = append(dst, ' ')
		dst = append(dst, word(arg, maxPrintArg)...)
	}
	return dst
}

// appendValues appends the value before and after, where one of them is known:
// "-" where the key was, or is, not there, "?" where it is not known. Of a
// collection it is the type and length, and of a hash the fields that changed.
//
//	… [8 -> 5]
//	… [hash(2) -> hash(2)] [status: new -> paid]
func appendValues(dst []byte, e *event.Event) []byte {
	if e.Before == nil && e.After == nil {
		return dst
	}
	dst = fmt.Appendf(dst, " [%s -> %s]", valueWord(e.Before), valueWord(e.After))
	for i, name := range e.Changed {
		before, was := fieldWord(e.Before, name)
		after, is := fieldWord(e.After, name)
		switch {
		case !was && !is:
			return dst
		case i == maxPrintArgs:
			return fmt.Appendf(dst, " ...(+%d fields)", len(e.Changed)-i)
		}
		dst = fmt.Appendf(dst, " [%s: %s -> %s]", word(name, maxPrintArg), before, after)
	}
	return dst
}

func valueWord(v event.Value) string {
	switch {
	case v == nil:
		return "?"
	case v.Type() == event.None.Type():
		return "-"
	case v.Type() == "string":
		return word(v.Bytes(), maxPrintArg)
	}
	return fmt.Sprintf("%s(%d)", v.Type(), v.Len())
}

// fieldWord shows a hash's field, and reports whether v may be a hash.
func fieldWord(v event.Value, name []byte) (text string, hash bool) {
	switch {
	case v == nil:
		return "?", false
	case v.Type() != "hash":
		return "-", false
	}
	value, ok := v.Get(name)
	if !ok {
		return "-", true
	}
	return word(value, maxPrintArg), true
}

// appendTiming appends what a rule with time fields adds:
//
//	… status=firing by=web-1 count=3
func appendTiming(dst []byte, f *Firing) []byte {
	if f.Status != "" {
		dst = append(dst, " status="+f.Status...)
	}
	if f.By != "" {
		dst = append(dst, " by="+word([]byte(f.By), maxPrintKey)...)
	}
	if f.Count != 0 {
		dst = strconv.AppendInt(append(dst, " count="...), int64(f.Count), 10)
	}
	return dst
}

// word returns b as one word of a line: in quotes where it would not be one, or
// could be taken for something else.
func word(b []byte, limit int) string {
	head, left := cut(b, limit)
	text := string(event.AppendText(nil, head))
	if text == "" || text == "-" || strings.ContainsAny(text, " \"\\") {
		text = `"` + text + `"`
	}
	return text + missing(left)
}
