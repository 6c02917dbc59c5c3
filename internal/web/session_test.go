package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/internal/web"
)

const (
	opToken   = "operator-token-0123456789"
	readToken = "reader-token-0123456789"
)

// newSite returns a server that is asked by a recorder, and its cookies.
func newSite(t *testing.T, change func(*web.Config)) *site {
	t.Helper()
	s := &site{t: t, log: &bytes.Buffer{}}
	d := start(t, openStore(t), rulesFor("http://127.0.0.1:1", fewAttempts), func(cfg *web.Config) {
		cfg.Token, cfg.ReadToken, cfg.Logger = opToken, readToken, slog.New(slog.NewTextHandler(s.log, nil))
		if change != nil {
			change(cfg)
		}
		s.cfg = *cfg
	})
	s.Handler = d.Config.Handler
	return s
}

// site is a server as a browser sees it.
type site struct {
	http.Handler
	t      *testing.T
	cfg    web.Config
	log    *bytes.Buffer
	cookie *http.Cookie
}

// ask asks with the cookie of the last login, and headers "name: value".
func (s *site) ask(method, path, body string, headers ...string) *http.Response {
	s.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:9797"+path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	if s.cookie != nil {
		r.AddCookie(s.cookie)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	res := w.Result()
	for _, c := range res.Cookies() {
		s.cookie = c
		if c.MaxAge < 0 {
			s.cookie = nil
		}
	}
	return res
}

func (s *site) want(status int, method, path, body string, headers ...string) *http.Response {
	s.t.Helper()
	res := s.ask(method, path, body, headers...)
	if res.StatusCode != status {
		b, _ := io.ReadAll(res.Body)
		s.t.Errorf("%s %s %v: %d, want %d: %s", method, path, headers, res.StatusCode, status, b)
	}
	return res
}

const change = "X-Triggerd: 1"

func TestShellNeedsNoLogin(t *testing.T) {
	s := newSite(t, nil)
	var assets []string
	for _, path := range []string{"/", "/live", "/rules", "/rules/a/b", "/play", "/deliveries", "/deliveries/x:1/0", "/dead", "/dead/7", "/streams"} {
		res := s.want(200, "GET", path, "", "Sec-Fetch-Site: cross-site")
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		assets = regexp.MustCompile(`/assets/[0-9a-f]{16}/[a-z]+\.(?:js|css|svg)`).FindAllString(string(b), -1)
		csp := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %s", path, csp, want)
			}
		}
		if bytes.Contains(b, []byte("HASH")) || bytes.Contains(b, []byte("style=")) || res.Header.Get("X-Frame-Options") != "DENY" || res.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %s %v", path, b, res.Header)
		}
	}
	if len(assets) != 3 {
		t.Fatalf("the shell has %q", assets)
	}
	for _, path := range assets {
		if res := s.want(200, "GET", path, ""); !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %v", path, res.Header)
		}
		s.want(404, "GET", strings.Replace(path, "/assets/", "/assets/0", 1), "")
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/rules", "/api/v1/events", "/api/v1/overview", "/metrics"} {
		s.want(401, "GET", path, "")
	}
	var session web.Session
	if err := json.NewDecoder(s.want(200, "GET", "/api/v1/session", "").Body).Decode(&session); err != nil || session.Role != "" || !session.Token || session.Version != "" {
		t.Errorf("before a login: %+v, %v", session, err)
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t, nil)
	s.want(401, "POST", "/api/v1/login", `{"token":"wrong"}`, change)
	s.want(403, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, opToken)) // as a form of another site would
	s.want(403, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, opToken), change, "Sec-Fetch-Site: same-site")
	s.want(403, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, opToken), change, "Origin: http://127.0.0.1:8080")
	s.want(200, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, readToken), change)
	c := s.cookie
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Name != "triggerd_9797" || c.Path != "/" || c.Secure {
		t.Fatalf("the cookie is %+v", c)
	}
	s.want(200, "GET", "/api/v1/rules", "")
	s.want(403, "POST", "/api/v1/pause", `{"name":"stock"}`, change)
	s.want(501, "POST", "/api/v1/explain", `{}`, change) // a question, not a change; there is no playground here
	s.want(200, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, opToken), change)
	s.want(403, "POST", "/api/v1/pause", `{"name":"stock"}`)
	s.want(200, "POST", "/api/v1/pause", `{"name":"stock"}`, change)
	if log := s.log.String(); !strings.Contains(log, `msg=paused by="192.0.2.1, logged in as operator" name=rule/stock`) {
		t.Errorf("who paused is not in the log: %s", log)
	}
	// A page of another port has the cookie.
	for _, site := range []string{"same-site", "cross-site"} {
		s.want(403, "GET", "/api/v1/rules", "", "Sec-Fetch-Site: "+site)
		s.want(403, "POST", "/api/v1/resume", `{"name":"stock"}`, change, "Sec-Fetch-Site: "+site)
	}
	s.want(200, "GET", "/api/v1/rules", "", "Sec-Fetch-Site: same-origin")
	// A header decides, where there is one.
	s.want(401, "GET", "/api/v1/rules", "", "Authorization: Bearer wrong")
	s.want(200, "POST", "/api/v1/logout", `{}`, change)
	s.want(401, "GET", "/api/v1/rules", "")
}

// A cookie is of one role, one time and one token.
func TestCookie(t *testing.T) {
	s := newSite(t, nil)
	s.want(200, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, readToken), change)
	good := s.cookie.Value
	role, rest, _ := strings.Cut(good, ".")
	ends, mac, _ := strings.Cut(rest, ".")
	for _, bad := range []string{"", ".", "..", good + "x", good[:len(good)-1], "operator." + rest, role + ".9999999999." + mac, role + "." + ends, "reader.x." + mac, "." + rest, strings.Repeat("a", 4000)} {
		s.cookie = &http.Cookie{Name: "triggerd_9797", Value: bad}
		s.want(401, "GET", "/api/v1/rules", "")
	}
	s.cookie = &http.Cookie{Name: "triggerd_9797", Value: good}
	s.want(200, "GET", "/api/v1/rules", "")

	again := newSite(t, nil) // a restart
	again.cookie = s.cookie
	again.want(200, "GET", "/api/v1/rules", "")
	other := newSite(t, func(cfg *web.Config) { cfg.ReadToken = "another-reader-0123456789" })
	other.cookie = s.cookie
	other.want(401, "GET", "/api/v1/rules", "")
	none := newSite(t, func(cfg *web.Config) { cfg.ReadToken = "" })
	none.cookie = s.cookie
	none.want(401, "GET", "/api/v1/rules", "")
}

// A login ends, and wrong tokens are not tried for ever.
func TestLoginTimes(t *testing.T) {
	s := newSite(t, nil)
	synctest.Test(t, func(t *testing.T) {
		s.want(200, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, opToken), change)
		time.Sleep(7*24*time.Hour - time.Second)
		s.want(200, "GET", "/api/v1/session", "")
		s.want(200, "GET", "/api/v1/rules", "")
		time.Sleep(time.Second)
		s.want(401, "GET", "/api/v1/rules", "")
		for range 10 {
			s.want(401, "POST", "/api/v1/login", `{"token":"wrong"}`, change)
		}
		res := s.want(429, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, opToken), change)
		if res.Header.Get("Retry-After") == "" {
			t.Error("nobody is told when to try again")
		}
		time.Sleep(time.Minute)
		s.want(200, "POST", "/api/v1/login", fmt.Sprintf(`{"token":%q}`, opToken), change)
	})
}

// Without values none is shown, and none can be asked for.
func TestPageWithoutValues(t *testing.T) {
	s := newSite(t, func(cfg *web.Config) { cfg.HideValues = true })
	auth := "Authorization: Bearer " + readToken
	s.want(400, "GET", "/api/v1/events?when=after+%3D%3D+1", "", auth)
	s.want(403, "GET", "/api/v1/last-event?key=stock:1", "", auth)
	s.want(403, "GET", "/api/v1/rules/stock?by=x", "", auth)
	s.want(200, "GET", "/api/v1/rules/stock", "", auth)
}

func TestQuestions(t *testing.T) {
	s := newSite(t, nil)
	auth := "Authorization: Bearer " + readToken
	for path, want := range map[string]string{
		"/api/v1/events?when=aftr+%3D%3D+1&try=1": `when: unknown name aftr`,
		"/api/v1/rules?health=ill":                "firing, erring or paused",
		"/api/v1/rules/stock?cursor=-1":           "cursor is the next of an answer",
		"/api/v1/rules/stock?limit=0":             "limit is 1 to 100",
	} {
		b, err := io.ReadAll(s.want(400, "GET", path, "", auth).Body)
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %s, %v, want %q", path, b, err, want)
		}
	}
	s.want(404, "GET", "/api/v1/rates/nobody", "", auth)
	s.want(404, "GET", "/api/v1/last-event?key=none", "", auth)
	s.want(200, "GET", "/api/v1/events?when=num(after)+%3D%3D+1&try=1", "", auth)
	var list web.Rules
	if err := json.NewDecoder(s.want(200, "GET", "/api/v1/rules?q=never", "", auth).Body).Decode(&list); err != nil || list.Total != 2 || len(list.Rules) != 1 || list.Rules[0].Name != "crm" || list.Rules[0].Line == 0 {
		t.Errorf("rules with a text: %+v, %v", list, err)
	}
	var overview web.Overview
	if err := json.NewDecoder(s.want(200, "GET", "/api/v1/overview", "", auth).Body).Decode(&overview); err != nil || len(overview.Problems) != 1 || overview.Problems[0].ID != "dry-run" {
		t.Errorf("the overview: %+v, %v", overview, err)
	}
}
