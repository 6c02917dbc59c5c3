package engine

import (
	"time"

	"triggerd/source"
)

// clock is the time of one stream, and knows up to when the stream is read.
//
// A replication stream has no times, so an event's time is when it arrived.
// What the server did while there was no link arrives late. Until all of that
// is read, nothing can be said of what did not happen.
type clock struct {
	replay       bool
	machineStart time.Time // the machine's time when the process began
	start        time.Time // this clock's time at machineStart

	attached     bool
	attachedAt   time.Time // when the link was attached
	caughtUp     bool      // everything from the time without a link is read
	lastReceived time.Time // when the server last sent something
	knownUntil   time.Time // everything that the server did before is read
	wakeAt       time.Time // when the source was asked to wake the stream; zero: it was not
}

const (
	// catchUpLimit is how long after an attach a stream that arrives without a
	// pause may still be what the server did before. Later it is not.
	catchUpLimit = 10 * time.Second
	// idleAfter is a silence longer than any of a server that has more to send.
	idleAfter = 20 * time.Millisecond
	// maxSilence is how long a silent server is believed to have nothing to
	// send. By default it sends a PING every ten seconds; after a longer
	// silence the link may be dead.
	maxSilence = 15 * time.Second
	// maxWakeDelay is how late a wake may be. If one is later, the process did
	// not get to run, and what the server sent meanwhile is not read yet.
	maxWakeDelay = time.Second
)

// setStart sets the clock to the machine's time, or to saved if that is later:
// an earlier process has come so far.
func (c *clock) setStart(saved time.Time) {
	c.machineStart = time.Now()
	c.start = c.machineStart
	if saved.After(c.start) {
		c.start = saved
	}
}

// fromMachine returns this clock's time at the machine's time t. This clock
// runs as fast as the machine's and never jumps. So setting the machine's clock
// makes nothing due too early, and nothing wait too long.
func (c *clock) fromMachine(t time.Time) time.Time {
	if c.replay {
		return t
	}
	return c.start.Add(t.Sub(c.machineStart))
}

// toMachine undoes fromMachine; zero for zero.
func (c *clock) toMachine(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return c.machineStart.Add(t.Sub(c.start))
}

// wallOffset returns how far the machine's clock is ahead of this one at t.
func (c *clock) wallOffset(t time.Time) time.Duration {
	if c.replay {
		return 0
	}
	return t.Round(0).Sub(c.fromMachine(t).Round(0))
}

// observe updates the clock by the time and kind of a record.
func (c *clock) observe(rec *source.Record) {
	t := rec.Time
	if c.replay {
		c.knownUntil = t
		return
	}
	if !c.wakeAt.IsZero() && t.Sub(c.wakeAt) > maxWakeDelay {
		c.caughtUp, c.attachedAt = false, t
	}
	c.wakeAt = time.Time{}
	switch {
	case rec.Kind == source.Attached:
		c.attached, c.attachedAt = true, t
	case rec.Kind == source.Detached:
		c.attached, c.caughtUp = false, false
	case rec.Kind == source.Woken:
		c.caughtUp = c.caughtUp || rec.Idle
		if rec.Idle && t.Sub(c.lastReceived) <= maxSilence {
			c.extendKnown(t)
		}
		return
	}
	c.lastReceived = t
	c.caughtUp = c.caughtUp || c.attached && t.Sub(c.attachedAt) >= catchUpLimit
	if c.caughtUp {
		c.extendKnown(t)
	}
}

func (c *clock) extendKnown(t time.Time) {
	if t.After(c.knownUntil) {
		c.knownUntil = t
	}
}

// wakeFor returns when to wake the stream for something that is due, but cannot
// be said before the stream is known up to then. It returns zero if due is
// zero, or if a record will come first that tells as much.
func (c *clock) wakeFor(due time.Time) time.Time {
	now := time.Now()
	switch {
	case due.IsZero() || !c.attached || c.caughtUp && !due.After(now) && now.Sub(c.lastReceived) > maxSilence:
		return time.Time{}
	case !due.After(now) && c.caughtUp:
		due = now.Add(time.Millisecond) // long enough to see that the server has sent nothing
	case !due.After(now):
		due = now.Add(idleAfter)
	}
	c.wakeAt = earlierTime(c.wakeAt, due)
	return due
}
