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
	"sync/atomic"
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
	if q.batch {
		q.Every = batchTime
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
	var text []byte
	for e := range feed {
		text = append(text[:0], ":\n\n"...)
		if e != nil {
			b := s.encodeEntry(e)
			text = fmt.Appendf(text[:0], "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, b)
		}
		if !out.write(text) {
			return
		}
	}
}

// batchTime is how long entries are gathered for one message: a browser draws no
// more often.
const batchTime = 50 * time.Millisecond

// writeBatches writes entries in messages of many. The feed says with a nil where
// one ends, and in quiet times that there is nothing.
func (s *Server) writeBatches(out *feedWriter, feed iter.Seq[*admin.FeedEntry]) {
	const head = "data: ["
	text := []byte(head)
	var last uint64
	for e := range feed {
		if e != nil {
			if len(text) > len(head) {
				text = append(text, ',')
			}
			text, last = append(text, s.encodeEntry(e)...), e.Seq
			continue
		}
		if len(text) == len(head) {
			text = append(text[:0], ":\n\n"...)
		} else {
			text = fmt.Appendf(text, "]\nid: %d\n\n", last)
		}
		if !out.write(text) {
			return
		}
		if cap(text) > maxKeptText {
			text = nil
		}
		text = append(text[:0], head...)
	}
}

// maxKeptText limits the memory that is kept for the text of a batch.
const maxKeptText = 1 << 20

// encodedEntries are the latest entries of the feed in JSON, so that one is encoded
// once for all who watch. What is missing is encoded again.
type encodedEntries [1024]atomic.Pointer[encodedEntry]

type encodedEntry struct {
	seq  uint64
	text []byte
}

// maxKeptEntry limits what is kept in JSON. A key may be long.
const maxKeptEntry = 4 << 10

// encodeEntry returns an entry in JSON, as it may be seen.
func (s *Server) encodeEntry(e *admin.FeedEntry) []byte {
	place := &s.encoded[e.Seq%uint64(len(s.encoded))]
	own := e.Kind == admin.FeedLost // a reader's own, under the number of the one before
	if kept := place.Load(); kept != nil && kept.seq == e.Seq && !own {
		return kept.text
	}
	if s.cfg.HideValues {
		hidden := *e
		s.hideEntry(&hidden)
		e = &hidden
	}
	text, err := json.Marshal(e)
	if err != nil { // which none of its fields can cause
		s.log.Error("an entry of the feed cannot be written", "err", err)
		return []byte("null")
	}
	if !own && len(text) <= maxKeptEntry {
		place.Store(&encodedEntry{e.Seq, text})
	}
	return text
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
			q.Key = p.Match
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
		if e.Kind == admin.FeedAttempt || e.Action != "" { // what a receiver said; all else is triggerd's own
			hideError(&e.Text)
		}
		e.Command, e.Before, e.After = "", admin.Excerpt{}, admin.Excerpt{}
	}
}
