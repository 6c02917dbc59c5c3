package keyspace_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

func needOnTime(_ int, key []byte) keyspace.Need {
	if string(key) == "late" {
		return keyspace.NeedValue
	}
	return keyspace.NeedOnTime
}

// expire calls Expire for so many milliseconds after start.
func (s *session) expire(ms int64) (events []string) {
	for _, ev := range s.in.Expire(nil, &keyspace.Command{Time: start.Add(time.Duration(ms) * time.Millisecond)}) {
		events = append(events, fmt.Sprintf("%s %s @%d: %s -> %s", describe(&ev), ev.Origin, ev.Time.Sub(start).Milliseconds(), plain(ev.Before), plain(ev.After)))
	}
	return events
}

func TestExpire(t *testing.T) {
	s := newSession(keyspace.Config{Need: needOnTime})
	for _, c := range []string{
		"SET a 1 PXAT @100", "SET b 2 PXAT @50", "SET late 3 PXAT @50", "SET kept 4 PXAT @60", "PERSIST kept", "SET longer 5 PXAT @60",
		"PEXPIREAT longer @500", "RPUSH l x", "PEXPIREAT l @70", "SET sooner 6 PXAT @900", "PEXPIREAT sooner @80", "SET gone 7 PXAT @55", "DEL gone",
		"SET renamed 8 PXAT @65", "RENAME renamed new",
	} {
		s.do(c)
	}
	for _, step := range []struct {
		at   int64
		want []string
	}{
		{49, nil},
		{64, []string{`expired b none expired clock @50: "2" -> null`}},
		{100, []string{
			`expired new none expired clock @65: "8" -> null`, `expired l none expired clock @70: ["x"] -> null`,
			`expired sooner none expired clock @80: "6" -> null`, `expired a none expired clock @100: "1" -> null`}},
		{100, nil},
	} {
		if got := s.expire(step.at); !slices.Equal(got, step.want) {
			t.Errorf("at %d\n got %q\nwant %q", step.at, got, step.want)
		}
	}
	if next, ok := s.in.NextDeadline(); !ok || next != start.Add(500*time.Millisecond) {
		t.Errorf("the next deadline is %v, %t", next, ok)
	}
	// The server's removals come later, and are not announced again.
	s.now = start.Add(110 * time.Millisecond)
	for _, step := range []struct {
		command string
		want    []string
	}{
		{"DEL a", nil},
		{"UNLINK b", nil},
		{"SET b 9", []string{`set b string command: null -> "9" [] -1`}},
		{"DEL b", []string{`del b none deleted: "9" -> null [] -2`}},
		{"DEL late", []string{`expired late none expired: "3" -> null [] -2`}},
		{"PERSIST l", []string{`persist l list command: ["x"] -> ["x"] [] -1`}}, // it came too late
		{"DEL l", []string{`del l none deleted: ["x"] -> null [] -2`}},
	} {
		if got := s.do(step.command); !slices.Equal(got, step.want) {
			t.Errorf("%s: got %q, want %q", step.command, got, step.want)
		}
	}
	s.do("SWAPDB 0 1")
	if got := s.expire(500); len(got) != 1 || got[0] != `expired longer@1 none expired clock @500: "5" -> null` {
		t.Errorf("in another database: %q", got)
	}
	if got := s.expire(900); got != nil {
		t.Errorf("a deadline that had come nearer: %q", got)
	}
	if next, ok := s.in.NextDeadline(); ok {
		t.Errorf("there is a deadline at %v", next)
	}
	checkCount(t, s.in)
}

// TestScheduleIsBounded: deadlines that move cost no memory.
func TestScheduleIsBounded(t *testing.T) {
	s := newSession(keyspace.Config{Need: needOnTime})
	s.do("SET k v")
	move := func(ms int) {
		s.in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("PEXPIREAT"), []byte("k"), fmt.Append(nil, start.UnixMilli()+int64(ms))}, Time: start})
	}
	for i := range 5000 {
		move(1_000_000 + i)
	}
	if n := s.in.Scheduled(); n != 1 {
		t.Errorf("a deadline that moved back has %d places", n)
	}
	for i := range 5000 {
		move(1_000_000 - i)
	}
	if n := s.in.Scheduled(); n > 1200 {
		t.Errorf("a deadline that came nearer has %d places", n)
	}
	if got := s.expire(2_000_000); len(got) != 1 || got[0] != fmt.Sprintf(`expired k none expired clock @%d: "v" -> null`, 1_000_000-4999) {
		t.Errorf("got %q", got)
	}
}

// TestOnTime: a loop that waits for the next deadline announces a thousand keys
// among a hundred thousand others, each at its deadline.
func TestOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := keyspace.New(keyspace.Config{Need: func(_ int, key []byte) keyspace.Need {
			if key[0] == 'w' {
				return keyspace.NeedOnTime
			}
			return keyspace.NeedNothing
		}})
		begin := time.Now()
		for i := range 100_000 {
			name := fmt.Appendf(nil, "other:%d", i)
			if i%100 == 0 {
				name = fmt.Appendf(nil, "watched:%d", i)
			}
			at := begin.Add(time.Duration(i*7919%60_000) * time.Millisecond)
			in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("SET"), name, []byte("v"), []byte("PXAT"), fmt.Append(nil, at.UnixMilli())}, Time: begin})
		}
		fired := map[string]bool{}
		for {
			next, ok := in.NextDeadline()
			if !ok {
				break
			}
			time.Sleep(time.Until(next)) // of the bubble's clock
			for _, ev := range in.Expire(nil, &keyspace.Command{Time: time.Now()}) {
				if late := time.Since(ev.Time); late != 0 || fired[string(ev.Key)] || string(ev.Before.Bytes()) != "v" || ev.Name != "expired" || ev.Origin != event.FromClock {
					t.Errorf("%s of %q %v late, again: %t", ev.Name, ev.Key, late, fired[string(ev.Key)])
				}
				fired[string(ev.Key)] = true
			}
		}
		if len(fired) != 1000 {
			t.Errorf("%d keys expired, want 1000", len(fired))
		}
	})
}
