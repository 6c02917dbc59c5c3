package source

import (
	"context"
	"errors"
	"strings"
	"time"
)

// A server that is told to shut down waits, since Redis 7.0, until each replica
// has acknowledged all of the stream, or for its shutdown-timeout. One that
// acknowledges nothing would hold it up, so that one leaves. That the server is
// about to end is not in the stream: it asks for an acknowledgement, as it does
// for a client's WAIT, and sends nothing more; its INFO tells these two apart.
// A replica that ends does not even ask, so that it is looked at once a second.

// errShuttingDown ends a link that the server's end would wait for.
var errShuttingDown = errors.New("the server is shutting down, and would wait for triggerd")

const (
	// askedSilence is how long nothing has to come behind the server's asking
	// before it may be for its end.
	askedSilence = 100 * time.Millisecond
	// askedRounds is how often it is listened for: the server's PING may break it.
	askedRounds = 3
	// askedPause is at least between two looks, however often clients WAIT.
	askedPause = time.Second
)

// asked tells that the server has asked for an acknowledgement that it does not
// get.
func (w *watcher) asked() <-chan struct{} {
	if w.s.cfg.Ack != AckNone || w.mute {
		return nil
	}
	return w.s.acks.asked
}

// lookForEnd leaves the server if it is shutting down.
func (w *watcher) lookForEnd(ctx context.Context) {
	if !w.silent(ctx) {
		return // it was a client's, and others write
	}
	w.leaveIfEnding(ctx)
}

func (w *watcher) leaveIfEnding(ctx context.Context) {
	w.looked = time.Now()
	ending, err := w.ending(ctx)
	switch {
	case err != nil:
		w.mute = !w.refused(ctx, err, "the server does not say whether it is shutting down: it will wait for triggerd then, for its shutdown-timeout")
	case ending:
		w.s.current.do((*link).leave)
	}
}

// silent waits for a moment in which nothing comes, and reports whether there
// was one.
func (w *watcher) silent(ctx context.Context) bool {
	if !sleep(ctx, askedPause-time.Since(w.looked)) {
		return false
	}
	for range askedRounds {
		since := w.s.heard.Load()
		if !sleep(ctx, askedSilence) {
			return false
		}
		if w.s.heard.Load() == since {
			return true
		}
	}
	return false
}

// ending asks whether the server is shutting down.
func (w *watcher) ending(ctx context.Context) (bool, error) {
	text, err := w.ask(ctx, "server")
	return strings.Contains(text, "\nshutdown_in_milliseconds:"), err
}

// stillThere reports whether a server that was left, so that it can end, has
// not ended yet: then it must not be attached to.
func (s *Replica) stillThere(ctx context.Context) bool {
	w := watcher{s: s}
	defer w.hangUp()
	ending, err := w.ending(ctx)
	return err == nil && ending
}

// sleep pauses, and reports whether ctx is not done.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
