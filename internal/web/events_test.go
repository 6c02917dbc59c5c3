package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/web"
)

// watch opens the feed; next returns its next entry, and fails the test if there
// is none in time.
func (d *daemon) watch(query, token string, after uint64) (next func() *admin.FeedEntry, stop func()) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	req, err := http.NewRequestWithContext(ctx, "GET", d.URL+"/api/v1/events"+query, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if after > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatUint(after, 10))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		d.t.Fatalf("the feed answers %s: %s", resp.Status, b)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // it is being watched once the first line is there
	stop = func() {
		cancel()
		resp.Body.Close()
	}
	d.t.Cleanup(stop)
	return func() *admin.FeedEntry {
		d.t.Helper()
		var id, kind string
		for lines.Scan() {
			d.all.WriteString(lines.Text())
			name, text, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				id = text
			case "event":
				kind = text
			case "data":
				e := &admin.FeedEntry{}
				if err := json.Unmarshal([]byte(text), e); err != nil || e.Kind != kind || strconv.FormatUint(e.Seq, 10) != id {
					d.t.Fatalf("id %s, event %s, data %s: %v", id, kind, text, err)
				}
				return e
			}
		}
		d.t.Fatalf("the feed has ended: %v", lines.Err())
		return nil
	}, stop
}

// Who watches sees a change become a match, a firing and attempts; a pause and a
// reload too; and after a break what happened meanwhile.
func TestEvents(t *testing.T) {
	hook := newReceiver(t)
	hook.answer(500)
	d := start(t, openStore(t), rulesFor(hook.URL, fewAttempts), nil)
	next, stop := d.watch("", "", 0)
	d.feed.write("stock:7", "1")
	var last uint64
	for _, want := range []string{"match stock ", "firing stock target/crm", "attempt stock target/crm retried 1", "attempt stock target/crm given_up 2"} {
		e := next()
		got := e.Kind + " " + e.Rule + " " + e.Action
		if e.Kind == admin.FeedAttempt {
			got += " " + e.Outcome + " " + strconv.Itoa(e.Attempt)
			if e.Seconds <= 0 || !strings.Contains(e.Text, "500") || !strings.Contains(e.ID, "stock") {
				t.Errorf("the attempt: %+v", e)
			}
		}
		if got != want || e.Key != "stock:7" || e.Event != "set" || e.Seq <= last {
			t.Errorf("%+v, want %s", e, want)
		}
		last = e.Seq
	}
	d.ask("POST", "/api/v1/pause", `{"name":"target/crm","reason":"lunch"}`, 200, nil)
	if e := next(); e.Kind != admin.FeedState || e.Name != "target/crm" || e.State != "paused" || e.Text != "lunch" {
		t.Errorf("the pause: %+v", e)
	}
	stop()
	d.ask("POST", "/api/v1/resume", `{"name":"target/crm"}`, 200, nil)
	next, _ = d.watch("", "", last)
	if a, b := next(), next(); a.State != "paused" || b.State != "resumed" {
		t.Errorf("after the break: %+v, %+v", a, b)
	}
}

// A filter takes away what has not what it asks for; with all=1 there are events
// that no rule matches.
func TestEventFilters(t *testing.T) {
	hook := newReceiver(t)
	d := start(t, openStore(t), rulesFor(hook.URL, fewAttempts), nil)
	delivered, _ := d.watch("?outcome=delivered&rule=stock&key=stock:*", "", 0)
	all, _ := d.watch("?all=1&key=other:*", "", 0)
	d.feed.write("other:1", "1")
	d.feed.write("stock:1", "1")
	if e := delivered(); e.Kind != admin.FeedAttempt || e.Outcome != "delivered" || e.Key != "stock:1" {
		t.Errorf("by outcome: %+v", e)
	}
	if e := all(); e.Kind != admin.FeedEvent || e.Key != "other:1" || e.Event != "set" {
		t.Errorf("all: %+v", e)
	}
	for _, query := range []string{"?outcome=bad", "?all=2", "?what=1"} {
		d.ask("GET", "/api/v1/events"+query, "", 400, nil)
	}
	req, _ := http.NewRequest("GET", d.URL+"/api/v1/events", nil)
	req.Header.Set("Last-Event-ID", "x")
	if status, b := d.send(req); status != 400 {
		t.Errorf("a bad Last-Event-ID: %d %s", status, b)
	}
}

// read_token may watch, and with HideValues nothing that a receiver said is in
// what it sees.
func TestEventsHidden(t *testing.T) {
	hook := newReceiver(t)
	hook.answer(500)
	d := start(t, openStore(t), rulesFor(hook.URL, fewAttempts), func(c *web.Config) {
		c.Token, c.ReadToken, c.HideValues = "a-token-that-changes", "a-token-that-reads", true
	})
	next, _ := d.watch("?outcome=given_up", "a-token-that-reads", 0)
	d.feed.write("stock:7", "what nobody is to see")
	if e := next(); e.Key != "stock:7" || e.Text != "500 Internal Server Error" || strings.Contains(d.all.String(), "nobody is to see") {
		t.Errorf("%+v", e)
	}
}

// A client that does not read is shown what is new, once it does, and how much it has
// missed; not what lay in the socket.
func TestSlowClient(t *testing.T) {
	hook := newReceiver(t)
	d := start(t, openStore(t), rulesFor(hook.URL, fewAttempts), nil)
	listening := make(chan string, 1) // with the buffers that a daemon has, whatever the machine's are
	srv, err := web.New(web.Config{Listen: "127.0.0.1:0", Daemon: d.engine, OnListen: func(url string) { listening <- url }})
	if err != nil {
		t.Fatal(err)
	}
	serving, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(serving) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	small := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	defer small.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", <-listening+"/api/v1/events?all=1&batch=1", nil)
	resp, err := small.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if _, err := lines.ReadString('\n'); err != nil { // it is being watched
		t.Fatal(err)
	}
	long := strings.Repeat("x", 50<<10)
	for n := range 40 { // more than the socket holds
		d.feed.write(fmt.Sprint("other:", n, long), "1")
	}
	time.Sleep(2 * time.Second) // the client is slow
	for n := range 130 {        // more than it is shown then
		d.feed.write(fmt.Sprint("other:", n), "1")
	}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("nothing was missed: %v", err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var entries []admin.FeedEntry
			if err := json.Unmarshal([]byte(data), &entries); err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(entries, func(e admin.FeedEntry) bool { return e.Kind == admin.FeedLost && e.Count > 0 }) {
				return
			}
		}
	}
}
