package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// reader is what a logQueue writes to: it can stand still, and break.
type reader struct {
	turn   chan struct{} // full while it reads, or stands still
	lines  []string
	broken error
}

func newReader() *reader { return &reader{turn: make(chan struct{}, 1)} }

func (r *reader) standStill() { r.turn <- struct{}{} }
func (r *reader) goOn()       { <-r.turn }

func (r *reader) Write(p []byte) (int, error) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if r.broken != nil {
		return 0, r.broken
	}
	r.lines = append(r.lines, string(p))
	return len(p), nil
}

func startQueue(w io.Writer) *logQueue {
	q := newLogQueue(w)
	go q.run()
	return q
}

func TestLogQueueOrder(t *testing.T) {
	t.Parallel()
	r := newReader()
	q := startQueue(r)
	for i := range 1000 {
		fmt.Fprintf(q, "%d\n", i)
	}
	q.close()
	if len(r.lines) != 1000 {
		t.Fatalf("%d lines, want 1000", len(r.lines))
	}
	for i, line := range r.lines {
		if line != fmt.Sprintf("%d\n", i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if _, err := io.WriteString(q, "late\n"); err == nil || q.lost.Load() != 1 {
		t.Errorf("a line after the end: %v, %d lost", err, q.lost.Load())
	}
}

// While nobody reads, nobody who logs waits; what finds no room is counted, and
// told of when it is read again.
func TestLogQueueFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		q := newLogQueue(r)
		q.report = func(lines int64) { fmt.Fprintf(q, "%d lost\n", lines) }
		go q.run()
		r.standStill()
		line := strings.Repeat("x", 1<<10)
		const n = maxLogQueue>>10 + 10
		for range n {
			io.WriteString(q, line)
			synctest.Wait() // the first is being written, and counts for nothing
		}
		if lost := q.lost.Load(); lost != 9 {
			t.Errorf("%d lines lost, want 9", lost)
		}
		r.goOn()
		synctest.Wait()
		if got := r.lines[len(r.lines)-1]; len(r.lines) != n-9+1 || got != "9 lost\n" {
			t.Errorf("%d lines, the last %q", len(r.lines), got)
		}
		io.WriteString(q, "again\n")
		q.close()
		if got := r.lines[len(r.lines)-1]; got != "again\n" {
			t.Errorf("the last line is %q: the loss was told twice", got)
		}
	})
}

// A reader that is gone costs lines, and not the ones after it is back.
func TestLogQueueBroken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		r.broken = syscall.EPIPE
		q := startQueue(r)
		io.WriteString(q, "one\n")
		if err := q.await(t.Context(), []byte("two\n")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("await: %v", err)
		}
		if lost := q.lost.Load(); lost != 2 {
			t.Errorf("%d lines lost, want 2", lost)
		}
		r.broken = nil
		if err := q.await(t.Context(), []byte("three\n")); err != nil {
			t.Errorf("await: %v", err)
		}
		q.close()
		if len(r.lines) != 1 || r.lines[0] != "three\n" {
			t.Errorf("lines = %q", r.lines)
		}
	})
}

// Who waits for a line waits no longer than its context, and the line is not
// written behind its back.
func TestLogQueueAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		q := startQueue(r)
		r.standStill()
		io.WriteString(q, "one\n")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h := awaitHandler{slog.DiscardHandler, func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }, q}
		err := h.Handle(ctx, slog.NewRecord(time.Now(), slog.LevelInfo, "two", 0))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		r.goOn()
		if err := h.Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelInfo, "three", 0)); err != nil {
			t.Error(err)
		}
		if len(r.lines) != 2 || !strings.Contains(r.lines[1], "msg=three") || q.lost.Load() != 0 {
			t.Errorf("lines = %q, %d lost", r.lines, q.lost.Load())
		}
		q.close()
	})
}

// The end of the program does not wait for a reader that stands still.
func TestLogQueueClose(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	q := startQueue(w)
	line := strings.Repeat("x", 64<<10) // a pipe's room, on most systems
	for range 8 {
		io.WriteString(q, line)
	}
	q.close()
	select {
	case <-q.done:
		t.Error("a pipe that is not read took everything")
	default:
	}
	r.Close()
	<-q.done
}
