package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"triggerd/internal/admin"
)

// maxPlayBody is how long a question to the playground may be: a text of 1 MiB, as
// JSON.
const maxPlayBody = 3 << 20

// playPaths are the questions to the playground. They are a POST since they are
// long; they change nothing.
var playPaths = map[string]bool{"/api/v1/check": true, "/api/v1/test": true, "/api/v1/explain": true}

func isPlayground(path string) bool { return playPaths[path] }

func (s *Server) addPlayground(mux *http.ServeMux) {
	p := s.cfg.Playground
	if p == nil {
		for path := range playPaths {
			mux.HandleFunc("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
				s.writeError(w, http.StatusNotImplemented, errors.New("this daemon has no playground"))
			})
		}
		return
	}
	mux.HandleFunc("POST /api/v1/check", playHandler(s, p.Check))
	mux.HandleFunc("POST /api/v1/test", playHandler(s, p.Test))
	mux.HandleFunc("POST /api/v1/explain", playHandler(s, p.Explain))
}

// playHandler answers one kind of question.
func playHandler[Q, A any](s *Server, ask func(context.Context, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if !s.decodeBody(w, r, &q) {
			return
		}
		answer, err := ask(r.Context(), q)
		switch {
		case errors.Is(err, admin.ErrBusy):
			w.Header().Set("Retry-After", "1")
			s.writeError(w, http.StatusTooManyRequests, err)
		case errors.Is(err, admin.ErrQuery):
			s.writeError(w, http.StatusBadRequest, trimmed(err))
		default:
			s.writeResult(w, answer, 0, err)
		}
	}
}

// trimmed returns an error without the words of admin.ErrQuery before it.
func trimmed(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), admin.ErrQuery.Error()+": "))
}
