package engine

import (
	"testing"

	"triggerd/rules"
)

// Those who watch by the same condition share one place, until the last has gone.
func TestWatchersShare(t *testing.T) {
	var w watchers
	set, other := &rules.Set{}, &rules.Set{}
	a := w.add(&rules.Filter{}, set, "a")
	if b := w.add(&rules.Filter{}, set, "b"); b == a {
		t.Error("another condition has the same bit")
	}
	if again := w.add(&rules.Filter{}, set, "a"); again != a {
		t.Errorf("an equal condition has the bit %b, want %b", again, a)
	}
	if after := w.add(&rules.Filter{}, other, "a"); after == a {
		t.Error("one that was compiled with other rules has the same bit")
	}
	w.remove(a)
	if w.used.Load()&a == 0 {
		t.Error("one has gone, and the other's condition with it")
	}
	w.remove(a)
	if w.used.Load()&a != 0 || w.add(&rules.Filter{}, set, "c") != a {
		t.Error("its place is not free")
	}
	for range maxWatchers - 3 {
		w.add(&rules.Filter{}, &rules.Set{}, "d")
	}
	if bit := w.add(&rules.Filter{}, set, "e"); bit != 0 {
		t.Errorf("one too many has the bit %b", bit)
	}
}
