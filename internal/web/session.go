package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A browser shows the token once, and then a cookie. The cookie is "R.EXPIRY.MAC":
// the role, when it ends in seconds of Unix time, and an HMAC-SHA256 of both in
// base64, keyed from the token of that role. So it outlives a restart, and ends
// with its token.

// sessionTime is how long a login lasts.
const sessionTime = 7 * 24 * time.Hour

// Session is the answer of GET /api/v1/session: what whoever asks may do.
type Session struct {
	Role       string `json:"role"` // "operator", "reader", or "" where a token is needed first
	Token      bool   `json:"token"`
	ShowValues bool   `json:"show_values"`
	Version    string `json:"version,omitempty"`

	Features []string `json:"features,omitempty"` // what this daemon can do: search, cancel, redeliver, causes, playground, reload
}

// Login is the body of POST /api/v1/login.
type Login struct {
	Token string `json:"token"`
}

// roles are the names of what one may do, as in Session.
var roles = map[access]string{mayRead: "reader", mayChange: "operator"}

func (s *Server) addSessions(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/session", s.session)
	mux.HandleFunc("POST /api/v1/login", s.login)
	mux.HandleFunc("POST /api/v1/logout", s.logout)
}

// isOpenAPI reports whether a part of the API is asked before a token is shown.
func isOpenAPI(path string) bool {
	return path == "/api/v1/session" || path == "/api/v1/login" || path == "/api/v1/logout"
}

func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	may := s.accessOf(r)
	out := Session{Role: roles[may], Token: s.cfg.Token != ""}
	if may != mayNothing {
		out.Version, out.ShowValues = s.cfg.Version, !s.cfg.HideValues
		out.Features = append(out.Features, "search", "cancel", "redeliver", "causes")
		if s.cfg.Playground != nil {
			out.Features = append(out.Features, "playground")
		}
		if s.cfg.Reload != nil {
			out.Features = append(out.Features, "reload")
		}
	}
	s.writeResult(w, out, 0, nil)
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	var sent Login
	if !s.decodeBody(w, r, &sent) {
		return
	}
	from := addressOf(r)
	if wait := s.logins.wait(from, time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		s.writeError(w, http.StatusTooManyRequests, fmt.Errorf("too many wrong tokens: try again in %d s", int(wait/time.Second)+1))
		return
	}
	may := s.accessBy(sent.Token)
	if may == mayNothing {
		s.logins.failed(from, time.Now())
		s.refused.count(s.log, r)
		s.writeError(w, http.StatusUnauthorized, errors.New("this is not the token: it is [http] token, or read_token, of the rules file"))
		return
	}
	if s.cfg.Token != "" {
		http.SetCookie(w, s.newCookie(r, s.cookieValue(may, time.Now().Add(sessionTime)), int(sessionTime/time.Second)))
		s.log.Info("logged in to the page", "from", from, "role", roles[may])
	}
	s.writeResult(w, Session{Role: roles[may], Token: s.cfg.Token != "", ShowValues: !s.cfg.HideValues, Version: s.cfg.Version}, 0, nil)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.newCookie(r, "", -1))
	s.writeResult(w, Session{Token: s.cfg.Token != ""}, 0, nil)
}

// newCookie returns the cookie of a login. Ports of a host share cookies, so its name
// has the port by which the browser asks.
func (s *Server) newCookie(r *http.Request, value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil {
		return "triggerd"
	}
	return "triggerd_" + port
}

// cookieValue returns the value of a cookie for a role.
func (s *Server) cookieValue(may access, ends time.Time) string {
	said := roles[may] + "." + strconv.FormatInt(ends.Unix(), 10)
	return said + "." + s.cookieMAC(may, said)
}

func (s *Server) cookieMAC(may access, said string) string {
	token := s.cfg.Token
	if may == mayRead {
		token = s.cfg.ReadToken
	}
	key := sha256.Sum256([]byte("triggerd cookie\x00" + token))
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(said))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// accessByCookie returns what the cookie of a request allows.
func (s *Server) accessByCookie(r *http.Request, now time.Time) access {
	c, err := r.Cookie(cookieName(r))
	if err != nil || s.cfg.Token == "" {
		return mayNothing
	}
	role, rest, _ := strings.Cut(c.Value, ".")
	ends, mac, _ := strings.Cut(rest, ".")
	may := mayChange
	if role == roles[mayRead] {
		may = mayRead
	}
	seconds, err := strconv.ParseInt(ends, 10, 64)
	switch {
	case role != roles[may], may == mayRead && s.cfg.ReadToken == "", err != nil, now.Unix() >= seconds:
		return mayNothing
	case subtle.ConstantTimeCompare([]byte(mac), []byte(s.cookieMAC(may, role+"."+ends))) != 1:
		return mayNothing
	}
	return may
}

// fromElsewhere returns why a request is refused that a page of somebody else
// has made; nil if it is none. A page of another port of this host has this one's
// cookie, and could read with it without being seen to.
func fromElsewhere(r *http.Request) error {
	if err := crossOrigin.Check(r); err != nil {
		return errors.New("a page of another site may change nothing here")
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	return errors.New("a page of another site may ask nothing here")
}

var crossOrigin = http.NewCrossOriginProtection()

// addressOf returns the address that a request comes from, without its port.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// logins counts wrong tokens by address, so that nobody tries many.
type logins struct {
	mu    sync.Mutex // guards what follows
	since time.Time
	wrong map[string]int
}

const (
	maxWrongLogins = 10          // of an address, within loginPause
	maxLoginHosts  = 10_000      // addresses that are counted; with more, all count as one
	loginPause     = time.Minute // after which the counts begin anew
)

// wait returns for how long an address may not try; 0: it may.
func (l *logins) wait(from string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong[l.nameOf(from)] < maxWrongLogins {
		return 0
	}
	return max(0, loginPause-now.Sub(l.since))
}

// failed counts a wrong token.
func (l *logins) failed(from string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong == nil || now.Sub(l.since) >= loginPause {
		l.since, l.wrong = now, map[string]int{}
	}
	l.wrong[l.nameOf(from)]++
}

// nameOf returns the name that an address is counted by. The caller holds the
// lock.
func (l *logins) nameOf(from string) string {
	if _, counted := l.wrong[from]; !counted && len(l.wrong) >= maxLoginHosts {
		return ""
	}
	return from
}
