package outbox

import (
	"context"
	"sync"
	"time"

	"triggerd/actions"
	"triggerd/internal/delivered"
	"triggerd/internal/delivered/form"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// AttemptRecord is what is kept of an attempt to deliver.
type AttemptRecord = form.Attempt

// Request is what was sent to deliver a firing, or what would be sent now.
type Request = form.Request

// recordOf returns what is kept of a firing that was delivered; nil: nothing is.
// The form in which the firing waited is kept as it is: to write it again would
// be half of what keeping costs.
func (w *worker) recordOf(res *actions.Result) *delivered.Record {
	f := w.firing
	if !w.ep.keepDelivered || f == nil {
		return nil
	}
	r := records.Get().(*delivered.Record)
	r.Head = delivered.Head{
		Seq: w.job.seq, Lane: w.lane.id, Born: w.job.born.time(), Endpoint: w.ep.name, ID: f.ID.String(),
		Event: f.Event.Name, Key: string(f.Event.Key), Status: res.Status,
	}
	var sent actions.Sent
	if res.Sent != nil {
		sent = res.Sent()
	} else if p, err := actions.Render(w.ep.attempts, w.action, f); err == nil {
		sent.Preview = p
	}
	switch like := w.ep.sentLike.Load(); {
	case sent.Like == nil:
		r.Request = form.AppendRequest(r.Request[:0], actions.Destination(w.action), &sent)
	case !like.IsOf(&sent):
		like = form.NewLike(actions.Destination(w.action), &sent)
		w.ep.sentLike.Store(like)
		fallthrough
	default:
		r.Request = form.AppendLike(r.Request[:0], like, &sent)
	}
	if r.Payload = f.Stored(); r.Payload == nil {
		r.Payload = firing.AppendBinary(nil, f)
	}
	return r
}

// records are used again once they are added.
var records = sync.Pool{New: func() any { return new(delivered.Record) }}

// maxReused is the size of a request up to which its record is used again.
const maxReused = 64 << 10

// attempt returns what is kept of an attempt.
func (s *settlement) attempt() AttemptRecord {
	a := AttemptRecord{Number: int(s.job.attempts), Uncounted: s.uncounted, At: s.began, Took: s.took, Outcome: s.what, Code: s.code, Text: s.text, Excerpt: s.excerpt}
	if s.uncounted {
		a.Number++
	}
	return a
}

// addDelivered adds a delivery to a batch and to what is kept. Attempts before
// the last are read from the store, which few deliveries have.
func (o *Outbox) addDelivered(b *store.Batch, s *settlement, now time.Time) {
	j := &s.job
	r := s.record
	if r == nil || o.kept == nil {
		b.SettleListed(store.Settled{Seq: j.seq, Endpoint: s.endpoint, ID: s.id, Status: s.text, Excerpt: s.excerpt, Attempts: int(j.attempts), Marks: j.marks(), Born: j.born.time(), At: now})
		return
	}
	if j.marks() > 1 {
		r.Tries, _ = o.store.Attempts(j.seq) // without them the delivery is kept all the same
	}
	a := s.attempt()
	o.lastTry = form.AppendAttempt(o.lastTry[:0], &a)
	r.Tries = append(r.Tries, o.lastTry)
	r.At, r.Attempts = now, int(j.attempts)
	o.kept.Add(r)
	s.record = nil
	if cap(r.Request) <= maxReused {
		clear(r.Tries)
		*r = delivered.Record{Tries: r.Tries[:0], Request: r.Request[:0]}
		records.Put(r)
	}
	b.Settle(s.endpoint, j.seq, j.marks())
}

// deliveredFrom shows what is kept of a delivery.
func deliveredFrom(r *delivered.Record, whole bool) Delivery {
	d := Delivery{
		Number: r.Seq, State: "delivered", Action: r.Endpoint, Rule: firing.ID(r.ID).Rule(), ID: r.ID, Event: r.Event, Key: string(event.AppendText(nil, []byte(r.Key))),
		Attempts: r.Attempts, Planned: r.Born, Delivered: r.At, Status: r.Status,
	}
	if n := len(r.Tries); n > 0 {
		if a, err := form.ParseAttempt(r.Tries[n-1]); err == nil {
			d.Excerpt, d.Code, d.Took = a.Excerpt, a.Code, a.Took
		}
	}
	f, err := firing.ParseBinary(firing.ID(r.ID), r.Payload)
	if err != nil {
		f = nil // it was too large to be kept
	} else {
		d.Redelivered = f.Redelivered
	}
	if !whole {
		return d
	}
	d.Timeline = form.ParseAttempts(r.Tries)
	if f != nil {
		f.Attempt = max(1, r.Attempts)
		d.Firing = f.AppendJSON(nil)
	}
	if request, err := form.ParseRequest(r.Request); err == nil {
		if request.EventBody {
			request.Body = string(d.Firing)
		}
		if len(request.Call) > 0 || request.Body != "" {
			d.Request = request
		}
	}
	return d
}

// requestNow returns what an action would send now for a job; nil if there is no
// such action, or it does not tell.
func (o *Outbox) requestNow(ctx context.Context, endpoint string, j *store.Job, attempts int) *Request {
	a := o.actionOf(endpoint)
	if a == nil {
		return nil
	}
	f, err := firing.ParseBinary(firing.ID(j.ID), j.Payload)
	if err != nil {
		return nil
	}
	f.Attempt = attempts + 1
	p, err := actions.Render(ctx, a, f)
	if err != nil {
		return nil
	}
	return &Request{Preview: p, EventBody: p.Body == string(f.AppendJSON(nil)), Destination: actions.Destination(a)}
}

// actionOf returns what an endpoint delivers with; nil if no rule has it.
func (o *Outbox) actionOf(endpoint string) actions.Action {
	o.mu.Lock()
	ep := o.endpoints[endpoint]
	o.mu.Unlock()
	if ep == nil {
		return nil
	}
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return ep.action
}
