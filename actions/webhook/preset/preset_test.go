package preset_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"triggerd/actions"
	"triggerd/actions/webhook/preset"
	"triggerd/internal/event"
	"triggerd/internal/firing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// options are those of every request of these tests.
func options() *preset.Options {
	return &preset.Options{RoutingKey: "R0UT1NGKEY", Labels: map[string]string{"team": "shop"}, Now: at.Add(time.Second)}
}

// Each format tells of each kind of firing as the golden files have it.
func TestBodies(t *testing.T) {
	for _, name := range preset.Names() {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			all := firings()
			for _, kind := range slices.Sorted(maps.Keys(all)) {
				o := options()
				o.Rule = ruleOf(kind)
				fmt.Fprintf(&got, "-- %s --\n", kind)
				if err := json.Indent(&got, preset.Of(name).Body(all[kind], o), "", "  "); err != nil {
					t.Fatal(err)
				}
				got.WriteString("\n")
			}
			file := "testdata/" + name + ".golden"
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s is not what is sent; see what has changed: go test ./actions/webhook/preset -run TestBodies -update, git diff", file)
			}
		})
	}
}

// hostile are texts that mean something to a service, to JSON or to a terminal.
var hostile = []string{
	`quote " and ' and ` + "`", `back\slash\`, "line\nfeed\r\n", "\xff\xfe", "nul\x00", "\u202ebidi\u2066", "\u2028sep\u200b", `{{.key}}`, `</script><script>`,
	"<!channel>", "<!here|x>", "<@U123>", "<#C1>", "<http://evil.example|text>", "@everyone", "@here", "<@&1>", "<@!1>", "<:x:1>", "<t:1>", ":smile:", "<at>Ann</at>",
	"*b* _i_ ~s~ `c` ```pre```", "# head", "> quote", "- list", "1. list", "[text](http://evil.example)", "||spoiler||", "https://evil.example/", "&lt;!channel&gt;", "&#34;",
	"\U0001f600 emoji", "é", strings.Repeat("<", 300), strings.Repeat("\U0001f600\xff", 150), "", " ", "\t",
}

// long are texts that no service takes as a whole.
var long = []string{
	strings.Repeat("x", 5000), strings.Repeat("<", 5000), strings.Repeat("*_`", 2000), strings.Repeat("\U0001f600", 6000), strings.Repeat("\xff", 3000), strings.Repeat("a line\n", 1000),
}

// hostileFirings has a text in each place of the data.
func hostileFirings(text string) []*firing.Firing {
	batch := []event.Item{{Event: of("set", text, str(text), str("x")).Event}, {Event: of("sadd", text, names("set", text), names("set", text, "a")).Event}}
	all := []*firing.Firing{
		of("set", text, str(text), str("x"+text)),
		of("set", "k", event.None, str(text)),
		of("hset", text, hash("a", text, text, "b"), hash("a", "b", text, text), changed(text, "a")),
		of("hset", "k", event.None, hash(text, text), changed(text)),
		of("rpush", text, names("list"), names("list", text, text)),
		of("zadd", text, zset(member(text, 1)), zset(member(text, 2))),
		of("xadd", text, event.Elements("stream", nil), event.Elements("stream", []event.Element{{Name: "1-1", Fields: []string{text, text}}})),
		of("absent", text, nil, nil, timing(event.Timing{Status: "firing", By: text})),
		of("set", text, nil, str(text), timing(event.Timing{Status: "resolved", By: text})),
		of("incr", text, str("1"), str("2"), timing(event.Timing{By: text, Count: 5})),
		no("publish", args(text, text)),
		{ID: firing.ID(text), Rule: "r", Event: batch[1].Event, Timing: event.Timing{Batch: batch, Count: 2}},
		no("schedule", timing(event.Timing{Summary: []event.Line{{Rule: "r", Count: 1, Event: batch[0].Event}}})),
	}
	for i := range all {
		if i%3 == 0 {
			all[i].Event.Source = text
		}
	}
	return all
}

// Whatever is in the data, each service gets JSON that it takes, mentions nobody,
// and marks up nothing.
func TestHostile(t *testing.T) {
	for _, name := range preset.Names() {
		t.Run(name, func(t *testing.T) {
			for _, text := range hostile {
				for _, f := range hostileFirings(text) {
					checkBody(t, name, preset.Of(name).Body(f, options()))
				}
			}
			for _, text := range slices.Concat(hostile, long) {
				o := options()
				o.Text, o.Rule = &text, actions.Rule{Description: text, Severity: text, Silence: time.Minute}
				checkBody(t, name, preset.Of(name).Body(of("set", "k", nil, nil), o))
			}
		})
	}
}

// FuzzBody is TestHostile with whatever comes.
func FuzzBody(f *testing.F) {
	for i, text := range hostile {
		f.Add([]byte(text), []byte(hostile[(i+7)%len(hostile)]), byte(i))
	}
	f.Fuzz(func(t *testing.T, text, other []byte, which byte) {
		all := hostileFirings(string(text))
		one := clone(all[int(which)%len(all)])
		one.By, one.Event.Name = string(other), string(other)
		for _, name := range preset.Names() {
			o := options()
			checkBody(t, name, preset.Of(name).Body(one, o))
			words := string(other)
			o.Text = &words
			checkBody(t, name, preset.Of(name).Body(one, o))
		}
	})
}

// body is the JSON of any of the services.
type body struct {
	Text            *string
	Blocks          []struct{ Text, Elements any }
	Embeds          []struct{ Title, Description string }
	AllowedMentions *struct{ Parse []string } `json:"allowed_mentions"`
	RoutingKey      string                    `json:"routing_key"`
	DedupKey        string                    `json:"dedup_key"`
	EventAction     string                    `json:"event_action"`
	Payload         *struct{ Summary, Source, Severity, Timestamp string }
}

// checkBody checks that a service takes a body, and mentions nobody.
func checkBody(t *testing.T, name string, b []byte) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s:\n%.3000s", name, fmt.Sprintf(format, args...), b)
	}
	var decoded any
	if err := json.Unmarshal(b, &decoded); err != nil || !utf8.Valid(b) {
		fail("no JSON: %v", err)
		return
	}
	var x body
	if name != "alertmanager" {
		if err := json.Unmarshal(b, &x); err != nil {
			fail("%v", err)
		}
	}
	all := stringsIn(decoded, nil)
	for _, s := range all {
		for _, r := range s {
			if r != '\n' && !strconv.IsPrint(r) {
				fail("%q is not printable", s)
			}
		}
	}
	switch name {
	case "slack":
		checkSlack(&x, all, fail)
	case "discord":
		checkDiscord(&x, fail)
	case "teams":
		if len(b) > 20<<10 {
			fail("%d bytes", len(b))
		}
		for _, s := range []string{`"TextBlock"`, `"entities"`} {
			if bytes.Contains(b, []byte(s)) {
				fail("%s is there", s)
			}
		}
	case "pagerduty":
		checkPagerDuty(&x, len(b), fail)
	case "alertmanager":
		checkAlert(b, fail)
	}
}

func utf16Len(s string) int { return len(utf16.Encode([]rune(s))) }

// stringsIn appends all texts of JSON.
func stringsIn(v any, all []string) []string {
	switch v := v.(type) {
	case string:
		return append(all, v)
	case []any:
		for _, e := range v {
			all = stringsIn(e, all)
		}
	case map[string]any:
		for _, e := range v {
			all = stringsIn(e, all)
		}
	}
	return all
}

func checkSlack(x *body, all []string, fail func(string, ...any)) {
	for _, s := range all {
		if strings.ContainsAny(s, "<>") {
			fail("%q has a < in it", s)
		}
		for rest := s; ; {
			_, after, ok := strings.Cut(rest, "&")
			if !ok {
				break
			}
			if rest = after; !strings.HasPrefix(rest, "amp;") && !strings.HasPrefix(rest, "lt;") && !strings.HasPrefix(rest, "gt;") {
				fail("%q has an & in it", s)
			}
		}
		if n := utf16Len(s); n == 0 || n > 3000 {
			fail("a text of %d characters", n)
		}
	}
	marked := 0
	for _, block := range x.Blocks {
		text, _ := block.Text.(map[string]any)
		if text["type"] != "mrkdwn" {
			continue
		}
		marked++
		_, about, _ := strings.Cut(text["text"].(string), "*  ")
		if about != "" && (strings.Count(about, "`") != 2 || about[0] != '`' || about[len(about)-1] != '`') {
			fail("%q is not a code span", about)
		}
	}
	if x.Text == nil || len(x.Blocks) != 3 || marked != 1 {
		fail("%d blocks, %d of them mrkdwn", len(x.Blocks), marked)
	}
}

func checkDiscord(x *body, fail func(string, ...any)) {
	if x.AllowedMentions == nil || x.AllowedMentions.Parse == nil || len(x.AllowedMentions.Parse) > 0 {
		fail("mentions are allowed")
	}
	if len(x.Embeds) != 1 {
		fail("%d embeds", len(x.Embeds))
		return
	}
	e := x.Embeds[0]
	if utf16Len(e.Title) > 256 || utf16Len(e.Description) > 4096 || e.Title == "" || e.Description == "" {
		fail("a title of %d, a description of %d characters", utf16Len(e.Title), utf16Len(e.Description))
	}
	for i, line := range strings.Split(e.Title+"\n"+e.Description, "\n") {
		if i == 1 && strings.HasPrefix(line, "`") {
			if strings.Count(line, "`") != 2 || line[len(line)-1] != '`' {
				fail("%q is not a code span", line)
			}
			continue
		}
		if at := unescaped(line); at >= 0 {
			fail("%q has a meaning", line[at:])
		}
	}
}

// unescaped returns where a text of Discord has a mark that is not escaped; -1 if
// it has none.
func unescaped(text string) int {
	escaped := false
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case strings.ContainsRune("*_~`|<>#@:-[]()", r):
			return i
		}
	}
	if escaped {
		return len(text) - 1
	}
	return -1
}

func checkPagerDuty(x *body, size int, fail func(string, ...any)) {
	if size > 512<<10 {
		fail("%d bytes", size)
	}
	if n := utf16Len(x.DedupKey); n == 0 || n > 255 || x.RoutingKey != "R0UT1NGKEY" {
		fail("a dedup_key of %d characters", n)
	}
	if x.EventAction == "resolve" {
		return
	}
	p := x.Payload
	if x.EventAction != "trigger" || p == nil || p.Summary == "" || utf16Len(p.Summary) > 1024 || p.Source == "" || !slices.Contains(preset.Severities, p.Severity) {
		fail("a payload that is not taken")
	} else if _, err := time.Parse(time.RFC3339, p.Timestamp); err != nil {
		fail("%v", err)
	}
}

// alert is an alert as Alertmanager takes it.
type alert struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    *time.Time
}

func checkAlert(b []byte, fail func(string, ...any)) {
	var list []alert
	if err := json.Unmarshal(b, &list); err != nil || len(list) != 1 {
		fail("%d alerts, %v", len(list), err)
		return
	}
	for name, value := range list[0].Labels {
		if value == "" {
			fail("the label %s is empty", name)
		}
	}
	if a := list[0]; a.Labels["alertname"] == "" || a.EndsAt == nil || a.StartsAt != nil && a.StartsAt.After(*a.EndsAt) {
		fail("from %v to %v", a.StartsAt, a.EndsAt)
	}
}

// What a rule opens it finds again, and nothing else does.
func TestIdentity(t *testing.T) {
	long := strings.Repeat("k", 300)
	things := map[string]*firing.Firing{
		"key":       of("set", "a", str("1"), str("2")),
		"db":        of("set", "a", str("1"), str("2"), func(f *firing.Firing) { f.Event.DB = 1 }),
		"other":     of("set", "b", str("1"), str("2")),
		"long":      of("set", long, str("1"), str("2")),
		"longer":    of("set", long+"k", str("1"), str("2")),
		"bytes":     of("set", "\xff", str("1"), str("2")),
		"escaped":   of("set", `\xff`, str("1"), str("2")),
		"by":        of("set", "a", nil, nil, timing(event.Timing{By: "a"})),
		"by, bytes": of("set", "a", nil, nil, timing(event.Timing{By: "\xff"})),
		"rule":      of("set", "a", nil, nil, func(f *firing.Firing) { f.Rule = "r2" }),
	}
	for _, name := range []string{"pagerduty", "alertmanager"} {
		seen := map[string]string{}
		for what, f := range things {
			id := identityOf(t, name, f)
			if other, twice := seen[id]; twice {
				t.Errorf("%s: %s and %s are both %s", name, what, other, id)
			}
			seen[id] = what
			later := clone(f)
			later.ID, later.Attempt, later.Status = "another:1/0:r/a", 3, "resolved"
			later.Event.Name, later.Event.Time, later.Event.Before, later.Event.After = "del", at.Add(time.Hour), str("7"), event.None
			later.Count, later.Suppressed = 5, 2
			if again := identityOf(t, name, later); again != id {
				t.Errorf("%s: %s was %s and is %s", name, what, id, again)
			}
		}
	}
}

// What a rule waits for without a value to count by, any of its keys may be: what is
// told of one of them is closed by another.
func TestIdentityOfAll(t *testing.T) {
	for _, name := range []string{"pagerduty", "alertmanager"} {
		o := options()
		o.Rule.Silence = time.Minute
		silent := of("absent", "hb:a", nil, nil, timing(event.Timing{Status: "firing"}))
		back := of("set", "hb:b", str("1"), str("2"), timing(event.Timing{Status: "resolved"}), func(f *firing.Firing) { f.Event.DB = 1 })
		never := of("absent", "", nil, nil, timing(event.Timing{Status: "firing"}), func(f *firing.Firing) { f.Event.Key = nil })
		other := of("absent", "hb:a", nil, nil, timing(event.Timing{Status: "firing"}), func(f *firing.Firing) { f.Rule = "r2" })
		id := identityWith(t, name, silent, o)
		if b, n, x := identityWith(t, name, back, o), identityWith(t, name, never, o), identityWith(t, name, other, o); b != id || n != id || x == id {
			t.Errorf("%s: opened as %s, closed as %s, never seen %s, another rule %s", name, id, b, n, x)
		}
	}
}

// identityOf is what a service knows a firing by.
func identityOf(t *testing.T, name string, f *firing.Firing) string {
	t.Helper()
	return identityWith(t, name, f, options())
}

func identityWith(t *testing.T, name string, f *firing.Firing, o *preset.Options) string {
	t.Helper()
	b := preset.Of(name).Body(f, o)
	if name == "pagerduty" {
		var x body
		if err := json.Unmarshal(b, &x); err != nil {
			t.Fatal(err)
		}
		return x.DedupKey
	}
	var list []alert
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(list[0].Labels)
}

// An alert lasts until it is told of again, or as long as the user says.
func TestKeep(t *testing.T) {
	event, state := of("set", "a", nil, nil), of("absent", "a", nil, nil, timing(event.Timing{Status: "firing"}))
	for name, tt := range map[string]struct {
		f    *firing.Firing
		rule actions.Rule
		keep time.Duration
		want time.Duration
	}{
		"event":        {f: event, want: time.Hour},
		"state":        {f: state, want: 24 * time.Hour},
		"repeated":     {f: state, rule: actions.Rule{Repeat: time.Minute}, want: 3 * time.Minute},
		"the user's":   {f: state, rule: actions.Rule{Repeat: time.Minute}, keep: 5 * time.Second, want: 5 * time.Second},
		"of an event":  {f: event, keep: 5 * time.Second, want: 5 * time.Second},
		"late attempt": {f: event, want: time.Hour},
	} {
		o := options()
		o.Rule, o.Keep = tt.rule, tt.keep
		if name == "late attempt" {
			o.Now = at.Add(2 * time.Hour)
		}
		var list []alert
		if err := json.Unmarshal(preset.Of("alertmanager").Body(tt.f, o), &list); err != nil {
			t.Fatal(err)
		}
		if got := list[0].EndsAt.Sub(o.Now); got != tt.want {
			t.Errorf("%s: it lasts %s, want %s", name, got, tt.want)
		}
	}
}

// A text of the user's is in place of ours, line by line, and cut with what is
// missing said.
func TestOwnText(t *testing.T) {
	text := "first\nsecond\t<b>\r\n" + strings.Repeat("line\n", 2000) + "\n"
	o := options()
	o.Text = &text
	b := preset.Of("slack").Body(of("set", "a", str("1"), str("2")), o)
	if !bytes.Contains(b, []byte(`first\nsecond &lt;b&gt;\nline\nline\n`)) || !bytes.Contains(b, []byte(` more"`)) || bytes.Contains(b, []byte("1 → 2")) {
		t.Errorf("got %s", b)
	}
	empty := " \n"
	o.Text = &empty
	if b := preset.Of("slack").Body(of("set", "a", str("1"), str("2")), o); !bytes.Contains(b, []byte(`"text":"set"`)) {
		t.Errorf("got %s", b)
	}
}

func TestOfHost(t *testing.T) {
	for host, want := range map[string]string{
		"hooks.slack.com": "slack", "discord.com": "discord", "prod-01.westeurope.logic.azure.com": "teams", "events.eu.pagerduty.com": "pagerduty",
		"logic.azure.com": "", "evil-discord.com": "", "discord.com.evil.example": "", "": "", "crm.example.com": "",
	} {
		got := ""
		if x := preset.OfHost(host); x != nil {
			got = x.Name
		}
		if got != want {
			t.Errorf("%s is of %q, want %q", host, got, want)
		}
	}
}

func BenchmarkBody(b *testing.B) {
	f := firings()["hash"]
	for _, name := range preset.Names() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				preset.Of(name).Body(f, options())
			}
		})
	}
}
