package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"triggerd/engine"
	"triggerd/internal/admin"
)

// How many lines of changes a person is shown in a moment; the others are
// counted.
const (
	viewMoment = 500 * time.Millisecond
	viewLines  = 25
)

// view shows lines of changes on a terminal: in columns, each on one line of the
// screen, and no more than can be seen. How many it left out it says.
type view struct {
	out     io.Writer
	columns int

	mu      sync.Mutex // guards what follows
	until   time.Time  // the end of the moment
	shown   int        // lines in it
	left    int        // lines that were left out since it was last said
	timer   *time.Timer
	event   int // widths of columns so far
	key     int
	command int
}

func newView(s *screen) *view { return &view{out: s.Writer, columns: s.columns} }

// Write shows a line, or counts it.
func (v *view) Write(line []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if now.After(v.until) {
		v.say()
		v.until, v.shown = now.Add(viewMoment), 0
	}
	if v.shown == viewLines {
		v.left++
		if v.left == 1 {
			v.timer = time.AfterFunc(viewMoment, v.flush)
		}
		return len(line), nil
	}
	v.shown++
	if _, err := io.WriteString(v.out, short(v.align(string(bytes.TrimSuffix(line, []byte("\n")))), v.columns)+"\n"); err != nil {
		return 0, err
	}
	return len(line), nil
}

// flush says what was left out.
func (v *view) flush() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.say()
}

// say says what was left out. The caller holds the lock.
func (v *view) say() {
	if v.left == 0 {
		return
	}
	v.timer.Stop()
	_, _ = fmt.Fprintf(v.out, "… %s left out here: --json and pipes get every one\n", plural(v.left, "line")) // a line that fails says so
	v.left = 0
}

// widest is how wide a column of the view may be.
const widest = 32

// align puts the first words of a line in columns: time, database, event, key and
// command.
func (v *view) align(line string) string {
	var words [5]string
	rest := line
	for i := range words {
		words[i], rest = cutWord(rest)
	}
	if len(words[0]) != len("2006-01-02T15:04:05.000Z") || words[4] == "" {
		return line // not of a change, or of one without a command
	}
	grow := func(width *int, word string) string {
		n := utf8.RuneCountInString(word)
		*width = max(*width, min(n, widest))
		return word + strings.Repeat(" ", max(*width-n, 0))
	}
	at := words[0][len("2006-01-02T") : len(words[0])-1]
	return at + " " + words[1] + " " + grow(&v.event, words[2]) + "  " + grow(&v.key, words[3]) + "  " + grow(&v.command, words[4]) + " " + rest
}

// cutWord returns the first word of a line, which may be quoted, and what follows
// it.
func cutWord(line string) (word, rest string) {
	if !strings.HasPrefix(line, `"`) {
		word, rest, _ = strings.Cut(line, " ")
		return word, rest
	}
	for i := 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			return line[:i+1], strings.TrimPrefix(line[i+1:], " ")
		}
	}
	return line, ""
}

// showAnswers writes a line for each answer to a change that was forwarded, until
// ctx is done.
func showAnswers(ctx context.Context, e *engine.Engine, out io.Writer) {
	feed, err := e.Feed(ctx, admin.FeedQuery{})
	if err != nil {
		io.WriteString(out, clean(err.Error())+"\n")
		return
	}
	failed := "" // the last line, of an attempt that failed
	for a := range feed {
		var line string
		switch {
		case a == nil:
			continue
		case a.Kind == admin.FeedLost:
			line = "-> not each answer is shown: they come too fast"
		case a.Kind != admin.FeedAttempt || a.Action != "target/"+forwardTarget:
			continue
		case a.Outcome == "delivered":
			line = fmt.Sprintf("-> %s in %s  %s", a.Text, took(a.Seconds), a.Key)
		case a.Outcome == "retried":
			line = fmt.Sprintf("-> attempt %d of %s, to be made again: %s", a.Attempt, a.Key, a.Text)
		default:
			line = fmt.Sprintf("-> %s given up: %s", a.Key, a.Text)
		}
		if line == failed { // an endpoint that is down is only asked whether it is back
			continue
		}
		if failed = ""; a.Outcome == "retried" {
			failed = line
		}
		if _, err := io.WriteString(out, clean(line)+"\n"); err != nil {
			return
		}
	}
}
