package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/internal/outbox"
	"triggerd/internal/secret"
	"triggerd/rules"
)

// What earlier rules had for secrets is masked after any number of reloads, up
// to a bound: the oldest are forgotten.
func TestOldSecretsAreMasked(t *testing.T) {
	var old []string
	for n := range maxOldSecrets + 10 {
		set := &rules.Set{Secrets: secret.New(fmt.Sprintf("secret-%04d", n), "constant")}
		for range 2 { // the same again changes nothing
			g, err := newGeneration(set, old, ActionOptions{}, newInstruments())
			if err != nil {
				t.Fatal(err)
			}
			old = g.secrets.Values()
		}
	}
	last := maxOldSecrets + 9
	for n, want := range map[int]bool{last: true, last - 1: true, last - 900: true, 0: false} {
		if got := slices.Contains(old, fmt.Sprintf("secret-%04d", n)); got != want {
			t.Errorf("secret %d of %d is masked: %v", n, last, got)
		}
	}
	if !slices.Contains(old, "constant") || len(old) > maxOldSecrets+2 {
		t.Errorf("%d secrets", len(old))
	}
}

// An endpoint has the rate that its kind of action brings, unless the rules say
// otherwise; and an action is told of the rule that fires.
func TestRateOfTheAction(t *testing.T) {
	set, err := ParseRules("rules.toml", []byte(`
[targets.chat]
type = "webhook"
url = "https://h/"
format = "slack"
[[rule]]
name = "a"
key = "a"
description = "d"
severity = "high"
event = "set"
absent = { for = "1m", repeat = "5m" }
[[rule.action]]
target = "chat"
[[rule.action]]
type = "webhook"
url = "https://h/"
format = "slack"
rate_limit = { max = 50, per = "1m" }
[[rule.action]]
type = "log"
`), ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGeneration(set, nil, ActionOptions{}, newInstruments())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]outbox.Rate{
		"target/chat": {Max: 1, Per: time.Second}, "rule/a/webhook": {Max: 50, Per: time.Minute}, "rule/a/log": {},
	} {
		if got := g.endpoints[name].Rate; got != want {
			t.Errorf("%s has the rate %v, want %v", name, got, want)
		}
	}
	if got, want := g.factsOf("a"), (actions.Rule{Description: "d", Severity: "high", Silence: time.Minute, Repeat: 5 * time.Minute}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := g.factsOf("gone"); got != (actions.Rule{}) {
		t.Errorf("got %+v of a rule that is gone", got)
	}
}
