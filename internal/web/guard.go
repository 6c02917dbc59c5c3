package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// changeHeader is the header that a request needs to change something.
const changeHeader = "X-Triggerd"

const maxBody = 64 << 10

// guard passes on only requests that are allowed.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		may := s.accessOf(r)
		shown := reads && isPage(r.URL.Path)
		open := reads && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz") || shown || isOpenAPI(r.URL.Path)
		var elsewhere error
		if !shown { // a link to the page may be anywhere
			elsewhere = fromElsewhere(r)
		}
		switch {
		case s.cfg.Token == "" && !s.unix && !isLoopback(hostOf(r)):
			s.writeError(w, http.StatusForbidden, errors.New("without a token only this machine may ask, by a loopback name: use http://127.0.0.1, or set [http] token"))
		case elsewhere != nil:
			s.writeError(w, http.StatusForbidden, elsewhere)
		case !open && may == mayNothing:
			s.refused.count(s.log, r)
			h.Set("WWW-Authenticate", `Bearer realm="triggerd"`)
			s.writeError(w, http.StatusUnauthorized, errors.New("the token is missing or wrong: send Authorization: Bearer TOKEN"))
		case !reads && may == mayRead && !onlyReads(r.URL.Path):
			s.writeError(w, http.StatusForbidden, errors.New("this token only reads: what changes something needs [http] token"))
		case !reads && r.Header.Get(changeHeader) == "":
			s.writeError(w, http.StatusForbidden, errors.New("send the header "+changeHeader+": 1 with what changes something"))
		case reads || onlyReads(r.URL.Path):
			r.Body = http.MaxBytesReader(w, r.Body, s.maxBodyOf(r.URL.Path))
			next.ServeHTTP(w, r)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			c := &changeWriter{ResponseWriter: w, status: http.StatusOK}
			next.ServeHTTP(c, r)
			s.logChange(r, c)
		}
	})
}

// changeWriter notes what came of a request that changes something, for the log.
type changeWriter struct {
	http.ResponseWriter
	status int
	done   Done
	err    error
}

// changes are what requests change, by their paths.
var changes = map[string]string{
	"/api/v1/deliveries/retry":     "firings to be tried now",
	"/api/v1/deliveries/cancel":    "firings cancelled",
	"/api/v1/deliveries/redeliver": "delivered once more",
	"/api/v1/dead-letters/retry":   "dead letters retried",
	"/api/v1/dead-letters/drop":    "dead letters dropped",
	"/api/v1/pause":                "paused",
	"/api/v1/resume":               "resumed",
	"/api/v1/reload":               "asked to reload",
	"/api/v1/store/backup":         "asked for a backup",
}

// logChange logs what a request has changed, and who made it.
func (s *Server) logChange(r *http.Request, c *changeWriter) {
	what := changes[r.URL.Path]
	args := []any{"by", s.whoAsks(r)}
	if c.done.Name != "" {
		args = append(args, "name", c.done.Name)
	} else {
		args = append(args, "count", c.done.Count)
	}
	switch {
	case what == "": // there is no such request
	case r.URL.Path == "/api/v1/reload" && c.status < http.StatusBadRequest: // whoever reads the rules again logs who asked, and what came of it
	case c.status >= http.StatusBadRequest:
		s.log.Warn("not changed as asked for: "+what, append(args, "status", c.status, "err", c.err)...)
	default:
		s.log.Info(what, args...)
	}
}

// Unwrap lets a http.ResponseController reach the connection.
func (c *changeWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (c *changeWriter) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// onlyReads reports whether a POST to a path changes nothing: its body is a
// question.
func onlyReads(path string) bool {
	return isOpenAPI(path) || isPlayground(path)
}

// maxBodyOf is how long the body of a request may be.
func (s *Server) maxBodyOf(path string) int64 {
	if isPlayground(path) {
		return maxPlayBody
	}
	return maxBody
}

// whoAsks names who makes a request: a user of the machine, over a unix socket;
// else an address, and by what it may ask.
func (s *Server) whoAsks(r *http.Request) string {
	if s.unix {
		return r.RemoteAddr
	}
	host := addressOf(r)
	switch {
	case s.cfg.Token == "":
		return host + ", without a token"
	case r.Header.Get("Authorization") == "":
		return host + ", logged in as " + roles[s.accessOf(r)]
	case s.accessOf(r) == mayRead:
		return host + ", with read_token"
	}
	return host + ", with token"
}

// refusals counts requests without the right token, and logs them: someone may
// be guessing.
type refusals struct {
	total prometheus.Counter

	mu    sync.Mutex // guards what follows
	told  time.Time  // when the log last told of some
	since int        // how many there were since then
}

// refusalLogPause is how long refusals are only counted after one was logged.
// Otherwise anybody could fill the log with requests.
const refusalLogPause = time.Minute

func newRefusals() *refusals {
	return &refusals{total: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "triggerd_http_unauthorized_total", Help: "Requests that were refused since they did not show the token.",
	})}
}

// count counts a refused request, and logs it if none was logged lately.
func (f *refusals) count(log *slog.Logger, r *http.Request) {
	f.total.Inc()
	f.mu.Lock()
	f.since++
	count, now := f.since, time.Now()
	due := f.told.IsZero() || now.Sub(f.told) >= refusalLogPause
	if due {
		f.told, f.since = now, 0
	}
	f.mu.Unlock()
	if due {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		log.Warn("requests without the right token were refused", "count", count, "from", from)
	}
}

// hostOf returns the host that the request names, without a port.
func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// access is what a request may do.
type access int

const (
	mayNothing access = iota
	mayRead
	mayChange
)

// accessOf returns what a request may do by the token that it shows, or by the
// cookie of a login, if one is needed.
func (s *Server) accessOf(r *http.Request) access {
	if s.cfg.Token == "" {
		return mayChange
	}
	if shown := r.Header.Get("Authorization"); shown != "" {
		scheme, token, _ := strings.Cut(shown, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			token = ""
		}
		return s.accessBy(token)
	}
	return s.accessByCookie(r, time.Now())
}

// accessBy returns what a token allows. It takes as long for a wrong one as for
// the right one.
func (s *Server) accessBy(token string) access {
	if s.cfg.Token == "" {
		return mayChange
	}
	is := func(want string) bool {
		a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(token))
		return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
	}
	change, read := is(s.cfg.Token), is(s.cfg.ReadToken)
	switch {
	case change:
		return mayChange
	case read:
		return mayRead
	}
	return mayNothing
}
