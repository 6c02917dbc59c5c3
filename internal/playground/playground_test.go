package playground_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/playground"
)

// patience tells a question that hangs from one that takes long, also where nine of
// them share one slow core.
const patience = 3 * time.Minute

const soldOut = `
[targets.crm]
type = "webhook"
url = "${env:CRM_URL}/hook"
headers = { Authorization = "Bearer ${file:/etc/shadow}" }

[[rule]]
name = "sold-out"
key = "stock:{sku}"
when = 'num(before) > 0 && num(after) <= 0'
[[rule.action]]
target = "crm"

[[test]]
name = "sold"
feed = ["SET stock:7 1", "SET stock:7 0"]
expect = { sold-out = 1 }

[[test]]
name = "wrong"
feed = ["SET stock:7 1"]
expect = { sold-out = 1 }
`

func TestAnswers(t *testing.T) {
	p := playground.New()
	check, err := p.Check(t.Context(), admin.CheckQuestion{Text: soldOut})
	if err != nil || !check.OK || fmt.Sprint(check.Rules) != "[sold-out]" || len(check.Lookups) != 2 {
		t.Errorf("check: %+v, %v", check, err)
	}
	tests, err := p.Test(t.Context(), admin.TestQuestion{Text: soldOut})
	if err != nil || tests.Passed != 1 || tests.Failed != 1 || !strings.Contains(tests.Results[1].Differences[0], "expected 1 firing, got 0") {
		t.Errorf("test: %+v, %v", tests, err)
	}
	answer, err := p.Explain(t.Context(), admin.ExplainQuestion{
		Text: soldOut, Rule: "sold-out", Commands: []string{"DECR stock:7", "+1m", "DECR stock:7"}, Before: `"1"`, Start: "2026-01-02T03:04:05Z",
	})
	if err != nil || answer.Fires != 1 || len(answer.Steps) != 3 {
		t.Fatalf("explain: %+v, %v", answer, err)
	}
	first := answer.Steps[0].Events[0]
	if !first.Matches || first.Before.Text != "1" || first.After.Text != "0" || len(first.Checks) != 3 || first.Checks[1].Saw[0].Value != "1" {
		t.Errorf("the first command: %+v", first)
	}
	if at := answer.Steps[2].At.Format(time.RFC3339); at != "2026-01-02T03:05:05Z" {
		t.Errorf("the clock is at %s", at)
	}
	sent, err := json.Marshal(first.Fired[0].Requests[0])
	if err != nil || !strings.Contains(string(sent), `"call":["POST","https://***/hook"`) || !strings.Contains(string(sent), `"action":"crm"`) {
		t.Errorf("the request is %s, %v", sent, err)
	}
}

func TestMistakes(t *testing.T) {
	p := playground.New()
	text := strings.Replace(soldOut, "num(after)", "num(aftr)", 1)
	answer, err := p.Explain(t.Context(), admin.ExplainQuestion{Text: text, Rule: "sold-out", Commands: []string{"SET a 1"}})
	if err != nil || answer.OK || len(answer.Errors) != 1 || answer.Errors[0].Line != 10 || !strings.Contains(answer.Errors[0].Hint, "after") {
		t.Errorf("a mistake: %+v, %v", answer, err)
	}
	for name, tt := range map[string]struct {
		q    admin.ExplainQuestion
		want string
		is   error
	}{
		"no rule":     {admin.ExplainQuestion{Text: soldOut, Rule: "x"}, "there are: sold-out", admin.ErrUnknown},
		"no command":  {admin.ExplainQuestion{Text: soldOut, Rule: "sold-out", Commands: []string{"STE a 1"}}, "did you mean", admin.ErrQuery},
		"no pause":    {admin.ExplainQuestion{Text: soldOut, Rule: "sold-out", Commands: []string{"+1x"}}, "is not a pause", admin.ErrQuery},
		"no time":     {admin.ExplainQuestion{Text: soldOut, Rule: "sold-out", Start: "now"}, "is not a time", admin.ErrQuery},
		"no JSON":     {admin.ExplainQuestion{Text: soldOut, Rule: "sold-out", Commands: []string{"DEL a"}, Before: "new"}, "is not JSON", admin.ErrQuery},
		"no database": {admin.ExplainQuestion{Text: soldOut, Rule: "sold-out", DB: -1}, "number of a database", admin.ErrQuery},
		"too many":    {admin.ExplainQuestion{Text: soldOut, Rule: "sold-out", Commands: make([]string, 1001)}, "there may be 1000", admin.ErrQuery},
		"too long":    {admin.ExplainQuestion{Text: strings.Repeat("#", 1<<20+1), Rule: "sold-out"}, "may have 1048576", admin.ErrQuery},
	} {
		_, err := p.Explain(t.Context(), tt.q)
		if !errors.Is(err, tt.is) || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Nothing outside the text is looked at.
func TestOffline(t *testing.T) {
	t.Setenv("PLAYGROUND_SECRET", "hunter2")
	p := playground.New()
	for name, tt := range map[string]struct{ text, want string }{
		"include":  {`include = ["*.toml", "/etc/passwd"]`, "no file is included here"},
		"variable": {strings.Replace(soldOut, "CRM_URL", "PLAYGROUND_SECRET", 1), ""},
		"program":  {"[[rule]]\nname = \"x\"\nkey = \"*\"\n[[rule.action]]\ntype = \"exec\"\ncommand = [\"/no/such/program\"]\n", ""},
		"files":    {strings.Replace(soldOut, `headers =`, "tls = { ca = \"/no/such/file\" }\nheaders =", 1), ""},
	} {
		answer, err := p.Explain(t.Context(), admin.ExplainQuestion{Text: tt.text, Rule: ruleOf(tt.text), Commands: []string{"SET stock:7 1", "SET stock:7 0"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := json.Marshal(answer)
		if err != nil || strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "root:") || (tt.want == "") != answer.OK || !strings.Contains(string(b), tt.want) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

func ruleOf(text string) string {
	if strings.Contains(text, "sold-out") {
		return "sold-out"
	}
	return "x"
}

// What is asked takes neither much memory nor much time, however it is meant. The
// bound on time is ten times the promise; that on memory is of the Go heap, which
// also has what was not collected yet.
func TestLimits(t *testing.T) {
	rule := func(when, action string) string {
		return "[[rule]]\nname = \"x\"\nkey = \"*\"\nvalues = true\nwhen = '" + when + "'\n[[rule.action]]\n" + action
	}
	log := "type = \"log\"\nmessage = \"{{.key}}\"\n"
	many := func(n int, line func(int) string) []string {
		var all []string
		for i := range n {
			all = append(all, line(i))
		}
		return all
	}
	var keys strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&keys, " %d 1", i)
	}
	globs := strings.Builder{}
	for i := range 5000 {
		fmt.Fprintf(&globs, "[[rule]]\nname = \"r%d\"\nkey = \"*a%d*b*c%d*\"\n[[rule.action]]\n%s", i, i, i, log)
	}
	for _, tt := range []struct {
		name string
		q    admin.ExplainQuestion
	}{
		{"a huge string", admin.ExplainQuestion{Text: rule("true", log), Commands: []string{"SETRANGE k 536870000 x"}}},
		{"a huge bitmap", admin.ExplainQuestion{Text: rule("true", log), Commands: []string{"SETBIT k 4294967295 1"}}},
		{"copies", admin.ExplainQuestion{Text: rule("true", log), Commands: append([]string{"SET a " + strings.Repeat("x", 60_000)}, many(900, func(i int) string { return fmt.Sprintf("COPY a b%d", i) })...)}},
		{"very many keys", admin.ExplainQuestion{Text: rule("true", log), Commands: []string{"MSET" + keys.String()}}},
		{"a condition of much", admin.ExplainQuestion{Text: rule("any(after, num(#) == 1)", log), Commands: []string{"RPUSH k" + strings.Repeat(" 2", 30_000)}}},
		{"very many rules", admin.ExplainQuestion{Text: rule("true", log) + globs.String(), Commands: []string{"SET a 1"}}},
		{"deep", admin.ExplainQuestion{Text: "x = " + strings.Repeat("[", 500_000)}},
		{"a template of much", admin.ExplainQuestion{Text: rule("true", "type = \"log\"\nmessage = \"{{range .args}}{{range $.args}}{{.}}{{end}}{{end}}\"\n"), Commands: many(100, func(int) string { return "RPUSH k" + strings.Repeat(" xxxxxxxx", 1000) })}}, // the last, since it goes on for long
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := tt.q
			q.Rule = "x"
			p := playground.New() // where no question before is still at work
			runtime.GC()
			var before, during runtime.MemStats
			runtime.ReadMemStats(&before)
			peak := make(chan uint64)
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				most := uint64(0)
				for ctx.Err() == nil {
					runtime.ReadMemStats(&during)
					most = max(most, during.HeapAlloc)
					time.Sleep(5 * time.Millisecond)
				}
				peak <- most
			}()
			began := time.Now()
			answer, err := p.Explain(t.Context(), q)
			took := time.Since(began)
			stop()
			used := int64(<-peak) - int64(before.HeapAlloc)
			size := 0
			if answer != nil {
				b, jsonErr := json.Marshal(answer)
				if size = len(b); jsonErr != nil {
					t.Error(jsonErr)
				}
			}
			if answer != nil && !answer.OK && tt.name != "deep" {
				t.Errorf("the rules are refused: %+v", answer.Errors)
			}
			t.Logf("took %v, %d MiB more, an answer of %d KiB, err %v", took, used>>20, size>>10, err)
			if took > 30*time.Second || used > 640<<20 || size > 8<<20 {
				t.Errorf("took %v, %d MiB, an answer of %d bytes", took, used>>20, size)
			}
		})
	}
}

// One question at a time; who waits too long is told to ask again.
func TestOneAtATime(t *testing.T) {
	p := playground.New()
	var all sync.WaitGroup
	var mu sync.Mutex
	busy, answered := 0, 0
	for range 40 {
		all.Go(func() {
			_, err := p.Check(t.Context(), admin.CheckQuestion{Text: soldOut})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				answered++
			case errors.Is(err, admin.ErrBusy):
				busy++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if answered == 0 || answered+busy != 40 {
		t.Errorf("%d answered, %d told to ask again", answered, busy)
	}
}

// A text that is meant to take long takes little, is told what is wrong with it, and
// leaves the next question its turn.
func TestHostile(t *testing.T) {
	rule := "[[rule]]\nname = \"x\"\nkey = \"*\"\n[[rule.action]]\ntype = \"log\"\n"
	for name, tt := range map[string]struct{ text, want string }{
		"mistakes in a long line":   {"include = [" + strings.Repeat(`"/etc/*",`, 20_000) + "]", "no file is included here"},
		"many mistakes":             {strings.Repeat("[[rule]]\n", 10_000), "the rule has no name"},
		"one large expression":      {"[[rule]]\nname = \"x\"\nkey_regex = \"(" + strings.Repeat("a", 900) + "){1000}\"\n[[rule.action]]\ntype = \"log\"\n", "at most 50000 are allowed"},
		"many expressions":          {"[[rule]]\nname = \"x\"\nkey_regex = [" + strings.Repeat(`"((a{1,30}){1,30})?",`, 3000) + "]\n[[rule.action]]\ntype = \"log\"\n", "too large altogether"},
		"expressions in conditions": {"[macros]\nm = 'key matches \"((a{1,30}){1,30})?\"'\n" + strings.Repeat("[[rule]]\nname = \"x\"\nkey = \"*\"\nwhen = '"+strings.Repeat("macros.m || ", 100)+"true'\n", 4), "too large altogether"},
		"macros that double":        {"[macros]\na = 'key == \"\"'\n" + doubling(40) + strings.Replace(rule, "key = \"*\"", "when = 'macros.m39'", 1), "too long"},
		"a condition in brackets":   {strings.Replace(rule, "key = \"*\"", "when = '"+strings.Repeat("(", 300_000)+"'", 1), "at most 4096 are allowed"},
		"lists in lists":            {"[lists]\nx = " + strings.Repeat("[", 300_000), "inside one another"},
		"years of a schedule":       {"[[rule]]\nname = \"x\"\nschedule = \"* * * * *\"\n[[rule.action]]\ntype = \"log\"\n[[test]]\nname = \"t\"\nfeed = [{ at = \"+1000000h\" }]\nexpect = { x = 1 }\n", "takes longer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := playground.New()
			answer, err := p.Test(t.Context(), admin.TestQuestion{Text: tt.text})
			said := fmt.Sprint(err)
			if answer != nil {
				if len(answer.Errors) > 200 {
					t.Errorf("%d mistakes are told", len(answer.Errors))
				}
				for _, e := range answer.Errors {
					said += "\n" + e.Message
				}
			}
			if !strings.Contains(said, tt.want) && !strings.Contains(said, "takes longer") { // on a busy machine
				t.Errorf("says %.300s, not %q", said, tt.want)
			}
			awaitTurn(t, p)
		})
	}
}

// awaitTurn waits until a question is answered: the one before may go on to its end.
func awaitTurn(t *testing.T, p *playground.Playground) {
	t.Helper()
	for began := time.Now(); ; {
		switch _, err := p.Check(t.Context(), admin.CheckQuestion{Text: soldOut}); {
		case err == nil:
			return
		case time.Since(began) > patience:
			t.Fatalf("the next question has no turn after %v: %v", time.Since(began), err)
		}
	}
}

// doubling returns macros of which each has the one before twice.
func doubling(n int) string {
	var b strings.Builder
	for i := range n {
		before := fmt.Sprintf("macros.m%d", i-1)
		if i == 0 {
			before = "macros.a"
		}
		fmt.Fprintf(&b, "m%d = '%s && %s'\n", i, before, before)
	}
	return b.String()
}
