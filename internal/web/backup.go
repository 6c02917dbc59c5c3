package web

import (
	"net/http"
	"time"
)

// backup answers with a tar archive of the store. If the archive cannot be
// completed, the connection is closed.
func (s *Server) backup(w http.ResponseWriter, _ *http.Request) {
	out := &archiveWriter{w: w, control: http.NewResponseController(w)}
	err := s.cfg.Daemon.Backup(out)
	switch {
	case err == nil:
	case !out.begun:
		s.writeResult(w, nil, 0, err)
	default:
		s.log.Warn("a backup was broken off", "err", err)
		panic(http.ErrAbortHandler)
	}
}

// archiveWriter extends the write deadline as long as the client goes on
// reading.
type archiveWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
	until   time.Time // the deadline that is set
}

func (a *archiveWriter) Write(b []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/x-tar")
	}
	if now := time.Now(); a.until.Sub(now) < writeTimeout/2 {
		a.until = now.Add(writeTimeout)
		_ = a.control.SetWriteDeadline(a.until) // a recorder of a test has none
	}
	return a.w.Write(b)
}
