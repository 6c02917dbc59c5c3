package outbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// Query selects deliveries or dead letters. The zero value selects all.
type Query struct {
	Action string // full name
	Rule   string
	Reason string // of dead letters: attempts, age, permanent, dropped, damaged

	Failing bool   // only pending firings that were attempted
	Before  uint64 // only numbers below this one; 0: from the latest on. For pending firings: only numbers above it
	Limit   int    // at most that many; 0: 100
}

// Most returns the limit that applies.
func (q *Query) Most() int { return cmp.Or(q.Limit, 100) }

// Delivery is a firing that waits, or that was delivered.
type Delivery struct {
	Number    uint64 // its own, for ever
	State     string // pending, delivered
	Action    string
	Rule      string
	ID        string // the firing's, the receiver's webhook-id
	Event     string // not of delivered ones: their events are not kept
	Key       string
	Attempts  int
	Planned   time.Time
	Due       time.Time // of the next attempt, if it has to wait for that
	LastError string
	Excerpt   string // of the last response, or what a program wrote
	Delivered time.Time
	Status    string          // what the receiver said
	Firing    json.RawMessage // what is delivered; where one is shown, not where many are listed
}

// DeadLetter is a firing that was given up.
type DeadLetter struct {
	Number   uint64
	Action   string
	Rule     string
	ID       string
	Reason   string // attempts, age, permanent, dropped, damaged
	Error    string
	Excerpt  string // of the last response
	Event    string
	Key      string
	Attempts int
	Planned  time.Time
	GivenUp  time.Time
	Firing   json.RawMessage // what was to be delivered; null for what was dropped unseen
}

// Names returns the names of all endpoints, sorted.
func (o *Outbox) Names() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.endpoints))
}

// OldestPending returns when the oldest firing was planned that waits for an
// endpoint; zero: none does.
func (o *Outbox) OldestPending(endpoint string) (time.Time, error) {
	for p, err := range o.store.Pending(endpoint, 0) {
		return p.Born, err
	}
	return time.Time{}, nil
}

// isMissing reports whether the store has no such record.
func isMissing(err error) bool { return errors.Is(err, store.ErrNotFound) }

// selects reports whether q selects the firing of an ID, of an action.
func selects(q *Query, action, id string) bool {
	return (q.Action == "" || q.Action == action) && (q.Rule == "" || q.Rule == firing.ID(id).Rule())
}

// maxScanned is how many records one listing reads at most.
const maxScanned = 100_000

// Pending lists firings that wait, the oldest first. next is the Before of the
// query for the following ones, 0 at the end.
func (o *Outbox) Pending(q Query) (list []Delivery, next uint64, err error) {
	more := false
	for _, action := range o.names(q.Action) {
		of, rest, err := o.pendingOf(action, &q)
		if err != nil {
			return nil, 0, err
		}
		more = more || rest
		list = append(list, of...)
		if q.Rule == "" && len(list) > q.Most() { // a rule is known only once the job is read
			list, more = firstByNumber(list, q.Most()), true
		}
	}
	kept := list[:0]
	for _, d := range firstByNumber(list, len(list)) {
		next = d.Number
		switch err := o.fillFromJob(&d, false); {
		case isMissing(err):
			continue // delivered meanwhile
		case err != nil:
			return nil, 0, err
		}
		if selects(&q, d.Action, d.ID) {
			if kept = append(kept, d); len(kept) == q.Most() {
				return kept, next, nil
			}
		}
	}
	if !more {
		next = 0
	}
	return kept, next, nil
}

// pendingOf returns the first of an action's firings, without what is in their
// payloads, and whether there are more.
func (o *Outbox) pendingOf(action string, q *Query) (list []Delivery, more bool, err error) {
	n := 0
	for p, err := range o.store.Pending(action, q.Before+1) {
		if err != nil {
			return nil, false, err
		}
		if n == maxScanned || q.Rule == "" && len(list) == q.Most() {
			return list, true, nil
		}
		n++
		if q.Failing && p.Attempts == 0 && p.Error == "" {
			continue
		}
		list = append(list, Delivery{
			Number: p.Seq, State: "pending", Action: action, Attempts: p.Attempts, Planned: p.Born, Due: p.Due, LastError: p.Error, Excerpt: p.Excerpt,
		})
	}
	return list, false, nil
}

// firstByNumber sorts list by number, and returns the first n.
func firstByNumber(list []Delivery, n int) []Delivery {
	slices.SortFunc(list, func(a, b Delivery) int { return cmp.Compare(a.Number, b.Number) })
	return list[:min(n, len(list))]
}

// names returns the actions that firings may wait for, or the one that
// is named.
func (o *Outbox) names(one string) []string {
	if one != "" {
		return []string{one}
	}
	return o.Names()
}

// fillFromJob adds what is in the payload to a pending delivery. With whole set
// that includes the JSON that is delivered. If the job is damaged, the
// delivery's error says so.
func (o *Outbox) fillFromJob(d *Delivery, whole bool) error {
	j, err := o.store.Load(d.Number)
	if store.IsDamaged(err) {
		d.LastError = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	d.ID, d.Rule = j.ID, firing.ID(j.ID).Rule()
	d.Event, d.Key, d.Firing = showPayload(j, d.Attempts, whole)
	return nil
}

// showPayload returns what a job's payload says of its event.
func showPayload(j *store.Job, attempts int, whole bool) (name, key string, body json.RawMessage) {
	f, err := firing.ParseBinary(firing.ID(j.ID), j.Payload)
	if err != nil {
		return "", "", nil // the attempt says so
	}
	if whole {
		f.Attempt = max(1, attempts)
		body = f.AppendJSON(nil)
	}
	return f.Event.Name, string(event.AppendText(nil, f.Event.Key)), body
}

// Delivered lists deliveries that succeeded, the latest first. next is the
// Before of the query for the following ones, 0 at the end.
func (o *Outbox) Delivered(q Query) (list []Delivery, next uint64, err error) {
	n := 0
	for s, err := range o.store.Settled(q.Before) {
		if err != nil {
			return nil, 0, err
		}
		if n++; n > maxScanned {
			return list, s.Number + 1, nil
		}
		if !selects(&q, s.Endpoint, s.ID) {
			continue
		}
		list = append(list, deliveredOf(&s))
		if len(list) == q.Most() {
			return list, s.Number, nil
		}
	}
	return list, 0, nil
}

func deliveredOf(s *store.Settled) Delivery {
	return Delivery{
		Number: s.Seq, State: "delivered", Action: s.Endpoint, Rule: firing.ID(s.ID).Rule(), ID: s.ID,
		Attempts: s.Attempts, Planned: s.Born, Delivered: s.At, Status: s.Status, Excerpt: s.Excerpt,
	}
}

// Delivery returns a firing that is pending or delivered, by its number or by
// its ID. By its ID a pending one is found only among the first 100,000 of its
// action. The error is store.ErrNotFound if there is none.
func (o *Outbox) Delivery(number uint64, id string) (*Delivery, error) {
	for _, action := range o.names("") {
		d, err := o.pendingOne(action, number, id)
		if d != nil || err != nil {
			return d, err
		}
	}
	n := 0
	for s, err := range o.store.Settled(0) {
		if err != nil {
			return nil, err
		}
		if id == "" && s.Seq == number || id != "" && s.ID == id {
			d := deliveredOf(&s)
			return &d, nil
		}
		if n++; n > maxScanned {
			break
		}
	}
	return nil, fmt.Errorf("%w: no such delivery is pending or kept; it may be a dead letter", store.ErrNotFound)
}

// pendingOne returns a pending delivery of an action, nil if it has none such.
func (o *Outbox) pendingOne(action string, number uint64, id string) (*Delivery, error) {
	if own := firing.Endpoint(action).Action(); own != "" && id != "" && firing.ID(id).Action() != own {
		return nil, nil // an action of a rule's own ends its firings' IDs
	}
	n := 0
	for p, err := range o.store.Pending(action, number) {
		if err != nil {
			return nil, err
		}
		if n++; n > maxScanned || id == "" && p.Seq != number {
			return nil, nil
		}
		d := Delivery{Number: p.Seq, State: "pending", Action: action, Attempts: p.Attempts, Planned: p.Born, Due: p.Due, LastError: p.Error, Excerpt: p.Excerpt}
		switch err := o.fillFromJob(&d, true); {
		case isMissing(err):
			continue
		case err != nil:
			return nil, err
		}
		if id == "" || d.ID == id {
			return &d, nil
		}
	}
	return nil, nil
}

// DeadLetters lists dead letters, the latest first. next is the Before of the
// query for the following ones, 0 at the end.
func (o *Outbox) DeadLetters(q Query) (list []DeadLetter, next uint64, err error) {
	for d, err := range o.AllDead(q, false) {
		if err != nil {
			return nil, 0, err
		}
		list = append(list, *d)
		if len(list) == q.Most() {
			return list, d.Number, nil
		}
	}
	return list, 0, nil
}

// AllDead iterates over the dead letters that q selects, the latest first; the
// limit of q does not count. If whole is set, each has its payload. If there is
// an error, it is the last that is yielded.
func (o *Outbox) AllDead(q Query, whole bool) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		for d, err := range o.store.Dead(q.Before) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !selects(&q, d.Endpoint, d.ID) || q.Reason != "" && q.Reason != d.Reason {
				continue
			}
			shown, err := o.showDead(&d, whole)
			if isMissing(err) {
				continue // requeued meanwhile
			}
			if !yield(shown, err) || err != nil {
				return
			}
		}
	}
}

// DeadLetter returns a dead letter with its payload. The error is
// store.ErrNotFound if there is none of that number.
func (o *Outbox) DeadLetter(number uint64) (*DeadLetter, error) {
	d, err := o.store.DeadLetter(number)
	if err == nil {
		var shown *DeadLetter
		if shown, err = o.showDead(d, true); err == nil {
			return shown, nil
		}
	}
	if isMissing(err) {
		return nil, fmt.Errorf("dead letter %d: %w", number, store.ErrNotFound)
	}
	return nil, err
}

func (o *Outbox) showDead(d *store.DeadLetter, whole bool) (*DeadLetter, error) {
	shown := &DeadLetter{
		Number: d.Number, Action: d.Endpoint, Rule: firing.ID(d.ID).Rule(), ID: d.ID, Reason: d.Reason, Error: d.Error, Excerpt: d.Excerpt,
		Attempts: d.Attempts, Planned: d.Born, GivenUp: d.At,
	}
	if d.Seq == 0 {
		return shown, nil
	}
	j, err := o.store.Load(d.Seq)
	if store.IsDamaged(err) {
		return shown, nil // which its error tells, or will when it is retried
	}
	if err != nil {
		return nil, err
	}
	shown.Event, shown.Key, shown.Firing = showPayload(j, d.Attempts, whole)
	return shown, nil
}

// SelectDead returns the numbers of the dead letters that q selects, the oldest
// first, so that requeued firings keep their order. The limit of q does not
// count. If jobs is set, letters that cannot be retried are left out.
func (o *Outbox) SelectDead(q Query, jobs bool) ([]uint64, error) {
	var numbers []uint64
	for d, err := range o.store.Dead(q.Before) {
		if err != nil {
			return nil, err
		}
		if selects(&q, d.Endpoint, d.ID) && (q.Reason == "" || q.Reason == d.Reason) && !(jobs && nothingToRetry(&d)) {
			numbers = append(numbers, d.Number)
		}
	}
	slices.Reverse(numbers)
	return numbers, nil
}

// nothingToRetry reports whether a dead letter is of a dropped firing, or of one
// of which nothing is left that can be read.
func nothingToRetry(d *store.DeadLetter) bool { return d.Seq == 0 || d.Reason == "damaged" }
