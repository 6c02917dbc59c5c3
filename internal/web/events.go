package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
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
// writes more, so that proxies and the client know the connection is alive. With
// batch=1 a message has a list of entries, of up to batchTime.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q, err := s.parseFeedQuery(r.URL.Query(), r.Header.Get("Last-Event-ID"))
	if err != nil {
		s.writeError(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.serving, cancel)()
	if q.try { // whoever watches from a browser is not told why it was refused
		cancel()
	}
	feed, err := s.cfg.Daemon.Feed(ctx, q.FeedQuery)
	switch {
	case errors.Is(err, admin.ErrQuery):
		s.writeError(w, http.StatusBadRequest, fmt.Errorf("when: %w", trimmed(err)))
		return
	case errors.Is(err, admin.ErrBusy):
		s.writeError(w, http.StatusServiceUnavailable, err)
		return
	case err != nil:
		s.writeResult(w, nil, 0, err)
		return
	}
	out := &feedWriter{w: w, control: http.NewResponseController(w)}
	if q.try {
		for range feed { // which has ended, and gives its place free
			break
		}
		s.writeJSON(w, http.StatusOK, struct{}{})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold entries back
	if q.batch {
		s.writeBatches(out, feed)
		return
	}
	for e := range feed {
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

const (
	// batchTime is how long entries are gathered for one message: a browser draws
	// no more often.
	batchTime = 50 * time.Millisecond
	// maxBatch is how many entries a message has.
	maxBatch = 1000
)

// writeBatches writes entries in messages of many. A message is written once
// batchTime has passed since the one before.
func (s *Server) writeBatches(out *feedWriter, feed iter.Seq[*admin.FeedEntry]) {
	entries, stop := make(chan *admin.FeedEntry, maxBatch), make(chan struct{})
	defer close(stop)
	go func() {
		defer close(entries)
		for e := range feed {
			select {
			case entries <- e:
			case <-stop:
				return
			}
		}
	}()
	var batch []*admin.FeedEntry
	var due <-chan time.Time
	last := time.Time{}
	flush := func() bool {
		b, err := json.Marshal(batch)
		if err != nil {
			s.log.Error("entries of the feed cannot be written", "err", err)
			return false
		}
		text := fmt.Appendf(nil, "id: %d\ndata: %s\n\n", batch[len(batch)-1].Seq, b)
		batch, due, last = nil, nil, time.Now()
		return out.write(text)
	}
	for {
		select {
		case e, more := <-entries:
			if !more {
				return
			}
			if e == nil {
				if !out.write([]byte(":\n\n")) {
					return
				}
				continue
			}
			s.hideEntry(e)
			batch = append(batch, e)
			if due == nil {
				due = time.After(max(0, batchTime-time.Since(last)))
			}
			if len(batch) == maxBatch && !flush() {
				return
			}
		case <-due:
			if !flush() {
				return
			}
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

// feedQuery is a request for the feed.
type feedQuery struct {
	admin.FeedQuery
	batch bool
	try   bool // only tell whether it would be answered
}

// parseFeedQuery parses the parameters of a request for the feed, and the ID of
// the last entry that the client has seen.
func (s *Server) parseFeedQuery(v url.Values, last string) (feedQuery, error) {
	q := feedQuery{FeedQuery: admin.FeedQuery{Rule: v.Get("rule"), Outcome: v.Get("outcome"), When: v.Get("when")}}
	for name := range v {
		switch name {
		case "rule":
		case "when":
			if s.cfg.HideValues {
				return q, errors.New("when looks at values: show_values is false")
			}
		case "after":
			if last == "" { // what a browser sends by itself is later
				last = v.Get(name)
			}
		case "batch":
			q.batch = v.Get(name) == "1"
		case "try":
			q.try = v.Get(name) == "1"
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
			return q, fmt.Errorf("there is no parameter %q: rule, key, outcome, when, all, after, batch, try", name)
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
		e.Command, e.Before, e.After = "", admin.Excerpt{}, admin.Excerpt{}
	}
}
