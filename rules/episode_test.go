package rules_test

import (
	"testing"

	"triggerd/internal/event"
	"triggerd/rules"
)

// What an event means to a rule with an episode: every event of its keys may end
// it, and what cannot be told does not.
func TestEpisodeRoles(t *testing.T) {
	const until = "until = 'num(after) < 70'\n"
	value := func(name, after string) *event.Event {
		ev := change(name, "cpu:7", "SET", "cpu:7", after)
		ev.Before, ev.After = event.String([]byte("1")), event.String([]byte(after))
		return ev
	}
	gone := change("del", "cpu:7", "DEL", "cpu:7")
	gone.Type, gone.After, gone.TTL = "none", event.None, event.TTLGone
	unknown := change("set", "cpu:7", "SET", "cpu:7", "95")
	hash, untyped := value("hset", "95"), value("set", "95")
	hash.Type, untyped.Type = "hash", ""
	high, low := snapshotKey("cpu:7"), snapshotKey("cpu:7")
	high.Type, high.After, low.Type, low.After = "string", event.String([]byte("95")), "string", event.String([]byte("5"))
	events := []struct {
		what string
		ev   *event.Event
	}{
		{"95", value("set", "95")}, {"80", value("set", "80")}, {"60", value("set", "60")}, {"95, another event", value("incrby", "95")}, {"60, another event", value("incrby", "60")},
		{"no number", value("set", "x")}, {"not known", unknown}, {"gone", gone}, {"another type", hash}, {"no type", untyped},
		{"snapshot of 95", high}, {"snapshot of 5", low},
	}
	for _, test := range []struct {
		fields string
		want   []string
	}{
		{until, []string{"fires", "", "ends", "", "ends", "", "", "ends", "ends", "", "", "ends"}},
		{until + "for = '1m'", []string{"fires", "lapses", "ends", "", "ends", "lapses", "lapses", "ends", "ends", "lapses", "", "ends"}},
		{"send_resolved = true", []string{"fires", "ends", "ends", "", "ends", "", "", "ends", "ends", "", "", "ends"}},
		{"send_resolved = true\nfor = '1m'", []string{"fires", "ends", "ends", "", "ends", "lapses", "lapses", "ends", "ends", "lapses", "", "ends"}},
		{"until = 'num(after) < 96'", []string{"ends", "ends", "ends", "ends", "ends", "", "", "ends", "ends", "", "ends", "ends"}},
	} {
		set := one(t, "key = 'cpu:{host}'\nevent = 'set'\ntype = 'string'\nwhen = 'num(after) >= 90'\n"+test.fields)
		for i, e := range events {
			got := ""
			for _, m := range set.Matcher().Match(nil, e.ev) {
				got += []string{"fires", "cancels", "ends", "lapses"}[m.Role]
			}
			if got != test.want[i] {
				t.Errorf("%s: %s: %q, want %q", test.fields, e.what, got, test.want[i])
			}
		}
		if got := set.Matcher().Need(0, []byte("cpu:7")); got != rules.NeedValue {
			t.Errorf("%s: need %d", test.fields, got)
		}
	}
}
