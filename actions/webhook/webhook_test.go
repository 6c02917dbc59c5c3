package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/webhook"
	"triggerd/internal/firing"
)

// newWebhook makes a webhook and closes it with the test.
func newWebhook(t *testing.T, fields table, o actions.Options) actions.Action {
	t.Helper()
	a := mustNew(t, fields, o)
	t.Cleanup(func() { a.(io.Closer).Close() })
	return a
}

// receiver is an HTTP server that counts what reaches it.
type receiver struct {
	*httptest.Server
	requests, connections atomic.Int64
}

func newReceiver(t *testing.T, handle http.HandlerFunc) *receiver {
	t.Helper()
	actionstest.CheckLeaks(t)
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		_, _ = io.Copy(io.Discard, req.Body)
		handle(w, req)
	}))
	r.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.connections.Add(1)
		}
	}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// rawServer gives each connection, with its number from 0, to handle, which has
// what a real HTTP server would never do to it. It returns the server's URL.
func rawServer(t *testing.T, handle func(c net.Conn, n int)) string {
	t.Helper()
	actionstest.CheckLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			all.Go(func() { handle(c, n) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return "http://" + l.Addr().String()
}

// readRequest reads one request with its body from a raw connection.
func readRequest(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// reset closes a connection so that the peer gets RST, not FIN.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestWebhookRequest(t *testing.T) {
	var got []byte
	var timestamp string
	r := newReceiver(t, nil)
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got, _ = httputil.DumpRequest(req, true)
		timestamp = req.Header.Get("Webhook-Timestamp")
		w.WriteHeader(http.StatusAccepted)
	})
	a := newWebhook(t, table{"url": r.URL + "/hooks/{{.params.sku}}?key={{.key}}"}, actions.Options{UserAgent: "triggerd/1.2.3"})
	res, err := a.Do(t.Context(), actionstest.Firing())
	if err != nil || res.Status != "202" {
		t.Fatalf("got %+v, %v", res, err)
	}
	got = bytes.ReplaceAll(got, []byte(strings.TrimPrefix(r.URL, "http://")), []byte("HOST"))
	got = bytes.ReplaceAll(got, []byte(timestamp), []byte("TIMESTAMP"))
	golden(t, "webhook.golden", bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")))
}

func TestWebhookOwnRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	r := newReceiver(t, nil)
	r.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		got = req
		body, _ = io.ReadAll(req.Body)
	})
	u := strings.Replace(r.URL, "http://", "http://me:pa%40ss@", 1)
	a := newWebhook(t, table{
		"url": u, "method": "put", "body": `{"text":{{json .key}},"args":{{json .args}},"n":{{.attempt}}}`,
		"headers": table{"x-key": "{{.key}}", "X-Static": "yes"},
	}, actions.Options{})
	f := actionstest.Firing()
	f.Attempt = 2
	if _, err := a.Do(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	user, password, _ := got.BasicAuth()
	for _, c := range []struct{ name, got, want string }{
		{"method", got.Method, "PUT"},
		{"path", got.URL.String(), "/"},
		{"user", user + ":" + password, "me:pa@ss"},
		{"content type", got.Header.Get("Content-Type"), "application/json"},
		{"header", got.Header.Get("X-Key") + got.Header.Get("X-Static"), "stock:42yes"},
		{"agent", got.Header.Get("User-Agent"), "triggerd"},
		{"signature", got.Header.Get("Webhook-Signature"), ""},
		{"body", string(body), `{"text":"stock:42","args":["stock:42","3",{"$base64":"/wAK"}],"n":2}`},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestWebhookContentType(t *testing.T) {
	for name, test := range map[string]struct {
		fields table
		want   string
	}{
		"default":  {table{}, "application/cloudevents+json"},
		"object":   {table{"body": ` {"a":1}`}, "application/json"},
		"list":     {table{"body": `[1]`}, "application/json"},
		"template": {table{"body": `{{.key}}`}, "text/plain; charset=utf-8"},
		"text":     {table{"body": `gone`}, "text/plain; charset=utf-8"},
		"empty":    {table{"body": ``}, "text/plain; charset=utf-8"},
		"own":      {table{"body": `<a/>`, "content_type": "text/xml"}, "text/xml"},
		"GET":      {table{"method": "GET"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) { got = req.Header.Get("Content-Type") })
			test.fields["url"] = r.URL
			if _, err := newWebhook(t, test.fields, actions.Options{}).Do(t.Context(), actionstest.Firing()); err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestWebhookSignature verifies as a receiver would, from what it received.
func TestWebhookSignature(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	var header http.Header
	var body []byte
	r := newReceiver(t, nil)
	r.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		header = req.Header
		body, _ = io.ReadAll(req.Body)
	})
	a := newWebhook(t, table{"url": r.URL, "sign": list("whsec_"+base64.StdEncoding.EncodeToString(key), "old secret")}, actions.Options{})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	if header.Get("Webhook-Id") != actionstest.Firing().ID.String() {
		t.Errorf("webhook-id %q is not the firing's ID", header.Get("Webhook-Id"))
	}
	var want []string
	for _, k := range [][]byte{key, []byte("old secret")} {
		mac := hmac.New(sha256.New, k)
		fmt.Fprintf(mac, "%s.%s.%s", header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), body)
		want = append(want, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if got := header.Get("Webhook-Signature"); got != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWebhookTraceparent(t *testing.T) {
	var got []string
	r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) { got = append(got, req.Header.Get("Traceparent")) })
	a := newWebhook(t, table{"url": r.URL}, actions.Options{})
	for _, f := range []struct {
		id      firing.ID
		attempt int
	}{{"a", 1}, {"a", 2}, {"b", 1}} {
		one := actionstest.Firing()
		one.ID, one.Attempt = f.id, f.attempt
		if _, err := a.Do(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	trace := func(i int) string { return strings.Split(got[i], "-")[1] }
	span := func(i int) string { return strings.Split(got[i], "-")[2] }
	if trace(0) != trace(1) || span(0) == span(1) {
		t.Errorf("two attempts must share the trace and not the span: %q", got)
	}
	if trace(0) == trace(2) {
		t.Errorf("two firings must not share the trace: %q", got)
	}
}

func TestWebhookStatus(t *testing.T) {
	const retry, done, drop = "retry", "done", "drop"
	own := table{"success_on": list(int64(409), "3xx"), "retry_on": list(int64(400), int64(204)), "drop_on": list("4xx", int64(302))}
	for _, test := range []struct {
		status int
		fields table
		want   string
	}{
		{200, nil, done}, {202, nil, done}, {204, nil, done}, {299, nil, done},
		{300, nil, retry}, {301, nil, retry}, {304, nil, retry},
		{400, nil, drop}, {401, nil, retry}, {403, nil, retry}, {404, nil, retry}, {405, nil, drop}, {408, nil, retry}, {409, nil, retry},
		{410, nil, drop}, {411, nil, drop}, {413, nil, drop}, {414, nil, drop}, {415, nil, drop}, {422, nil, drop}, {425, nil, retry}, {429, nil, retry},
		{500, nil, retry}, {501, nil, drop}, {502, nil, retry}, {503, nil, retry}, {504, nil, retry}, {599, nil, retry}, {777, nil, retry},
		{409, own, done}, {301, own, done}, {302, own, drop}, {400, own, retry}, {404, own, drop}, {204, own, retry}, {200, own, done}, {501, own, drop},
	} {
		name := fmt.Sprint(test.status)
		fields := table{}
		for k, v := range test.fields {
			fields[k] = v
			name = fmt.Sprint(test.status, " own")
		}
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.status) })
			fields["url"] = r.URL
			res, err := newWebhook(t, fields, actions.Options{}).Do(t.Context(), actionstest.Firing())
			got := done
			if err != nil {
				got = retry
			}
			if actions.IsPermanent(err) {
				got = drop
			}
			if got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
			if want := fmt.Sprint(test.status); got == done && res.Status != want || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("neither %+v nor %v tells the status", res, err)
			}
			if n := r.requests.Load(); n != 1 {
				t.Errorf("%d requests for one attempt", n)
			}
		})
	}
}

func TestWebhookRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		value    string
		min, max time.Duration
	}{
		"seconds":     {"120", 120 * time.Second, 120 * time.Second},
		"date":        {time.Now().Add(30 * time.Minute).UTC().Format(http.TimeFormat), 25 * time.Minute, 30 * time.Minute},
		"far":         {"99999999", time.Hour, time.Hour},
		"overflow":    {"99999999999999999999999", time.Hour, time.Hour},
		"far date":    {"Fri, 31 Dec 9999 23:59:59 GMT", time.Hour, time.Hour},
		"past date":   {"Fri, 31 Dec 1999 23:59:59 GMT", 0, 0},
		"zero":        {"0", 0, 0},
		"negative":    {"-5", 0, 0},
		"garbage":     {"soon", 0, 0},
		"nothing":     {"", 0, 0},
		"with a unit": {"10s", 0, 0},
		"fraction":    {"1.5", 1500 * time.Millisecond, 1500 * time.Millisecond},
		"two periods": {"1.2.3", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", test.value)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			_, err := newWebhook(t, table{"url": r.URL}, actions.Options{}).Do(t.Context(), actionstest.Firing())
			actionstest.WantRetry(t, err)
			got, asked := actions.RetryDelay(err)
			if got < test.min || got > test.max || asked != (test.max > 0) {
				t.Errorf("got %v, %v; want from %v to %v", got, asked, test.min, test.max)
			}
			if n := r.requests.Load(); n != 1 {
				t.Errorf("%d requests; the engine retries, not we", n)
			}
		})
	}
}

// TestWebhookRedirect: resty.New turns a POST into an empty GET that carries
// the signature to wherever the answer says, and reports its 200.
func TestWebhookRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			elsewhere := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
			r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, elsewhere.URL+"/secret-path", status)
			})
			_, err := newWebhook(t, table{"url": r.URL, "sign": "secret"}, actions.Options{}).Do(t.Context(), actionstest.Firing())
			actionstest.WantRetry(t, err)
			if want := "a redirect to " + elsewhere.URL + ", which is not followed"; err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want %q in it", err, want)
			}
			if n := elsewhere.requests.Load(); n != 0 {
				t.Errorf("%d requests reached the redirect's target", n)
			}
		})
	}
	t.Run("loop", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, req.URL.Path, http.StatusFound) })
		_, err := newWebhook(t, table{"url": r.URL + "/loop"}, actions.Options{}).Do(t.Context(), actionstest.Firing())
		actionstest.WantRetry(t, err)
		if n := r.requests.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("bad location", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[::1/\x7f")
			w.WriteHeader(http.StatusFound)
		})
		_, err := newWebhook(t, table{"url": r.URL}, actions.Options{}).Do(t.Context(), actionstest.Firing())
		actionstest.WantRetry(t, err)
	})
}

func TestWebhookKeepsNoCookies(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		if c := req.Header.Get("Cookie"); c != "" {
			t.Errorf("a cookie came back: %q", c)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b", Path: "/"})
	})
	a := newWebhook(t, table{"url": r.URL}, actions.Options{})
	for range 3 {
		if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWebhookAnswer has what may come after, or instead of, a good status line.
// Once a 2xx is there the firing is delivered, whatever the body does.
func TestWebhookAnswer(t *testing.T) {
	const headers = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"
	write := func(s string) func(net.Conn) {
		return func(c net.Conn) { io.WriteString(c, s) }
	}
	forever := func(c net.Conn, first, again string) {
		piece := []byte(again) // once: what we allocate counts too
		for _, err := io.WriteString(c, first); err == nil; {
			_, err = c.Write(piece)
		}
	}
	for name, test := range map[string]struct {
		answer    func(c net.Conn)
		delivered bool
		silent    bool // only the timeout ends it
	}{
		"1 MiB body":           {write(headers + strings.Repeat("x", 1<<20)), true, false},
		"body that stops":      {write(headers + "x"), true, false},
		"endless body":         {func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 4096)) }, true, false},
		"endless chunks":       {func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n") }, true, false},
		"broken chunks":        {write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), true, false},
		"broken gzip":          {write("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx"), true, false},
		"closed in the body":   {func(c net.Conn) { write(headers + "x")(c); c.Close() }, true, false},
		"reset in the body":    {func(c net.Conn) { write(headers + "x")(c); reset(c) }, true, false},
		"closed":               {func(c net.Conn) { c.Close() }, false, false},
		"reset":                {reset, false, false},
		"closed in the header": {func(c net.Conn) { write("HTTP/1.1 200 OK\r\nContent-Le")(c); c.Close() }, false, false},
		"header that stops":    {write("HTTP/1.1 200 OK\r\nContent-Le"), false, true},
		"no answer":            {func(net.Conn) {}, false, true},
		"not HTTP":             {write("-ERR unknown command \x1b[31m'POST'\r\n\r\n"), false, false},
		"endless header":       {func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\n", "X-A: "+strings.Repeat("x", 1024)+"\r\n") }, false, false},
		"endless 103":          {func(c net.Conn) { forever(c, "", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n") }, false, false},
		"503 that stops":       {write("HTTP/1.1 503 Busy\r\nContent-Length: 1048576\r\n\r\nx"), false, false},
		"503 endless":          {func(c net.Conn) { forever(c, "HTTP/1.1 503 Busy\r\n\r\n", strings.Repeat("\x1bx", 4096)) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := rawServer(t, func(c net.Conn, _ int) {
				if readRequest(bufio.NewReader(c)) {
					test.answer(c)
				}
			})
			timeout := time.Hour // what ends, does so without its help
			if test.silent {
				timeout = 100 * time.Millisecond
			}
			a := newWebhook(t, table{"url": u}, actions.Options{Timeout: timeout})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, err := a.Do(t.Context(), actionstest.Firing())
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
			if test.delivered {
				if err != nil || res.Status != "200" {
					t.Errorf("got %+v, %v; want it delivered", res, err)
				}
				return
			}
			actionstest.WantRetry(t, err)
			if err != nil && (len(err.Error()) > 4*4<<10+200 || strings.ContainsRune(err.Error(), 0x1b)) {
				t.Errorf("the error is not short and printable: %.200q, %d bytes", err, len(err.Error()))
			}
		})
	}
}

func TestWebhookTimeout(t *testing.T) {
	u := rawServer(t, func(c net.Conn, _ int) { readRequest(bufio.NewReader(c)) })
	a := newWebhook(t, table{"url": u}, actions.Options{Timeout: 20 * time.Millisecond})
	_, err := a.Do(t.Context(), actionstest.Firing())
	actionstest.WantRetry(t, err)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 20ms") {
		t.Errorf("got %v", err)
	}
}

// TestWebhookExcerpt: what a receiver says is the user's best clue.
func TestWebhookExcerpt(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "no field\x00 \"sku\"\n"+strings.Repeat("x", 8<<10))
	})
	res, err := newWebhook(t, table{"url": r.URL}, actions.Options{}).Do(t.Context(), actionstest.Firing())
	const said = `no field\x00 \"sku\"\nxxx`
	if err == nil || !strings.HasPrefix(err.Error(), "POST "+r.URL+": 400 Bad Request: "+said) || !strings.HasSuffix(err.Error(), "xxx...(+7696 bytes)") {
		t.Errorf("got %v", err)
	}
	if !strings.HasPrefix(res.Excerpt, said) || !strings.HasSuffix(res.Excerpt, "xxx...(+4112 bytes)") || res.Status != "" {
		t.Errorf("got %+v", res)
	}
}

// TestWebhookDeliveredExcerpt: what a receiver said to what it took, too. A service that
// answers 200 to everything tells only here that it did not like it.
func TestWebhookDeliveredExcerpt(t *testing.T) {
	for name, test := range map[string]struct{ body, want string }{
		"short":   {"{\"ok\":false}\n", `{\"ok\":false}`},
		"nothing": {"", ""},
		"blank":   {" \n ", ""},
		"hostile": {"<b>\x1b[31m\u202e", `<b>\x1b[31m\u202e`},
		"long":    {strings.Repeat("x", 8<<10), strings.Repeat("x", 480) + "...(+7712 bytes)"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, test.body) })
			res, err := newWebhook(t, table{"url": r.URL}, actions.Options{}).Do(t.Context(), actionstest.Firing())
			if err != nil || res.Excerpt != test.want || res.Status != "200" {
				t.Errorf("got %q, %v; want %q", res.Excerpt, err, test.want)
			}
		})
	}
}

// TestWebhookReuse: answers are read to their end, so one connection serves.
func TestWebhookReuse(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"small":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "thanks") },
		"60 KiB": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 60<<10)) },
		"failed": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, handle)
			a := newWebhook(t, table{"url": r.URL}, actions.Options{})
			for range 10 {
				_, _ = a.Do(t.Context(), actionstest.Firing())
			}
			// On a busy machine net/http gives one up now and then, when the
			// goroutine that has written is not heard of within 50 ms.
			if c, n := r.connections.Load(), r.requests.Load(); c > n/2 || n != 10 {
				t.Errorf("%d connections for %d requests", c, n)
			}
		})
	}
	t.Run("eight at once", func(t *testing.T) {
		const at = 8
		arrived := make(chan struct{})
		release := make(chan struct{})
		r := newReceiver(t, func(http.ResponseWriter, *http.Request) {
			arrived <- struct{}{}
			<-release
		})
		a := newWebhook(t, table{"url": r.URL}, actions.Options{Concurrency: at})
		for range 5 {
			var wg sync.WaitGroup
			for range at {
				wg.Go(func() {
					if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
						t.Error(err)
					}
				})
			}
			for range at {
				<-arrived // all are there together, each on its own connection
			}
			for range at {
				release <- struct{}{}
			}
			wg.Wait()
		}
		if c := r.connections.Load(); c > 3*at { // 32, if no more than two were kept
			t.Errorf("%d connections, want %d kept and used again", c, at)
		}
	})
}

// TestWebhookDeadConnection: a kept connection that the receiver dropped (a
// restart, an idle timeout) is not a failed attempt.
func TestWebhookDeadConnection(t *testing.T) {
	for name, die := range map[string]func(net.Conn){"closed": func(c net.Conn) { c.Close() }, "reset": reset} {
		t.Run(name, func(t *testing.T) {
			var served atomic.Int64
			u := rawServer(t, func(c net.Conn, n int) {
				r := bufio.NewReader(c)
				for i := 0; readRequest(r); i++ {
					if n == 0 && i == 1 {
						die(c)
						return
					}
					served.Add(1)
					io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			})
			a := newWebhook(t, table{"url": u}, actions.Options{})
			for range 3 {
				if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
					t.Errorf("got %v", err)
				}
			}
			if n := served.Load(); n != 3 {
				t.Errorf("%d requests answered, want 3", n)
			}
		})
	}
}

// TestWebhookData: data from Redis cannot leave the place it was given.
func TestWebhookData(t *testing.T) {
	var got *http.Request
	r := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) { got = req })
	a := newWebhook(t, table{
		"url": r.URL + "/a/{{.key}}/b?k={{.key}}&e={{urlquery .key}}&x={{if .key}}1{{end}}", "headers": table{"X-Key": "{{.params.h}}"},
	}, actions.Options{})
	for _, test := range []struct {
		name, key, header string
		permanent         bool
	}{
		{"plain", "stock", "x", false},
		{"path and query", "a/../b?c=d&e=f#g;h%2f +", "x", false},
		{"every kind of byte", "\x00\xff\r\n\"<>\\^`{|}é", "\xff \t", false},
		{"dots", "..", "x", true},
		{"one dot", ".", "x", true},
		{"empty", "", "", false},
		{"header line", "k", "x\r\nX-Forged: 1", true},
		{"header line feed", "k", "x\ny", true},
		{"header NUL", "k", "x\x00", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got = nil
			f := actionstest.Firing()
			f.Event.Key = []byte(test.key)
			f.Params = map[string]string{"h": test.header}
			_, err := a.Do(t.Context(), f)
			if test.permanent {
				if !actions.IsPermanent(err) || got != nil {
					t.Errorf("got %v and request %v; want a permanent error and no request", err, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			query := got.URL.Query()
			if want := "/a/" + test.key + "/b"; got.URL.Path != want || strings.Count(got.URL.EscapedPath(), "/") != 3 {
				t.Errorf("path %q (%s), want %q", got.URL.Path, got.URL.EscapedPath(), want)
			}
			if query.Get("k") != test.key || query.Get("e") != test.key || len(query) != 3 {
				t.Errorf("query %v", query)
			}
		})
	}
	t.Run("missing parameter", func(t *testing.T) {
		got = nil
		if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil || got.Header.Get("X-Key") != "" {
			t.Errorf("got %v", err)
		}
	})
}

func TestWebhookBodyTooLong(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	a := newWebhook(t, table{"url": r.URL, "body": "{{range .args}}{{range $.args}}{{range $.args}}{{.}}{{end}}{{end}}{{end}}"}, actions.Options{})
	f := actionstest.Firing()
	f.Event.Args = nil
	for range 100 {
		f.Event.Args = append(f.Event.Args, make([]byte, 64<<10))
	}
	_, err := a.Do(t.Context(), f)
	if !actions.IsPermanent(err) || !strings.Contains(err.Error(), "the template writes too much") || r.requests.Load() != 0 {
		t.Errorf("got %v, %d requests", err, r.requests.Load())
	}
}

// TestWebhookSecrets: a receiver, a proxy or a library that repeats what it was
// sent does not make us repeat it.
func TestWebhookSecrets(t *testing.T) {
	const userPassword, bearer, signing, query, path, templated = "pa55word-u", "tok-bearer-1", "sign-secret-1", "q-0123456789abcdef", "p-0123456789abcdef", "tok-from-data"
	hide := []string{userPassword, bearer, signing, query, path, templated, base64.StdEncoding.EncodeToString([]byte("me:" + userPassword))}
	fields := func(u string) table {
		return table{"url": strings.Replace(u, "http://", "http://me:"+userPassword+"@", 1) + "/" + path + "?token=" + query,
			"headers": table{"X-Api-Key": "Bearer " + bearer, "X-Auth": "{{.params.t}}"}, "sign": signing}
	}
	firing := actionstest.Firing()
	firing.Params = map[string]string{"t": templated}
	check := func(t *testing.T, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
		for _, s := range hide {
			if err != nil && strings.Contains(err.Error(), s) {
				t.Errorf("%q is in the error: %v", s, err)
			}
		}
	}
	t.Run("echo", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			dump, _ := httputil.DumpRequest(req, true)
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, "Cannot %s\n%s%s", dump, signing, userPassword)
		})
		_, err := newWebhook(t, fields(r.URL), actions.Options{}).Do(t.Context(), firing)
		check(t, err, "X-Api-Key: ***")
	})
	t.Run("redirect", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://"+bearer+"/"+req.URL.String(), http.StatusFound)
		})
		_, err := newWebhook(t, fields(r.URL), actions.Options{}).Do(t.Context(), firing)
		check(t, err, "a redirect to http://***")
	})
	t.Run("bad redirect", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Location", "http://[::1/"+bearer)
			w.WriteHeader(http.StatusFound)
		})
		_, err := newWebhook(t, fields(r.URL), actions.Options{}).Do(t.Context(), firing)
		check(t, err, "Location")
	})
	t.Run("not HTTP", func(t *testing.T) {
		u := rawServer(t, func(c net.Conn, _ int) {
			if readRequest(bufio.NewReader(c)) {
				io.WriteString(c, "echo "+bearer+"\r\n\r\n")
			}
		})
		_, err := newWebhook(t, fields(u), actions.Options{}).Do(t.Context(), firing)
		check(t, err, "malformed HTTP")
	})
	t.Run("refused", func(t *testing.T) {
		_, err := newWebhook(t, fields("http://"+deadPort(t)), actions.Options{}).Do(t.Context(), firing)
		check(t, err, "connection refused")
		if err != nil && strings.Contains(err.Error(), "token=") {
			t.Errorf("the URL's path or query is in the error: %v", err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		u := rawServer(t, func(c net.Conn, _ int) { readRequest(bufio.NewReader(c)) })
		_, err := newWebhook(t, fields(u), actions.Options{Timeout: 10 * time.Millisecond}).Do(t.Context(), firing)
		check(t, err, "no answer within")
	})
	t.Run("unrenderable", func(t *testing.T) {
		of := fields("http://127.0.0.1:1")
		of["body"] = actionstest.Unrenderable
		_, err := newWebhook(t, of, actions.Options{}).Do(t.Context(), firing)
		check(t, err, "body: template: ")
	})
	t.Run("when checked", func(t *testing.T) {
		for _, u := range []string{"http://me:" + userPassword + "/x@h/", "http://me:%zz" + userPassword + "@h/", "htp://me:" + userPassword + "@h/", "http://me:" + userPassword + "@{{.key}}/", "http://me:" + userPassword + "@h:bad/"} {
			_, err := actions.Kinds{&webhook.Kind}.New("webhook", table{"url": u, "sign": "whsk_" + signing, "headers": table{"Authorization": "{{" + bearer}, "proxy": "me:" + userPassword + "@p"}, actions.Options{})
			check(t, err, "url: ")
		}
	})
}

func TestWebhookDenyPrivate(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	u, _ := url.Parse(r.URL)
	byName := "http://localhost:" + u.Port() // known only when it is looked up
	if _, err := newWebhook(t, table{"url": byName, "deny_private": true}, actions.Options{}).Do(t.Context(), actionstest.Firing()); err == nil || !strings.Contains(err.Error(), "deny_private is set") {
		t.Errorf("got %v", err)
	}
	if n := r.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	if _, err := newWebhook(t, table{"url": byName}, actions.Options{}).Do(t.Context(), actionstest.Firing()); err != nil {
		t.Errorf("without deny_private: %v", err)
	}
}

func TestWebhookTLS(t *testing.T) {
	actionstest.CheckLeaks(t)
	var proto string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { proto = req.Proto }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client that refuses it
	s.StartTLS()
	t.Cleanup(s.Close)
	ca, _ := writePair(t, s)
	if _, err := newWebhook(t, table{"url": s.URL, "tls": table{"ca": ca}}, actions.Options{}).Do(t.Context(), actionstest.Firing()); err != nil || proto != "HTTP/1.1" {
		t.Errorf("got %v over %s, want it delivered over HTTP/1.1", err, proto)
	}
	_, err := newWebhook(t, table{"url": s.URL}, actions.Options{}).Do(t.Context(), actionstest.Firing())
	actionstest.WantRetry(t, err)
	if err != nil && !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v; want the certificate refused", err)
	}
}

// writePair writes a server's certificate and key to files.
func writePair(t *testing.T, s *httptest.Server) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("cert.pem", "CERTIFICATE", s.Certificate().Raw), write("key.pem", "PRIVATE KEY", der)
}

// TestWebhookClientCertificate: the receiver asks for one, and gets ours.
func TestWebhookClientCertificate(t *testing.T) {
	actionstest.CheckLeaks(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if len(req.TLS.PeerCertificates) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	cert, key := writePair(t, s)
	if _, err := newWebhook(t, table{"url": s.URL, "tls": table{"ca": cert, "cert": cert, "key": key}}, actions.Options{}).Do(t.Context(), actionstest.Firing()); err != nil {
		t.Errorf("with the certificate: %v", err)
	}
	_, err := newWebhook(t, table{"url": s.URL, "tls": table{"ca": cert}}, actions.Options{}).Do(t.Context(), actionstest.Firing())
	actionstest.WantRetry(t, err)
}

func TestWebhookProxy(t *testing.T) {
	var got *http.Request
	proxy := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) { got = req })
	a := newWebhook(t, table{"url": "http://receiver.invalid/x", "proxy": strings.Replace(proxy.URL, "http://", "http://me:pw@", 1)}, actions.Options{})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	if got.RequestURI != "http://receiver.invalid/x" || got.Header.Get("Proxy-Authorization") == "" {
		t.Errorf("the proxy got %s %v", got.RequestURI, got.Header)
	}
}

func TestWebhookSuite(t *testing.T) {
	actionstest.Run(t, func(t *testing.T) actions.Action {
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, req.Header.Get("Authorization")) })
		u := strings.Replace(r.URL, "http://", "http://me:"+actionstest.Secret+"@", 1)
		return newWebhook(t, table{"url": u + "/{{.key}}/", "headers": table{"X-Key": "{{.key}}"}, "sign": actionstest.Secret}, actions.Options{})
	})
	actionstest.RunWaiting(t, func(t *testing.T) (actions.Action, <-chan struct{}) {
		started := make(chan struct{})
		u := rawServer(t, func(c net.Conn, _ int) {
			if readRequest(bufio.NewReader(c)) {
				close(started)
			}
		})
		return newWebhook(t, table{"url": u, "headers": table{"Authorization": "Bearer " + actionstest.Secret}}, actions.Options{}), started
	})
}

// TestWebhookCloses: closing lets go of the kept connections.
func TestWebhookCloses(t *testing.T) {
	closed := make(chan struct{})
	u := rawServer(t, func(c net.Conn, _ int) {
		r := bufio.NewReader(c)
		for readRequest(r) {
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
		close(closed)
	})
	a := newWebhook(t, table{"url": u}, actions.Options{})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	if err := a.(io.Closer).Close(); err != nil {
		t.Fatal(err)
	}
	<-closed
}
