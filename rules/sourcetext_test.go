package rules_test

import (
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/rules"
)

const textOfRules = `# before all
[source]
url = "redis://:hunter2@127.0.0.1"

[lists]
vip = ["ada"]

# of the target
[targets.crm]
type = "webhook"
url = "https://crm.example.com/hunter2"
headers = { X-Any = "hunter2" }
sign = """
hunter2
"""

[targets.crm.basic]
user = "hunter2"

# before the first rule
[[rule]]
name = "first"   # its name
key = 'a:*'
when = '''
after == "[[rule]]" ||
key in lists.vip
'''

  [[rule.action]]
  target = "crm"

# before the second
[[rule]]
name = "second"
key = "b:*"
  [[rule.action]]
  type = "webhook"
  url = "${env:SECOND_URL}"
  [rule.action.headers]
  X-Any = "hunter2"
  X-From = "${file:/run/secret}"

[[test]]
name = "t"
feed = ["SET a:1 1"]
expect = { first = 0 }
`

func parseForText(t *testing.T, text string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("rules.toml", []byte(text), rules.Options{Offline: true, Kinds: []rules.Kind{{Name: "webhook", Secrets: []string{"sign", "password", "user"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestText(t *testing.T) {
	set := parseForText(t, textOfRules)
	first, second := set.Text(set.Rules[0]), set.Text(set.Rules[1])
	wantFirst := "[[rule]]\nname = \"first\"   # its name\nkey = 'a:*'\nwhen = '''\nafter == \"[[rule]]\" ||\nkey in lists.vip\n'''\n\n  [[rule.action]]\n  target = \"crm\"\n"
	if first != wantFirst {
		t.Errorf("the first rule is %q, want %q", first, wantFirst)
	}
	for _, want := range []string{`name = "second"`, `url = "${env:SECOND_URL}"`, `X-Any = "${env:HIDDEN}"`, `X-From = "${file:/run/secret}"`} {
		if !strings.Contains(second, want) {
			t.Errorf("the second rule lacks %s: %s", want, second)
		}
	}
	whole := set.TextWithNeeds(set.Rules[0])
	for _, not := range []string{"hunter2", "[source]", "second", "[[test]]"} {
		if strings.Contains(first+second+whole, not) && (not != "second" || strings.Contains(whole, not)) {
			t.Errorf("%q is shown: %s", not, whole)
		}
	}
	// What is shown can be checked again, and is the same rule.
	again := parseForText(t, whole)
	if len(again.Rules) != 1 || again.Rules[0].Name != "first" || again.Rules[0].When != set.Rules[0].When || again.Rules[0].Actions[0].Target != "crm" {
		t.Errorf("read again it is %+v of\n%s", again.Rules, whole)
	}
}

// Whatever the layout, the text of a rule ends, and has no secret of a field that
// is known to have one.
func FuzzText(f *testing.F) {
	f.Add(textOfRules)
	f.Add("[[rule]]\nname=\"a\"\nkey=\"*\"\n[[rule.action]]\ntype=\"webhook\"\nurl='''https://x/hunter2\n'''\n")
	f.Add("[[rule]]\nname=\"a\"\nkey=\"*\"\naction=[{type=\"webhook\",url=\"https://x/hunter2\"}]\n")
	f.Add("[[ rule ]]\nname=\"a\"\nkey=\"*\"\n[[ rule . action ]]\ntype=\"webhook\"\n\"url\" = \"https://x/hunter2\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := rules.Parse("rules.toml", []byte(text), rules.Options{Offline: true, NoInclude: true, Kinds: []rules.Kind{{Name: "webhook", Secrets: []string{"sign", "password"}}}})
		if err != nil {
			return
		}
		for _, r := range set.Rules {
			shown := set.Text(r)
			if len(shown) > 2*len(text)+100 {
				t.Errorf("%d bytes of %d", len(shown), len(text))
			}
			for _, a := range r.Actions {
				for _, name := range []string{"url", "sign", "password"} {
					if value, ok := a.Fields[name].(string); ok && len(value) > 6 && !strings.Contains(value, rules.Placeholder) && strings.Contains(shown, value) && !strings.Contains(rules.Hidden, value) &&
						!strings.Contains(r.Name+r.When+r.Description+strings.Join(r.Tags, " "), value) {
						t.Errorf("the %s %q is shown in %q", name, value, shown)
					}
				}
			}
		}
	})
}

func TestFilter(t *testing.T) {
	set := parseForText(t, textOfRules)
	for _, wrong := range []string{"aftr > 1", "after >", "params.x == 'a'", strings.Repeat("x", 5000)} {
		if _, err := set.Filter(wrong); err == nil {
			t.Errorf("%.20s is a filter", wrong)
		}
	}
	f, err := set.Filter(`num(after) > 10 && key in lists.vip`)
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{"11": true, "9": false, "x": false} {
		if got := f.Holds(eventOf("ada", value)); got != want {
			t.Errorf("%s: %v", value, got)
		}
	}
	if f.Holds(eventOf("bob", "11")) {
		t.Error("the list is not looked at")
	}
}

// eventOf is a SET of a key.
func eventOf(key, value string) *event.Event {
	ev := change("set", key, "SET", key, value)
	ev.After = event.String([]byte(value))
	return ev
}
