package keyspace

import (
	"encoding/binary"
	"time"

	"triggerd/internal/wire"
)

// clock is what is known of the primary's clock: how far it is ahead of ours.
type clock struct {
	ahead int64 // ms that are added to our time
	wide  int64 // ms that the primary's may be further ahead
	set   bool  // by SetClock

	// What the stream shows, where SetClock was not called: at least so far ahead
	// it was in the last and in the present window.
	shown  [2]int64
	window int64
}

const (
	clockWindow = 60_000 // ms of our time in which the greatest counts
	maxShown    = 5_000  // ms that are believed of the stream
)

// SetClock tells that the primary's clock is ahead of ours by so much, negative
// if it is behind, give or take within: what asking it for its TIME has shown.
// Deadlines and the times of commands are compared by its clock then. It has to
// be the server that expires the keys, not a replica that passes its stream on.
func (in *Interpreter) SetClock(ahead, within time.Duration) {
	in.clock = clock{ahead: ahead.Milliseconds(), wide: within.Milliseconds(), set: true}
}

// ClockAhead returns how far ahead of ours the primary's clock is taken to be:
// what SetClock was told, else what the stream of the last minute or two has
// shown that it is at least, and never negative.
func (in *Interpreter) ClockAhead() time.Duration {
	return time.Duration(in.clock.ahead) * time.Millisecond
}

// AppendClock appends what RestoreClock takes back: what is known of the
// primary's clock. An interpreter that is restored needs it to make of the same
// commands the same deadlines.
func (in *Interpreter) AppendClock(dst []byte) []byte {
	c := &in.clock
	set := int64(0)
	if c.set {
		set = 1
	}
	for _, n := range [...]int64{c.ahead, c.wide, set, c.shown[0], c.shown[1], c.window} {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

// RestoreClock undoes AppendClock. What it cannot read leaves the clock as it is.
func (in *Interpreter) RestoreClock(b []byte) {
	r := wire.NewCursor(b)
	c := clock{ahead: r.Varint(), wide: r.Varint(), set: r.Varint() == 1, shown: [2]int64{r.Varint(), r.Varint()}, window: r.Varint()}
	if r.End() == nil {
		in.clock = c
	}
}

// at returns how far the primary's clock is ahead at now by ours.
func (c *clock) at(now int64) int64 {
	if !c.set && c.ahead > 0 && now/clockWindow > c.window+1 {
		c.ahead = 0 // it was shown too long ago
	}
	return c.ahead
}

// observe takes account of a time of the primary's that had come when a command
// was sent, which arrived at now by our clock. Since the way takes time, and
// never less than none, the primary's clock is ahead of ours by the difference
// at least.
func (c *clock) observe(primary, now int64) {
	if c.set {
		return
	}
	switch window := now / clockWindow; {
	case window == c.window:
	case window == c.window+1:
		c.shown, c.window = [2]int64{c.shown[1], 0}, window
	default: // long ago, or our clock was set
		c.shown, c.window = [2]int64{}, window
	}
	c.shown[1] = max(c.shown[1], min(primary-now, maxShown))
	c.ahead = max(c.shown[0], c.shown[1])
}

// observeClaim looks at XCLAIM, in whose form it is replicated that a group has
// read entries: it says when, by the primary's clock. A server does not accept
// of a client what is later than that.
func (c *clock) observeClaim(cmd *Command) {
	if cmd.Time.IsZero() {
		return
	}
	for i := 5; i+1 < len(cmd.Args); i++ {
		if is(cmd.Args[i], "TIME") {
			if at, ok := int64Of(cmd.Args[i+1]); ok && at > 0 {
				c.observe(at, cmd.Time.UnixMilli())
			}
			return
		}
	}
}
