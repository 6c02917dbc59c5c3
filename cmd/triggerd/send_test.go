package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// received is what a receiver got.
type received struct {
	mu     sync.Mutex
	bodies []string
	ids    map[string]bool
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	r.ids[req.Header.Get("Webhook-Id")] = true
	if strings.HasSuffix(req.URL.Path, "/refuse") {
		http.Error(w, "not you, hunter2hunter2", http.StatusForbidden)
	}
}

func (r *received) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bodies) == 0 {
		return ""
	}
	return r.bodies[len(r.bodies)-1]
}

func TestSend(t *testing.T) {
	t.Setenv("SEND_TOKEN", "hunter2hunter2")
	got := &received{ids: map[string]bool{}}
	srv := httptest.NewServer(got)
	defer srv.Close()
	dir := t.TempDir()
	write(t, dir, "rules.toml", fmt.Sprintf(`
[targets.crm]
type = "webhook"
url = "%[1]s/in"
bearer = "${env:SEND_TOKEN}"
[targets.refuse]
type = "webhook"
url = "%[1]s/refuse"
bearer = "${env:SEND_TOKEN}"
[[rule]]
name = "sold-out"
key = "stock:{sku}"
when = 'num(before) > 0 && num(after) <= 0'
dry_run = true
action = [{ target = "crm" }, { target = "refuse" }, { type = "webhook", name = "own", url = "%[1]s/own", body = 'sku {{.params.sku}}' }]
`, srv.URL))
	config := filepath.Join(dir, "rules.toml")
	tests := []struct {
		args         string
		code         int
		body         string // part of what was received last
		stdout, errs string // parts
	}{
		{"crm", 0, `"key":"sample"`, "delivered by crm of rule sold-out: 200", ""},
		{"crm", 0, `"key":"sample"`, "Authorization: Bearer ***", ""},
		{"own|--rule|sold-out", 0, "sku sample", "POST " + srv.URL + "/own", ""},
		{"own|--rule|sold-out|SET stock:7 1|DECR stock:7", 0, "sku 7", "", ""},
		{"crm|--before|3|DECRBY stock:8 3", 0, `"before":"3","after":"0"`, "", ""},
		{"refuse", 1, `"key":"sample"`, "", "not delivered: "},
		{"crm|SET stock:7 1", 1, `"key":"sample"`, "", "does not fire for these commands"},
		{"nobody", 2, "", "", `no rule has a target "nobody"; there are: crm, refuse`},
		{"nobody|--rule|sold-out", 2, "", "", `it has: crm, refuse, own`},
		{"crm|--rule|nobody", 2, "", "", `there is no rule "nobody"`},
		{"crm|SETT a b", 2, "", "", `there is no command "SETT"`},
	}
	for _, test := range tests {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"send", "-c", config}, strings.Split(test.args, "|")...), &stdout, &stderr)
		if code != test.code || !strings.Contains(got.last(), test.body) || !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.errs) {
			t.Errorf("send %s: got exit %d, received %q\nstdout %s\nstderr %s", test.args, code, got.last(), &stdout, &stderr)
		}
		if both := stdout.String() + stderr.String(); strings.Contains(both, "hunter2") {
			t.Errorf("send %s shows a secret:\n%s", test.args, both)
		}
	}
	if len(got.ids) != len(got.bodies) {
		t.Errorf("%d deliveries with %d ids: each is to have its own", len(got.bodies), len(got.ids))
	}
}
