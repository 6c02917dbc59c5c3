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

// header is what a request that changes something has to carry.
const header = "X-Triggerd"

const maxBody = 64 << 10

// guard lets through who may ask.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		open := reads && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz")
		switch {
		case s.cfg.Token == "" && !s.unix && !isLoopback(hostOf(r)):
			s.fail(w, http.StatusForbidden, errors.New("without a token only this machine may ask, by a loopback name: use http://127.0.0.1, or set [http] token"))
		case !open && !s.mayAsk(r):
			s.refused.note(s.log, r)
			h.Set("WWW-Authenticate", `Bearer realm="triggerd"`)
			s.fail(w, http.StatusUnauthorized, errors.New("the token is missing or wrong: send Authorization: Bearer TOKEN"))
		case !reads && r.Header.Get(header) == "":
			s.fail(w, http.StatusForbidden, errors.New("send the header "+header+": 1 with what changes something"))
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(w, r)
		}
	})
}

// refusals counts requests without the right token, and tells of them: someone
// may be guessing.
type refusals struct {
	total prometheus.Counter

	mu    sync.Mutex // guards what follows
	told  time.Time  // when the log last told of some
	since int        // how many there were since then
}

// tellAgain is how long the log says nothing of further refusals: each line of
// it is a request that anybody may send.
const tellAgain = time.Minute

func newRefusals() *refusals {
	return &refusals{total: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "triggerd_http_unauthorized_total", Help: "Requests that were refused since they did not show the token.",
	})}
}

// note counts a refused request, and logs it if none was logged lately.
func (f *refusals) note(log *slog.Logger, r *http.Request) {
	f.total.Inc()
	f.mu.Lock()
	f.since++
	count, now := f.since, time.Now()
	due := f.told.IsZero() || now.Sub(f.told) >= tellAgain
	if due {
		f.told, f.since = now, 0
	}
	f.mu.Unlock()
	if due {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		log.Warn("requests without the right token were refused", "count", count, "from", from)
	}
}

// hostOf returns what the request calls this server, without a port.
func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// mayAsk reports whether the request shows the token, if one is needed. It
// takes as long for a wrong one as for the right one.
func (s *Server) mayAsk(r *http.Request) bool {
	if s.cfg.Token == "" {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(s.cfg.Token)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
