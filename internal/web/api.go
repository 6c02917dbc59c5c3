package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/firing"
	"triggerd/internal/glob"
)

// Status is the answer of GET /api/v1/status.
type Status struct {
	Version      string `json:"version"`
	LogLinesLost int64  `json:"log_lines_lost,omitempty"` // that could not be written
	*admin.Status
}

// Deliveries is the answer of GET /api/v1/deliveries. Next is the "before" of
// the request for the following ones, 0 at the end.
type Deliveries struct {
	Deliveries []admin.Delivery `json:"deliveries"`
	Next       uint64           `json:"next,omitempty"`
}

// DeadLetters is the answer of GET /api/v1/dead-letters. Next is as in
// Deliveries.
type DeadLetters struct {
	DeadLetters []admin.DeadLetter `json:"dead_letters"`
	Next        uint64             `json:"next,omitempty"`
}

// Causes is the answer of GET /api/v1/dead-letters/causes, the largest group
// first.
type Causes struct {
	Causes []admin.Cause `json:"causes"`
	More   bool          `json:"more,omitempty"` // there are more groups than are told apart
}

// Selection is the body of a request that changes firings or dead letters:
// numbers, or all that the other fields select. A call refuses fields that make
// no sense for it.
type Selection struct {
	Numbers []uint64 `json:"numbers,omitempty"`
	All     bool     `json:"all,omitempty"` // has to be set where no numbers are
	Action  string   `json:"action,omitempty"`
	Rule    string   `json:"rule,omitempty"`
	Key     string   `json:"key,omitempty"`   // a glob
	Since   string   `json:"since,omitempty"` // a time as in 2006-01-02T15:04:05Z, or how long ago, as in 10m
	Reason  string   `json:"reason,omitempty"`
	Error   string   `json:"error,omitempty"`   // that of a cause
	Failing bool     `json:"failing,omitempty"` // only pending firings that were attempted
	Expect  *int     `json:"expect,omitempty"`  // how many there are at most; else the answer is 409, and nothing is changed
	Changed bool     `json:"changed,omitempty"` // to be delivered once more also where the action goes elsewhere now
}

// Name is the body of a request that resumes.
type Name struct {
	Name string `json:"name"`
}

// Pause is the body of a request that pauses.
type Pause struct {
	Name   string `json:"name"`
	For    string `json:"for,omitempty"`    // a duration as in "2h30m", after which it ends by itself; "": it does not
	Reason string `json:"reason,omitempty"` // for whoever looks at the status
}

// maxReason limits the bytes of a pause's reason.
const maxReason = 500

// Done is the answer to a request that changed something.
type Done struct {
	Name  string `json:"name,omitempty"`  // in full, of what was paused or resumed
	Count int    `json:"count,omitempty"` // of what was retried or dropped; where all of an action is retried, of its keys

	Pending int `json:"pending,omitempty"` // firings of an action that wait, where all of it is retried

	Until time.Time `json:"until,omitzero"` // when what was paused goes on by itself
}

// Error is the answer to a request that failed. Count is how much was done
// before.
type Error struct {
	Error string `json:"error"`
	Count int    `json:"count,omitempty"`
}

func (s *Server) addAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/status", s.status)
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.HandleFunc("GET /api/v1/overview", s.overview)
	mux.HandleFunc("GET /api/v1/rates", s.rates)
	mux.HandleFunc("GET /api/v1/rates/{name...}", s.ruleRates)
	mux.HandleFunc("GET /api/v1/last-event", s.lastEvent)
	mux.HandleFunc("GET /api/v1/rules", s.rules)
	mux.HandleFunc("GET /api/v1/rules/{name...}", s.rule)
	mux.HandleFunc("GET /api/v1/value", s.value)
	mux.HandleFunc("GET /api/v1/deliveries", s.deliveries)
	mux.HandleFunc("GET /api/v1/deliveries/{ref...}", s.delivery)
	mux.HandleFunc("POST /api/v1/deliveries/retry", s.retryDeliveries)
	mux.HandleFunc("POST /api/v1/deliveries/cancel", s.cancelDeliveries)
	mux.HandleFunc("POST /api/v1/deliveries/redeliver", s.redeliver)
	mux.HandleFunc("GET /api/v1/dead-letters", s.deadLetters)
	mux.HandleFunc("GET /api/v1/dead-letters/{number}", s.deadLetter)
	mux.HandleFunc("GET /api/v1/dead-letters/export", s.exportDead)
	mux.HandleFunc("GET /api/v1/dead-letters/causes", s.causes)
	mux.HandleFunc("POST /api/v1/dead-letters/retry", s.retryDead)
	mux.HandleFunc("POST /api/v1/dead-letters/drop", s.dropDead)
	mux.HandleFunc("POST /api/v1/store/backup", s.backup)
	mux.HandleFunc("POST /api/v1/reload", s.reload)
	mux.HandleFunc("POST /api/v1/pause", s.pause)
	mux.HandleFunc("POST /api/v1/resume", s.resume)
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	st, err := s.cfg.Daemon.Status()
	s.hideStatus(st)
	s.writeResult(w, Status{s.cfg.Version, s.cfg.LogLinesLost(), st}, 0, err)
}

// value answers with what a key is now.
func (s *Server) value(w http.ResponseWriter, r *http.Request) {
	if s.cfg.HideValues {
		s.writeError(w, http.StatusForbidden, errors.New("values are "+hidden))
		return
	}
	q := r.URL.Query()
	db := 0
	for name := range q {
		switch name {
		case "key":
		case "db":
			var err error
			if db, err = strconv.Atoi(q.Get(name)); err != nil || db < 0 {
				s.writeError(w, http.StatusBadRequest, fmt.Errorf("db is the number of a database, not %q", q.Get(name)))
				return
			}
		default:
			s.writeError(w, http.StatusBadRequest, fmt.Errorf("there is no parameter %q: key, db", name))
			return
		}
	}
	if !q.Has("key") {
		s.writeError(w, http.StatusBadRequest, errors.New("key is needed: ?key=stock:7"))
		return
	}
	v, err := s.cfg.Daemon.Value(r.Context(), db, q.Get("key"))
	s.writeResult(w, v, 0, err)
}

func (s *Server) deliveries(w http.ResponseWriter, r *http.Request) {
	q, err := s.parseQuery(r.URL.Query())
	if err != nil {
		s.writeError(w, http.StatusBadRequest, err)
		return
	}
	list := s.cfg.Daemon.Pending
	switch state := r.URL.Query().Get("state"); state {
	case "", "pending":
	case "delivered":
		list = s.cfg.Daemon.Delivered
		if q.Failing {
			s.writeError(w, http.StatusBadRequest, errors.New("failing is of what waits, not of what was delivered"))
			return
		}
	default:
		s.writeError(w, http.StatusBadRequest, fmt.Errorf("state is pending or delivered, not %q; what was given up is under dead-letters", state))
		return
	}
	found, next, err := list(r.Context(), q)
	if found == nil {
		found = []admin.Delivery{}
	}
	for i := range found {
		s.hideDelivery(&found[i])
	}
	s.writeResult(w, Deliveries{found, next}, 0, err)
}

func (s *Server) delivery(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("ref")
	number, err := strconv.ParseUint(ref, 10, 64)
	if err == nil {
		ref = ""
	}
	d, err := s.cfg.Daemon.Delivery(r.Context(), number, ref)
	s.hideDelivery(d)
	s.writeResult(w, d, 0, err)
}

func (s *Server) retryDeliveries(w http.ResponseWriter, r *http.Request) {
	var sel Selection
	if !s.decodeBody(w, r, &sel) {
		return
	}
	if sel.isFiltered() && (sel.Action == "" || sel.hasFilter()) || len(sel.Numbers) == 0 && sel.Action == "" {
		s.writeError(w, http.StatusBadRequest, errors.New(`send {"numbers": [N]} or {"action": "target/NAME"}`))
		return
	}
	if len(sel.Numbers) == 0 {
		n, pending, err := s.cfg.Daemon.RetryNow(fullName(sel.Action), 0)
		s.writeResult(w, Done{Count: n, Pending: pending}, n, err)
		return
	}
	n := 0
	for _, number := range unique(sel.Numbers) {
		if _, _, err := s.cfg.Daemon.RetryNow("", number); err != nil {
			s.writeResult(w, nil, n, err)
			return
		}
		n++
	}
	s.writeResult(w, Done{Count: n}, n, nil)
}

func (s *Server) deadLetters(w http.ResponseWriter, r *http.Request) {
	q, err := s.parseQuery(r.URL.Query())
	if err != nil {
		s.writeError(w, http.StatusBadRequest, err)
		return
	}
	found, next, err := s.cfg.Daemon.DeadLetters(r.Context(), q)
	if found == nil {
		found = []admin.DeadLetter{}
	}
	for i := range found {
		s.hideDead(&found[i])
	}
	s.writeResult(w, DeadLetters{found, next}, 0, err)
}

func (s *Server) deadLetter(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		s.writeError(w, http.StatusBadRequest, fmt.Errorf("%q is not the number of a dead letter", r.PathValue("number")))
		return
	}
	d, err := s.cfg.Daemon.DeadLetter(r.Context(), number)
	s.hideDead(d)
	s.writeResult(w, d, 0, err)
}

// exportDead writes one JSON object a line. On a failure it closes the
// connection, so that nobody takes a part for the whole.
func (s *Server) exportDead(w http.ResponseWriter, r *http.Request) {
	q, err := s.parseQuery(r.URL.Query())
	if err != nil {
		s.writeError(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	control, out := http.NewResponseController(w), json.NewEncoder(w)
	n := 0
	for d, err := range s.cfg.Daemon.AllDead(r.Context(), q, true) {
		if n++; n%100 == 1 {
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // as long as it is read; a recorder of a test has none
		}
		if err == nil {
			s.hideDead(d)
			err = out.Encode(d)
		}
		if err != nil {
			s.log.Warn("export of dead letters broken off", "err", err)
			panic(http.ErrAbortHandler)
		}
	}
}

// cancelDeliveries answers once what was in flight has ended, if that takes no
// longer than half a minute.
func (s *Server) cancelDeliveries(w http.ResponseWriter, r *http.Request) {
	sel, chosen, ok := s.decodeSelection(w, r)
	if !ok {
		return
	}
	if sel.Reason != "" || sel.Error != "" || sel.Changed {
		s.writeError(w, http.StatusBadRequest, errors.New("what waits is selected by numbers, or by action, rule, key, since and failing"))
		return
	}
	s.extendDeadline(w)
	done, err := s.cfg.Daemon.Cancel(r.Context(), chosen, s.whoAsks(r))
	s.writeResult(w, done, done.Count, err)
}

func (s *Server) redeliver(w http.ResponseWriter, r *http.Request) {
	sel, chosen, ok := s.decodeSelection(w, r)
	if !ok {
		return
	}
	if sel.Reason != "" || sel.Error != "" || sel.Failing {
		s.writeError(w, http.StatusBadRequest, errors.New("what was delivered is selected by numbers, or by action, rule, key and since"))
		return
	}
	s.extendDeadline(w)
	n, err := s.cfg.Daemon.Redeliver(r.Context(), chosen, sel.Changed)
	s.writeResult(w, Done{Count: n}, n, err)
}

// extendDeadline gives an answer the time that it takes to read all that is kept,
// and to wait for attempts in flight.
func (s *Server) extendDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(2 * writeTimeout)) // a recorder of a test has none
}

// causes groups dead letters by action and cause.
func (s *Server) causes(w http.ResponseWriter, r *http.Request) {
	q, err := s.parseQuery(r.URL.Query())
	if err != nil {
		s.writeError(w, http.StatusBadRequest, err)
		return
	}
	s.extendDeadline(w)
	list, more, err := s.cfg.Daemon.Causes(r.Context(), q)
	if list == nil {
		list = []admin.Cause{}
	}
	s.hideCauses(list)
	s.writeResult(w, Causes{list, more}, 0, err)
}

func (s *Server) retryDead(w http.ResponseWriter, r *http.Request) {
	s.changeDead(w, r, func(sel admin.Selection) (int, error) { return s.cfg.Daemon.RetryDead(r.Context(), sel) })
}

func (s *Server) dropDead(w http.ResponseWriter, r *http.Request) {
	s.changeDead(w, r, func(sel admin.Selection) (int, error) { return s.cfg.Daemon.DropDead(r.Context(), sel) })
}

func (s *Server) changeDead(w http.ResponseWriter, r *http.Request, do func(admin.Selection) (int, error)) {
	sel, chosen, ok := s.decodeSelection(w, r)
	if !ok {
		return
	}
	if sel.Failing || sel.Changed {
		s.writeError(w, http.StatusBadRequest, errors.New("dead letters are selected by numbers, or by action, rule, key, since, reason and error"))
		return
	}
	if sel.Error == hidden {
		s.writeError(w, http.StatusConflict, errors.New("this cause is hidden, since [http] show_values is false: select by action and reason"))
		return
	}
	s.extendDeadline(w)
	n, err := do(chosen)
	s.writeResult(w, Done{Count: n}, n, err)
}

// isFiltered reports whether something but numbers selects.
func (sel *Selection) isFiltered() bool {
	return sel.All || sel.Action != "" || sel.hasFilter()
}

// hasFilter reports whether something but numbers and action selects.
func (sel *Selection) hasFilter() bool {
	return sel.Rule != "" || sel.Key != "" || sel.Since != "" || sel.Reason != "" || sel.Error != "" || sel.Failing || sel.Expect != nil || sel.Changed
}

// decodeSelection decodes the body of a request that changes firings or dead
// letters. If it cannot, it answers with the reason and returns false.
func (s *Server) decodeSelection(w http.ResponseWriter, r *http.Request) (sel Selection, chosen admin.Selection, ok bool) {
	if !s.decodeBody(w, r, &sel) {
		return sel, chosen, false
	}
	filtered := sel.Action != "" || sel.Rule != "" || sel.Key != "" || sel.Since != "" || sel.Reason != "" || sel.Error != "" || sel.Failing
	if sel.All == (len(sel.Numbers) > 0) || filtered && !sel.All {
		s.writeError(w, http.StatusBadRequest, errors.New(`send {"numbers": [N, ...]}, or {"all": true} with action, rule, key, since, reason or error where not all are meant`))
		return sel, chosen, false
	}
	since, err := parseSince(sel.Since)
	key, keyErr := keyFilter(sel.Key)
	if err = cmp.Or(err, keyErr); err != nil {
		s.writeError(w, http.StatusBadRequest, err)
		return sel, chosen, false
	}
	return sel, admin.Selection{Numbers: unique(sel.Numbers), All: sel.All, Expect: sel.Expect, Query: admin.Query{
		Action: fullName(sel.Action), Rule: sel.Rule, Reason: sel.Reason, Error: sel.Error, Since: since, Key: key, Failing: sel.Failing, Hidden: s.cfg.HideValues,
	}}, true
}

// unique returns numbers without those that are there before. Who names one twice
// means it once.
func unique(numbers []uint64) []uint64 {
	seen := make(map[uint64]bool, len(numbers))
	return slices.DeleteFunc(numbers, func(n uint64) bool {
		was := seen[n]
		seen[n] = true
		return was
	})
}

// keyFilter returns a filter by a glob; nil for none.
func keyFilter(pattern string) (func(string) bool, error) {
	if pattern == "" {
		return nil, nil
	}
	p, err := glob.Parse(pattern)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return func(key string) bool { return p.Match([]byte(key)) }, nil
}

// parseSince parses a time, or how long ago it was. "" is no time.
func parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("since is a time as 2026-01-31T14:00:00Z, or how long ago as 10m or 2d, not %q", text)
	}
	return time.Now().Add(-d), nil
}

// reload answers with what has changed, also where there are mistakes, so that
// the old rules stay.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Reload == nil {
		s.writeError(w, http.StatusNotImplemented, errors.New("there is no file that the rules could be read from again"))
		return
	}
	done, err := s.cfg.Reload(r.Context(), s.whoAsks(r))
	s.writeResult(w, done, 0, err)
}

func (s *Server) pause(w http.ResponseWriter, r *http.Request) {
	var sent Pause
	if !s.decodeBody(w, r, &sent) {
		return
	}
	p := admin.Pause{Reason: sent.Reason, By: s.whoAsks(r)}
	if len(sent.Reason) > maxReason {
		s.writeError(w, http.StatusBadRequest, fmt.Errorf("a reason of %d bytes; it may have %d", len(sent.Reason), maxReason))
		return
	}
	if sent.For != "" {
		d, err := ParseDuration(sent.For)
		if err != nil || d < time.Second || d > maxPause {
			s.writeError(w, http.StatusBadRequest, fmt.Errorf("for is a duration from 1s to %dh, as 2h30m or 3d, not %q", maxPause/time.Hour, sent.For))
			return
		}
		p.Until = time.Now().Add(d)
	}
	full, err := s.cfg.Daemon.Pause(sent.Name, p)
	s.writeResult(w, Done{Name: full, Until: p.Until}, 0, err)
}

// maxPause is how long a pause may be that ends by itself.
const maxPause = 10_000 * time.Hour

func (s *Server) resume(w http.ResponseWriter, r *http.Request) {
	var n Name
	if !s.decodeBody(w, r, &n) {
		return
	}
	full, err := s.cfg.Daemon.Resume(n.Name)
	s.writeResult(w, Done{Name: full}, 0, err)
}

// fullName returns the full name of an action; a name without a slash is a
// target's. A text that is no name is returned as it is, and reported as
// unknown later.
func fullName(action string) string {
	if ep, err := firing.ParseEndpoint(action); err == nil {
		return ep.String()
	}
	return action
}

const maxLimit = 1000

// parseQuery parses the parameters of a request.
func (s *Server) parseQuery(v url.Values) (admin.Query, error) {
	q := admin.Query{Hidden: s.cfg.HideValues, Action: fullName(v.Get("action")), Rule: v.Get("rule"), Reason: v.Get("reason"), Error: v.Get("error"), ID: v.Get("id"), Failing: v.Get("failing") == "1"}
	for name := range v {
		switch name {
		case "action", "rule", "reason", "failing", "state", "id", "error":
		case "key":
			key, err := keyFilter(v.Get(name))
			if err != nil {
				return q, err
			}
			q.Key = key
		case "since":
			since, err := parseSince(v.Get(name))
			if err != nil {
				return q, err
			}
			q.Since = since
		case "before":
			n, err := strconv.ParseUint(v.Get(name), 10, 64)
			if err != nil {
				return q, fmt.Errorf("before is the next of an answer, not %q", v.Get(name))
			}
			q.Before = n
		case "limit":
			n, err := strconv.Atoi(v.Get(name))
			if err != nil || n < 1 || n > maxLimit {
				return q, fmt.Errorf("limit is 1 to %d, not %q", maxLimit, v.Get(name))
			}
			q.Limit = n
		default:
			return q, fmt.Errorf("there is no parameter %q: action, rule, key, id, since, reason, error, failing, state, before, limit", name)
		}
	}
	return q, nil
}

// decodeBody decodes the body of a request. If it cannot, it answers with the
// reason and returns false.
func (s *Server) decodeBody(w http.ResponseWriter, r *http.Request, to any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(to)
	if err == nil && d.More() {
		err = errors.New("something follows the JSON object")
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.writeError(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", tooLarge.Limit))
	case err != nil:
		s.writeError(w, http.StatusBadRequest, fmt.Errorf("the body: %w", err))
	}
	return err == nil
}

// writeResult writes a value, or the error with how much was done.
func (s *Server) writeResult(w http.ResponseWriter, v any, count int, err error) {
	status := http.StatusOK
	switch {
	case errors.Is(err, admin.ErrUnknown):
		status = http.StatusNotFound
	case errors.Is(err, admin.ErrQuery):
		status, err = http.StatusBadRequest, trimmed(err)
	case errors.Is(err, admin.ErrAmbiguous), errors.Is(err, admin.ErrRefused):
		status = http.StatusConflict
	case errors.Is(err, admin.ErrNoAnswer):
		status = http.StatusServiceUnavailable
	case errors.Is(err, context.Canceled): // whoever asked is gone
		status = http.StatusServiceUnavailable
	case err != nil:
		status = http.StatusInternalServerError
		s.log.Error("a request failed", "err", err)
	}
	if err != nil {
		v = Error{err.Error(), count}
	}
	if c, ok := w.(*changeWriter); ok { // who changes what is logged there
		c.done, _ = v.(Done)
		c.done.Count, c.err = max(c.done.Count, count), err
	}
	s.writeJSON(w, status, v)
}

func (s *Server) writeError(w http.ResponseWriter, status int, err error) {
	if c, ok := w.(*changeWriter); ok {
		c.err = err
	}
	s.writeJSON(w, status, Error{Error: err.Error()})
}

func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.log.Debug("an answer was not read to its end", "err", err)
	}
}
