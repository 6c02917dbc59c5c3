package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/glob"
)

// feedWriteTimeout is how long a client may take to read an entry.
const feedWriteTimeout = 10 * time.Second

// events answers with what happens from now on, as server-sent events, until
// the client goes or the server ends. It begins with a comment, and in quiet times
// writes more, so that proxies and the client know the connection is alive.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q, err := parseFeedQuery(r.URL.Query(), r.Header.Get("Last-Event-ID"))
	if err != nil {
		s.writeError(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.serving, cancel)()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold entries back
	out := &feedWriter{w: w, control: http.NewResponseController(w)}
	for e := range s.cfg.Daemon.Feed(ctx, q) {
		text := []byte(":\n\n")
		if e != nil {
			s.hideEntry(e)
			b, err := json.Marshal(e)
			if err != nil {
				s.log.Error("an entry of the feed cannot be written", "err", err)
				return
			}
			text = fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, b)
		}
		if !out.write(text) {
			return
		}
	}
}

// feedWriter writes what a client has to read at once, and within a limit.
type feedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// write reports whether it could be written.
func (f *feedWriter) write(b []byte) bool {
	_ = f.control.SetWriteDeadline(time.Now().Add(feedWriteTimeout)) // a recorder of a test has none
	_, err := f.w.Write(b)
	return err == nil && f.control.Flush() == nil
}

// feedOutcomes are what an attempt may come to.
var feedOutcomes = map[string]bool{"": true, "delivered": true, "retried": true, "given_up": true}

// parseFeedQuery parses the parameters of a request for the feed, and the ID of
// the last entry that the client has seen.
func parseFeedQuery(v url.Values, last string) (admin.FeedQuery, error) {
	q := admin.FeedQuery{Rule: v.Get("rule"), Outcome: v.Get("outcome")}
	for name := range v {
		switch name {
		case "rule":
		case "key":
			p, err := glob.Parse(v.Get(name))
			if err != nil {
				return q, fmt.Errorf("key: %w", err)
			}
			q.Key = func(key string) bool { return p.Match([]byte(key)) }
		case "outcome":
			if !feedOutcomes[q.Outcome] {
				return q, fmt.Errorf("outcome is delivered, retried or given_up, not %q", q.Outcome)
			}
		case "all":
			switch v.Get(name) {
			case "1":
				q.All = true
			case "0", "":
			default:
				return q, fmt.Errorf("all is 0 or 1, not %q", v.Get(name))
			}
		default:
			return q, fmt.Errorf("there is no parameter %q: rule, key, outcome, all", name)
		}
	}
	if last != "" {
		n, err := strconv.ParseUint(last, 10, 64)
		if err != nil {
			return q, fmt.Errorf("Last-Event-ID is the id of an entry, not %q", last)
		}
		q.After = n
	}
	return q, nil
}

// hideEntry removes from an entry what may have values in it.
func (s *Server) hideEntry(e *admin.FeedEntry) {
	if s.cfg.HideValues {
		hideText(&e.Text)
	}
}
