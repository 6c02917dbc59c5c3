package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/webhook"
	"triggerd/actions/webhook/preset"
	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// serviceFieldsOf are the fields of a webhook with the format of a service.
func serviceFieldsOf(name, url string) table {
	fields := table{"format": name, "url": url}
	if name == "pagerduty" {
		fields["routing_key"] = "R0UT1NG-KEY-0123456789"
	}
	return fields
}

// What a service is sent is JSON, and what the preview shows, save for the key.
func TestServices(t *testing.T) {
	for _, name := range preset.Names() {
		t.Run(name, func(t *testing.T) {
			var path, contentType, signature string
			var body []byte
			r := newReceiver(t, nil)
			r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				path, contentType, signature = req.URL.Path, req.Header.Get("Content-Type"), req.Header.Get("Webhook-Signature")
				body, _ = io.ReadAll(req.Body)
				w.WriteHeader(http.StatusAccepted)
			})
			fields := serviceFieldsOf(name, r.URL)
			fields["sign"] = "whsec_c2lnbmluZyBrZXk="
			a := newWebhook(t, fields, actions.Options{Rule: func(rule string) actions.Rule {
				return actions.Rule{Severity: "critical", Description: "about " + rule}
			}})
			f := actionstest.Firing()
			p, err := actions.Render(t.Context(), a, f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if !json.Valid(body) || contentType != "application/json" || signature == "" {
				t.Errorf("got %s, %s, signed %q", contentType, body, signature)
			}
			if want := map[string]string{"alertmanager": "/api/v2/alerts"}[name]; path != want && path != "/" {
				t.Errorf("sent to %s, want %s", path, want)
			}
			shown := strings.NewReplacer("R0UT1NG-KEY-0123456789", secret.Mark).Replace(string(body))
			if name != "alertmanager" && p.Body != shown { // which has the time in it
				t.Errorf("sent  %s\nshown %s", body, p.Body)
			}
			if !strings.Contains(string(body), "critical") && name != "discord" || !strings.Contains(string(body), string(f.Event.Key)) {
				t.Errorf("neither severity nor key is in %s", body)
			}
		})
	}
}

// A key, and a URL that is one, is shown nowhere.
func TestServiceSecrets(t *testing.T) {
	const key = "R0UT1NG-KEY-0123456789"
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, req.RequestURI+" "+string(b))
	})
	for name, fields := range map[string]table{
		"routing_key": {"format": "pagerduty", "routing_key": key, "url": r.URL},
		"path":        {"format": "slack", "url": r.URL + "/services/T0/B0/" + key},
		"query":       {"format": "teams", "url": r.URL + "/?sp=x&sig=" + key},
		"in the text": {"format": "pagerduty", "routing_key": key, "url": r.URL, "text": "the key is " + key},
	} {
		a := newWebhook(t, fields, actions.Options{})
		res, err := a.Do(t.Context(), actionstest.Firing())
		if err == nil {
			t.Fatalf("%s: delivered", name)
		}
		actionstest.CheckMasked(t, res, err, key)
		p, err := actions.Render(t.Context(), a, actionstest.Firing())
		if text := p.String(); err != nil || strings.Contains(text, key) || !strings.Contains(text, secret.Mark) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		if d := actions.Destination(a); strings.Contains(d, key) {
			t.Errorf("%s: the destination is %s", name, d)
		}
	}
}

// What each service says about a request that it will not take later either, and
// about one that came too early.
func TestServiceStatuses(t *testing.T) {
	code := 0
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(code)
	})
	for _, name := range preset.Names() {
		a := newWebhook(t, serviceFieldsOf(name, r.URL), actions.Options{})
		for _, tt := range []struct {
			code  int
			final bool
		}{{400, true}, {401, name != "alertmanager"}, {403, name != "alertmanager"}, {404, name != "alertmanager"}, {410, true}, {429, false}, {500, false}, {503, false}} {
			code = tt.code
			_, err := a.Do(t.Context(), actionstest.Firing())
			wait, asked := actions.RetryDelay(err)
			if actions.IsPermanent(err) != tt.final || asked == tt.final || asked && wait != 7*time.Second {
				t.Errorf("%s, %d: final %v, wait %s, %v", name, code, actions.IsPermanent(err), wait, err)
			}
		}
	}
	fields := serviceFieldsOf("slack", r.URL)
	fields["retry_on"] = list(int64(404))
	code = http.StatusNotFound
	if _, err := newWebhook(t, fields, actions.Options{}).Do(t.Context(), actionstest.Firing()); actions.IsPermanent(err) {
		t.Errorf("what the user tries again is given up: %v", err)
	}
}

// What an action with a service's format tells of itself, masked or not.
func TestServiceTells(t *testing.T) {
	values := event.PartBefore | event.PartAfter
	for name, tt := range map[string]struct {
		fields table
		reads  event.Parts
		limit  int
		tracks bool
	}{
		"slack":        {serviceFieldsOf("slack", "https://h/"), values, 1, false},
		"discord":      {serviceFieldsOf("discord", "https://h/"), values, 5, false},
		"teams":        {serviceFieldsOf("teams", "https://h/"), values, 4, false},
		"pagerduty":    {table{"format": "pagerduty", "routing_key": "key"}, values, 0, true},
		"alertmanager": {serviceFieldsOf("alertmanager", "https://h/"), values, 0, true},
		"own text":     {table{"format": "slack", "url": "https://h/", "text": "{{.key}} is {{.type}}"}, 0, 1, false},
		"own values":   {table{"format": "slack", "url": "https://h/", "text": "{{.before.status}}"}, event.PartBefore, 1, false},
		"none":         {table{"url": "https://h/"}, 0, 0, false},
	} {
		for _, o := range []actions.Options{{}, {Secrets: secret.New("hunter2")}} {
			a := newWebhook(t, tt.fields, o)
			limit, _ := actions.Rate(a)
			if actions.Reads(a)&values != tt.reads || limit != tt.limit || actions.Tracks(a) != tt.tracks {
				t.Errorf("%s: reads %b, %d at most, tracks %v", name, actions.Reads(a), limit, actions.Tracks(a))
			}
		}
	}
	a := newWebhook(t, table{"format": "slack", "url": "https://h/", "text": "{{.before.status}}"}, actions.Options{})
	if e := actions.Elements(a); len(e) != 1 || e[0] != "status" {
		t.Errorf("elements %q", e)
	}
	if d := actions.Destination(newWebhook(t, table{"format": "pagerduty", "routing_key": "key"}, actions.Options{})); d != "https://events.pagerduty.com" {
		t.Errorf("pagerduty is at %s", d)
	}
}

// A service that is sent an event as it is, is warned of; one that is sent a body
// of the user's own is not.
func TestServiceWarnings(t *testing.T) {
	for name, tt := range map[string]struct {
		fields table
		want   string
	}{
		"slack":    {table{"url": "https://hooks.slack.com/services/T0/B0/x"}, `url: hooks.slack.com does not take the JSON of an event; write format = "slack"`},
		"binary":   {table{"url": "https://discord.com/api/webhooks/1/x", "format": "binary"}, `url: discord.com does not take`},
		"own body": {table{"url": "https://hooks.slack.com/services/T0/B0/x", "body": `{"text":"x"}`}, ""},
		"format":   {table{"url": "https://hooks.slack.com/services/T0/B0/x", "format": "slack"}, ""},
		"other":    {table{"url": "https://slack.example.com/"}, ""},
		"get":      {table{"url": "https://discord.com/", "method": "GET"}, ""},
	} {
		all := actions.Warnings(newWebhook(t, tt.fields, actions.Options{}))
		if len(all) == 0 && tt.want == "" {
			continue
		}
		if len(all) != 1 || tt.want == "" || !strings.HasPrefix(all[0].Error(), tt.want) || all[0].WarningCode() != "service-format" {
			t.Errorf("%s: %v, want %q", name, all, tt.want)
		}
	}
}

// A text that cannot be rendered is not sent, and says so.
func TestServiceTextFails(t *testing.T) {
	a := newWebhook(t, table{"format": "slack", "url": "https://h/", "text": actionstest.Unrenderable}, actions.Options{})
	if _, err := a.Do(t.Context(), actionstest.Firing()); !actions.IsUnsent(err) || !strings.Contains(err.Error(), "text: ") {
		t.Errorf("got %v", err)
	}
}

// The suite of all actions holds for each service.
func TestServiceSuite(t *testing.T) {
	for _, name := range preset.Names() {
		t.Run(name, func(t *testing.T) {
			actionstest.Run(t, func(t *testing.T) actions.Action {
				return actionstest.New(t, &webhook.Kind, serviceFieldsOf(name, newReceiver(t, func(http.ResponseWriter, *http.Request) {}).URL), actions.Options{})
			})
		})
	}
}
