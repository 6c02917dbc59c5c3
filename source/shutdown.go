package source

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Since Redis 7.0 a server that is told to shut down waits until each replica
// has acknowledged the whole stream, or until its shutdown-timeout. A triggerd
// that acknowledges nothing would hold it up, so it closes its link.
//
// The stream does not say that the server is shutting down. The server sends
// GETACK, as it does for a client's WAIT, and then nothing more. INFO tells
// these two apart. A server that is a replica itself does not even send GETACK,
// so it is asked once a second.

// errShuttingDown ends a link that a server waits for before it shuts down.
var errShuttingDown = errors.New("the server is shutting down, and would wait for triggerd")

const (
	// requestSilence is how long nothing has to arrive after a GETACK before
	// the server is asked whether it is shutting down.
	requestSilence = 100 * time.Millisecond
	// silenceAttempts is how often such a silence is waited for: a PING of the
	// server may interrupt it.
	silenceAttempts = 3
	// shutdownCheckPause is the least time between two checks, however often
	// clients call WAIT.
	shutdownCheckPause = time.Second
)

// ackRequests returns the channel of the server's GETACKs, or nil if they are
// acknowledged and so no reason to check.
func (w *inquirer) ackRequests() <-chan struct{} {
	if w.replica.cfg.Ack != AckNone || w.shutdownUnknown {
		return nil
	}
	return w.replica.acks.requests
}

// checkShutdown closes the stream's link if nothing arrives for a moment and
// the server is shutting down.
func (w *inquirer) checkShutdown(ctx context.Context) {
	if !w.waitForSilence(ctx) {
		return // the GETACK was for a client's WAIT: others write
	}
	w.leaveIfShuttingDown(ctx)
}

func (w *inquirer) leaveIfShuttingDown(ctx context.Context) {
	w.lastShutdownCheck = time.Now()
	ending, err := w.isShuttingDown(ctx)
	switch {
	case err != nil:
		w.shutdownUnknown = !w.handleFailure(ctx, err, "the server does not say whether it is shutting down: it will wait for triggerd then, for its shutdown-timeout")
	case ending:
		w.replica.current.with((*link).closeForShutdown)
	}
}

// waitForSilence waits for a moment in which nothing arrives, and reports
// whether there was one.
func (w *inquirer) waitForSilence(ctx context.Context) bool {
	if !sleep(ctx, shutdownCheckPause-time.Since(w.lastShutdownCheck)) {
		return false
	}
	for range silenceAttempts {
		since := w.replica.lastArrival.Load()
		if !sleep(ctx, requestSilence) {
			return false
		}
		if w.replica.lastArrival.Load() == since {
			return true
		}
	}
	return false
}

// isShuttingDown asks whether the server is shutting down.
func (w *inquirer) isShuttingDown(ctx context.Context) (bool, error) {
	text, err := w.info(ctx, "server")
	return strings.Contains(text, "\nshutdown_in_milliseconds:"), err
}

// stillShuttingDown reports whether a server, whose link was closed for its
// shutdown, is still there. Attaching again would hold it up again.
func (s *Replica) stillShuttingDown(ctx context.Context) bool {
	w := inquirer{replica: s}
	defer w.close()
	ending, err := w.isShuttingDown(ctx)
	return err == nil && ending
}

// sleep pauses for d. It returns false if ctx is done first.
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
