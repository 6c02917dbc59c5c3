package rules_test

import (
	"fmt"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/rules"
)

// What conditions take is told by rule, though it is measured on a sample, and
// whatever pattern events come in.
func TestConditionTime(t *testing.T) {
	const text = `
[[rule]]
name = "slow"
key = "a"
when = 'any(args, # contains "needle")'
action = [{type = "log"}]
[[rule]]
name = "fast"
key = "b"
when = 'event == "del"'
action = [{type = "log"}]
[[rule]]
name = "none"
key = "b"
action = [{type = "log"}]
`
	args := make([][]byte, 5000)
	for i := range args {
		args[i] = fmt.Append(nil, "some hay ", i)
	}
	took, slow, fast := time.Hour, time.Hour, time.Hour // the least of some rounds: one may be interrupted in the midst of a sample
	for range 4 {
		set, err := rules.Parse("rules.toml", []byte(text), rules.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := set.Matcher()
		began := time.Now()
		var dst []rules.Match
		for range 300 { // in turn, which a sample of each second would not see
			dst = m.Match(dst[:0], &event.Event{Key: []byte("a"), Name: "set", Args: args})
			dst = m.Match(dst[:0], &event.Event{Key: []byte("b"), Name: "set"})
		}
		took = min(took, time.Since(began))
		slow, fast = min(slow, set.Rules[0].ConditionTime()), min(fast, set.Rules[1].ConditionTime())
		if none := set.Rules[2].ConditionTime(); none != 0 {
			t.Errorf("a rule without a condition: %v", none)
		}
	}
	if slow < took/10 || slow > 10*took || fast*10 > slow {
		t.Errorf("slow %v, fast %v, of %v", slow, fast, took)
	}
}

// BenchmarkMatchCondition is an event for which one condition is evaluated.
func BenchmarkMatchCondition(b *testing.B) {
	set, err := rules.Parse("rules.toml", []byte("[[rule]]\nname = \"r\"\nkey = \"a\"\nwhen = 'len(args) > 5 && key != \"b\"'\naction = [{type = \"log\"}]\n"), rules.Options{})
	if err != nil {
		b.Fatal(err)
	}
	m := set.Matcher()
	ev := &event.Event{Key: []byte("a"), Name: "set", Args: [][]byte{[]byte("a"), []byte("1")}}
	var dst []rules.Match
	b.ReportAllocs()
	for b.Loop() {
		dst = m.Match(dst[:0], ev)
	}
}
