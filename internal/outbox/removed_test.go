package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/store"
)

// reload brings in actions with the receivers for endpoints. What waits for
// others is given up after two hours.
func (b *box) reload(rs ...*receiver) {
	all := map[string]*Action{}
	for i, r := range rs {
		all[fmt.Sprint(i)] = &Action{Action: r, Concurrency: 4, Policy: spec(nil)}
	}
	b.SetActions(all, map[PolicyKey]*Policy{Removed: spec(func(p *Policy) { p.Retry.MaxAge = 2 * time.Hour })})
}

// statusOf returns the status of an endpoint.
func statusOf(b *box, name string) Status {
	for _, s := range b.Endpoints() {
		if s.Name == name {
			return s
		}
	}
	return Status{}
}

// TestRemoved: an action that a reload has taken away is called no more. What
// waits for it is held, told, given up once it is too old, and delivered if the
// action comes back. It is so after a restart too.
func TestRemoved(t *testing.T) {
	for _, restart := range []bool{false, true} {
		for _, back := range []bool{false, true} {
			name := map[bool]string{false: "reload", true: "restart"}[restart] + map[bool]string{false: ", gone", true: ", back"}[back]
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testRemoved(t, restart, back) })
			})
		}
	}
}

func testRemoved(t *testing.T, restart, back bool) {
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	kept, gone := &receiver{}, &receiver{do: func(*actions.Firing) error { return errors.New("not now") }}
	b := openBox(t, st, 1000, 4, kept, gone)
	for i, key := range []string{"a", "b", "a"} {
		b.put("1", key, key+string(rune('0'+i)), spec(func(p *Policy) {
			p.Retry = Retry{MaxAttempts: 100, Backoff: time.Minute, MaxBackoff: time.Minute, MaxAge: time.Hour}
		}))
	}
	sleep(time.Second)
	if restart {
		b.end()
		b = openBox(t, st, 1000, 4, kept)
	}
	b.reload(kept)
	if !restart && !gone.closed {
		t.Error("the action was not closed")
	}
	attempts := len(gone.attempts)
	sleep(time.Hour + 30*time.Minute)
	if got := len(gone.attempts); got != attempts {
		t.Errorf("%d attempts after it was removed", got-attempts)
	}
	s := statusOf(b, "1")
	if s.Pending != 3 || s.State != "held" || s.Config != nil || !strings.Contains(s.Why, "no rule has it") {
		t.Errorf("status: %+v", s)
	}
	if text := b.log.String(); !strings.Contains(text, "firings wait for an action that no rule has any more") || !strings.Contains(text, "given_up_after=") {
		t.Errorf("log: %s", text)
	}
	if back {
		again := &receiver{}
		b.reload(kept, again)
		sleep(2 * time.Minute)
		if got := len(again.received()); got != 3 {
			t.Errorf("%d delivered when it is back", got)
		}
	}
	sleep(time.Hour)
	dead := 0
	for d, err := range st.Dead(0) {
		if err != nil {
			t.Fatal(err)
		}
		if dead++; d.Reason != "age" || !strings.Contains(d.Error, "no rule has the action any more") {
			t.Errorf("dead letter: %+v", d)
		}
	}
	if want := map[bool]int{false: 3, true: 0}[back]; dead != want || statusOf(b, "1").Pending != 0 {
		t.Errorf("%d dead letters, want %d; %d wait", dead, want, statusOf(b, "1").Pending)
	}
	b.end()
}
