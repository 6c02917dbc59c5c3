package outbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"triggerd/internal/delivered"
	"triggerd/internal/delivered/form"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// Query selects deliveries or dead letters. The zero value selects all.
type Query struct {
	Action string // full name
	Rule   string
	Reason string            // of dead letters: attempts, age, permanent, dropped, damaged, cancelled, rewound
	Error  string            // of dead letters: their cause, by package cause
	ID     string            // of the firing
	Since  time.Time         // only those that were planned, delivered or given up at this time or later; zero: whenever
	Key    func(string) bool // by the key as text; nil: all

	Hidden  bool   // a cause is what is known of an error, without what may be data
	Failing bool   // only pending firings that were attempted
	Before  uint64 // only numbers below this one; 0: from the latest on. For pending firings: only numbers above it
	Limit   int    // at most that many; 0: 100
}

// Most returns the limit that applies.
func (q *Query) Most() int { return cmp.Or(q.Limit, 100) }

// Delivery is a firing that waits, that was delivered, or that was given up.
type Delivery struct {
	Number    uint64 // its own, for ever
	State     string // pending, delivered, dead
	Action    string
	Rule      string
	ID        string // the firing's, the receiver's webhook-id
	Event     string // "": not kept
	Key       string
	Attempts  int
	Planned   time.Time
	Due       time.Time // of the next attempt, if it has to wait for that
	LastError string
	Excerpt   string // of the last response, or what a program wrote
	Delivered time.Time
	Status    string        // what the receiver said
	Code      int           // of the last attempt of a delivered one, see AttemptRecord
	Took      time.Duration // the same

	DeadLetter  uint64 // its number as a dead letter; 0: it is none
	Reason      string // why it was given up
	Redelivered bool   // it was delivered before, and somebody has it delivered again

	Firing   json.RawMessage // what is delivered; where one is shown, not where many are listed
	Timeline []AttemptRecord // the same; the oldest first
	Request  *Request        // the same; nil: not known
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
	Timeline []AttemptRecord // where one is shown; the oldest first
	Request  *Request        // the same; nil: not known
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
	return (q.Action == "" || q.Action == action) && (q.ID == "" || q.ID == id) && (q.Rule == "" || q.Rule == firing.ID(id).Rule())
}

// selectsKey reports whether q selects a job by its key.
func selectsKey(q *Query, j *store.Job) bool {
	if q.Key == nil {
		return true
	}
	f, err := firing.ParseBinary(firing.ID(j.ID), j.Payload)
	return err == nil && q.Key(string(event.AppendText(nil, f.Event.Key)))
}

// readsJobs reports whether a pending job has to be read before it is known
// whether q selects it.
func (q *Query) readsJobs() bool { return q.Rule != "" || q.ID != "" || q.Key != nil }

// keptQuery returns what q asks of the deliveries that are kept.
func (o *Outbox) keptQuery(q *Query) delivered.Query {
	return delivered.Query{Before: q.Before, Since: q.Since, Pick: func(h *delivered.Head) bool {
		return selects(q, h.Endpoint, h.ID) && (q.Key == nil || q.Key(string(event.AppendText(nil, []byte(h.Key)))))
	}}
}

// looksAfter is how many records a listing reads before it looks whether anybody
// still waits for it.
const looksAfter = 256

// maxScanned is how many records one listing reads at most.
const maxScanned = 100_000

// Pending lists firings that wait, the oldest first. next is the Before of the
// query for the following ones, 0 at the end.
func (o *Outbox) Pending(ctx context.Context, q Query) (list []Delivery, next uint64, err error) {
	for {
		list, next, err = o.pendingPage(ctx, q)
		if err != nil || len(list) > 0 || next == 0 || q.readsJobs() {
			return list, next, err
		}
		q.Before = next // all of these were delivered meanwhile; others wait
	}
}

// pendingPage is Pending, but may find nothing though there is more.
func (o *Outbox) pendingPage(ctx context.Context, q Query) (list []Delivery, next uint64, err error) {
	more := false
	for _, action := range o.names(q.Action) {
		of, rest, err := o.pendingOf(ctx, action, &q)
		if err != nil {
			return nil, 0, err
		}
		more = more || rest
		list = append(list, of...)
		if !q.readsJobs() && len(list) > q.Most() { // a rule is known only once the job is read
			list, more = firstByNumber(list, q.Most()), true
		}
	}
	kept := list[:0]
	for i, d := range firstByNumber(list, len(list)) {
		if i%looksAfter == 0 && ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		next = d.Number
		switch _, err := o.fillFromJob(&d, false); {
		case isMissing(err):
			continue // delivered meanwhile
		case err != nil:
			return nil, 0, err
		}
		if selects(&q, d.Action, d.ID) && (q.Key == nil || q.Key(d.Key)) {
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
func (o *Outbox) pendingOf(ctx context.Context, action string, q *Query) (list []Delivery, more bool, err error) {
	n := 0
	for p, err := range o.store.Pending(action, q.Before+1) {
		if err != nil {
			return nil, false, err
		}
		if n == maxScanned || !q.readsJobs() && len(list) == q.Most() {
			return list, true, nil
		}
		if n++; n%looksAfter == 0 && ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		if q.Failing && p.Attempts == 0 && p.Error == "" || p.Born.Before(q.Since) {
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
// that includes the JSON that is delivered, and the job is returned. If the job
// is damaged, the delivery's error says so.
func (o *Outbox) fillFromJob(d *Delivery, whole bool) (*store.Job, error) {
	j, err := o.store.Load(d.Number)
	if store.IsDamaged(err) {
		d.LastError = err.Error()
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.ID, d.Rule = j.ID, firing.ID(j.ID).Rule()
	f := showPayload(j, d.Attempts, whole, &d.Firing)
	if f != nil {
		d.Event, d.Key, d.Redelivered = f.Event.Name, string(event.AppendText(nil, f.Event.Key)), f.Redelivered
	}
	return j, nil
}

// showPayload returns the firing of a job, and with whole set its JSON; nil if it
// cannot be read.
func showPayload(j *store.Job, attempts int, whole bool, body *json.RawMessage) *firing.Firing {
	f, err := firing.ParseBinary(firing.ID(j.ID), j.Payload)
	if err != nil {
		return nil // the attempt says so
	}
	if whole {
		f.Attempt = max(1, attempts)
		*body = f.AppendJSON(nil)
	}
	return f
}

// Delivered lists deliveries that succeeded, the latest first. next is the
// Before of the query for the following ones, 0 at the end.
//
// It lists what is kept whole, and after that those of which only a line is kept,
// without their keys.
func (o *Outbox) Delivered(ctx context.Context, q Query) (list []Delivery, next uint64, err error) {
	if o.kept != nil {
		for r, err := range o.kept.Latest(ctx, o.keptQuery(&q)) {
			if err != nil {
				return nil, 0, err
			}
			if list = append(list, deliveredFrom(r, false)); len(list) == q.Most() {
				return list, r.Number, nil
			}
		}
	}
	if q.Key != nil {
		return list, 0, nil
	}
	n := 0
	for s, err := range o.store.Settled(q.Before) {
		if err != nil {
			return nil, 0, err
		}
		if n++; n > maxScanned {
			return list, s.Number + 1, nil
		}
		if s.At.Before(q.Since) {
			return list, 0, nil
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

// Delivery returns a firing that is pending, delivered or dead, by its number or
// by its ID, with all that is known of it. By its ID a pending one is found only
// among the first 100,000 of its action. Of several with an ID, since one was
// delivered once more, it is the one that is pending, or the latest. The error is
// store.ErrNotFound if there is none.
func (o *Outbox) Delivery(ctx context.Context, number uint64, id string) (*Delivery, error) {
	for _, action := range o.names("") {
		d, err := o.pendingOne(ctx, action, number, id)
		if d != nil || err != nil {
			return d, err
		}
	}
	if d, err := o.keptOne(ctx, number, id); d != nil || err != nil {
		return d, err
	}
	if d, err := o.deadOne(ctx, number, id); d != nil || err != nil {
		return d, err
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
	return nil, fmt.Errorf("%w: no such delivery is pending, dead or kept", store.ErrNotFound)
}

// keptOne returns a delivery that is kept whole, nil if there is none such.
func (o *Outbox) keptOne(ctx context.Context, number uint64, id string) (*Delivery, error) {
	if o.kept == nil {
		return nil, nil
	}
	q := delivered.Query{Seqs: []uint64{number}}
	if id != "" {
		q = delivered.Query{Pick: func(h *delivered.Head) bool { return h.ID == id }}
	}
	for r, err := range o.kept.Latest(ctx, q) {
		if err != nil {
			return nil, err
		}
		d := deliveredFrom(r, true)
		return &d, nil
	}
	return nil, nil
}

// deadOne returns a dead letter as a delivery, nil if there is none such.
func (o *Outbox) deadOne(ctx context.Context, number uint64, id string) (*Delivery, error) {
	n := 0
	for d, err := range o.store.Dead(0) {
		if err != nil {
			return nil, err
		}
		if n++; n > maxScanned {
			break
		}
		if d.Seq == 0 || id == "" && d.Seq != number || id != "" && d.ID != id {
			continue
		}
		one, err := o.showDead(&d, true)
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if j, err := o.store.Load(d.Seq); err == nil {
			one.Request = o.requestNow(ctx, d.Endpoint, j, 0)
		}
		return &Delivery{
			Number: d.Seq, State: "dead", Action: one.Action, Rule: one.Rule, ID: one.ID, Event: one.Event, Key: one.Key, Attempts: one.Attempts, Planned: one.Planned,
			LastError: one.Error, Excerpt: one.Excerpt, DeadLetter: one.Number, Reason: one.Reason, Firing: one.Firing, Timeline: one.Timeline, Request: one.Request,
		}, nil
	}
	return nil, nil
}

// pendingOne returns a pending delivery of an action, nil if it has none such.
func (o *Outbox) pendingOne(ctx context.Context, action string, number uint64, id string) (*Delivery, error) {
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
		if n%looksAfter == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		d := Delivery{Number: p.Seq, State: "pending", Action: action, Attempts: p.Attempts, Planned: p.Born, Due: p.Due, LastError: p.Error, Excerpt: p.Excerpt}
		j, err := o.fillFromJob(&d, true)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if id != "" && d.ID != id {
			continue
		}
		if j != nil {
			d.Request = o.requestNow(ctx, action, j, d.Attempts)
		}
		tries, err := o.store.Attempts(d.Number)
		d.Timeline = form.ParseAttempts(tries)
		return &d, err
	}
	return nil, nil
}

// DeadLetters lists dead letters, the latest first. next is the Before of the
// query for the following ones, 0 at the end.
func (o *Outbox) DeadLetters(ctx context.Context, q Query) (list []DeadLetter, next uint64, err error) {
	for d, err := range o.AllDead(ctx, q, false) {
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
func (o *Outbox) AllDead(ctx context.Context, q Query, whole bool) iter.Seq2[*DeadLetter, error] {
	return func(yield func(*DeadLetter, error) bool) {
		for d, err := range o.deadLetters(ctx, q) {
			if err != nil {
				yield(nil, err)
				return
			}
			shown, err := o.showDead(d, whole)
			if isMissing(err) {
				continue // requeued meanwhile
			}
			if !yield(shown, err) || err != nil {
				return
			}
		}
	}
}

// deadLetters iterates over the dead letters that q selects, the latest first,
// without what is in their payloads; the limit of q does not count. If there is
// an error, it is the last that is yielded.
func (o *Outbox) deadLetters(ctx context.Context, q Query) iter.Seq2[*store.DeadLetter, error] {
	return func(yield func(*store.DeadLetter, error) bool) {
		n := 0
		for d, err := range o.store.Dead(q.Before) {
			if n++; n%looksAfter == 0 && err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !selects(&q, d.Endpoint, d.ID) || q.Reason != "" && q.Reason != d.Reason || d.At.Before(q.Since) ||
				q.Error != "" && q.Error != q.causeOf(d.Error) {
				continue
			}
			if q.Key != nil {
				j, err := o.store.Load(d.Seq)
				if isMissing(err) || store.IsDamaged(err) || err == nil && !selectsKey(&q, j) {
					continue
				}
				if err != nil {
					yield(nil, err)
					return
				}
			}
			if !yield(&d, nil) {
				return
			}
		}
	}
}

// DeadLetter returns a dead letter with its payload. The error is
// store.ErrNotFound if there is none of that number.
func (o *Outbox) DeadLetter(ctx context.Context, number uint64) (*DeadLetter, error) {
	d, err := o.store.DeadLetter(number)
	if err == nil {
		var shown *DeadLetter
		if shown, err = o.showDead(d, true); err == nil {
			if j, loadErr := o.store.Load(d.Seq); loadErr == nil {
				shown.Request = o.requestNow(ctx, d.Endpoint, j, 0)
			}
			return shown, nil
		}
	}
	if isMissing(err) {
		return nil, fmt.Errorf("%w: no dead letter has the number %d", store.ErrNotFound, number)
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
	if f := showPayload(j, d.Attempts, whole, &shown.Firing); f != nil {
		shown.Event, shown.Key = f.Event.Name, string(event.AppendText(nil, f.Event.Key))
	}
	if !whole {
		return shown, nil
	}
	tries, err := o.store.Attempts(d.Seq)
	shown.Timeline = form.ParseAttempts(tries)
	return shown, err
}

// SelectDead returns the numbers of the dead letters that q selects, the oldest
// first, so that requeued firings keep their order. The limit of q does not
// count. If jobs is set, letters that cannot be retried are left out.
func (o *Outbox) SelectDead(ctx context.Context, q Query, jobs bool) ([]uint64, error) {
	var numbers []uint64
	for d, err := range o.deadLetters(ctx, q) {
		if err != nil {
			return nil, err
		}
		if !(jobs && nothingToRetry(d)) {
			numbers = append(numbers, d.Number)
		}
	}
	slices.Reverse(numbers)
	return numbers, nil
}

// nothingToRetry reports whether a dead letter is of a dropped firing, or of one
// of which nothing is left that can be read.
func nothingToRetry(d *store.DeadLetter) bool { return d.Seq == 0 || d.Reason == "damaged" }
