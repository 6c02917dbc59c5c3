package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/browser"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

var updateShots = flag.Bool("shots", false, "write the screenshots of docs/page.md")

// world is a daemon with rules and receivers of several kinds, and its page.
type world struct {
	t    *testing.T
	srv  *servers.Server
	hook *sink
	dir  string
	p    *process
	api  string // the daemon's address
}

const worldRules = `
[source]
url = "redis://%[1]s"

[http]
listen = "127.0.0.1:0"
%[3]s

[defaults]
retry = { max_attempts = 3, backoff = "100ms", max_backoff = "100ms" }

[targets.crm]
type = "webhook"
url = "%[2]s/hunter2"

[targets.shop]
type = "webhook"
url = "%[2]s/shop"

[[rule]]
name = "sold-out"
description = "the last piece was sold"
key = "stock:{sku}"
when = 'num(before) > 0 && num(after) <= 0'

  [[rule.action]]
  target = "crm"

[[rule]]
name = "order-paid"
key = "order:*"
event = "hset"
when = 'after.status == "paid"'

  [[rule.action]]
  target = "shop"

[[rule]]
name = "session-started"
key = "session:*"
event = "set"
dry_run = true

  [[rule.action]]
  target = "shop"

[[rule]]
name = "logins-many"
key = "login:{user}"
event = "incrby"
count = { over = 3, within = "1h", by = "params.user" }

  [[rule.action]]
  target = "crm"

[[test]]
name = "the last piece"
given = { "stock:7" = "1" }
feed = ["DECR stock:7"]
expect = { sold-out = 1 }
`

func newWorld(t *testing.T, srv *servers.Server, http string, env ...string) *world {
	t.Helper()
	w := &world{t: t, srv: srv, hook: newSink(t), dir: t.TempDir()}
	write(t, w.dir, "rules.toml", fmt.Sprintf(worldRules, srv.Addr, w.hook.URL, http))
	w.p = startWith(t, command(t, w.dir), append([]string{"TRIGGERD_HTTP="}, env...)...)
	w.p.logs.await(t, `msg="attached`, 1)
	w.api = apiOf(t, w.p)
	return w
}

func (w *world) do(args ...string) {
	w.t.Helper()
	redistest.Do(w.t, w.srv, args...)
}

// first waits until the receiver has n deliveries, and returns the first.
func (w *world) first(n int) delivery {
	w.t.Helper()
	w.hook.await(w.t, fmt.Sprintf("%d deliveries", n), func(got []delivery) bool { return len(got) >= n })
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	return w.hook.got[0]
}

func (w *world) open(path string, o browser.Options) *browser.Page {
	w.t.Helper()
	p := browser.Open(w.t, o)
	p.Go(w.api + path)
	return p
}

// shot writes a screenshot for docs/page.md, with -shots.
func shot(t *testing.T, p *browser.Page, name string) {
	t.Helper()
	if !*updateShots {
		return
	}
	p.Eval("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))", nil)
	if err := os.MkdirAll("../../docs/img", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("../../docs/img", name+".png"), p.Screenshot(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The views, with something in each.
func TestPageViews(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		w.hook.setReply(func(d *delivery) int {
			if strings.HasPrefix(d.Data.Key, "order:13") {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		})
		p := w.open("/", browser.Options{})
		p.Wait(`document.querySelector("main").dataset.live === "open"`)
		for i := range 4 {
			w.do("SET", fmt.Sprintf("stock:%d", i+3), "1")
			w.do("DECR", fmt.Sprintf("stock:%d", i+3))
			w.do("HSET", fmt.Sprintf("order:%d", 1299+i), "status", "new", "total", "49.90")
			w.do("HSET", fmt.Sprintf("order:%d", 1299+i), "status", "paid")
			for range i + 2 {
				w.do("INCR", fmt.Sprintf("login:user-%d", i))
			}
			w.do("SET", fmt.Sprintf("session:%d", i), "x")
		}
		p.WaitText("stock:6", "given up")
		const row = `[...document.querySelectorAll(".rows .row")].find(r => r.innerText.includes("order:1302"))`
		p.Wait(row)
		p.Eval(row+`.click()`, nil)
		p.Wait(`document.querySelectorAll(".side .chain li").length >= 6`)
		shot(t, p, "live")
		for _, v := range []struct{ path, ready, name string }{
			{"/rules", `document.querySelectorAll("tbody tr").length === 4`, "rules"},
			{"/rules/logins-many", `document.querySelectorAll("tbody tr").length >= 4 && document.querySelector("pre.code")`, "rule"},
			{"/play?rule=sold-out&event=stock:6", `document.querySelector(".verdicts")`, "play"},
			{"/deliveries?state=delivered", `document.querySelector("tbody tr")`, "deliveries"},
			{"/streams", `document.querySelector(".state-graph")`, "streams"},
		} {
			p.Go(w.api + v.path)
			p.Wait(v.ready)
			shot(t, p, v.name)
		}
		p.Go(w.api + "/dead")
		p.Click("tbody tr a")
		p.Wait(`document.querySelector(".chain li.bad")`)
		shot(t, p, "letter")
		for _, o := range []struct {
			name string
			browser.Options
		}{{"narrow", browser.Options{Width: 360, Height: 720}}, {"dark", browser.Options{Scheme: "dark"}}} {
			p.Resize(o.Options)
			p.Go(w.api + "/")
			p.Wait(`document.querySelector("main").dataset.live === "open"`)
			w.do("SET", "stock:8", "3")
			w.do("SET", "stock:8", "0")
			w.do("HSET", "order:1400", "status", "new")
			w.do("HSET", "order:1400", "status", "paid")
			p.Wait(`document.querySelectorAll(".rows .row .ok").length >= 2`)
			shot(t, p, "live-"+o.name)
		}
		p.NoProblems()
	})
}

// axe runs axe-core, and fails the test with what it finds.
func axe(t *testing.T, p *browser.Page, where string) {
	t.Helper()
	text, err := os.ReadFile("testdata/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	p.Eval(string(text)+";0", nil)
	var found struct {
		Passes     int
		Violations []struct {
			ID, Help string
			Nodes    []struct{ HTML, FailureSummary string }
		}
	}
	p.Eval(`axe.run(document, {resultTypes: ["violations"]}).then(r => ({passes: r.passes.length, violations: r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.slice(0, 3).map(n => ({html: n.html.slice(0, 300), failureSummary: n.failureSummary}))}))}))`, &found)
	if found.Passes == 0 {
		t.Errorf("%s: axe has looked at nothing", where)
	}
	for _, v := range found.Violations {
		t.Errorf("%s: axe finds %s: %s: %v", where, v.ID, v.Help, v.Nodes)
	}
}

// noSideways fails the test if the page is wider than its window.
func noSideways(t *testing.T, p *browser.Page, where string) {
	t.Helper()
	var wide []string
	p.Eval(`document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 120))`, &wide)
	if len(wide) > 0 {
		t.Errorf("%s: wider than the window: %q", where, wide)
	}
}

// hold holds the mouse down on an element while something happens, and until the
// page has drawn what it was told to requests of some kind that it has made since.
func hold(p *browser.Page, element, requests string, meanwhile func()) {
	var at struct{ X, Y float64 }
	p.Eval(`(() => { const r = `+element+`.getBoundingClientRect(); return {X: r.x + r.width/2, Y: r.y + r.height/2} })()`, &at)
	mouse := func(kind string) {
		p.Call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
	mouse("mousePressed")
	meanwhile()
	asked := `performance.getEntriesByType("resource").filter(e => e.name.includes(` + browser.Quote(requests) + `)).length`
	for range 2 { // what came of the first has been drawn when the second is made
		p.Eval(`(() => { window.asked = `+asked+`; document.dispatchEvent(new Event("visibilitychange")) })()`, nil)
		p.Wait(asked + ` > window.asked`)
	}
	mouse("mouseReleased")
}

// A write is seen as it happens, is filtered, held by a pause, and followed to the
// webhook that it made.
func TestPageLive(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		p := w.open("/", browser.Options{})
		open := `document.querySelector("main").dataset.live === "open"`
		p.Wait(open)
		w.do("SET", "stock:7", "2")
		w.do("SET", "stock:7", "0")
		p.WaitText("stock:7", "2→0", "sold-out", "✓ 200")
		// What is pressed is opened, though a row has come before it is let go.
		hold(p, `document.querySelector(".rows .row:not([hidden]):not(.state) .change *")`, "/rates", func() {
			w.do("SET", "stock:70", "1")
			w.do("SET", "stock:70", "0")
			w.first(2)
		})
		p.WaitText("SET stock:7 0", "Attempt 1", "delivered after")
		var id string
		p.Eval(`[...document.querySelectorAll(".side .mono")].map(e => e.textContent).find(s => s.includes("sold-out/crm"))`, &id)
		if got := w.first(1).ID; got != id {
			t.Errorf("the page shows the firing %q, the receiver got %q", id, got)
		}
		p.Click(".side .bar a[href^='/deliveries/']")
		p.Wait(`document.querySelector(".chain li.ok")`)
		p.Eval("history.back()", nil)
		p.Wait(open)

		// The filter is of the server, and in the URL.
		p.Fill("input[name=key]", "order:*")
		p.Wait(`location.search === "?key=order%3A*" && ` + open)
		w.do("SET", "stock:8", "1")
		w.do("SET", "stock:8", "0")
		w.do("HSET", "order:1", "status", "paid")
		p.WaitText("order:1")
		if text := p.Text(); strings.Contains(text, "stock:8") {
			t.Errorf("the filter lets through: %s", text)
		}
		p.Fill("input[name=key]", "")
		p.Fill("input[name=when]", `num(after) < -5`)
		p.Wait(`new URLSearchParams(location.search).get("when") === "num(after) < -5" && ` + open)
		w.do("SET", "stock:9", "1")
		w.do("SET", "stock:9", "0")
		w.do("SET", "stock:10", "1")
		w.do("SET", "stock:10", "-6")
		p.WaitText("stock:10", "1→-6")
		if text := p.Text(); strings.Contains(text, "stock:9") {
			t.Errorf("the condition lets through: %s", text)
		}
		p.Fill("input[name=when]", `num(aftr) < 5`)
		p.WaitText("aftr")
		p.Wait(`!document.querySelector("[role=alert]").hidden`)
		p.Fill("input[name=when]", "")
		p.Wait(`location.search === "" && ` + open)

		// A pause holds what is shown, and loses nothing.
		p.Eval("document.activeElement.blur()", nil)
		p.Press("p")
		p.Wait(`document.querySelector("#pause").getAttribute("aria-pressed") === "true"`)
		w.do("SET", "stock:11", "1")
		w.do("SET", "stock:11", "0")
		p.WaitText("new while paused")
		if strings.Contains(p.Text(), "stock:11") {
			t.Error("a paused list goes on")
		}
		p.Press("p")
		p.WaitText("stock:11")

		// Keys: help, and the filter.
		p.Press("?")
		p.WaitText("No key changes anything")
		p.Click("dialog button.go")
		p.Press("/")
		p.Wait(`document.activeElement.name === "key"`)
		p.Press("Escape")
		// The second key has to follow soon, which a browser that is busy makes of no two presses.
		p.Eval(`for (const key of ["g", "r"]) document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}))`, nil)
		p.Wait(`location.pathname === "/rules"`)
		p.NoProblems()
	})
}

// A mistake is shown where it is, a mended rule fires, and its clock can be moved.
func TestPagePlayground(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		p := w.open("/play", browser.Options{})
		p.Wait(`document.querySelector("#results").dataset.fires === "1"`)
		rule := func(when string) string {
			return "[[rule]]\nname = \"é low\"\nkey = \"stock:*\"\nwhen = '" + when + "'\ndebounce = { wait = \"5m\" }\n\n  [[rule.action]]\n  type = \"webhook\"\n  url = \"https://example.com/hook\"\n"
		}
		// What the daemon has no time for is asked again.
		p.Eval(`(() => { const real = window.fetch, busy = new Set(["check", "explain"]);
			window.fetch = (url, o) => busy.delete(String(url).split("/").pop()) ? Promise.resolve(new Response('{"error":"busy"}', {status: 429})) : real(url, o) })()`, nil)
		p.Fill("#commands", "SET stock:7 1\nDECR stock:7\nSET stock:7 1\nDECR stock:7")
		p.Wait(`document.querySelector("#results").dataset.fires === "2"`)
		p.Fill("#text", rule("num(aftr) < 5"))
		p.Wait(`document.querySelector('.finding.bad[data-line="4"]')`)
		p.WaitText(`did you mean "after"?`, "4:13")
		p.Wait(`document.querySelector(".gutter .bad").textContent.includes("4")`)
		shot(t, p, "play-mistake")
		p.Fill("#text", rule("num(after) < 5"))
		p.Fill("#commands", "SET stock:7 9\nSET stock:7 3")
		p.Wait(`document.querySelector("#results").dataset.fires === "0"`)
		p.WaitText("debounce waits", "num(after) is 9")
		p.Click("button[title^='Move the clock'] + button") // an hour
		p.Wait(`document.querySelector("#results").dataset.fires === "1"`)
		p.WaitText("It fires, by the clock", "POST https://example.com/hook")

		// It is not the file that was tried, and nothing was sent or reaches out.
		p.Fill("#text", "include = [\"/etc/passwd\"]\n"+strings.Replace(rule("true"), "https://example.com/hook", "${env:HOME}/${file:/etc/passwd}", 1))
		p.WaitText("no file is included here")
		before, err := os.ReadFile(filepath.Join(w.dir, "rules.toml"))
		if err != nil || !strings.Contains(string(before), "sold-out") || w.hook.count() != 0 {
			t.Errorf("the rules are %q, %v, and %d webhooks were sent", before, err, w.hook.count())
		}

		// Tests of the text.
		p.Fill("#text", rule("true")+"\n[[test]]\nname = \"waits\"\nfeed = [\"SET stock:1 1\"]\nexpect = { \"é low\" = 1 }\n")
		p.Wait(`document.querySelector(".result.ok")`)
		p.Click("#runtests")
		p.WaitText("0 passed, 1 failed", "expected 1 firing, got 0 firings")

		// The last real event of a key.
		w.do("SET", "stock:7", "4")
		w.do("SET", "stock:7", "0")
		w.first(1)
		p.Go(w.api + "/play?rule=sold-out&event=stock:7")
		p.Wait(`document.querySelector("#commands")?.value === "SET stock:7 0\n" && document.querySelector("#before").value === '"4"'`)
		p.Wait(`document.querySelector("#results").dataset.fires === "1"`)
		if text := p.Text(); strings.Contains(text, "hunter2") {
			t.Error("the playground shows a secret")
		}
		p.NoProblems()
	})
}

// A dead letter is retried and delivered, another dropped after a question.
func TestPageDeadLetters(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		w.hook.setReply(func(*delivery) int { return http.StatusGone })
		for _, key := range []string{"stock:1", "stock:2"} {
			w.do("SET", key, "1")
			w.do("SET", key, "0")
		}
		p := w.open("/", browser.Options{})
		p.Wait(`document.querySelector("nav .count")?.textContent === "2"`)
		w.hook.setReply(nil)
		p.Click("nav a[href='/dead']")
		p.WaitText("stock:1", "stock:2", "410 Gone")
		var reasons []string
		p.Eval(`[...document.querySelectorAll("select[name=reason] option")].map(o => o.value).filter(v => v)`, &reasons)
		if got, want := slices.Sorted(slices.Values(reasons)), slices.Sorted(slices.Values(deadReasons)); !slices.Equal(got, want) {
			t.Errorf("the page filters by the reasons %q, there are %q", got, want)
		}

		// What is drawn anew leaves the focus where it is, and what somebody selects.
		p.Eval(`document.querySelector("tbody tr[data-id]:nth-child(2) a").focus(); document.querySelector("tbody tr[data-id]").was = true`, nil)
		p.Wait(`!document.querySelector("tbody tr[data-id]").was && document.activeElement.closest("tr:nth-child(2)")?.dataset.id`)
		p.Eval(`getSelection().selectAllChildren(document.querySelector("tbody tr[data-id] .name")); document.querySelector("tbody tr[data-id]").was = true`, nil)
		p.Wait(`performance.getEntriesByType("resource").filter(e => e.name.includes("dead-letters?")).length >= (window.asked ||= performance.getEntriesByType("resource").filter(e => e.name.includes("dead-letters?")).length) + 2`)
		p.Wait(`document.querySelector("tbody tr[data-id]").was && getSelection().toString().startsWith("stock:")`)
		p.Eval(`getSelection().removeAllRanges()`, nil)

		// A click is one though what is pressed would be drawn anew before it is let go.
		hold(p, `[...document.querySelectorAll("tbody tr[data-id]")].find(r => r.innerText.includes("stock:1")).querySelector("a")`, "/dead-letters?", func() {})
		p.Click(".head button.go")
		if got := w.first(1).Data.Key; got != "stock:1" {
			t.Errorf("%s was delivered", got)
		}
		p.Wait(`location.pathname.startsWith("/deliveries/") && document.querySelector(".chip.ok")`)
		p.Click("nav a[href='/dead']")
		p.Wait(`document.querySelectorAll("tbody tr").length === 1`)
		p.Click("tbody a")
		p.Click(".head button.danger")
		p.WaitText("This cannot be undone")
		p.Click("dialog button.danger")
		p.Wait(`location.pathname === "/dead" && document.querySelectorAll("tbody tr[data-id]").length === 0 && document.querySelector(".empty")`)
		w.p.logs.await(t, `msg="dead letters dropped" by="127.0.0.1, without a token" count=1`, 1)

		// Many causes: the largest first, and the rest by a click.
		w.hook.setReply(func(d *delivery) int { return 400 + len(d.Data.Key) })
		for i := range 12 {
			key := "stock:" + strings.Repeat("x", i+1)
			w.do("SET", key, "1")
			w.do("SET", key, "0")
		}
		p.Wait(`document.querySelectorAll("[data-cause]").length === 6 && document.querySelector("#morecauses")?.textContent === "6 more causes, of 6 dead letters"`)
		p.Click("#morecauses")
		p.Wait(`document.querySelectorAll("[data-cause]").length === 12`)
		p.NoProblems()
	})
}

// What was delivered has its event, attempts and answer, and is delivered once
// more; a group of dead letters is retried whole.
func TestPageRedeliver(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		w.do("SET", "stock:7", "2")
		w.do("SET", "stock:7", "0")
		id := w.first(1).ID
		p := w.open("/deliveries?state=delivered&key=stock:*", browser.Options{})
		p.Click("tbody tr a")
		p.WaitText("Attempt 1", "SET stock:7 0", "POST "+w.hook.URL)
		p.Eval(`[...document.querySelectorAll(".head button")].find(b => b.textContent === "Redeliver").click()`, nil)
		p.WaitText("a second time, with the same id")
		p.Click("dialog button.go")
		w.first(2)
		w.hook.mu.Lock()
		if again := w.hook.got[1].ID; again != id {
			t.Errorf("delivered once more under %s, not %s", again, id)
		}
		w.hook.mu.Unlock()

		w.hook.setReply(func(*delivery) int { return http.StatusGone })
		for i := range 3 {
			w.do("SET", fmt.Sprintf("stock:1%d", i), "1")
			w.do("SET", fmt.Sprintf("stock:1%d", i), "0")
		}
		w.do("HSET", "order:1", "status", "paid")
		awaitDead(t, w.api, 4) // causes that were counted before are shown for a while
		p.Go(w.api + "/dead")
		p.Wait(`document.querySelectorAll("tbody tr[data-id]").length === 4 && document.querySelectorAll("[data-cause]").length === 2`)
		shot(t, p, "dead")
		w.hook.setReply(nil)
		p.Click("[data-cause] .act button")
		p.WaitText("Retry 3 dead letters?")
		p.Click("dialog button.go")
		w.first(5)
		p.Wait(`document.querySelectorAll("tbody tr[data-id]").length === 1`)
		p.NoProblems()
	})
}

// What is wrong is told: rules that were not read, a rule that is paused.
func TestPageBanner(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		p := w.open("/rules", browser.Options{})
		good, err := os.ReadFile(filepath.Join(w.dir, "rules.toml"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, w.dir, "rules.toml", strings.Replace(string(good), "num(before)", "num(befor)", 1))
		run(t.Context(), []string{"reload", "--api", w.api}, newLines(), newLines())
		p.Wait(`document.querySelector("[data-problem=reload]")?.textContent.includes("befor")`)
		shot(t, p, "banner")
		write(t, w.dir, "rules.toml", string(good))
		mustAsk(t, w.api, "is in use", "reload")
		p.Wait(`!document.querySelector("[data-problem=reload]")`)

		p.Wait(`document.querySelectorAll("tbody tr").length === 4`)
		p.Click("tbody tr button")
		p.Choose("dialog select", "15m")
		p.Fill("dialog input", "the CRM moves")
		p.Click("dialog button.go")
		p.Wait(`document.querySelector("[data-problem=paused]")?.textContent.includes("the CRM moves")`)
		mustAsk(t, w.api, "the CRM moves", "status")
		p.Click("[data-problem=paused] button")
		p.Wait(`!document.querySelector("[data-problem=paused]")`)
		p.NoProblems()
	})
}

// The shell loads for everybody, data for who shows a token; a reader changes
// nothing; nobody else's page asks anything.
func TestPageLogin(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		const token, reader = "operator-token-0123456789", "reader-token-0123456789"
		w := newWorld(t, srv, fmt.Sprintf("token = %q\nread_token = %q", token, reader))
		p := w.open("/rules", browser.Options{})
		p.Wait(`document.querySelector("#token")`)
		if strings.Contains(p.Text(), "sold-out") {
			t.Error("data is shown before the login")
		}
		p.Fill("#token", "wrong")
		p.Press("Enter")
		p.WaitText("this is not the token")
		shot(t, p, "login")
		p.Fill("#token", reader)
		p.Press("Enter")
		p.WaitText("sold-out", "read only")
		p.Wait(`document.querySelector("tbody button").disabled`)
		var cookie string
		p.Eval("document.cookie", &cookie)
		if cookie != "" {
			t.Errorf("a script sees the cookie: %q", cookie)
		}
		var status int
		p.Eval(`fetch("/api/v1/pause", {method: "POST", headers: {"X-Triggerd": "1"}, body: '{"name":"sold-out"}'}).then(r => r.status)`, &status)
		if status != http.StatusForbidden {
			t.Errorf("a reader pauses: %d", status)
		}
		p.Eval(`[...document.querySelectorAll("button")].find(b => b.textContent === "Log out").click()`, nil)
		p.Wait(`document.querySelector("#token")`)

		// A link with the token logs in, and the token is gone from the address.
		p.Go(w.api + "/streams#token=" + token)
		p.WaitText("standalone")
		p.Wait(`location.hash === "" && !document.body.innerText.includes("read only")`)
		w.p.logs.await(t, "role=operator", 1)
		p.Eval(`fetch("/api/v1/pause", {method: "POST", headers: {"X-Triggerd": "1"}, body: '{"name":"sold-out"}'}).then(r => r.status)`, &status)
		if status != http.StatusOK {
			t.Errorf("an operator may not pause: %d", status)
		}
		w.p.logs.await(t, `by="127.0.0.1, logged in as operator"`, 1)

		// Another port of this machine is the same site, and has the cookie.
		other := w.hook.URL + "/"
		var answered bool
		p.Go(other)
		p.Wait(`location.href === ` + browser.Quote(other))
		p.Eval(`fetch(`+browser.Quote(w.api+"/api/v1/session")+`, {mode: "no-cors", credentials: "include"}).then(() => true, () => false)`, &answered)
		var opened bool
		p.Eval(`new Promise(done => { const s = new EventSource(`+browser.Quote(w.api+"/api/v1/events")+`, {withCredentials: true}); s.onopen = () => done(true); s.onerror = () => done(false); })`, &opened)
		if answered || opened {
			t.Errorf("another port's page is answered: %v, and gets the stream: %v", answered, opened)
		}
		if logs := w.p.logs.String(); strings.Contains(logs, token) || strings.Contains(logs, reader) {
			t.Error("the log has a token")
		}
	})
}

// Without values the page says that it does not show them, and of a rule which
// event it fired for, though it has matched others since.
func TestPageHidden(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "show_values = false")
		for range 4 {
			w.do("INCR", "login:user-1")
		}
		w.first(1)
		w.do("INCR", "login:user-2")
		p := w.open("/rules/logins-many", browser.Options{})
		p.WaitText("It fired last for", "login:user-1", "not shown", "2 states in all")
		if text := p.Text(); strings.Contains(text, "user-2") || strings.Contains(text, "not known") {
			t.Errorf("the page has\n%s", text)
		}
		p.NoProblems()
	})
}

// A page that is open while triggerd is away says so, shows what it has, and goes on
// when it is back, on its own. A rule's name is no part of an address.
func TestPageRestart(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		const name = "who? #1 100%"
		listen := "TRIGGERD_HTTP=" + redistest.UnusedAddr(t) // which it has again after a restart
		w := newWorld(t, srv, "show_values = false\n[[rule]]\nname = \""+name+"\"\nkey = \"who:*\"\ndry_run = true\naction = [{ type = \"log\" }]\n", listen)
		p := w.open("/", browser.Options{})
		const open = `document.querySelector("main").dataset.live === "open"`
		p.Wait(open)
		w.do("SET", "who:1", "x")
		p.WaitText("who:1")
		var disabled bool
		if p.Eval(`document.querySelector("input[name=when]").disabled`, &disabled); !disabled {
			t.Error("a condition on values can be typed, and is refused")
		}
		w.p.kill()
		p.WaitText("triggerd does not answer", "no answer", "The stream was cut")
		p.WaitText("who:1")
		p.Click("nav a[href='/rules']")
		p.Wait(`document.querySelector(".error:not([hidden])")`)
		p.Eval("history.back()", nil)
		p.WaitText("Not connected")
		w.p = startWith(t, command(t, w.dir), listen)
		p.Wait(open + ` && !document.body.innerText.includes("does not answer") && !document.body.innerText.includes("was cut")`)
		w.do("SET", "who:2", "x")
		p.WaitText("who:2")
		p.Click("nav a[href='/rules']")
		p.Wait(`document.querySelectorAll("tbody tr").length === 5`)
		p.Eval(`[...document.querySelectorAll("tbody a")].find(a => a.textContent === `+browser.Quote(name)+`).click()`, nil)
		p.Wait(`document.querySelector(".head h1")?.textContent === ` + browser.Quote(name) + ` && document.querySelector("pre.code")`)
		p.Eval("location.reload()", nil)
		p.Wait(`document.querySelector(".head h1")?.textContent === ` + browser.Quote(name) + ` && document.querySelector("pre.code")`)
		p.NoProblems()
	})
}

// Keys and values are text, whatever they look like, and never more than fits.
func TestPageHostile(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		w.hook.setReply(func(*delivery) int { return http.StatusGone })
		p := w.open("/?all=1", browser.Options{})
		p.Wait(`document.querySelector("main").dataset.live === "open"`)
		hostile := []string{
			`stock:<img src=x onerror="document.title='owned'">`, "stock:\u202egpj.exe", "stock:\x1b[2Jx", "stock:a\u200bb\u2066c", "stock:\xff\xfe", "stock:" + strings.Repeat("k", 1<<20),
		}
		for _, key := range hostile {
			w.do("SET", key, "1")
			w.do("SET", key, "0")
		}
		p.Wait(`document.querySelectorAll(".rows .row:not([hidden])").length >= 12 || document.querySelectorAll(".rows .bad").length >= 6`)
		w.do("HSET", "order:\u2066", "status", "paid", "<b>\u202e", "\x1b[31m\u200b")
		p.WaitText(`<img src=x onerror=`, `\u202e`, `\u{202e}`, `\u200b`, `kkkkkk`)
		check := func(where string) {
			t.Helper()
			var found struct {
				Images, Chars int
				Title         string
				Raw           bool
			}
			p.Eval(`({images: document.querySelectorAll("main img").length, chars: document.body.textContent.length, title: document.title, raw: /[\u202a-\u202e\u2066-\u2069\u200b\u001b]/.test(document.body.textContent)})`, &found)
			if found.Images > 0 || found.Title == "owned" || found.Raw || found.Chars > 200_000 {
				t.Errorf("%s: %+v", where, found)
			}
		}
		check("live")
		p.Eval(`[...document.querySelectorAll(".rows .row")].find(r => r.innerText.includes("kkkk")).click()`, nil)
		p.Wait(`document.querySelector(".side .chain li")`)
		check("live, a firing")
		p.Go(w.api + "/dead")
		p.Wait(`document.querySelectorAll("tbody tr[data-id]").length === 7`)
		check("dead letters")
		p.Eval(`[...document.querySelectorAll("tbody tr[data-id]")].find(r => r.innerText.includes("onerror")).querySelector("a").click()`, nil)
		p.Wait(`document.querySelector(".chain li.bad")`)
		check("a dead letter")
		p.NoProblems()
	})
}

// Each view, wide and narrow, in light and in dark, has nothing that axe finds,
// and fits its window.
func TestPageAccessible(t *testing.T) {
	t.Parallel()
	browser.Keep(t)
	redistest.Each(t, judged[1:2], func(t *testing.T, srv *servers.Server) {
		w := newWorld(t, srv, "")
		w.hook.setReply(func(d *delivery) int {
			if d.Data.Key == "stock:1" {
				return http.StatusGone
			}
			return http.StatusOK
		})
		p := w.open("/", browser.Options{})
		for i, o := range []browser.Options{{}, {Width: 360, Height: 720, Scheme: "dark"}} {
			p.Resize(o)
			for _, v := range []struct{ path, ready string }{
				{"/", `document.querySelector(".side .chain li")`},
				{"/rules", `document.querySelectorAll("tbody tr").length === 4`},
				{"/rules/logins-many", `document.querySelector("pre.code")`},
				{"/play", `document.querySelector(".verdicts")`},
				{"/deliveries?state=delivered", `document.querySelector("tbody tr")`},
				{"/dead", `document.querySelector("tbody tr")`},
				{"/streams", `document.querySelector(".state-graph")`},
			} {
				p.Go(w.api + v.path)
				if v.path == "/" {
					p.Wait(`document.querySelector("main").dataset.live === "open"`)
					for _, key := range []string{"stock:1", "stock:2"} {
						w.do("SET", key, "1")
						w.do("SET", key, "0")
					}
					w.do("INCR", "login:ada")
					p.Click(".rows .row:not([hidden]):not(.state)")
				}
				p.Wait(v.ready)
				where := fmt.Sprintf("%s %d", v.path, i)
				axe(t, p, where)
				noSideways(t, p, where)
				var hidden int
				p.Eval(`[...document.querySelectorAll("nav a")].filter(a => a.getBoundingClientRect().right > innerWidth).length`, &hidden)
				if hidden > 0 {
					t.Errorf("%s: %d views are beyond the edge", where, hidden)
				}
			}
		}
		p.NoProblems()
	})
}
