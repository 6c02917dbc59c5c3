package firing_test

import (
	"testing"

	"triggerd/internal/firing"
)

// An endpoint's name says whether it is a target's, and reads back as it was.
func TestEndpoint(t *testing.T) {
	for text, want := range map[string]struct{ target, action string }{
		"target/crm":        {"crm", ""},
		"rule/stock/log":    {"", "log"},
		"rule/a:b/web hook": {"", "web hook"},
		"rule/r/a/b":        {"", "a/b"},
	} {
		e, err := firing.ParseEndpoint(text)
		if err != nil || e.String() != text || e.Target() != want.target || e.Action() != want.action {
			t.Errorf("%s is %s, target %q, action %q, %v", text, e, e.Target(), e.Action(), err)
		}
	}
	if e, err := firing.ParseEndpoint("crm"); err != nil || e != firing.OfTarget("crm") || e.IsZero() {
		t.Errorf("a target's name alone is %s, %v", e, err)
	}
	if e := firing.OfRule("stock", "log"); e != "rule/stock/log" {
		t.Errorf("a rule's own action is %s", e)
	}
	for _, no := range []string{"", "/", "target/", "target/a/b", "rule/a", "rule/a/", "rule//b", "other/a", "rule/"} {
		if e, err := firing.ParseEndpoint(no); err == nil || !e.IsZero() {
			t.Errorf("%q is taken for %s", no, e)
		}
	}
	for full, want := range map[string]string{"rule/stock": "stock", "rule/": "", "rule/stock/log": "", "target/stock": ""} {
		rule, ok := firing.RuleOf(full)
		if ok != (want != "") || ok && (rule != want || firing.RuleName(rule) != full) {
			t.Errorf("%s is of rule %q, %v", full, rule, ok)
		}
	}
}

func TestOrderAndOverflow(t *testing.T) {
	for _, o := range firing.Orders() {
		if again, err := firing.ParseOrder(o.String()); again != o || err != nil {
			t.Errorf("%s is read as %s, %v", o, again, err)
		}
	}
	for _, o := range firing.Overflows() {
		if again, err := firing.ParseOverflow(o.String()); again != o || err != nil {
			t.Errorf("%s is read as %s, %v", o, again, err)
		}
	}
	if _, err := firing.ParseOrder("keys"); err == nil || err.Error() != `order "keys" is not one of key, none` {
		t.Errorf("%v", err)
	}
	if _, err := firing.ParseOverflow(""); err == nil {
		t.Error(`"" is an overflow`)
	}
}
