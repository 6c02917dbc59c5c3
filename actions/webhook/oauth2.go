package webhook

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/excerpt"
	"triggerd/internal/secret"
)

// tokens gets access tokens for a webhook and keeps each until shortly before
// it expires (OAuth 2.0 client credentials, RFC 6749 section 4.4).
//
// The token server is asked within the attempt's own timeout, through the
// webhook's proxy and under its deny_private. However many attempts wait for a
// token, one of them asks and all take what it gets. A token that the receiver
// refuses with 401 is forgotten; if it was kept from an earlier attempt, a new
// one is got and the request sent once more. That there is no token is no
// permanent error: secrets are rotated and servers come back.
//
// golang.org/x/oauth2 would do a part of it: its token sources cannot be told
// to forget a token or to end with an attempt's ctx, and its errors repeat what
// the server says.
type tokens struct {
	client *http.Client
	url    string
	label  string // scheme and host of url
	form   string // the request's body
	basic  string // the request's Authorization; "": none

	credentials credentials    // of the fields
	masker      *secret.Masker // of the webhook, these among them

	mu   sync.Mutex // guards what follows
	kept accessToken
	had  []string   // the last tokens that were got, which are secrets too
	call *tokenCall // under way; nil: none
}

// maxHad is how many tokens are remembered to be masked: who repeats what it
// got may repeat it late.
const maxHad = 8

type accessToken struct {
	value string    // "": none
	until time.Time // zero: until it is refused
}

// tokenCall is one request for a token, which many may wait for.
type tokenCall struct {
	done  chan struct{} // closed by the one who asks, after it set the rest
	token string
	err   error
	ended bool // err is the end of the asker's ctx and says nothing about the server
}

func (w *webhook) takeOAuth2(s *actions.Settings, t transport) {
	f, ok := s.Table("oauth2")
	if !ok {
		return
	}
	w.authorize(s, "oauth2", "it")
	k := &tokens{}
	u := k.takeURL(f)
	checkHost(f, "token_url", u, t.denyPrivate)
	k.takeRequest(f)
	t.tls = takeTLS(f, u.Scheme)
	t.connections = 1
	k.client = &http.Client{Transport: t.open(), CheckRedirect: neverRedirect}
	w.credentials = append(w.credentials, k.credentials...)
	w.tokens = k
}

// takeURL splits the token_url field as takeURL of the webhook does its own.
func (s *tokens) takeURL(f *actions.Settings) *url.URL {
	raw, ok := f.Text("token_url")
	u, err := url.Parse(raw)
	switch {
	case !ok:
		if !f.Has("token_url") {
			f.Fail("token_url", "is required: write token_url = \"https://...\"")
		}
		return &url.URL{}
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		f.Fail("token_url", "must be an http:// or https:// URL")
		return &url.URL{}
	case u.User != nil || u.Fragment != "":
		f.Fail("token_url", "may not have user:password@ or a fragment (#...); write client_id and client_secret")
		return &url.URL{}
	}
	s.url, s.label = u.String(), u.Scheme+"://"+u.Host
	s.credentials = s.credentials.ofURL(u)
	return u
}

// takeRequest makes the parts of the request that are the same every time.
func (s *tokens) takeRequest(f *actions.Settings) {
	id, password := s.required(f, "client_id"), s.required(f, "client_secret")
	form := url.Values{"grant_type": {"client_credentials"}}
	if scopes, ok := f.Texts("scopes"); ok && len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	if params, ok := f.Table("params"); ok {
		for _, name := range params.Names() {
			value, ok := params.Text(name)
			if own := form.Has(name) || name == "client_id" || name == "client_secret" || name == "scope"; own {
				params.Fail(name, "is not a parameter to set: triggerd sets it")
			} else if ok {
				form.Set(name, value)
				if secret.NamesCredential(name) || strings.Contains(name, "assertion") {
					s.credentials = s.credentials.add(value)
				}
			}
		}
	}
	// RFC 6749 section 2.3.1: encoded as in a form, and then as in RFC 7617.
	pair := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id) + ":" + url.QueryEscape(password)))
	s.credentials = s.credentials.add(password, pair)
	if auth, _ := f.Choice("auth"); auth == "body" {
		form.Set("client_id", id)
		form.Set("client_secret", password)
	} else {
		s.basic = "Basic " + pair
	}
	s.form = form.Encode()
}

func (s *tokens) required(f *actions.Settings, name string) string {
	text, ok := f.Text(name)
	if !f.Has(name) || ok && text == "" {
		f.Fail(name, "is required")
	}
	return text
}

// get returns a token, and whether it was kept from an earlier call.
func (s *tokens) get(ctx context.Context) (token string, kept bool, err error) {
	for {
		s.mu.Lock()
		if t := s.kept; t.value != "" && (t.until.IsZero() || time.Now().Before(t.until)) {
			s.mu.Unlock()
			return t.value, true, nil
		}
		call := s.call
		if call == nil {
			call = &tokenCall{done: make(chan struct{})}
			s.call = call
			s.mu.Unlock()
			s.ask(ctx, call)
			return call.token, false, call.err
		}
		s.mu.Unlock()
		select {
		case <-call.done:
		case <-ctx.Done():
			return "", false, fmt.Errorf("access token from %s: %w", s.label, actions.ContextError(ctx))
		}
		if !call.ended {
			return call.token, false, call.err
		}
	}
}

// ask makes the call that others wait for.
func (s *tokens) ask(ctx context.Context, call *tokenCall) {
	t, err := s.request(ctx)
	call.token, call.err, call.ended = t.value, err, err != nil && ctx.Err() != nil
	s.mu.Lock()
	s.kept, s.call = t, nil
	if t.value != "" {
		s.had = append(slices.Clone(s.had[max(0, len(s.had)+1-maxHad):]), t.value)
	}
	s.mu.Unlock()
	close(call.done)
}

// recent returns the tokens that were got last, the one that is kept among them.
func (s *tokens) recent() credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.had)
}

// drop forgets a token that the receiver refused, unless there is another by
// now.
func (s *tokens) drop(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept.value == token {
		s.kept = accessToken{}
	}
}

// maxTokenAnswer is how much of a token server's answer is read. A token is a
// header of a request in the end, so it is limited as one.
const maxTokenAnswer = 64 << 10

// request asks the token server once.
func (s *tokens) request(ctx context.Context) (accessToken, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(s.form))
	if err != nil {
		return accessToken{}, fmt.Errorf("access token from %s: %s", s.label, s.shown(err.Error(), false))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if s.basic != "" {
		req.Header.Set("Authorization", s.basic)
	}
	req.Header["Idempotency-Key"] = []string{} // see newRequest
	asked := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return accessToken{}, s.failure(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return accessToken{}, fmt.Errorf("access token from %s: %w", s.label, errSwitched)
	}
	defer endAnswer(ctx, resp)()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer+1))
	if resp.StatusCode != http.StatusOK {
		return accessToken{}, s.refusal(resp, body)
	}
	if err != nil {
		return accessToken{}, s.failure(ctx, err)
	}
	t, err := parseToken(body, asked)
	if err != nil {
		return accessToken{}, fmt.Errorf("access token from %s: %w", s.label, err)
	}
	return t, nil
}

// shown makes a text of the token server's, or of a library's, fit for a
// message. cut tells that it is not whole.
func (s *tokens) shown(text string, cut bool, more ...string) string {
	shown, left := excerpt.Masked(s.masker.With(append(s.recent(), more...)...), text, cut)
	return excerpt.ShortOf(shown, excerpt.Max, left)
}

func (s *tokens) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("access token from %s: %w", s.label, actions.ContextError(ctx))
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL
	}
	return secret.Shown("access token from "+s.label+": "+s.shown(err.Error(), false), err)
}

// refusal says why the server gives no token: in its own words where they are
// those of RFC 6749 section 5.2, else as an excerpt.
func (s *tokens) refusal(resp *http.Response, body []byte) error {
	text := fmt.Sprintf("access token from %s: %d %s", s.label, resp.StatusCode, http.StatusText(resp.StatusCode))
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`

		Access  string `json:"access_token"` // of a server that grants with another status
		Refresh string `json:"refresh_token"`
		ID      string `json:"id_token"`
	}
	said := strings.TrimSpace(string(body))
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		said = strings.TrimSuffix(answer.Error+": "+answer.Description, ": ")
	}
	if said != "" {
		text += ": " + s.shown(said, len(body) > maxTokenAnswer, answer.Access, answer.Refresh, answer.ID)
	}
	err := errors.New(text)
	if wait := parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()); wait > 0 {
		return actions.RetryAfter(wait, err)
	}
	return err
}

// parseToken reads a token server's answer (RFC 6749 section 5.1). Its errors
// quote nothing, for what is quoted could be the token.
func parseToken(body []byte, asked time.Time) (accessToken, error) {
	if len(body) > maxTokenAnswer {
		return accessToken{}, fmt.Errorf("the answer has more than %d bytes", maxTokenAnswer)
	}
	var answer struct {
		Token     string      `json:"access_token"`
		Type      string      `json:"token_type"`
		ExpiresIn json.Number `json:"expires_in"` // some servers write it as a string
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return accessToken{}, errors.New("the answer is not the JSON object of RFC 6749 section 5.1")
	}
	switch {
	case answer.Token == "":
		return accessToken{}, errors.New("the answer has no access_token")
	case len(answer.Token) > maxHeader || !validHeaderValue(answer.Token):
		return accessToken{}, errors.New("the access_token is too long for a header, or has a control character in it")
	case !strings.EqualFold(cmp.Or(answer.Type, "Bearer"), "Bearer"):
		return accessToken{}, errors.New("the token_type is not Bearer, and no other is supported")
	}
	t := accessToken{value: answer.Token}
	if seconds, err := answer.ExpiresIn.Float64(); err == nil && seconds > 0 {
		t.until = asked.Add(keepFor(seconds))
	}
	return t, nil
}

// keepFor returns for how long a token that lives for so many seconds is used:
// a tenth less, or half a minute less if that is less, so that it does not
// expire on its way. It is got anew once a day, however long it lives.
func keepFor(seconds float64) time.Duration {
	lives := time.Duration(min(seconds, (24*time.Hour).Seconds()) * float64(time.Second))
	return lives - min(lives/10, 30*time.Second)
}
