package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-resty/resty/v2"

	"triggerd/actions"
	"triggerd/actions/webhook/preset"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
	"triggerd/internal/tmpl"
)

// Kind is the kind webhook.
var Kind = actions.Kind{
	Name: "webhook", Doc: "posts the event", Concurrency: 16, New: newWebhook,
	Fields: []actions.Field{
		{Name: "url", Required: true, Unless: "routing_key", Template: true, URL: true, Doc: "`http://` or `https://`; templates in path and query only, and what they write is escaped; `user:password@` becomes basic authentication. `format = \"pagerduty\"` needs none"},
		{Name: "method", Values: methods, Default: `"POST"`, Doc: "the last two send no body"},
		{Name: "headers", Type: actions.TextTable, Template: true, Doc: "those that the protocol or triggerd sets are refused"},
		{Name: "body", Template: true, Doc: "by default the event as JSON"},
		{Name: "content_type", Doc: "by default `application/cloudevents+json`, or `application/json` with `format = \"binary\"`; of a `body` `application/json` if that is JSON with a value for each of its templates, else `text/plain`"},
		{Name: "escape", Values: []string{"json", "none"}, Default: `"json"`, Doc: "what the templates of a `body` write into JSON: see [Templates](#templates); `\"none\"`: the bytes as they are"},
		{Name: "format", Values: append([]string{"structured", "binary"}, preset.Names()...), Default: `"structured"`, Doc: "the body is the whole event; or its attributes are `ce-*` headers, the body its data or your own `body`; or what a service takes, see [Formats](#formats)"},
		{Name: "text", Template: true, Doc: "with a service's `format`: what happened, in your words"},
		{Name: "severity", Values: preset.Severities, Doc: "with a service's `format`; by default the rule's, where it is one of these or a usual word for one; in an alert's label as the rule has it"},
		{Name: "routing_key", Secret: true, Doc: "with `format = \"pagerduty\"`: the key of the integration, of the type Events API v2"},
		{Name: "labels", Type: actions.TextTable, Doc: "with `format = \"alertmanager\"`: further labels of the alert"},
		{Name: "keep", Doc: "with `format = \"alertmanager\"`: how long an alert lasts of which nothing more is heard; by default three times the `repeat` of the rule, or `\"24h\"` where it is resolved, or `\"1h\"`"},
		{Name: "compress", Values: []string{"none", "gzip"}, Default: `"none"`, Doc: "for bodies over 1 KiB; the signature covers the bytes as sent: verify, then decompress"},
		{Name: "sign", Type: actions.TextOrTexts, Secret: true, Doc: "secrets (`whsec_…`, `whsk_…` for ed25519, or any text): [Standard Webhooks](https://www.standardwebhooks.com) signatures"},
		{Name: "bearer", Secret: true, Doc: "token for the header `Authorization`"},
		{Name: "basic", Type: actions.Table, Doc: "for the header `Authorization`", Fields: []actions.Field{
			{Name: "user", Required: true},
			{Name: "password", Required: true, Secret: true},
		}},
		{Name: "oauth2", Type: actions.Table, Doc: "client credentials; the token is kept until shortly before it expires, and got anew once when the receiver answers 401", Fields: []actions.Field{
			{Name: "token_url", Required: true, URL: true, Doc: "`http://` or `https://`"},
			{Name: "client_id", Required: true},
			{Name: "client_secret", Required: true, Secret: true},
			{Name: "scopes", Type: actions.Texts, Doc: "to ask for"},
			{Name: "params", Type: actions.TextTable, Doc: "further parameters, such as `audience` or `resource`"},
			{Name: "auth", Values: []string{"basic", "body"}, Default: `"basic"`, Doc: "how id and secret are sent; `body` for servers that know no better"},
			{Name: "tls", Type: actions.Table, Doc: "for the token server; the webhook's own is not shown to it", Fields: tlsFields},
		}},
		{Name: "http2", Type: actions.Flag, Default: "false", Doc: "HTTP/2 where an `https://` receiver offers it"},
		{Name: "success_on", Type: actions.Statuses, Doc: "what this receiver means by success, beside the default"},
		{Name: "retry_on", Type: actions.Statuses, Doc: "what is tried again"},
		{Name: "drop_on", Type: actions.Statuses, Doc: "what is given up at once"},
		{Name: "tls", Type: actions.Table, Doc: "files", Fields: tlsFields},
		{Name: "proxy", URL: true, Doc: "URL (`http`, `https`, `socks5`), or `\"none\"`; by default what `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say"},
		{Name: "deny_private", Type: actions.Flag, Default: "false", Doc: "public addresses only, never through a proxy. Link-local and metadata addresses are refused always, however they are spelled; a name that a proxy would look up is looked up here first, if it is known here"},
	},
}

var tlsFields = []actions.Field{
	{Name: "ca", Doc: "authorities, instead of the system's"},
	{Name: "cert", Doc: "with `key`: the certificate to show"},
	{Name: "key"},
}

// webhook sends one HTTP request per firing.
//
// Every request carries webhook-id (the firing's ID), webhook-timestamp,
// traceparent and User-Agent. The status alone decides: a 2xx whose body then
// breaks or never ends is delivered. A redirect is not followed; it is an
// answer like another, and by default tried again. An answer that did not
// deliver and has the header "webhook-delivery: abort-message" is final,
// whatever its status (Svix, "Delivery Control").
//
// The signature covers the body as it is sent, so after compression: what is
// signed and what is sent must be the same bytes (Standard Webhooks 1.0.0,
// "Signature scheme"). A receiver verifies first and decompresses then.
type webhook struct {
	client    *resty.Client
	transport *http.Transport
	timeout   time.Duration
	agent     string

	method       string
	origin       string         // scheme://host:port, all of the URL that messages show
	target       *tmpl.Template // what follows the origin: path and query
	fixed        string         // both; "": target has a template in it
	headers      []header
	authorizedBy string         // the field that makes the header Authorization; "": none
	tokens       *tokens        // of oauth2; nil: none
	body         *tmpl.Template // nil: the firing's JSON
	contentType  string         // "": no body
	warnings     []*actions.FieldError
	service      *service // the format is that of a service; nil: it is not
	binary       bool     // CloudEvents attributes as headers
	gzip         bool
	signers      []signer
	statuses     statusRules
	credentials  credentials                 // of the fields
	masker       *secret.Masker              // of the fields and beyond; those of a request come on top
	hidden       credentials                 // what the user wrote into headers, path and query that is not shown
	shown        *secret.Masker              // masker, with hidden
	first        atomic.Pointer[sentPreview] // what was told of a first request; nil: it is not like others
}

type header struct {
	name  string // canonical
	value *tmpl.Template
}

func newWebhook(s *actions.Settings) (actions.Action, error) {
	w := &webhook{timeout: s.Timeout, agent: s.UserAgent, statuses: newStatusRules(s)}
	w.takeService(s, w.takeFormat(s))
	w.takeHeaders(s)
	u := w.takeURL(s)
	w.takeBody(s)
	w.warnOfService(s, u)
	w.takeSign(s)
	w.takeBearer(s)
	w.takeBasic(s)

	denyPrivate := s.Flag("deny_private")
	checkHost(s, "url", u, denyPrivate)
	t := transport{connections: s.Concurrency, timeout: s.Timeout, denyPrivate: denyPrivate, proxy: w.takeProxy(s, denyPrivate)}
	w.takeOAuth2(s, t)
	t.tls, t.http2 = takeTLS(s, u.Scheme), takeHTTP2(s, u.Scheme)
	w.transport = t.open()
	w.masker = s.Secrets.With(w.credentials...)
	for i := range w.headers {
		w.hidden = w.hidden.add(w.headers[i].written()...)
	}
	if w.target != nil {
		w.hidden = w.hidden.ofTarget(w.target)
	}
	w.shown = w.masker.With(w.hidden...)
	if w.tokens != nil {
		w.tokens.masker = w.masker
	}

	// resty.New follows a redirect with an empty GET that carries our signature
	// and reports 200, keeps cookies, and has a transport of its own.
	w.client = resty.NewWithClient(&http.Client{Transport: w.transport, CheckRedirect: neverRedirect})
	w.client.SetLogger(silent{}).SetDisableWarn(true)
	return w, nil
}

// silent keeps resty from writing to standard error on its own.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

// Close closes the connections that are kept for the next firing.
func (w *webhook) Close() error {
	w.transport.CloseIdleConnections()
	if w.tokens != nil {
		w.tokens.client.CloseIdleConnections()
	}
	return nil
}

// LogValue shows where the webhook goes and nothing secret.
func (w *webhook) LogValue() slog.Value { return slog.StringValue(w.method + " " + w.origin) }

// Destination is scheme and host.
func (w *webhook) Destination() string { return w.origin }

// Reads is what the templates of url, headers and body read.
func (w *webhook) Reads() event.Parts {
	parts := w.target.Reads() | w.body.Reads() | w.service.reads()
	for _, h := range w.headers {
		parts |= h.value.Reads()
	}
	return parts
}

// SendsEvent reports whether the body is the event.
func (w *webhook) SendsEvent() bool { return w.body == nil && w.service == nil && w.contentType != "" }

// Elements is what they read of values.
func (w *webhook) Elements() []string {
	names := append(w.target.Elements(), w.body.Elements()...)
	names = append(names, w.service.elements()...)
	for _, h := range w.headers {
		names = append(names, h.value.Elements()...)
	}
	return names
}

// Params are the names that the templates read of what a key pattern captured.
func (w *webhook) Params() []string { return w.templates().Params() }

// KeyPieces is what is known of the names of other keys that the templates read.
func (w *webhook) KeyPieces() [][]string { return w.templates().KeyPieces() }

// OtherKeys are these keys for a firing.
func (w *webhook) OtherKeys(f *firing.Firing) []string { return w.templates().OtherKeys(f) }

func (w *webhook) templates() tmpl.Templates {
	list := tmpl.Templates{w.target, w.body}
	if w.service != nil {
		list = append(list, w.service.text)
	}
	for _, h := range w.headers {
		list = append(list, h.value)
	}
	return list
}

var originPattern = regexp.MustCompile(`^(?i:(https?)://)([^/?#]*)(.*)$`)

// takeURL splits the url field. The result is never nil; it is empty after a
// mistake. No message quotes the URL, or an error of net/url, which would quote
// a password that was not encoded.
func (w *webhook) takeURL(s *actions.Settings) *url.URL {
	none := &url.URL{}
	raw, ok := s.Text("url")
	if !ok && !s.Has("url") {
		raw, ok = w.service.url()
		if !ok {
			s.Fail("url", "is required: write url = \"https://...\"")
		}
	}
	if !ok {
		return none
	}
	m := originPattern.FindStringSubmatch(raw)
	if m == nil {
		s.Fail("url", "must start with http:// or https://, without a template before or in it")
		return none
	}
	authority, rest := m[2], m[3]
	if strings.Contains(authority, "{{") {
		s.Fail("url", "a template may not be in the host, port or user, only in path and query")
		return none
	}
	u, err := url.Parse(strings.ToLower(m[1]) + "://" + authority)
	if err != nil {
		s.Fail("url", "the part between :// and the path is not [user:password@]host[:port]; in user and password, percent-encode everything but letters and digits")
		return none
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Hostname() == "" || u.Port() != "" && (err != nil || port == 0) {
		s.Fail("url", "needs a host and, if any, a port from 1 to 65535")
		return none
	}
	w.takeUser(s, u)
	w.origin = u.Scheme + "://" + u.Host
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	rest = w.service.path(rest)
	if w.target = s.URLTemplate("url", rest); w.target != nil {
		if err := checkTarget(w.target.Sample()); err != nil {
			s.Fail("url", "%w", err)
		}
		if text, fixed := w.target.Fixed(); fixed {
			w.fixed = w.origin + text
		}
	}
	return u
}

// url renders the URL of a request.
func (w *webhook) url(ctx context.Context, v *tmpl.View) (string, error) {
	if w.fixed != "" {
		return w.fixed, nil
	}
	target, err := w.target.Render(ctx, v, maxURL)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	if err := checkTarget(target); err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	return w.origin + target, nil
}

// checkTarget refuses a path and query that would not arrive as it is written.
func checkTarget(target string) error {
	if strings.Contains(target, "#") { // the user's own: data is encoded
		return errors.New("a fragment (#...) is never sent; leave it out, or write %23 for the character")
	}
	path, _, _ := strings.Cut(target, "?")
	for segment := range strings.SplitSeq(path, "/") {
		// A segment of dots takes segments away on the way to the handler.
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return errors.New("the path has a segment . or .. in it")
		}
	}
	if _, err := url.Parse(target); err != nil {
		return errors.New("path or query is not valid in a URL; percent-encode what is not a letter, digit or -._~")
	}
	return nil
}

// redeliveredHeader tells a receiver that it was sent this firing before.
const redeliveredHeader = "Triggerd-Redelivered"

// ownHeaders are not the user's to set; each has what to do instead.
var ownHeaders = map[string]string{
	"Content-Type":        "write content_type instead",
	"Content-Encoding":    "write compress = \"gzip\" to send it compressed",
	"Host":                "url names the host",
	"User-Agent":          "triggerd says who it is",
	"Webhook-Id":          "triggerd sets it",
	"Webhook-Timestamp":   "triggerd sets it",
	"Webhook-Signature":   "write sign instead",
	"Traceparent":         "triggerd sets it",
	redeliveredHeader:     "triggerd sets it",
	"Proxy-Authorization": "write user and password into proxy instead",
	"Content-Length":      "", "Connection": "", "Transfer-Encoding": "", "Te": "", "Trailer": "", "Upgrade": "",
	"Keep-Alive": "", "Proxy-Connection": "", "Expect": "",
}

// ownHeader tells whether a header, by its canonical name, is not the user's to
// set, and what to do instead.
func (w *webhook) ownHeader(name string) (instead string, own bool) {
	if w.binary && slices.Contains(attributeHeaders, name) {
		return "format = \"binary\" sets it", true
	}
	instead, own = ownHeaders[name]
	return instead, own
}

var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // a token, RFC 9110 section 5.6.2

func (w *webhook) takeHeaders(s *actions.Settings) {
	t, ok := s.Table("headers")
	if !ok {
		return
	}
	spelt := map[string]string{}
	for _, name := range t.Names() {
		text, ok := t.Text(name)
		if !ok {
			continue
		}
		canonical := http.CanonicalHeaderKey(name)
		other, twice := spelt[canonical]
		instead, own := w.ownHeader(canonical)
		switch {
		case !headerName.MatchString(name):
			t.Fail(name, "is not a header's name")
		case own:
			t.Fail(name, "is not a header to set: %s", cmp.Or(instead, "it belongs to the connection"))
		case twice:
			t.Fail(name, "is there twice, as %q too", other)
		case !validHeaderValue(text):
			t.Fail(name, "has a line break or another control character in it")
		default:
			spelt[canonical] = name
			value, err := tmpl.New(text)
			if err != nil && secret.NamesCredential(name) {
				err = errors.New("is not a valid template") // the message could quote the credential
			}
			if err != nil {
				t.Fail(name, "%w", err)
				continue
			}
			if canonical == "Authorization" {
				w.authorizedBy = t.Path(name)
			}
			w.headers = append(w.headers, header{canonical, value})
		}
	}
}

// validHeaderValue reports whether a value can be sent: no control characters,
// above all no line break, which would begin a header of the data's choice.
func validHeaderValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (w *webhook) takeFormat(s *actions.Settings) (name string) {
	name, given := s.Choice("format")
	w.binary = name == "binary"
	if given && name == "structured" && s.Has("body") {
		s.Fail("format", "is the firing's JSON, but there is a body too; leave out one, or write format = \"binary\"")
	}
	return name
}

func (w *webhook) takeBody(s *actions.Settings) {
	w.method = takeMethod(s)
	if w.service != nil {
		w.contentType = "application/json"
		return
	}
	bodiless := w.method == http.MethodGet || w.method == http.MethodHead
	text, own := s.Text("body")
	contentType, typed := s.Text("content_type")
	if bodiless && (own || typed) {
		s.Fail("body", "%s sends no body; leave body and content_type out, or choose another method", w.method)
	}
	if !validHeaderValue(contentType) || typed && contentType == "" {
		s.Fail("content_type", "is not a media type such as \"application/json\"")
	}
	w.contentType = "application/cloudevents+json"
	if w.binary {
		w.contentType = "application/json"
	}
	escape, escaped := s.Choice("escape")
	if escaped && !own {
		s.Fail("escape", "is of a body, and there is none")
	}
	if own {
		w.contentType = "text/plain; charset=utf-8"
		isJSON := tmpl.IsJSON(text)
		if isJSON {
			w.contentType = "application/json"
		}
		if typed {
			isJSON = isJSONType(contentType)
		}
		if isJSON && escape == "json" {
			w.body = s.JSONTemplate("body", text)
		} else {
			w.body = s.Template("body", text)
		}
		if !escaped && w.body != nil {
			w.warnOfBody(s, text, isJSON || typed)
		}
	}
	if typed {
		w.contentType = contentType
	}
	compress, _ := s.Choice("compress")
	w.gzip = compress == "gzip"
	if bodiless {
		w.body, w.contentType, w.gzip = tmpl.Text(""), "", false
	}
}

// warnOfBody warns of a body of which the data decides what it means, and whose
// user has not said that it is so meant. known tells that what it is, is.
func (w *webhook) warnOfBody(s *actions.Settings, text string, known bool) {
	warn := func(format string, args ...any) {
		w.warnings = append(w.warnings, &actions.FieldError{Name: s.Path("body"), Code: "body-json", Err: s.Secrets.MaskError(fmt.Errorf(format, args...))})
	}
	if texts := w.body.Texts(); len(texts) > 0 {
		warn("%s writes a text of the data, which is in quotes in JSON, also if it is a number; write num to make it one, or escape = \"json\" if that is meant, or escape = \"none\" to write it as it is", strings.Join(texts, ", "))
	}
	begin := strings.TrimLeft(text, " \t\r\n")
	if !known && (strings.HasPrefix(begin, "[") || strings.HasPrefix(begin, "{") && !strings.HasPrefix(begin, "{{")) {
		warn("begins as JSON, and is none with a value for each of its templates, so it is sent as text/plain, and nothing is escaped in it; set content_type to say what it is")
	}
}

// Warnings are of the body, and of a service that takes no such body.
func (w *webhook) Warnings() []*actions.FieldError { return w.warnings }

// isJSONType reports whether a media type is JSON.
func isJSONType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

// methods are those that a webhook may have, the default first.
var methods = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet, http.MethodHead}

// takeMethod takes the method field, in any case.
func takeMethod(s *actions.Settings) string {
	text, ok := s.Text("method")
	if !ok {
		return methods[0]
	}
	method := strings.ToUpper(text)
	if !slices.Contains(methods, method) {
		s.Fail("method", "must be one of %s, not %q", strings.Join(methods, ", "), text)
	}
	return method
}

// takeSecrets takes the sign field: a text or a list of them.
func takeSecrets(s *actions.Settings) []string {
	list, ok := s.TextOrTexts("sign")
	if ok && len(list) == 0 {
		s.Fail("sign", "is an empty list; leave it out to send no signature")
	}
	return list
}

func (w *webhook) takeSign(s *actions.Settings) {
	for i, text := range takeSecrets(s) {
		sign, err := newSigner(text)
		if err != nil {
			s.Fail("sign", "secret %d: %w", i+1, err)
			continue
		}
		w.signers = append(w.signers, sign)
		encoded := strings.TrimPrefix(strings.TrimPrefix(text, "whsec_"), "whsk_")
		w.credentials = w.credentials.add(text, encoded)
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil && encoded != text {
			w.credentials = w.credentials.add(string(key))
		}
	}
}

// Do makes one request. See webhook for what counts as delivered.
func (w *webhook) Do(ctx context.Context, f *firing.Firing) (actions.Result, error) {
	ctx, cancel := actions.WithTimeout(ctx, w.timeout, "no answer")
	defer cancel()

	r, err := w.newRequest(ctx, f, time.Now())
	if err != nil {
		return actions.Result{}, actions.Unrendered(ctx, fmt.Errorf("%s: %w", w.label(), err))
	}
	resp, stale, err := w.send(ctx, r)
	if err == nil && stale {
		resp.Body.Close() // not read to its end: it may have none
		resp, _, err = w.send(ctx, r)
	}
	if err != nil {
		return actions.Result{}, err
	}
	return w.answer(ctx, resp, r)
}

// send sends a request and returns the answer to it, whose body the caller
// closes. It is stale if the receiver refused an access token that had been
// kept from an earlier attempt: to send once more may help.
func (w *webhook) send(ctx context.Context, r *request) (resp *http.Response, stale bool, err error) {
	var token string
	var kept bool
	if w.tokens != nil {
		if token, kept, err = w.tokens.get(ctx); err != nil {
			return nil, false, actions.Unreached(fmt.Errorf("%s: %w", w.label(), err))
		}
		r.header.Set("Authorization", "Bearer "+token)
	}
	var c connection
	req := w.client.R().SetContext(c.watch(ctx)).SetDoNotParseResponse(true)
	req.Header = r.header
	if r.body != nil {
		req.SetBody(bytes.NewReader(r.body))
	}
	answer, err := req.Execute(w.method, r.url)
	if err != nil {
		return nil, false, c.failure(w.failure(ctx, r, err))
	}
	resp = answer.RawResponse
	if w.tokens != nil && resp.StatusCode == http.StatusUnauthorized && w.statuses.of(resp.StatusCode) != delivered {
		w.tokens.drop(token)
		return resp, kept, nil
	}
	return resp, false, nil
}

// label names the webhook in messages.
func (w *webhook) label() string { return w.method + " " + w.origin }

// request is a request before it is sent.
type request struct {
	url    string
	header http.Header
	body   []byte // nil: none
	plain  []byte // body before it was compressed

	values []string // what the values of most headers are part of
}

// set sets a header by its canonical name.
func (r *request) set(name, value string) {
	n := len(r.values)
	r.values = append(r.values, value)
	r.header[name] = r.values[n : n+1 : n+1]
}

// newRequest renders everything. It would fail for the same firing the same way
// again.
func (w *webhook) newRequest(ctx context.Context, f *firing.Firing, now time.Time) (*request, error) {
	v := tmpl.NewView(f)
	target, err := w.url(ctx, v)
	if err != nil {
		return nil, err
	}
	r := &request{url: target, header: make(http.Header, 8), values: make([]string, 0, 8)}
	if err := w.setBody(ctx, r, f, v, now); err != nil {
		return nil, err
	}
	for _, h := range w.headers {
		value, err := h.value.Render(ctx, v, maxHeader)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.name, err)
		}
		r.set(h.name, value)
	}
	r.set("User-Agent", w.agent)
	r.set("Webhook-Id", f.ID.String())
	r.set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.set("Traceparent", traceparent(f.ID.String(), f.Attempt))
	if f.Redelivered {
		r.set(redeliveredHeader, "true")
	}
	if len(w.signers) > 0 {
		r.set("Webhook-Signature", signature(w.signers, f.ID.String(), now.Unix(), r.body))
	}
	for name, values := range r.header {
		if !validHeaderValue(values[0]) {
			return nil, fmt.Errorf("header %s: the value has a line break or another control character in it", name)
		}
	}
	if r.header["Accept"] == nil {
		r.set("Accept", "*/*") // else resty asks for what we send
	}
	// net/http sends again over a new connection where a kept one turned out to
	// be dead, if the request says that it may: this key, which without a value
	// is not sent. It may, because the receiver knows the firing by webhook-id.
	if r.header["Idempotency-Key"] == nil {
		r.header["Idempotency-Key"] = []string{}
	}
	return r, nil
}

// setBody renders the body, and the headers that describe it.
func (w *webhook) setBody(ctx context.Context, r *request, f *firing.Firing, v *tmpl.View, now time.Time) (err error) {
	if w.service != nil {
		if r.body, err = w.service.body(ctx, f, v, now); err != nil {
			return err
		}
		r.plain = r.body
		r.set("Content-Type", w.contentType)
		return nil
	}
	var own string
	if w.body != nil {
		if own, err = w.body.Render(ctx, v, tmpl.MaxText); err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	if w.body == nil || w.binary {
		r.body = f.AppendJSON(nil)
	}
	if w.binary {
		if r.body, err = setAttributes(r.header, r.body); err != nil {
			return err
		}
	}
	if w.body != nil {
		r.body = []byte(own)
	}
	if w.contentType == "" {
		r.body = nil
		return nil
	}
	r.plain = r.body
	r.set("Content-Type", w.contentType)
	if w.gzip {
		if z := compressed(r.body); z != nil {
			r.body = z
			r.set("Content-Encoding", "gzip")
		}
	}
	return nil
}

// secretsOf returns what of a request must not be shown.
func (w *webhook) secretsOf(r *request) *secret.Masker {
	var s credentials
	if w.tokens != nil {
		s = w.tokens.recent()
	}
	for name, values := range r.header {
		for _, value := range values {
			s = s.ofHeader(name, value)
		}
	}
	if u, err := url.Parse(r.url); err == nil {
		s = s.ofURL(u)
	}
	return w.masker.With(s...)
}

// failure says why there was no answer.
func (w *webhook) failure(ctx context.Context, r *request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", w.label(), actions.ContextError(ctx))
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL
	}
	return secret.Shown(w.label()+": "+string(event.AppendText(nil, w.secretsOf(r).Mask(err.Error()))), err)
}

// Limits on what a template may write.
const (
	maxURL    = 64 << 10
	maxHeader = 16 << 10
)
