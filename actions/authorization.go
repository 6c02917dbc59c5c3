package actions

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// authorize has a field make the header Authorization, unless another one
// does. What names the part of the field that does, for messages.
func (w *webhook) authorize(d *fields, field, what string) bool {
	if w.authorizedBy != "" {
		d.fail(field, "%s makes the header Authorization, and so does %s; leave out one", what, w.authorizedBy)
		return false
	}
	w.authorizedBy = field
	return true
}

func (w *webhook) setAuthorization(value string) {
	w.headers = append(w.headers, webhookHeader{"Authorization", &tmpl{text: value}})
}

// takeUser moves user and password from the URL into a header.
func (w *webhook) takeUser(d *fields, u *url.URL) {
	if u.User == nil {
		return
	}
	password, _ := u.User.Password()
	w.own = w.own.add(u.User.String())
	if w.authorize(d, "url", "user:password@") {
		w.setBasic(u.User.Username(), password)
	}
	u.User = nil
}

func (w *webhook) takeBearer(d *fields) {
	token, ok := d.text("bearer", "")
	if !ok {
		return
	}
	if token == "" || !validHeaderValue(token) {
		d.fail("bearer", "must be a token: it is empty, or has a line break or another control character in it")
		return
	}
	if w.authorize(d, "bearer", "it") {
		w.setAuthorization("Bearer " + token) // hide knows it by its header
	}
}

func (w *webhook) takeBasic(d *fields) {
	t, ok := d.table("basic")
	if !ok {
		return
	}
	user, hasUser := t.text("user", "")
	password, hasPassword := t.text("password", "")
	t.unknown(nil)
	if !hasUser || !hasPassword {
		d.fail("basic", "needs both: write basic = { user = \"...\", password = \"...\" }")
		return
	}
	if strings.Contains(user, ":") { // RFC 7617 section 2
		d.fail("basic", "a colon cannot be in the user: the receiver would take what follows it for the password")
		return
	}
	if w.authorize(d, "basic", "it") {
		w.setBasic(user, password)
	}
}

func (w *webhook) setBasic(user, password string) {
	w.setAuthorization("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	w.own = w.own.add(password)
}
