package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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

func newWorld(t *testing.T, srv *servers.Server, http string) *world {
	t.Helper()
	w := &world{t: t, srv: srv, hook: newSink(t), dir: t.TempDir()}
	write(t, w.dir, "rules.toml", fmt.Sprintf(worldRules, srv.Addr, w.hook.URL, http))
	w.p = startWith(t, command(t, w.dir), "TRIGGERD_HTTP=")
	w.p.logs.await(t, `msg="attached`, 1)
	w.api = apiOf(t, w.p)
	return w
}

func (w *world) do(args ...string) {
	w.t.Helper()
	redistest.Do(w.t, w.srv, args...)
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
		p.Click(`.rows .row:not([hidden])`)
		p.Wait(`document.querySelector(".side .chain li")`)
		shot(t, p, "live")
		for _, v := range []struct{ path, ready, name string }{
			{"/rules", `document.querySelectorAll("tbody tr").length === 4`, "rules"},
			{"/rules/logins-many", `document.querySelectorAll("tbody tr").length >= 4 && document.querySelector("pre.code")`, "rule"},
			{"/play?rule=sold-out&event=stock:6", `document.querySelector(".verdicts")`, "play"},
			{"/deliveries?state=delivered", `document.querySelector("tbody tr")`, "deliveries"},
			{"/dead", `document.querySelector("tbody tr")`, "dead"},
			{"/streams", `document.querySelector(".state-graph")`, "streams"},
		} {
			p.Go(w.api + v.path)
			p.Wait(v.ready)
			shot(t, p, v.name)
		}
		p.Go(w.api + "/dead")
		p.Click("tbody tr a")
		p.WaitText("Timeline")
		shot(t, p, "letter")
		p.NoProblems()
	})
}
