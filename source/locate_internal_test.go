package source

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAvoided: a replica that cannot be attached to is tried ever more seldom, and
// like any other once it could.
func TestAvoided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a avoided
		lasts := func() (d time.Duration) {
			for began := time.Now(); a.has("h"); d = time.Since(began) {
				time.Sleep(time.Second)
			}
			return d
		}
		for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
			a.addFailing("h")
			if got := lasts(); got != want*time.Second {
				t.Errorf("after %d failures it is avoided for %v, want %vs", i+1, got, int(want))
			}
		}
		a.remove("h")
		a.addFailing("h")
		if got := lasts(); got != avoidFailing {
			t.Errorf("after a link it is avoided for %v", got)
		}
		for i := range 3 * maxAvoided {
			a.add(string(rune(i)), time.Hour)
		}
		if len(a.hosts) > maxAvoided+1 {
			t.Errorf("%d are known", len(a.hosts))
		}
	})
}
