package print

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/excerpt"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
)

// Kind is the kind print.
var Kind = actions.Kind{
	Name: "print", Doc: "writes a line to standard output", Concurrency: 1, New: newPrint,
	Fields: []actions.Field{
		{Name: "format", Values: []string{"text", "json"}, Default: `"text"`, Doc: "time, database, event, key and command; or the event as JSON"},
	},
}

// printAction writes one line per firing for a person or a pipe to read; it is
// what `triggerd listen` is made of.
//
// A line is one Write. Text is cut where it is long and escaped where it is not
// printable; JSON is whole.
type printAction struct {
	w      io.Writer
	json   bool
	masker *secret.Masker
}

// printing is held while a line is written, by all print actions together, for
// they share one terminal. A channel, because waiting for it must end with ctx.
var printing = make(chan struct{}, 1)

func newPrint(s *actions.Settings) (actions.Action, error) {
	format, _ := s.Choice("format")
	return &printAction{w: s.Stdout, json: format == "json", masker: s.Secrets}, nil
}

// Render shows the line.
func (a *printAction) Render(_ context.Context, f *firing.Firing) (actions.Preview, error) {
	return actions.NewPreview(nil, nil, a.line(f), a.masker), nil
}

// line returns what is written for a firing.
func (a *printAction) line(f *firing.Firing) []byte {
	var line []byte
	if a.json {
		line = f.AppendJSON(nil)
	} else {
		line = appendTiming(appendValues(appendLine(nil, f.Event), f.Event), f)
	}
	return append(line, '\n')
}

// Do returns the writer's error as it is, wrapped (EPIPE for a reader that went
// away). A Write that blocks outlasts ctx, and Do does not: no other line is
// written until the Write has ended, and the line may still be read.
func (a *printAction) Do(ctx context.Context, f *firing.Firing) (actions.Result, error) {
	if err := ctx.Err(); err != nil {
		return actions.Result{}, err
	}
	line := a.line(f)
	select {
	case printing <- struct{}{}:
	case <-ctx.Done():
		return actions.Result{}, unread(ctx)
	}
	written := make(chan error, 1)
	go func() {
		_, err := a.w.Write(line)
		<-printing
		written <- err
	}()
	ended, err := await(ctx, written)
	switch {
	case !ended:
		return actions.Result{}, unread(ctx)
	case err != nil:
		return actions.Result{}, fmt.Errorf("print: %w", err)
	}
	return actions.Result{Sent: func() actions.Sent { return a.sent(line) }}, nil
}

// await waits for a write, and returns what came of it. ended is false if ctx is
// done and the write has not ended: if both are, the line is there.
func await(ctx context.Context, written <-chan error) (ended bool, err error) {
	select {
	case err := <-written:
		return true, err
	case <-ctx.Done():
	}
	select {
	case err := <-written:
		return true, err
	default:
		return false, nil
	}
}

// sent tells what was written. The JSON of the firing is left out.
func (a *printAction) sent(line []byte) actions.Sent {
	if a.json {
		return actions.Sent{EventBody: true}
	}
	return actions.Sent{Preview: actions.NewPreview(nil, nil, line, a.masker)}
}

func unread(ctx context.Context) error {
	return fmt.Errorf("print: nobody reads standard output: %w", ctx.Err())
}

// timeFormat is the form of times in the JSON of an event.
const timeFormat = "2006-01-02T15:04:05.000Z"

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
	dst = e.Time.UTC().AppendFormat(dst, timeFormat)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(e.DB), 10)
	dst = append(dst, ' ')
	dst = event.AppendText(dst, e.Name)
	dst = append(dst, ' ')
	if e.Key == nil {
		dst = append(dst, '-')
	} else {
		dst = append(dst, excerpt.Word(e.Key, maxPrintKey)...)
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
		dst = append(dst, excerpt.Word(arg, maxPrintArg)...)
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
		dst = fmt.Appendf(dst, " [%s: %s -> %s]", excerpt.Word(name, maxPrintArg), before, after)
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
		return excerpt.Word(v.Bytes(), maxPrintArg)
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
	return excerpt.Word(value, maxPrintArg), true
}

// appendTiming appends what a rule with time fields adds:
//
//	… status=firing by=web-1 count=3
func appendTiming(dst []byte, f *firing.Firing) []byte {
	if f.Status != "" {
		dst = append(dst, " status="+f.Status...)
	}
	if f.By != "" {
		dst = append(dst, " by="+excerpt.Word([]byte(f.By), maxPrintKey)...)
	}
	if f.Count != 0 {
		dst = strconv.AppendInt(append(dst, " count="...), int64(f.Count), 10)
	}
	return dst
}
