package engine

import (
	"fmt"
	"reflect"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

func TestDeadSpans(t *testing.T) {
	d := deadSpans{{ReplID: "a", After: 100, To: 150}, {ReplID: "b", After: 120, To: 130}}
	for _, c := range []struct {
		replID string
		offset int64
		want   bool
	}{{"a", 100, false}, {"a", 101, true}, {"a", 150, true}, {"a", 151, false}, {"b", 110, false}, {"c", 125, false}} {
		if got := d.hasEvent(&event.Event{Origin: event.FromStream, ReplID: c.replID, Offset: c.offset}); got != c.want {
			t.Errorf("%s:%d is dead: %v", c.replID, c.offset, got)
		}
	}
	if d.hasEvent(&event.Event{Origin: event.FromResync, ReplID: "a", Offset: 120}) || d.hasEvent(nil) {
		t.Error("what is of no command is dead")
	}
	if got, want := d.without("a", 110), (deadSpans{{ReplID: "a", After: 100, To: 110}, {ReplID: "b", After: 120, To: 130}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := d.without("a", 90).without("b", 120); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	if got, err := parseDeadSpans(d.append(nil)); err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("got %v, %v", got, err)
	}
	for i := range len(d.append(nil)) {
		if got, err := parseDeadSpans(d.append(nil)[:i]); err == nil {
			t.Errorf("of %d bytes: %v", i, got)
		}
	}
}

func FuzzDeadSpans(f *testing.F) {
	f.Add(deadSpans{{ReplID: "a", After: 100, To: 150}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDeadSpans(b)
		if err != nil {
			return
		}
		if again, err := parseDeadSpans(d.append(nil)); err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%v became %v, %v", d, again, err)
		}
	})
}

// TestRecentFirings: those of dead commands are named, the oldest first, and it is
// told where some may have been forgotten.
func TestRecentFirings(t *testing.T) {
	var r recentFirings
	add := func(n int) {
		r.add(&event.Event{ReplID: "a", Offset: int64(n)}, firing.ID(fmt.Sprint(n)))
	}
	for n := range maxRecent + 10 {
		add(n)
	}
	ids, all := r.dead(deadSpans{{ReplID: "a", After: maxRecent, To: maxRecent + 5}})
	if len(ids) != 5 || ids[0] != firing.ID(fmt.Sprint(maxRecent+1)) || !all {
		t.Errorf("got %v, all of them: %v", ids, all)
	}
	if ids, all = r.dead(deadSpans{{ReplID: "a", After: 5, To: maxRecent * 2}}); len(ids) != maxRecent || all {
		t.Errorf("got %d, all of them: %v", len(ids), all)
	}
}
