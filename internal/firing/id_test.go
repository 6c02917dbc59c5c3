package firing_test

import (
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// An ID says what fired, by which rule and for which of its actions, whatever
// these are called.
func TestID(t *testing.T) {
	at := time.Unix(1, 0)
	for want, trigger := range map[string]firing.Trigger{
		"0f:7/2":             firing.TriggerOf(&event.Event{Origin: event.FromStream, ReplID: "0f", Offset: 7, Index: 2}),
		"0f:7/s3":            firing.TriggerOf(&event.Event{Origin: event.FromResync, ReplID: "0f", Offset: 7, Index: 3}),
		"snapshot:5/" + kv:   firing.TriggerOf(&event.Event{Origin: event.FromSnapshot, ReplID: "0f", Offset: 7, Index: 5, DB: 1, Key: []byte("k")}),
		"expired:1000/" + kv: firing.TriggerOf(&event.Event{Origin: event.FromClock, DB: 1, Key: []byte("k"), Time: at}),
		"clock:1000/0":       firing.RunTrigger(1000),
		"absent:1000/" + by:  firing.AbsentTrigger(1000, "web-1"),
		"resolved:rs/" + by:  firing.ResolvedTrigger(1000, "web-1"),
	} {
		if trigger.String() != want {
			t.Errorf("trigger %s, want %s", trigger, want)
		}
		replID := ""
		if want[:2] == "0f" {
			replID = "0f"
		}
		for _, rule := range []string{"stock", "a:b", "a b", "s0"} {
			id := trigger.Firing(rule, "act/1")
			if id.Rule() != rule || id.Action() != "act/1" || id.Trigger() != trigger || id.ReplID() != replID {
				t.Errorf("%s: rule %q, action %q, trigger %q, replid %q", id, id.Rule(), id.Action(), id.Trigger(), id.ReplID())
			}
			if again, err := firing.ParseID(id.String()); again != id || err != nil {
				t.Errorf("parsed again %s, %v", again, err)
			}
		}
	}
	for _, no := range []string{"", "x", "0f:7", "0f:7/2", "0f:7/2:", "0f:7/2:rule", "0f:7/2:/act", "/2:rule/act"} {
		if id, err := firing.ParseID(no); err == nil || !id.IsZero() {
			t.Errorf("%q is parsed as %s", no, id)
		}
	}
}

// Hashes in IDs are the same in every process and version.
const (
	kv = "197zex05b8la5"
	by = "1k2vjr4ffmlnj"
)

func TestDue(t *testing.T) {
	at := time.UnixMilli(1767608102123)
	for trigger, want := range map[firing.Trigger]bool{
		firing.AbsentTrigger(at.UnixMilli(), "api-1"): true, firing.RunTrigger(at.UnixMilli()): true, "expired:1767608102123/x": true,
		"8d1f4c:851576/0": false, firing.ResolvedTrigger(7, "a"): false, "absent:soon/x": false, "": false,
	} {
		if got, ok := trigger.Due(); ok != want || ok && !got.Equal(at) {
			t.Errorf("%s was due at %v, %v", trigger, got, ok)
		}
	}
}
