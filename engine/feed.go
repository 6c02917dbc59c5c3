package engine

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/rules"
	"triggerd/source"
)

// feed is the feed of a test as a recording: commands as they are typed, and
// between them the times that append-only files have. It is read a step at a
// time, so that it knows which step it is that something happens at.
type feed struct {
	name   string
	chunks []chunk
	next   int    // of chunks
	rest   string // of the last chunk

	ctx    context.Context // of the Run that plays it
	e      *Engine
	traces []*tracer
	inside bool // an event is being matched

	limits   ActionOptions // MaxTraced and MaxRendered
	traced   int           // events and firings so far
	rendered int           // bytes so far
	took     time.Duration // to render them
}

// chunk is what is read of one step.
type chunk struct {
	text string
	step int // -1: before the first
	at   time.Time
}

// newFeed returns the feed of a test, with a Trace for each of the rules.
func newFeed(test *rules.Test, db int, traced []*rules.Rule) *feed {
	f := &feed{name: test.Name}
	now := test.Start
	f.add(-1, now, timestamp(now))
	if db != 0 {
		f.add(-1, now, fmt.Sprintf("SELECT %d\r\n", db))
	}
	for i := range test.Given {
		for _, args := range givenCommands(&test.Given[i], test.Feed) {
			f.add(-1, now, encoded(args))
		}
	}
	for i, s := range test.Feed {
		text := s.Command + "\r\n"
		if s.Pause > 0 {
			now = now.Add(s.Pause)
			text = timestamp(now)
		}
		f.add(i, now, text)
	}
	for _, r := range traced {
		f.traces = append(f.traces, &tracer{Trace: &Trace{Rule: r}, feed: test.Feed})
	}
	return f
}

func (f *feed) add(step int, at time.Time, text string) {
	f.chunks = append(f.chunks, chunk{text, step, at})
}

// timestamp returns the line that tells the time, and an empty one, at which it
// is that time.
func timestamp(now time.Time) string {
	text := fmt.Sprintf("#TS:%d", now.Unix())
	if now.Nanosecond() != 0 {
		text += fmt.Sprintf(".%09d", now.Nanosecond())
	}
	return text + "\n\n"
}

// encoded returns a command as clients send it.
func encoded(args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// play plays the feed to the rules of a set. Nothing is delivered. onFiring may
// be nil.
func (f *feed) play(ctx context.Context, set *rules.Set, o ActionOptions, onFiring func(*firing.Firing)) (err error) {
	f.ctx, f.limits = ctx, o
	f.e, err = New(Config{
		Rules: set, Source: source.NewRecording(f, f.name), Replay: true, DryRun: true, Empty: true, Actions: o,
		OnFiring: onFiring, feed: f, MaxMirror: o.MaxMirror,
	})
	if err != nil {
		return err
	}
	if err := f.e.Run(ctx); err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	return nil
}

// Read implements io.Reader: it is called when all that was read before has been
// dealt with.
func (f *feed) Read(p []byte) (int, error) {
	if f.rest == "" {
		f.endStep()
		if f.next == len(f.chunks) {
			return 0, io.EOF
		}
		c := &f.chunks[f.next]
		f.rest, f.next = c.text, f.next+1
		for _, t := range f.traces {
			t.beginStep(f, c)
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *feed) endStep() {
	for _, t := range f.traces {
		t.endStep(f)
	}
}

// playing reports whether the first step has begun.
func (f *feed) playing() bool { return f.next > 0 && f.chunks[f.next-1].step >= 0 }

// beginEvent is told of an event before it is matched. It returns false for what
// was there before the test.
func (f *feed) beginEvent(ev *event.Event) bool {
	if !f.playing() {
		return false
	}
	f.inside = true
	for _, t := range f.traces {
		t.beginEvent(f, ev)
	}
	return true
}

// mayTrace counts one more event or firing, and reports whether it is told of.
func (f *feed) mayTrace() bool {
	f.traced++
	return f.limits.MaxTraced == 0 || f.traced <= f.limits.MaxTraced
}

// endEvent is told that an event was matched, and what it fires is planned.
func (f *feed) endEvent() {
	f.inside = false
	for _, t := range f.traces {
		t.endEvent(f)
	}
}

// fire is told what a rule fires.
func (f *feed) fire(rule *rules.Rule, by firing.Trigger, fired firing.Firing) {
	for _, t := range f.traces {
		if t.Rule == rule {
			t.fire(f, by, fired)
		}
	}
}
