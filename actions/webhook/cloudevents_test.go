package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
)

// capture is a receiver that keeps the last request and its body.
func capture(t *testing.T) (r *receiver, header *http.Header, body *[]byte) {
	header, body = new(http.Header), new([]byte)
	r = newReceiver(t, nil)
	r.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		*header = req.Header
		*body, _ = io.ReadAll(req.Body)
	})
	return r, header, body
}

// TestWebhookBinary reads a CloudEvent back from headers and body as a receiver
// would, and compares it with the structured one of the same firing.
func TestWebhookBinary(t *testing.T) {
	for name, change := range map[string]func(f *actions.Firing){
		"plain":         func(*actions.Firing) {},
		"not ASCII":     func(f *actions.Firing) { f.Event.Key = []byte("Euro € 😀 \"100%\"") },
		"control":       func(f *actions.Firing) { f.Event.Key = []byte("a\r\nce-id: forged\x7f") },
		"not UTF-8":     func(f *actions.Firing) { f.Event.Key = []byte("\xff") },
		"no key":        func(f *actions.Firing) { f.Event.Key, f.Event.Name = nil, "flushall" },
		"odd rule name": func(f *actions.Firing) { f.Rule, f.ID = "ä \"%\"", "a:1/0:ä%20 \"/b" },
	} {
		t.Run(name, func(t *testing.T) {
			r, header, body := capture(t)
			f := actionstest.Firing()
			change(f)
			if _, err := newWebhook(t, table{"url": r.URL, "format": "binary"}, actions.Options{}).Do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			for name, values := range *header {
				if attribute, ok := strings.CutPrefix(name, "Ce-"); ok {
					value, err := url.PathUnescape(values[0])
					if err != nil || strings.ContainsAny(values[0], "\" ") {
						t.Errorf("%s: %q is not percent-encoded: %v", name, values[0], err)
					}
					got[strings.ToLower(attribute)] = value
				}
			}
			got["datacontenttype"] = header.Get("Content-Type")
			var data any
			if err := json.Unmarshal(*body, &data); err != nil {
				t.Fatal(err)
			}
			got["data"] = data
			var want map[string]any
			if err := json.Unmarshal(f.AppendJSON(nil), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%v\nwant\n%v", got, want)
			}
			if header.Get("Ce-Id") == "" || header.Get("Webhook-Id") != f.ID.String() {
				t.Errorf("webhook-id %q, ce-id %q", header.Get("Webhook-Id"), header.Get("Ce-Id"))
			}
		})
	}
	t.Run("percent-encoding", func(t *testing.T) { // the example of the binding's section 3.1.3.2
		r, header, _ := capture(t)
		f := actionstest.Firing()
		f.Event.Key = []byte("Euro € 😀")
		if _, err := newWebhook(t, table{"url": r.URL, "format": "binary"}, actions.Options{}).Do(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if got, want := header.Get("Ce-Subject"), "Euro%20%E2%82%AC%20%F0%9F%98%80"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("key too long for a header", func(t *testing.T) {
		r, header, body := capture(t)
		f := actionstest.Firing()
		f.Event.Key = []byte(strings.Repeat("k", 20<<10))
		if _, err := newWebhook(t, table{"url": r.URL, "format": "binary"}, actions.Options{}).Do(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if _, there := (*header)["Ce-Subject"]; there || !strings.Contains(string(*body), string(f.Event.Key)) || header.Get("Ce-Id") == "" {
			t.Errorf("got %v and a body of %d bytes", *header, len(*body))
		}
	})
	t.Run("own body and extension", func(t *testing.T) {
		r, header, body := capture(t)
		a := newWebhook(t, table{"url": r.URL, "format": "binary", "body": "{{.key}}!", "content_type": "text/x-key", "headers": table{"ce-partitionkey": "{{.params.sku}}"}}, actions.Options{})
		if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
			t.Fatal(err)
		}
		if string(*body) != "stock:42!" || header.Get("Content-Type") != "text/x-key" || header.Get("Ce-Subject") != "stock:42" || header.Get("Ce-Partitionkey") != "42" {
			t.Errorf("got %q with %v", *body, *header)
		}
	})
	t.Run("GET", func(t *testing.T) {
		r, header, body := capture(t)
		if _, err := newWebhook(t, table{"url": r.URL, "format": "binary", "method": "GET"}, actions.Options{}).Do(t.Context(), actionstest.Firing()); err != nil {
			t.Fatal(err)
		}
		if len(*body) > 0 || header.Get("Ce-Subject") != "stock:42" || header.Get("Content-Type") != "" {
			t.Errorf("got %q with %v", *body, *header)
		}
	})
	t.Run("structured", func(t *testing.T) {
		r, header, body := capture(t)
		f := actionstest.Firing()
		if _, err := newWebhook(t, table{"url": r.URL, "format": "structured"}, actions.Options{}).Do(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if string(*body) != string(f.AppendJSON(nil)) || header.Get("Content-Type") != "application/cloudevents+json" || header.Get("Ce-Id") != "" {
			t.Errorf("got %q with %v", *body, *header)
		}
	})
}
