package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/store"
	"triggerd/internal/web"
	"triggerd/source"
)

// patience is how long a test waits for what has to come. It bounds a failing
// test only.
const patience = time.Minute

// feed is a source that a test writes to.
type feed struct {
	records chan *source.Record
	mu      sync.Mutex
	status  source.Status
}

func newFeed() *feed {
	return &feed{records: make(chan *source.Record), status: source.Status{
		State: source.Streaming, Since: time.Now(), Addr: "redis://test:6379", ReplID: "repl", LastData: time.Now(), Connects: 1, PartialResyncs: 1,
	}}
}

func (f *feed) Records(ctx context.Context, _ source.Position, c source.Consumer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) {
		for {
			c.NextWake() // as a source does that has no more at hand
			select {
			case <-ctx.Done():
				return
			case r := <-f.records:
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

func (f *feed) Ack(source.Position) {}

func (f *feed) Status() source.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *feed) set(change func(*source.Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}

// write is a SET that the stream brings.
func (f *feed) write(key, value string) {
	f.mu.Lock()
	f.status.Received += 100
	offset := f.status.Received
	f.mu.Unlock()
	f.records <- &source.Record{
		Kind: source.Command, ReplID: "repl", Offset: offset, Bytes: 100, Time: time.Now(), Pos: source.Position{ReplID: "repl", Offset: offset},
		Args: [][]byte{[]byte("SET"), []byte(key), []byte(value)},
	}
}

// receiver is a webhook receiver.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	ids    []string // of what it got and took
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.status == http.StatusOK {
			r.ids = append(r.ids, req.Header.Get("webhook-id"))
		}
		w.WriteHeader(r.status)
		fmt.Fprintf(w, "the receiver says %d", r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...)
}

// daemon is an engine that runs, with its server.
type daemon struct {
	*httptest.Server
	t      *testing.T
	feed   *feed
	engine *engine.Engine
	all    bytes.Buffer // every answer, to look for secrets in
	stop   func()
}

// secretPath is what no answer may show of a webhook's URL.
const secretPath = "hunter2"

func rulesFor(hook, retry string) string {
	return fmt.Sprintf(`
[targets.crm]
type = "webhook"
url = "%s/%s?key=%s"
headers = { Authorization = "Bearer %s" }
retry = %s
[[rule]]
name = "stock"
key = "stock:{sku}"
[[rule.action]]
target = "crm"
[[rule]]
name = "crm"
key = "never"
dry_run = true
[[rule.action]]
type = "exec"
command = ["sh", "-c", "echo %s"]
`, hook, secretPath, secretPath, secretPath, retry, secretPath)
}

func start(t *testing.T, st *store.Store, rules string, change func(*web.Config)) *daemon {
	t.Helper()
	d := &daemon{t: t, feed: newFeed()}
	set, err := engine.ParseRules("rules.toml", []byte(rules), engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d.engine, err = engine.New(engine.Config{Rules: set, Source: d.feed, Store: st, CheckpointInterval: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	cfg := web.Config{Listen: "127.0.0.1:0", Daemon: d.engine, Metrics: metrics(d.engine), Version: "1.2.3"}
	if change != nil {
		change(&cfg)
	}
	srv, err := web.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Server = httptest.NewServer(srv)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.engine.Run(ctx) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("engine: %v", err)
		}
		d.Close()
		if strings.Contains(d.all.String(), secretPath) {
			t.Errorf("an answer shows a secret:\n%s", d.all.String())
		}
	})
	t.Cleanup(d.stop)
	return d
}

// metrics serves an engine's.
func metrics(e *engine.Engine) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(e.Collector())
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}

func openStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// ask sends a request as a client does, and decodes the answer.
func (d *daemon) ask(method, path, body string, want int, to any) {
	d.t.Helper()
	req, err := http.NewRequest(method, d.URL+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("X-Triggerd", "1")
	status, b := d.send(req)
	if status != want {
		d.t.Fatalf("%s %s %s: %d, want %d: %s", method, path, body, status, want, b)
	}
	if to != nil {
		if err := json.Unmarshal(b, to); err != nil {
			d.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

func (d *daemon) send(req *http.Request) (int, []byte) {
	d.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.all.Write(b)
	return resp.StatusCode, b
}

func (d *daemon) status() *web.Status {
	d.t.Helper()
	var s web.Status
	d.ask("GET", "/api/v1/status", "", 200, &s)
	return &s
}

// await asks for the status until done holds: what is delivered is written
// down a moment later, of which nobody tells.
func (d *daemon) await(what string, done func(*web.Status) bool) *web.Status {
	d.t.Helper()
	limit := time.After(patience)
	for {
		s := d.status()
		if done(s) {
			return s
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-limit:
			b, _ := json.MarshalIndent(s, "", "  ")
			d.t.Fatalf("waited for %s; the status is %s", what, b)
		}
	}
}

func (d *daemon) action(s *web.Status, name string) *admin.ActionStatus {
	d.t.Helper()
	for i := range s.Actions {
		if s.Actions[i].Name == name {
			return &s.Actions[i]
		}
	}
	d.t.Fatalf("no action %s in %+v", name, s.Actions)
	return nil
}

func (d *daemon) rule(s *web.Status, name string) *admin.RuleStatus {
	d.t.Helper()
	for i := range s.Rules {
		if s.Rules[i].Name == name {
			return &s.Rules[i]
		}
	}
	d.t.Fatalf("no rule %s in %+v", name, s.Rules)
	return nil
}

const fewAttempts = `{ max_attempts = 2, backoff = "1ms", max_backoff = "1ms" }`

// A receiver that fails makes dead letters, which tell what and why, and are
// delivered once it is mended.
func TestDeadLetters(t *testing.T) {
	hook := newReceiver(t)
	d := start(t, openStore(t), rulesFor(hook.URL, fewAttempts), nil)
	hook.answer(500)
	for i := range 5 {
		d.feed.write(fmt.Sprintf("stock:\x00%d", i), "1")
	}
	s := d.await("five dead letters", func(s *web.Status) bool { // which are counted one after the other, and told of apart
		return s.DeadLetters == 5 && d.action(s, "target/crm").GivenUp == 5
	})
	crm := d.action(s, "target/crm")
	if crm.Retried != 5 || crm.Pending != 0 || !strings.Contains(crm.LastError, "the receiver says 500") {
		t.Errorf("action = %+v", crm)
	}
	if crm.Destination != hook.URL || crm.Kind != "webhook" {
		t.Errorf("destination %q of kind %q, want %s", crm.Destination, crm.Kind, hook.URL)
	}

	var list web.DeadLetters
	d.ask("GET", "/api/v1/dead-letters?limit=2", "", 200, &list)
	if len(list.DeadLetters) != 2 || list.Next == 0 {
		t.Fatalf("first page %+v", list)
	}
	first, next := list.DeadLetters[0], list.Next
	list = web.DeadLetters{}
	d.ask("GET", fmt.Sprintf("/api/v1/dead-letters?before=%d&action=crm&rule=stock&reason=attempts", next), "", 200, &list)
	if len(list.DeadLetters) != 3 || list.Next != 0 {
		t.Fatalf("second page %+v", list)
	}
	var one admin.DeadLetter
	d.ask("GET", fmt.Sprintf("/api/v1/dead-letters/%d", first.Number), "", 200, &one)
	var shown struct {
		ID   string
		Data struct{ Rule, Key string }
	}
	if err := json.Unmarshal(one.Firing, &shown); err != nil || shown.ID != one.ID || shown.Data.Rule != "stock" || !strings.HasPrefix(shown.Data.Key, "stock:\x00") {
		t.Errorf("firing %+v, %v, of %+v", shown, err, one)
	}
	if one.Reason != "attempts" || one.Attempts != 2 || one.Event != "set" || one.Rule != "stock" || !strings.Contains(one.Error, "500") {
		t.Errorf("dead letter = %+v", one)
	}

	lines := 0
	req, _ := http.NewRequest("GET", d.URL+"/api/v1/dead-letters/export", nil)
	_, body := d.send(req)
	for line := range bytes.Lines(body) {
		var dead admin.DeadLetter
		if err := json.Unmarshal(line, &dead); err != nil || len(dead.Firing) == 0 {
			t.Errorf("%v in line %s", err, line)
		}
		lines++
	}
	if lines != 5 {
		t.Errorf("exported %d lines, want 5", lines)
	}

	hook.answer(200)
	var done web.Done
	d.ask("POST", "/api/v1/dead-letters/drop", fmt.Sprintf(`{"numbers":[%d]}`, first.Number), 200, &done)
	if done.Count != 1 {
		t.Errorf("dropped %d, want 1", done.Count)
	}
	d.ask("POST", "/api/v1/dead-letters/retry", `{"all":true,"action":"crm"}`, 200, &done)
	if done.Count != 4 {
		t.Errorf("retried %d, want 4", done.Count)
	}
	d.await("the four to be delivered", func(s *web.Status) bool {
		return s.Counts.Delivered == 4 && s.Counts.Pending == 0 && s.DeadLetters == 0 && d.action(s, "target/crm").Pending == 0
	})
	if got := hook.got(); len(got) != 4 || contains(got, first.ID) {
		t.Errorf("received %q, without %s", got, first.ID)
	}

	var kept web.Deliveries
	for len(kept.Deliveries) < 4 { // the last of them is written down a moment after it is counted
		d.ask("GET", "/api/v1/deliveries?state=delivered&rule=stock", "", 200, &kept)
	}
	var delivery admin.Delivery
	d.ask("GET", "/api/v1/deliveries/"+strings.ReplaceAll(kept.Deliveries[0].ID, "/", "%2F"), "", 200, &delivery)
	if delivery.Number != kept.Deliveries[0].Number || delivery.State != "delivered" || delivery.Status != "200" {
		t.Errorf("by its ID: %+v, want %+v", delivery, kept.Deliveries[0])
	}
	d.ask("GET", fmt.Sprintf("/api/v1/deliveries/%d", delivery.Number), "", 200, &delivery)
}

func contains(list []string, s string) bool { return strings.Contains(strings.Join(list, "\n"), s) }

// What waits for its next attempt can be seen, and attempted at once.
func TestRetryNow(t *testing.T) {
	hook := newReceiver(t)
	d := start(t, openStore(t), rulesFor(hook.URL, `{ max_attempts = 9, backoff = "24h", max_backoff = "24h", max_age = "1000h" }`), nil)
	hook.answer(503)
	d.feed.write("stock:a", "1")
	d.feed.write("stock:a", "2")
	d.feed.write("stock:b", "1")
	s := d.await("two keys to back off", func(s *web.Status) bool { return d.action(s, "target/crm").BackingOff == 2 })
	crm := d.action(s, "target/crm")
	if crm.Pending != 3 || crm.OldestPending.IsZero() || crm.OldestPending.After(s.At) {
		t.Errorf("action = %+v", crm)
	}
	var list web.Deliveries
	for len(list.Deliveries) < 2 { // attempts are written down a moment later
		d.ask("GET", "/api/v1/deliveries?failing=1", "", 200, &list)
	}
	first := list.Deliveries[0]
	if first.Key != "stock:a" || first.Attempts != 1 || !strings.Contains(first.LastError, "503") || first.Due.Before(s.At) && time.Until(first.Due) < -time.Minute {
		t.Errorf("failing = %+v", first)
	}
	d.ask("GET", "/api/v1/deliveries?limit=1", "", 200, &list)
	if len(list.Deliveries) != 1 || list.Next != first.Number {
		t.Errorf("first page %+v", list)
	}
	next := list.Next
	list = web.Deliveries{}
	d.ask("GET", fmt.Sprintf("/api/v1/deliveries?before=%d", next), "", 200, &list)
	if len(list.Deliveries) != 2 || list.Deliveries[0].Number <= first.Number {
		t.Errorf("second page %+v", list)
	}
	behind := list.Deliveries[0].Number

	hook.answer(200)
	d.ask("POST", "/api/v1/deliveries/retry", fmt.Sprintf(`{"numbers":[%d]}`, behind), 404, nil)
	d.ask("POST", "/api/v1/deliveries/retry", fmt.Sprintf(`{"numbers":[%d]}`, first.Number), 200, nil)
	d.await("the first key's two to be delivered", func(s *web.Status) bool { return s.Counts.Delivered == 2 })
	d.ask("POST", "/api/v1/deliveries/retry", `{"action":"crm"}`, 200, nil)
	d.await("the other to be delivered", func(s *web.Status) bool { return s.Counts.Delivered == 3 && s.Counts.Pending == 0 })
}

// A paused target's firings wait, a paused rule plans none, and both outlive
// the process.
func TestPause(t *testing.T) {
	hook, st := newReceiver(t), openStore(t)
	d := start(t, st, rulesFor(hook.URL, fewAttempts), nil)
	var refused web.Error
	d.ask("POST", "/api/v1/pause", `{"name":"crm"}`, 409, &refused)
	if !strings.Contains(refused.Error, "rule/crm") || !strings.Contains(refused.Error, "target/crm") {
		t.Errorf("ambiguous: %s", refused.Error)
	}
	d.ask("POST", "/api/v1/pause", `{"name":"nobody"}`, 404, nil)

	var done web.Done
	d.ask("POST", "/api/v1/pause", `{"name":"target/crm"}`, 200, &done)
	if done.Name != "target/crm" {
		t.Errorf("paused %q", done.Name)
	}
	d.feed.write("stock:a", "1")
	s := d.await("a firing that waits", func(s *web.Status) bool { return d.action(s, "target/crm").Pending == 1 })
	if crm := d.action(s, "target/crm"); crm.PausedSince.IsZero() || crm.InFlight != 0 {
		t.Errorf("paused = %+v", crm)
	}
	d.ask("POST", "/api/v1/pause", `{"name":"stock"}`, 200, nil)
	d.feed.write("stock:b", "1")
	s = d.await("the match of the paused rule", func(s *web.Status) bool { return d.rule(s, "stock").Skipped == 1 })
	if stock := d.rule(s, "stock"); stock.Firings != 1 || stock.Skipped != 1 || stock.PausedSince.IsZero() {
		t.Errorf("paused rule = %+v", stock)
	}
	d.stop()

	d = start(t, st, rulesFor(hook.URL, fewAttempts), nil)
	d.feed.write("stock:c", "1")
	s = d.await("the match after the restart", func(s *web.Status) bool { return d.rule(s, "stock").Skipped == 1 })
	if d.rule(s, "stock").Firings != 0 || d.action(s, "target/crm").Pending != 1 || len(hook.got()) != 0 {
		t.Errorf("after the restart: %+v, %+v, received %q", d.rule(s, "stock"), d.action(s, "target/crm"), hook.got())
	}
	d.ask("POST", "/api/v1/resume", `{"name":"rule/stock"}`, 200, nil)
	d.ask("POST", "/api/v1/resume", `{"name":"target/crm"}`, 200, nil)
	d.feed.write("stock:d", "1")
	s = d.await("both to be delivered", func(s *web.Status) bool { return s.Counts.Delivered == 2 })
	if got := hook.got(); len(got) != 2 || !d.rule(s, "stock").PausedSince.IsZero() {
		t.Errorf("received %q, rule %+v", got, d.rule(s, "stock"))
	}
}

// The metrics are what promlint takes, tell what happened, and have no label
// for what a client chooses.
func TestMetrics(t *testing.T) {
	hook := newReceiver(t)
	d := start(t, openStore(t), rulesFor(hook.URL, fewAttempts), nil)
	d.feed.write("stock:a-key-of-a-client", "1")
	d.await("the delivery", func(s *web.Status) bool { return s.Counts.Delivered == 1 && s.Source.LagBytes == 0 })
	hook.answer(500)
	d.feed.write("stock:b", "1")
	d.await("the dead letter, and the stream's own counts", func(s *web.Status) bool {
		return s.DeadLetters == 1 && s.Source.LagBytes == 0 && s.Source.HandledOffset == 200 && s.Counts.Events == 2
	})

	req, _ := http.NewRequest("GET", d.URL+"/metrics", nil)
	status, body := d.send(req)
	if status != 200 {
		t.Fatalf("%d: %s", status, body)
	}
	problems, err := promlint.New(bytes.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	text := string(body)
	for _, want := range []string{
		`triggerd_replication_connected{stream="standalone"} 1`,
		`triggerd_replication_offset_bytes{stream="standalone"} 200`,
		`triggerd_replication_handled_offset_bytes{stream="standalone"} 200`,
		`triggerd_replication_saved_offset_bytes{stream="standalone"} 200`,
		`triggerd_replication_lag_bytes{stream="standalone"} 0`,
		`triggerd_replication_resyncs_total{kind="partial",stream="standalone"} 1`,
		`triggerd_replication_gaps_total{stream="standalone"} 0`,
		"triggerd_replication_data_age_seconds",
		`triggerd_events_total{stream="standalone"} 2`,
		`triggerd_rule_matches_total{rule="stock"} 2`,
		`triggerd_rule_firings_total{rule="stock"} 2`,
		`triggerd_rule_skipped_total{reason="dry_run",rule="crm"} 0`,
		`triggerd_attempts_total{action="target/crm",outcome="delivered"} 1`,
		`triggerd_attempts_total{action="target/crm",outcome="retried"} 1`,
		`triggerd_attempts_total{action="target/crm",outcome="given_up"} 1`,
		`triggerd_pending_firings{action="target/crm"} 0`,
		`triggerd_oldest_pending_age_seconds{action="target/crm"} 0`,
		`triggerd_breaker_open{action="target/crm"} 0`,
		"triggerd_dead_letters 1",
		`triggerd_attempt_duration_seconds_count{kind="webhook",outcome="delivered"} 1`,
		"triggerd_commit_duration_seconds_count",
		"triggerd_config_last_reload_successful 1",
		"triggerd_store_full 0",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no line %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "a-key-of-a-client") {
		t.Error("a key is in the metrics")
	}
}

// A failed reload is told until one succeeds.
func TestReloadStatus(t *testing.T) {
	d := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), nil)
	d.engine.ReloadFailed(fmt.Errorf("rules.toml:7:9: %s", strings.Repeat("x", 20_000)))
	s := d.status()
	if s.Reload.OK || !strings.HasPrefix(s.Reload.Error, "rules.toml:7:9: x") || len(s.Reload.Error) > 9000 || !s.Reload.LastSuccess.Before(s.Reload.At) {
		t.Errorf("after a failure: %+v", s.Reload)
	}
	set, err := engine.ParseRules("rules.toml", []byte(rulesFor("http://127.0.0.1:1", fewAttempts)), engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.engine.Reload(set); err != nil {
		t.Fatal(err)
	}
	if s := d.status(); !s.Reload.OK || s.Reload.Error != "" || s.Reload.File != "rules.toml" {
		t.Errorf("after a success: %+v", s.Reload)
	}
}

func TestReady(t *testing.T) {
	d := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), func(c *web.Config) { c.Token = "0123456789abcdef" })
	get := func(path, token string) (int, string) {
		req, _ := http.NewRequest("GET", d.URL+path, nil)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		status, body := d.send(req)
		return status, string(body)
	}
	if status, body := get("/readyz", ""); status != 200 {
		t.Errorf("streaming: %d %s", status, body)
	}
	d.feed.set(func(s *source.Status) { s.State, s.LastError = source.Waiting, "connection refused" })
	if status, body := get("/readyz", ""); status != 503 || strings.Contains(body, "redis://") {
		t.Errorf("waiting, without token: %d %s", status, body)
	}
	if status, body := get("/readyz", "0123456789abcdef"); status != 503 || !strings.Contains(body, "connection refused") {
		t.Errorf("waiting: %d %s", status, body)
	}
	if status, _ := get("/healthz", ""); status != 200 {
		t.Errorf("healthz: %d", status)
	}
}

func TestGuard(t *testing.T) {
	const token = "0123456789abcdef"
	open := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), nil)
	closed := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), func(c *web.Config) { c.Token, c.Listen = token, "0.0.0.0:0" })
	const readToken = "fedcba9876543210"
	readers := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), func(c *web.Config) { c.Token, c.ReadToken, c.Listen = token, readToken, "0.0.0.0:0" })
	tests := []struct {
		name         string
		d            *daemon
		method, path string
		host         string
		headers      map[string]string
		want         int
	}{
		{"this machine", open, "GET", "/api/v1/status", "", nil, 200},
		{"by name", open, "GET", "/api/v1/status", "localhost:9797", nil, 200},
		{"by name in capitals", open, "GET", "/api/v1/status", "LOCALHOST", nil, 200},
		{"by IPv6", open, "GET", "/api/v1/status", "[::1]:9797", nil, 200},
		{"a rebound name", open, "GET", "/api/v1/status", "evil.example:9797", nil, 403},
		{"a rebound name, metrics", open, "GET", "/metrics", "evil.example", nil, 403},
		{"a name that begins well", open, "GET", "/api/v1/status", "127.0.0.1.evil.example", nil, 403},
		{"a change", open, "POST", "/api/v1/pause", "", map[string]string{"X-Triggerd": "1"}, 200},
		{"a change by a form", open, "POST", "/api/v1/pause", "", map[string]string{"Content-Type": "text/plain"}, 403},
		{"a change by DELETE", open, "DELETE", "/api/v1/pause", "", nil, 403},
		{"no token", closed, "GET", "/api/v1/status", "", nil, 401},
		{"no token, metrics", closed, "GET", "/metrics", "", nil, 401},
		{"no token, health", closed, "GET", "/healthz", "", nil, 200},
		{"a wrong token", closed, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Bearer 0123456789abcdeF"}, 401},
		{"a part of the token", closed, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Bearer 0123456789"}, 401},
		{"another scheme", closed, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Basic " + token}, 401},
		{"the token", closed, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Bearer " + token}, 200},
		{"the token, by any name", closed, "GET", "/api/v1/status", "triggerd.example", map[string]string{"Authorization": "bearer " + token}, 200},
		{"the token without the header", closed, "POST", "/api/v1/pause", "", map[string]string{"Authorization": "Bearer " + token}, 403},
		{"the read token", readers, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Bearer " + readToken}, 200},
		{"the read token, metrics", readers, "GET", "/metrics", "", map[string]string{"Authorization": "Bearer " + readToken}, 200},
		{"a change with the read token", readers, "POST", "/api/v1/pause", "", map[string]string{"Authorization": "Bearer " + readToken, "X-Triggerd": "1"}, 403},
		{"a backup with the read token", readers, "POST", "/api/v1/store/backup", "", map[string]string{"Authorization": "Bearer " + readToken, "X-Triggerd": "1"}, 403},
		{"a reload with the read token", readers, "POST", "/api/v1/reload", "", map[string]string{"Authorization": "Bearer " + readToken, "X-Triggerd": "1"}, 403},
		{"a change with the token", readers, "POST", "/api/v1/pause", "", map[string]string{"Authorization": "Bearer " + token, "X-Triggerd": "1"}, 200},
		{"a part of the read token", readers, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Bearer fedcba98"}, 401},
		{"the read token where there is none", closed, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Bearer " + readToken}, 401},
		{"an empty read token", closed, "GET", "/api/v1/status", "", map[string]string{"Authorization": "Bearer "}, 401},
		{"profiles unasked for", open, "GET", "/debug/pprof/", "", nil, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequest(tt.method, tt.d.URL+tt.path, strings.NewReader(`{"name":"stock"}`))
			if err != nil {
				t.Fatal(err)
			}
			if tt.host != "" {
				req.Host = tt.host
			}
			for name, value := range tt.headers {
				req.Header.Set(name, value)
			}
			if status, body := tt.d.send(req); status != tt.want {
				t.Errorf("%d, want %d: %s", status, tt.want, body)
			}
		})
	}
}

// Requests without the right token are counted, and told of once a minute with
// how many there were since.
func TestRefusals(t *testing.T) {
	e := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), nil).engine
	const token = "0123456789abcdef"
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		srv, err := web.New(web.Config{Listen: ":9797", Token: token, Daemon: e, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(path, token string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", path, nil)
			r.RemoteAddr = "192.0.2.7:4711"
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, r)
			return w
		}
		for range 5 {
			ask("/api/v1/status", "")
			ask("/api/v1/status", "guess-guess-guess")
			time.Sleep(2 * time.Second)
		}
		ask("/healthz", "") // needs none
		time.Sleep(time.Minute)
		ask("/metrics", "")
		var counts []string
		for line := range strings.Lines(log.String()) {
			_, rest, _ := strings.Cut(strings.TrimSpace(line), "were refused\" ")
			counts = append(counts, rest)
		}
		if want := []string{"count=1 from=192.0.2.7", "count=10 from=192.0.2.7"}; !slices.Equal(counts, want) || strings.Contains(log.String(), "guess-") {
			t.Errorf("got %q, want %q in\n%s", counts, want, log.String())
		}
		reg := prometheus.NewRegistry()
		reg.MustRegister(srv.Collector())
		w := httptest.NewRecorder()
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(w.Body.String(), "\ntriggerd_http_unauthorized_total 11\n") {
			t.Errorf("no 11 in the metrics:\n%s", w.Body.String())
		}
	})
}

func TestBadRequests(t *testing.T) {
	d := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), nil)
	tests := []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/api/v1/nothing", "", 404},
		{"GET", "/api/v1/dead-letters/1", "", 404},
		{"GET", "/api/v1/dead-letters/x", "", 400},
		{"GET", "/api/v1/dead-letters?limit=0", "", 400},
		{"GET", "/api/v1/dead-letters?limit=1001", "", 400},
		{"GET", "/api/v1/dead-letters?before=-1", "", 400},
		{"GET", "/api/v1/dead-letters/export?colour=red", "", 400},
		{"GET", "/api/v1/deliveries?state=lost", "", 400},
		{"GET", "/api/v1/deliveries/7", "", 404},
		{"GET", "/api/v1/deliveries/repl:1%2F0:stock%2Fcrm", "", 404},
		{"POST", "/api/v1/dead-letters/drop", `{}`, 400},
		{"POST", "/api/v1/dead-letters/drop", `{"rule":"stock"}`, 400},
		{"POST", "/api/v1/dead-letters/drop", `{"all":true,"numbers":[1]}`, 400},
		{"POST", "/api/v1/dead-letters/drop", `{"numbers":[1]}`, 404},
		{"POST", "/api/v1/dead-letters/retry", `{"numbers":[1,2]}`, 404},
		{"POST", "/api/v1/dead-letters/retry", `{"numbers":[-1]}`, 400},
		{"POST", "/api/v1/dead-letters/retry", `{"all":true} {}`, 400},
		{"POST", "/api/v1/deliveries/retry", `{"numbers":[7]}`, 404},
		{"POST", "/api/v1/deliveries/retry", `{"action":"nobody"}`, 404},
		{"POST", "/api/v1/deliveries/retry", `{}`, 400},
		{"POST", "/api/v1/pause", `{"nmae":"stock"}`, 400},
		{"POST", "/api/v1/pause", `not JSON`, 400},
		{"POST", "/api/v1/pause", `{"name":"` + strings.Repeat("x", 70_000) + `"}`, 413},
	}
	for _, tt := range tests {
		var e web.Error
		d.ask(tt.method, tt.path, tt.body, tt.want, &e)
		if e.Error == "" {
			t.Errorf("%s %s: no reason given", tt.method, tt.path)
		}
	}
}

func TestPprof(t *testing.T) {
	d := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), func(c *web.Config) { c.Pprof = true })
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/goroutine": 200, "/debug/pprof/cmdline": 404} {
		req, _ := http.NewRequest("GET", d.URL+path, nil)
		if status, _ := d.send(req); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	e := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), nil).engine
	for listen, want := range map[string]bool{
		"127.0.0.1:9797": true, "localhost:9797": true, "[::1]:9797": true, "127.1.2.3:1": true, "[::ffff:127.0.0.1]:1": true,
		":9797": false, "0.0.0.0:9797": false, "[::]:9797": false, "10.0.0.7:9797": false, "localhost.example:9797": false, "localhost": false,
		"unix:///run/api.sock": true, "unix://api.sock": false, "unix:/run/api.sock": false,
	} {
		if _, err := web.New(web.Config{Listen: listen, Daemon: e}); (err == nil) != want {
			t.Errorf("without a token on %s: %v", listen, err)
		}
	}
	if _, err := web.New(web.Config{Listen: ":9797", Token: "0123456789abcdef", Daemon: e}); err != nil {
		t.Errorf("with a token: %v", err)
	}
}

// signal is a log that tells of lines.
type signal struct{ lines chan string }

func (s signal) Write(b []byte) (int, error) {
	s.lines <- string(b)
	return len(b), nil
}

func (s signal) await(t *testing.T, want string) {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case line := <-s.lines:
			if strings.Contains(line, want) {
				return
			}
		case <-limit:
			t.Fatalf("waited for %q in the log", want)
		}
	}
}

// A port that another has is told of, and taken once it is free.
func TestBusyPort(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	set, err := engine.ParseRules("rules.toml", []byte(rulesFor("http://127.0.0.1:1", fewAttempts)), engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Rules: set, Source: newFeed(), Store: openStore(t)})
	if err != nil {
		t.Fatal(err)
	}
	log := signal{make(chan string, 100)}
	addr := other.Addr().String()
	srv, err := web.New(web.Config{Listen: addr, Daemon: e, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	log.await(t, "cannot listen")
	other.Close()
	log.await(t, `msg="status, metrics and API"`)
	resp, err := http.Get("http://" + addr + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("healthz: %s", resp.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := http.Get("http://" + addr + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}

// With HideValues nothing that keys held leaves the daemon, by whatever way, nor
// what a receiver said, who may repeat it. What the key is called does.
func TestHideValues(t *testing.T) {
	const value = "what nobody is to see"
	hook := newReceiver(t)
	hook.answer(500)
	d := start(t, openStore(t), rulesFor(hook.URL, fewAttempts), func(c *web.Config) { c.HideValues = true })
	d.feed.write("stock:7", value)
	d.await("a dead letter", func(s *web.Status) bool { return s.DeadLetters == 1 })
	hook.answer(200)
	d.feed.write("stock:8", value)
	d.await("a delivery", func(s *web.Status) bool { return d.action(s, "target/crm").Delivered == 1 })
	var list web.DeadLetters
	d.ask("GET", "/api/v1/dead-letters", "", 200, &list)
	paths := []string{
		"/api/v1/status", "/api/v1/rules/stock", "/api/v1/deliveries", "/api/v1/deliveries?state=delivered", "/api/v1/dead-letters", "/api/v1/dead-letters/export",
		fmt.Sprintf("/api/v1/dead-letters/%d", list.DeadLetters[0].Number), "/metrics",
	}
	seen := false
	for _, path := range paths {
		req, err := http.NewRequest("GET", d.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		status, sent := d.send(req)
		body := string(sent)
		if status != 200 || strings.Contains(body, value) || strings.Contains(body, "the receiver says") {
			t.Errorf("%s: %d %s", path, status, body)
		}
		seen = seen || strings.Contains(body, "stock:7") && strings.Contains(body, `"specversion"`)
	}
	if !seen {
		t.Error("no answer has the firing without its values")
	}

	// What fails for the same known reason is one cause, which can be retried whole.
	hook.answer(500)
	d.feed.write("stock:9", value)
	d.await("another dead letter", func(s *web.Status) bool { return s.DeadLetters == 2 })
	var causes web.Causes
	d.ask("GET", "/api/v1/dead-letters/causes", "", 200, &causes)
	if len(causes.Causes) != 1 || causes.Causes[0].Count != 2 || !causes.Causes[0].First.Before(causes.Causes[0].Last) {
		t.Fatalf("the causes are %+v", causes.Causes)
	}
	hook.answer(200)
	var done web.Done
	d.ask("POST", "/api/v1/dead-letters/retry", fmt.Sprintf(`{"all":true,"action":%q,"reason":%q,"expect":2}`, causes.Causes[0].Action, causes.Causes[0].Reason), 200, &done)
	if done.Count != 2 {
		t.Errorf("%d were retried", done.Count)
	}
}
