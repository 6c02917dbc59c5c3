package keyspace_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"triggerd/internal/keyspace"
)

// primary sends commands that its clock, which is ahead of ours, has stamped,
// and that take a while to arrive.
type primary struct {
	*session
	ahead, delay time.Duration
}

// at runs commands at so many milliseconds after start by the primary's clock;
// "@500" is a time by that clock too.
func (p *primary) at(ms int, line string) []string {
	p.now = start.Add(time.Duration(ms)*time.Millisecond - p.ahead + p.delay)
	return p.do(line)
}

// TestClockShown: that a group reads tells that the primary's clock is ahead,
// so that expiries before the deadline by our clock are known for what they
// are, and deletions before it, as of a lock, are not taken for expiries.
func TestClockShown(t *testing.T) {
	for _, test := range []struct {
		ahead, delay time.Duration
		want         time.Duration
	}{
		{0, 0, 0},
		{0, 30 * time.Millisecond, 0},
		{300 * time.Millisecond, 0, 300 * time.Millisecond},
		{300 * time.Millisecond, 30 * time.Millisecond, 270 * time.Millisecond},
		{-300 * time.Millisecond, 0, 0},
		{time.Hour, 0, 5 * time.Second},
	} {
		t.Run(fmt.Sprint(test.ahead, " ahead, ", test.delay, " late"), func(t *testing.T) {
			p := &primary{newSession(keyspace.Config{}), test.ahead, test.delay}
			if got := p.in.ClockAhead(); got != 0 {
				t.Errorf("before anything was seen it is %v ahead", got)
			}
			p.at(0, "SET lock x PXAT @3000")
			p.at(5, "SET session x PXAT @100")
			p.at(10, "XCLAIM stream group consumer 0 1-1 TIME @10 RETRYCOUNT 1 FORCE JUSTID LASTID 0-0")
			p.at(11, "XCLAIM stream group consumer 0 1-1 TIME @-5000")
			p.at(12, "XCLAIM stream group consumer 0 1-1 IDLE 0")
			if got := p.in.ClockAhead(); got != test.want {
				t.Errorf("it is %v ahead, want %v", got, test.want)
			}
			if got := p.at(50, "DEL lock"); got[0] != `del lock none deleted: "x" -> null [] -2` && test.ahead >= 0 {
				t.Errorf("got %q", got)
			}
			if test.ahead > 4*time.Second {
				return // more than is believed
			}
			if got := p.at(100, "DEL session"); got[0] != `expired session none expired: "x" -> null [] -2` {
				t.Errorf("got %q", got)
			}
			// Two minutes later it counts no more.
			p.at(0, "SET session x PXAT @200000")
			if got := p.at(190_000, "INCR other"); got[0] != `incrby other string command: null -> "1" [] -1` || p.in.ClockAhead() != 0 {
				t.Errorf("got %q, %v ahead", got, p.in.ClockAhead())
			}
		})
	}
}

// TestClockWindow: the greatest of the last minute counts.
func TestClockWindow(t *testing.T) {
	p := &primary{session: newSession(keyspace.Config{})}
	for i, step := range []struct {
		at          int
		ahead, want time.Duration
	}{
		{0, 100, 100}, {20_000, 50, 100}, {65_000, 50, 100}, {70_000, 70, 100}, {130_000, 20, 70}, {190_000, -20, 20}, {250_000, -20, 0}, {600_000, 30, 30}, {0, 40, 40},
	} {
		p.ahead = step.ahead * time.Millisecond
		p.at(step.at, fmt.Sprintf("XCLAIM stream group consumer 0 1-1 TIME @%d", step.at))
		if got := p.in.ClockAhead(); got != step.want*time.Millisecond {
			t.Errorf("step %d: %v ahead, want %v", i, got, step.want*time.Millisecond)
		}
	}
}

// TestSetClock: what the primary said counts, in either direction.
func TestSetClock(t *testing.T) {
	for _, ahead := range []time.Duration{0, 7 * time.Second, -7 * time.Second} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			p := &primary{session: newSession(keyspace.Config{Need: needOnTime}), ahead: ahead, delay: 2 * time.Millisecond}
			p.in.SetClock(ahead, 4*time.Millisecond)
			p.at(0, "XCLAIM stream group consumer 0 1-1 TIME @3000")
			if got := p.in.ClockAhead(); got != ahead {
				t.Errorf("%v ahead", got)
			}
			if got := p.at(0, "SET late 1 PXAT @500"); got[0] != `set late string command: null -> "1" [] 498` {
				t.Errorf("got %q", got)
			}
			p.at(0, "SET other 1 PXAT @500")
			p.at(0, "PEXPIREAT other @400")
			if got := p.at(490, "DEL late"); got[0] != `del late none deleted: "1" -> null [] -2` {
				t.Errorf("got %q", got)
			}
			p.at(490, "SET late 1 PXAT @500")
			if got := p.at(499, "DEL late"); got[0] != `expired late none expired: "1" -> null [] -2` {
				t.Errorf("got %q", got)
			}
			next, ok := p.in.NextDeadline()
			if want := start.Add(400*time.Millisecond - ahead); !ok || next != want {
				t.Errorf("the next deadline is %v, want %v", next, want)
			}
			if got := p.expire(399 - ahead.Milliseconds()); got != nil {
				t.Errorf("too early: %q", got)
			}
			want := []string{`expired other none expired clock @400: "1" -> null`}
			if got := p.expire(400 - ahead.Milliseconds()); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
