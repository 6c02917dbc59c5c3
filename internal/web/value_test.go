package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/web"
)

const keepsStock = `
[[rule]]
name = "stock"
key = ["stock:*", "x*"]
values = true
action = [{ type = "log" }]
`

// The value of a key is told as it is at the moment, if a rule has it kept.
func TestValue(t *testing.T) {
	d := start(t, openStore(t), keepsStock, nil)
	ask := func(key string) (v admin.KeyValue) {
		t.Helper()
		answer := make(chan []byte)
		go func() {
			defer close(answer)
			limit := time.Now().Add(patience)
			status, b := askValue(d.URL, key)
			for status == http.StatusServiceUnavailable && time.Now().Before(limit) { // the machine was busy
				status, b = askValue(d.URL, key)
			}
			if status == http.StatusOK {
				answer <- b
			}
		}()
		for { // the stream answers between two records
			select {
			case b, ok := <-answer:
				if !ok {
					t.Fatalf("no answer about %s", key)
				}
				if err := json.Unmarshal(b, &v); err != nil {
					t.Fatal(err)
				}
				return v
			case <-time.After(time.Millisecond):
				d.feed.write("other", "x")
			}
		}
	}
	d.feed.write("stock:7", "5")
	d.feed.write("x\xff", strings.Repeat("a", 1<<20+1))
	if v := ask("stock:7"); !v.Kept || !v.Known || v.Type != "string" || v.Size != 1 || v.Cut || string(v.Value) != `"5"` {
		t.Errorf("stock:7 is %+v", v)
	}
	if v := ask("x\xff"); !v.Known || v.Size != 1<<20+1 || !v.Cut || len(v.Value) != 1<<20+2 {
		t.Errorf("a long value: %v, %d, %v, %d", v.Known, v.Size, v.Cut, len(v.Value))
	}
	if v := ask("stock:8"); !v.Kept || v.Known || string(v.Value) != "null" {
		t.Errorf("stock:8 is %+v", v)
	}
	if v := ask("other"); v.Kept || v.Known {
		t.Errorf("other is %+v", v)
	}
	for _, query := range []string{"", "?db=0", "?key=a&db=x", "?key=a&db=-1", "?key=a&what=1"} {
		d.ask("GET", "/api/v1/value"+query, "", 400, nil)
	}
}

// askValue asks for the value of a key of database 0. A status of 0 is no answer.
func askValue(daemon, key string) (status int, answer json.RawMessage) {
	resp, err := http.Get(daemon + "/api/v1/value?db=0&key=" + url.QueryEscape(key))
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return 0, nil
	}
	return resp.StatusCode, answer
}

// Where values are hidden none is told, and who has no token is told nothing.
func TestValueIsHidden(t *testing.T) {
	d := start(t, openStore(t), keepsStock, func(c *web.Config) { c.HideValues = true })
	d.feed.write("stock:7", secretPath)
	d.ask("GET", "/api/v1/value?key=stock:7", "", 403, nil)
	d = start(t, openStore(t), keepsStock, func(c *web.Config) { c.Token = "0123456789abcdef" })
	d.feed.write("stock:7", secretPath)
	d.ask("GET", "/api/v1/value?key=stock:7", "", 401, nil)
}

// A stream that does not get on answers nobody, who is told so in time.
func TestValueOfABusyStream(t *testing.T) {
	d := start(t, openStore(t), keepsStock, nil) // no record comes
	began := time.Now()
	d.ask("GET", "/api/v1/value?key=stock:7", "", 503, nil)
	if took := time.Since(began); took > patience {
		t.Errorf("after %s", took)
	}
}
