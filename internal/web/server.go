package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"triggerd/internal/admin"
)

// Config configures a Server. Listen and Daemon have to be set.
type Config struct {
	Listen string // host:port, or unix:///path
	Token  string // what clients have to show; "": nothing, which only a loopback Listen allows
	Daemon admin.Daemon

	ReadToken  string // what clients may show that change nothing; "": there is none
	HideValues bool   // answer without values of data

	Metrics http.Handler // of GET /metrics; nil: there is none
	Version string       // of triggerd
	Pprof   bool         // serve /debug/pprof/
	Logger  *slog.Logger // nil: none

	// Reload has the rules read again, on behalf of by; nil: they cannot be.
	Reload func(ctx context.Context, by string) (*admin.Reload, error)

	// OnListen, if not nil, is told where the server listens, once it does.
	OnListen func(url string)

	// Playground answers what rules would do; nil: nobody does.
	Playground admin.Playground

	LogLinesLost func() int64 // how many lines of the log could not be written; nil: none
}

// Server is the HTTP server of a triggerd. It is an http.Handler, too.
type Server struct {
	cfg     Config
	unix    bool // it listens on a socket that no other user, and no browser, can reach
	log     *slog.Logger
	refused *refusals
	logins  logins
	encoded encodedEntries
	handler http.Handler

	serving context.Context // done when Run ends: what goes on for ever has to end then
	end     context.CancelFunc
}

// ErrNoToken is returned by New if the address can be reached from other
// machines and there is no token.
var ErrNoToken = errors.New("not a loopback address, and no token is set: whoever reaches it could read keys and values, and drop dead letters")

// New returns a Server, which does not listen yet.
func New(cfg Config) (*Server, error) {
	if err := checkListen(cfg.Listen); err != nil {
		return nil, fmt.Errorf("http: listen on %q: %w", cfg.Listen, err)
	}
	if cfg.Token == "" && !isPrivate(cfg.Listen) {
		return nil, fmt.Errorf("http: listen on %q: %w", cfg.Listen, ErrNoToken)
	}
	if cfg.ReadToken != "" && cfg.Token == "" {
		return nil, errors.New("http: read_token is of no use without token: whoever shows none may change everything")
	}
	s := &Server{cfg: cfg, unix: strings.HasPrefix(cfg.Listen, unixScheme), log: cfg.Logger, refused: newRefusals()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.LogLinesLost == nil {
		s.cfg.LogLinesLost = func() int64 { return 0 }
	}
	s.serving, s.end = context.WithCancel(context.Background())
	s.handler = s.guard(s.routes())
	return s, nil
}

// Collector returns the server's own metrics, which begin with "triggerd_http_".
func (s *Server) Collector() prometheus.Collector { return s.refused.total }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", s.cfg.Metrics)
	}
	s.addAPI(mux)
	s.addSessions(mux)
	s.addPlayground(mux)
	s.addPage(mux)
	if s.cfg.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // flags may hold a password
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.writeError(w, http.StatusNotFound, fmt.Errorf("there is no %s %s; see docs/operations.md", r.Method, r.URL.Path))
	})
	return mux
}

// ready answers whether triggerd does its work, or 503 with the reason. The
// reason names the server, so only those who may use the API get it.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	err := s.cfg.Daemon.Ready()
	if err == nil {
		fmt.Fprintln(w, "ok")
		return
	}
	if s.accessOf(r) == mayNothing {
		err = errors.New("not ready")
	}
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// Limits of a connection.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 60 * time.Second // which bounds a profile, too
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
)

// Run listens and serves until ctx is done. Answers in progress then have two
// seconds.
//
// If another process has the port, Run logs that and tries again until the port
// is free. Firings have to be delivered whether or not somebody can watch. So a
// second triggerd on the machine, or one that has not ended yet, must not stop
// this one.
func (s *Server) Run(ctx context.Context) error {
	ln, err := s.listen(ctx)
	if ln == nil {
		return err
	}
	s.log.Info("status, metrics and API", "url", s.url(ln), "token", s.cfg.Token != "")
	if s.cfg.OnListen != nil {
		s.cfg.OnListen(s.url(ln))
	}
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(s.end)
	defer s.end()
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(limit) != nil {
			srv.Close()
		}
	})
	err = srv.Serve(ln)
	if stop() { // it was not ctx that ended it
		return fmt.Errorf("http: %w", err)
	}
	<-ended
	return nil
}

// url is where the server is reached.
func (s *Server) url(ln net.Listener) string {
	if s.unix {
		return s.cfg.Listen
	}
	return "http://" + ln.Addr().String()
}

// listen returns nil and no error if ctx was done first.
func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	var last string
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, 15*time.Second) {
		ln, err := listenOn(ctx, s.cfg.Listen)
		if err == nil || ctx.Err() != nil {
			return ln, nil
		}
		if text := err.Error(); text != last {
			last = text
			s.log.Error("no status, metrics and API: cannot listen; set [http] listen to another address, or to \"off\"; trying again until it can be used", "listen", s.cfg.Listen, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(pause):
		}
	}
}
