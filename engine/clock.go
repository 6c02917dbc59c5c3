package engine

import (
	"time"

	"triggerd/source"
)

// clock is the reader's: how late it is, and up to when the stream is known.
//
// A replication stream has no times, so an event's time is when it arrived.
// What came to pass while there was no link arrives later than it was, and
// until all of it is read nothing can be said of what did not happen.
type clock struct {
	replay bool
	began  time.Time // by the machine's clock, when the process began
	base   time.Time // by ours

	attached bool
	since    time.Time // attached
	caught   bool      // all that was made while there was no link is read
	heard    time.Time // when the server sent something last
	seen     time.Time // up to when the stream is known
	asked    time.Time // when we wanted to be woken; zero: not
}

const (
	// catchUp is how long after an attach what arrives, without a pause, is
	// taken for what had been made before.
	catchUp = 10 * time.Second
	// drained is after which silence a server that has more to send is not
	// silent.
	drained = 20 * time.Millisecond
	// maxSilence is how long a server is believed to have nothing to say: it
	// sends a PING every ten seconds, unless it is set otherwise.
	maxSilence = 15 * time.Second
	// late is how much later than asked for we are woken if the process did
	// not get to run: what the server sent meanwhile is not read yet.
	late = time.Second
)

// start sets the clock: not before saved, which an earlier process has come to.
func (c *clock) start(saved time.Time) {
	c.began = time.Now()
	c.base = c.began
	if saved.After(c.base) {
		c.base = saved
	}
}

// now is what the time t, which is the machine's, is by this clock. It runs as
// the machine does, and never jumps: setting the machine's clock neither makes
// all that waits due at once nor keeps it waiting.
func (c *clock) now(t time.Time) time.Time {
	if c.replay {
		return t
	}
	return c.base.Add(t.Sub(c.began))
}

// machine is what a time of this clock is by the machine's; zero for zero.
func (c *clock) machine(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return c.began.Add(t.Sub(c.base))
}

// wall is how far the machine's clock is ahead of this one.
func (c *clock) wall(t time.Time) time.Duration {
	if c.replay {
		return 0
	}
	return t.Round(0).Sub(c.now(t).Round(0))
}

// follow takes in what a record tells of the time.
func (c *clock) follow(rec *source.Record) {
	t := rec.Time
	if c.replay {
		c.seen = t
		return
	}
	if !c.asked.IsZero() && t.Sub(c.asked) > late {
		c.caught, c.since = false, t
	}
	c.asked = time.Time{}
	switch {
	case rec.Kind == source.Attached:
		c.attached, c.since = true, t
	case rec.Kind == source.Detached:
		c.attached, c.caught = false, false
	case rec.Kind == source.Woken:
		c.caught = c.caught || rec.Idle
		if rec.Idle && t.Sub(c.heard) <= maxSilence {
			c.see(t)
		}
		return
	}
	c.heard = t
	c.caught = c.caught || c.attached && t.Sub(c.since) >= catchUp
	if c.caught {
		c.see(t)
	}
}

func (c *clock) see(t time.Time) {
	if t.After(c.seen) {
		c.seen = t
	}
}

// wake is when to look at the stream again for something that cannot be said
// before it is known up to due; zero: something will come before, or never.
func (c *clock) wake(due time.Time) time.Time {
	now := time.Now()
	switch {
	case due.IsZero() || !c.attached || c.caught && !due.After(now) && now.Sub(c.heard) > maxSilence:
		return time.Time{}
	case !due.After(now) && c.caught:
		due = now.Add(time.Millisecond) // to see that the server has sent nothing
	case !due.After(now):
		due = now.Add(drained)
	}
	c.asked = earlier(c.asked, due)
	return due
}
