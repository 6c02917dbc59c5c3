package webhook

import (
	"encoding/base64"
	"net/url"
	"strings"

	"triggerd/actions"
	"triggerd/internal/tmpl"
)

// authorize has a field make the header Authorization, unless another one
// does. What names the part of the field that does, for messages.
func (w *webhook) authorize(s *actions.Settings, field, what string) bool {
	if w.authorizedBy != "" {
		s.Fail(field, "%s makes the header Authorization, and so does %s; leave out one", what, w.authorizedBy)
		return false
	}
	w.authorizedBy = field
	return true
}

func (w *webhook) setAuthorization(value string) {
	w.headers = append(w.headers, header{"Authorization", tmpl.Text(value)})
}

// takeUser moves user and password from the URL into a header.
func (w *webhook) takeUser(s *actions.Settings, u *url.URL) {
	if u.User == nil {
		return
	}
	password, _ := u.User.Password()
	w.credentials = w.credentials.add(u.User.String())
	if w.authorize(s, "url", "user:password@") {
		w.setBasic(u.User.Username(), password)
	}
	u.User = nil
}

func (w *webhook) takeBearer(s *actions.Settings) {
	token, ok := s.Text("bearer")
	if !ok {
		return
	}
	if token == "" || !validHeaderValue(token) {
		s.Fail("bearer", "must be a token: it is empty, or has a line break or another control character in it")
		return
	}
	if w.authorize(s, "bearer", "it") {
		w.setAuthorization("Bearer " + token) // hide knows it by its header
	}
}

func (w *webhook) takeBasic(s *actions.Settings) {
	t, ok := s.Table("basic")
	if !ok {
		return
	}
	user, hasUser := t.Text("user")
	password, hasPassword := t.Text("password")
	if !hasUser || !hasPassword {
		s.Fail("basic", "needs both: write basic = { user = \"...\", password = \"...\" }")
		return
	}
	if strings.Contains(user, ":") { // RFC 7617 section 2
		s.Fail("basic", "a colon cannot be in the user: the receiver would take what follows it for the password")
		return
	}
	if w.authorize(s, "basic", "it") {
		w.setBasic(user, password)
	}
}

func (w *webhook) setBasic(user, password string) {
	w.setAuthorization("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	w.credentials = w.credentials.add(password)
}
