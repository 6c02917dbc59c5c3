package print_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/internal/event"
	"triggerd/internal/secret"
)

func TestPrint(t *testing.T) {
	for name, test := range map[string]struct {
		fields table
		change func(f *actions.Firing)
		want   string
	}{
		"text":       {nil, nil, `2026-11-23T09:12:05.123Z 3 incrby stock:42 DECRBY stock:42 3 "\xff\x00\n"`},
		"no key":     {nil, func(f *actions.Firing) { f.Event.Key, f.Event.Args = nil, nil }, `2026-11-23T09:12:05.123Z 3 incrby - DECRBY`},
		"dash key":   {nil, func(f *actions.Firing) { f.Event.Key, f.Event.Args = []byte("-"), nil }, `2026-11-23T09:12:05.123Z 3 incrby "-" DECRBY`},
		"empty key":  {nil, func(f *actions.Firing) { f.Event.Key, f.Event.Args = []byte{}, nil }, `2026-11-23T09:12:05.123Z 3 incrby "" DECRBY`},
		"no command": {nil, func(f *actions.Firing) { f.Event.Command, f.Event.Args = "", nil }, `2026-11-23T09:12:05.123Z 3 incrby stock:42`},
		"spaces and quotes": {nil, func(f *actions.Firing) {
			f.Event.Key, f.Event.Args = []byte(`a b`), [][]byte{[]byte(`say "hi"`), []byte("é")}
		},
			`2026-11-23T09:12:05.123Z 3 incrby "a b" DECRBY "say \"hi\"" é`},
		"escape sequence": {nil, func(f *actions.Firing) { f.Event.Key, f.Event.Args = []byte("\x1b]0;pwned\a"), nil }, `2026-11-23T09:12:05.123Z 3 incrby "\x1b]0;pwned\a" DECRBY`},
		"long": {nil, func(f *actions.Firing) {
			f.Event.Key = []byte(strings.Repeat("k", 300))
			f.Event.Args = slices.Repeat([][]byte{[]byte(strings.Repeat("é", 40))}, 10)
		}, `2026-11-23T09:12:05.123Z 3 incrby ` + strings.Repeat("k", 256) + `...(+44 bytes) DECRBY` + strings.Repeat(" "+strings.Repeat("é", 32)+"...(+16 bytes)", 8) + ` ...(+2 args)`},
		"timing": {nil, func(f *actions.Firing) {
			f.Event.Command, f.Timing = "", event.Timing{Status: "firing", By: "web 1", Count: 3}
		}, `2026-11-23T09:12:05.123Z 3 incrby stock:42 status=firing by="web 1" count=3`},
		"values": {nil, func(f *actions.Firing) {
			f.Event.Command, f.Event.Before, f.Event.After = "", event.String([]byte("8")), event.String([]byte("-"))
		}, `2026-11-23T09:12:05.123Z 3 incrby stock:42 [8 -> "-"]`},
		"new": {nil, func(f *actions.Firing) {
			f.Event.Command, f.Event.Before, f.Event.After = "", event.None, event.Elements("list", make([]event.Element, 3))
		}, `2026-11-23T09:12:05.123Z 3 incrby stock:42 [- -> list(3)]`},
		"hash": {nil, func(f *actions.Firing) {
			f.Event.Command, f.Event.Changed = "", [][]byte{[]byte("status"), []byte("n")}
			f.Event.Before = event.Elements("hash", []event.Element{{Name: "status", Value: "new"}})
			f.Event.After = event.Elements("hash", []event.Element{{Name: "status", Value: "paid"}, {Name: "n", Value: "1"}})
		}, `2026-11-23T09:12:05.123Z 3 incrby stock:42 [hash(1) -> hash(2)] [status: new -> paid] [n: - -> 1]`},
		"half known": {nil, func(f *actions.Firing) {
			f.Event.Command, f.Event.Before, f.Event.After = "", nil, event.None
		}, `2026-11-23T09:12:05.123Z 3 incrby stock:42 [? -> -]`},
		"json": {table{"format": "json"}, nil, string(actionstest.Firing().AppendJSON(nil))},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			f := actionstest.Firing()
			if test.change != nil {
				test.change(f)
			}
			if _, err := mustNew(t, test.fields, actions.Options{Stdout: &b}).Do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != test.want+"\n" {
				t.Errorf("got  %q\nwant %q", got, test.want+"\n")
			}
		})
	}
}

// lineWriter fails the test where a Write is not one line, or where two are at
// once (which the race detector sees, for there is no lock).
type lineWriter struct {
	t     *testing.T
	lines []string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	if bytes.Count(p, []byte("\n")) != 1 || !bytes.HasSuffix(p, []byte("\n")) {
		w.t.Errorf("wrote %q, not one line", p)
	}
	w.lines = append(w.lines, string(p))
	return len(p), nil
}

// TestPrintTogether: actions that share a writer do not mix their lines.
func TestPrintTogether(t *testing.T) {
	w := &lineWriter{t: t}
	var wg sync.WaitGroup
	for _, format := range []string{"text", "json"} {
		a := mustNew(t, table{"format": format}, actions.Options{Stdout: w})
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	if len(w.lines) != 80 {
		t.Errorf("%d lines, want 80", len(w.lines))
	}
}

func TestPrintBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	_, err = mustNew(t, nil, actions.Options{Stdout: w}).Do(t.Context(), actionstest.Firing())
	if !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v, want EPIPE", err)
	}
}

// stuckWriter is a terminal that somebody stopped.
type stuckWriter struct{ entered, leave chan struct{} }

func (w stuckWriter) Write(p []byte) (int, error) {
	close(w.entered)
	<-w.leave
	return len(p), nil
}

// TestPrintStuckWrite: an attempt does not outlast its context, though its write
// does.
func TestPrintStuckWrite(t *testing.T) {
	actionstest.CheckLeaks(t)
	w := stuckWriter{make(chan struct{}), make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-w.entered
		cancel()
	}()
	err := actionstest.EndsWithin(t, ctx, mustNew(t, nil, actions.Options{Stdout: w}))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "nobody reads standard output") {
		t.Errorf("got %v", err)
	}
	close(w.leave)
	if _, err := mustNew(t, nil, actions.Options{Stdout: io.Discard}).Do(t.Context(), actionstest.Firing()); err != nil {
		t.Errorf("after the write has ended: %v", err)
	}
}

// TestPrintStuck: one that waits for a stuck terminal still heeds its context.
func TestPrintStuck(t *testing.T) {
	actionstest.CheckLeaks(t)
	w := stuckWriter{make(chan struct{}), make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := mustNew(t, nil, actions.Options{Stdout: w}).Do(t.Context(), actionstest.Firing()); err != nil {
			t.Error(err)
		}
	})
	<-w.entered
	ctx, cancel := context.WithCancel(t.Context())
	waits := mustNew(t, nil, actions.Options{Stdout: io.Discard})
	wg.Go(func() {
		if _, err := waits.Do(ctx, actionstest.Firing()); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(w.leave)
	})
	cancel()
	wg.Wait()
}

func TestPrintSuite(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			actionstest.Run(t, func(t *testing.T) actions.Action {
				return mustNew(t, table{"format": format}, actions.Options{Stdout: &bytes.Buffer{}})
			})
		})
	}
}

// A preview is the line that is written.
func TestPreview(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for _, key := range []string{"stock:42", "a\nforged\x1b[31m\xff \""} {
			f := actionstest.Firing()
			f.Event.Key = []byte(key)
			var b bytes.Buffer
			a := mustNew(t, table{"format": format}, actions.Options{Stdout: &b})
			p, err := actions.Render(t.Context(), a, f)
			if err != nil || b.Len() > 0 {
				t.Fatalf("got %v and wrote %q", err, &b)
			}
			if _, err := a.Do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if p.String() != b.String() {
				t.Errorf("got  %s\nwant %s", p, &b)
			}
		}
	}
	p, err := actions.Render(t.Context(), mustNew(t, nil, actions.Options{Secrets: secret.New("stock:42")}), actionstest.Firing())
	if err != nil || strings.Contains(p.String(), "stock:42") || !strings.Contains(p.String(), " *** DECRBY *** 3 ") {
		t.Errorf("got %s, %v", p, err)
	}
}
