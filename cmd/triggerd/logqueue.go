package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a logQueue.
const (
	maxLogQueue = 1 << 20     // bytes of lines that wait
	flushTime   = time.Second // for what waits at the end
)

var errLogFull = errors.New("the log is not read, and too much of it waits")

// logQueue is where the daemon's log lines wait to be written: in order, by a
// goroutine of their own. Who logs does not wait, for it may hold a lock or be
// the one that reads the stream, and whoever reads the log may stand still.
//
// A line that finds no room, or cannot be written, is lost and counted. A failed
// write says nothing about the next: a named pipe gets a new reader.
type logQueue struct {
	w    io.Writer
	lost atomic.Int64 // lines

	// report is told how many lines were lost since it was told last, when all
	// that waited is written. It may log.
	report func(lines int64)

	more chan struct{} // has one while there may be something to do
	done chan struct{} // closed when the last line is written

	mu    sync.Mutex // guards what follows
	lines []*logLine // that wait
	size  int        // of them, in bytes
	ended bool       // what is logged now is lost
}

type logLine struct {
	text    []byte
	written chan error // gets what came of it; nil: nobody asks
}

func newLogQueue(w io.Writer) *logQueue {
	return &logQueue{w: w, report: func(int64) {}, more: make(chan struct{}, 1), done: make(chan struct{})}
}

// Write takes one line. It implements io.Writer, for slog's handlers.
func (q *logQueue) Write(line []byte) (int, error) {
	if err := q.add(&logLine{text: bytes.Clone(line)}); err != nil {
		return 0, err
	}
	return len(line), nil
}

// await takes one line, which it keeps, and returns when it is written or lost,
// or when ctx is done.
func (q *logQueue) await(ctx context.Context, text []byte) error {
	line := &logLine{text: text, written: make(chan error, 1)}
	if err := q.add(line); err != nil {
		return err
	}
	select {
	case err := <-line.written:
		return err
	case <-ctx.Done():
		q.withdraw(line)
		return fmt.Errorf("the log is not read: %w", context.Cause(ctx))
	}
}

func (q *logQueue) add(line *logLine) error {
	q.mu.Lock()
	full := q.ended || q.size+len(line.text) > maxLogQueue
	if !full {
		q.lines = append(q.lines, line)
		q.size += len(line.text)
	}
	q.mu.Unlock()
	if full {
		q.lost.Add(1)
		return errLogFull
	}
	q.wake()
	return nil
}

func (q *logQueue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// withdraw takes a line back, if its turn has not come.
func (q *logQueue) withdraw(line *logLine) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.lines, line); i >= 0 {
		q.lines = slices.Delete(q.lines, i, i+1)
		q.size -= len(line.text)
	}
}

// next returns the line whose turn it is, and nil when the last was written.
func (q *logQueue) next() *logLine {
	for {
		q.mu.Lock()
		if len(q.lines) > 0 {
			line := q.lines[0]
			q.lines[0] = nil
			q.lines = q.lines[1:]
			q.size -= len(line.text)
			q.mu.Unlock()
			return line
		}
		ended := q.ended
		q.mu.Unlock()
		if ended {
			return nil
		}
		<-q.more
	}
}

func (q *logQueue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines) == 0
}

// run writes until close is called and nothing waits.
func (q *logQueue) run() {
	defer close(q.done)
	var told int64
	for line := q.next(); line != nil; line = q.next() {
		_, err := q.w.Write(line.text)
		if err != nil {
			q.lost.Add(1)
		} else if lost := q.lost.Load(); lost > told && q.idle() {
			q.report(lost - told)
			told = lost
		}
		if line.written != nil {
			line.written <- err
		}
	}
}

// close ends run, once what waits is written or flushTime is over.
func (q *logQueue) close() {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	q.wake()
	select {
	case <-q.done:
	case <-time.After(flushTime):
	}
}

// awaitHandler is a slog.Handler whose records are written when Handle returns:
// for the log action, whose firing is delivered then.
type awaitHandler struct {
	slog.Handler                                // of what is logged besides
	render       func(w io.Writer) slog.Handler // one like it, to w
	queue        *logQueue
}

func (h awaitHandler) Handle(ctx context.Context, r slog.Record) error {
	var line bytes.Buffer
	if err := h.render(&line).Handle(ctx, r); err != nil {
		return err
	}
	return h.queue.await(ctx, line.Bytes())
}
