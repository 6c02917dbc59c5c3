package webhook_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/internal/secret"
)

// A preview is the request that is sent, save for what proves who sent it.
func TestPreviewIsWhatIsSent(t *testing.T) {
	for name, fields := range map[string]table{
		"default":  {},
		"own":      {"method": "put", "body": "{\"k\":{{json .key}}}\n\t", "headers": table{"X-Key": "{{.key}}", "x-plain": "a b"}},
		"binary":   {"format": "binary", "compress": "gzip"},
		"gzip":     {"compress": "gzip", "body": strings.Repeat("0123456789", 200)},
		"bodiless": {"method": "GET"},
		"signed":   {"sign": "whsec_c2lnbmluZyBrZXk="},
	} {
		t.Run(name, func(t *testing.T) {
			var got *http.Request
			var body []byte
			r := newReceiver(t, nil)
			r.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				got = req
				body, _ = io.ReadAll(req.Body)
			})
			fields["url"] = r.URL + "/in/{{.key}}?q={{.params.sku}}"
			a := newWebhook(t, fields, actions.Options{})
			f := actionstest.Firing()
			p, err := actions.Render(t.Context(), a, f)
			if err != nil {
				t.Fatal(err)
			}
			if r.requests.Load() > 0 {
				t.Error("a preview was sent")
			}
			if _, err := a.Do(t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if want := got.Method + " " + r.URL + got.RequestURI; strings.Join(p.Call, " ") != want {
				t.Errorf("got  %s\nwant %s", strings.Join(p.Call, " "), want)
			}
			if got.Header.Get("Content-Encoding") == "" && p.Body != string(body) {
				t.Errorf("got  %q\nwant %q", p.Body, body)
			}
			if fields["compress"] == "gzip" && (p.Body == "" || strings.Contains(p.Body, "\x1f")) {
				t.Errorf("the body is shown compressed: %q", p.Body)
			}
			shown := http.Header{}
			for _, n := range p.Named {
				shown.Add(n.Name, n.Value)
			}
			for _, name := range []string{"Content-Length", "Accept-Encoding"} { // of the connection
				got.Header.Del(name)
			}
			for _, name := range []string{"Webhook-Timestamp", "Webhook-Signature"} {
				if (shown.Get(name) == "") != (got.Header.Get(name) == "") {
					t.Errorf("%s is shown as %q and sent as %q", name, shown.Get(name), got.Header.Get(name))
				}
				shown.Del(name)
				got.Header.Del(name)
			}
			for name := range got.Header {
				if shown.Get(name) != got.Header.Get(name) {
					t.Errorf("%s is shown as %q and sent as %q", name, shown.Get(name), got.Header.Get(name))
				}
				shown.Del(name)
			}
			if len(shown) > 0 {
				t.Errorf("%v is shown and not sent", shown)
			}
		})
	}
}

// Whatever field a secret is in, no form of it is in the preview, and what is
// data is.
func TestPreviewMasks(t *testing.T) {
	const value = "s3cr3t/v+lue-Qz9"
	known := actions.Options{Secrets: secret.New(value)}
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + value))
	for name, tt := range map[string]struct {
		fields table
		o      actions.Options
		want   string
	}{
		"password of the URL":     {table{"url": "https://me:s3cr3t%2Fv%2Blue-Qz9@h/"}, actions.Options{}, "Authorization: Basic ***\n"},
		"path":                    {table{"url": "https://h/T0/B0/s3cr3t%2Fv%2Blue-Qz9/{{.key}}"}, actions.Options{}, "POST https://h/T0/B0/***/stock%3A42\n"},
		"path, known":             {table{"url": "https://h/{{.key}}/s3cr3t%2Fv%2Blue-Qz9"}, known, "POST https://h/stock%3A42/***\n"},
		"query":                   {table{"url": "https://h/?a=b&x=s3cr3t%2Fv%2Blue-Qz9&k={{.key}}"}, actions.Options{}, "POST https://h/?a=b&x=***&k=stock%3A42\n"},
		"query, by its name":      {table{"url": "https://h/?api_key=abc-1&key={{.key}}"}, actions.Options{}, "POST https://h/?api_key=***&key=stock%3A42\n"},
		"header":                  {table{"headers": table{"X-Api-Key": value}}, actions.Options{}, "X-Api-Key: ***\n"},
		"short header":            {table{"headers": table{"X-Api-Key": "abc"}}, actions.Options{}, "X-Api-Key: ***\n"},
		"header with a scheme":    {table{"headers": table{"Authorization": "Token " + value}}, actions.Options{}, "Authorization: Token ***\n"},
		"header and data":         {table{"headers": table{"Authorization": "{{.params.sku}} " + value + "{{.key}}"}}, actions.Options{}, "Authorization: ***\n"},
		"header in a template":    {table{"headers": table{"X-Api-Key": `{{print "` + value + `"}}`}}, actions.Options{}, "X-Api-Key: ***\n"},
		"header by another name":  {table{"headers": table{"X-Trace": "is " + value}}, known, "X-Trace: is ***\n"},
		"header of data alone":    {table{"headers": table{"X-Key": "{{.key}}"}}, actions.Options{}, "X-Key: stock:42\n"},
		"the same in the body":    {table{"headers": table{"X-Api-Key": value}, "body": "with " + value}, actions.Options{}, "\n\nwith ***"},
		"bearer":                  {table{"bearer": value}, actions.Options{}, "Authorization: Bearer ***\n"},
		"basic":                   {table{"basic": table{"user": "me", "password": value}, "body": basic}, actions.Options{}, "Authorization: Basic ***\n"},
		"oauth2":                  {table{"oauth2": table{"token_url": "https://idp/", "client_id": "i", "client_secret": value}}, actions.Options{}, "Authorization: Bearer ***\n"},
		"sign":                    {table{"sign": list(value, "whsec_"+base64.StdEncoding.EncodeToString([]byte(value)))}, actions.Options{}, "Webhook-Signature: ***\n"},
		"body, known":             {table{"body": "password=s3cr3t%2Fv%2Blue-Qz9&key={{.key}}"}, known, "\n\npassword=***&key=stock:42"},
		"data, known to be one":   {table{"body": "{{.params.token}}"}, known, "\n\n***"},
		"secret where it is cut":  {table{"body": strings.Repeat("#", 64<<10-5) + value}, known, "####...(+11 bytes)"},
		"header where it is none": {table{"headers": table{"Idempotency-Key": "{{.id}}"}}, actions.Options{}, "Idempotency-Key: 8d1f4c40a5b8"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.fields["url"] == nil {
				tt.fields["url"] = "https://h/"
			}
			f := actionstest.Firing()
			if name == "data, known to be one" {
				f.Params["token"] = value
			}
			p, err := actions.Render(t.Context(), newWebhook(t, tt.fields, tt.o), f)
			if err != nil {
				t.Fatal(err)
			}
			text := p.String()
			for _, form := range append(actionstest.FormsOf(value), basic, value[:5], "abc-1") {
				if strings.Contains(text, form) {
					t.Errorf("%q is in\n%s", form, text)
				}
			}
			if tt.want = strings.ReplaceAll(tt.want, "####", "#***"); !strings.Contains(text, tt.want) {
				t.Errorf("got\n%s\nwant %q in it", text, tt.want)
			}
		})
	}
}

// What cannot be sent cannot be shown, and says why as Do does.
func TestPreviewOfWhatCannotBeSent(t *testing.T) {
	for name, fields := range map[string]table{
		"template": {"url": "https://h/", "body": actionstest.Unrenderable},
		"path":     {"url": "https://h/{{.params.dots}}"},
		"header":   {"url": "https://h/", "headers": table{"X-Arg": actionstest.Unrenderable}},
	} {
		a := newWebhook(t, fields, actions.Options{})
		f := actionstest.Firing()
		f.Params["dots"] = ".."
		_, err := actions.Render(t.Context(), a, f)
		_, sent := a.Do(t.Context(), f)
		if !actions.IsUnsent(err) || err.Error() != sent.Error() {
			t.Errorf("%s: Render says %v, Do says %v", name, err, sent)
		}
	}
}

// A preview ends with its context, however long its template takes.
func TestPreviewEnds(t *testing.T) {
	a := newWebhook(t, table{"url": "https://h/", "body": "{{range .args}}{{range $.args}}{{end}}{{end}}"}, actions.Options{})
	f := actionstest.Firing()
	f.Event.Args = make([][]byte, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := actions.Render(ctx, a, f); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
