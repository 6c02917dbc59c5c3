package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/rules"
	"triggerd/source"
)

const (
	maxLiveValue    = 1 << 20         // bytes of a value that is told
	maxValueAskers  = 64              // who wait at the same time
	answerValueSoon = 2 * time.Second // else the stream is at something long
)

// valueRequests are questions of other goroutines for values of keys, which only
// the stream's own may look at. It answers between two records: nobody makes it
// wait, and what it does for one is to copy at most maxLiveValue.
type valueRequests struct {
	pending atomic.Bool // list is not empty
	mu      sync.Mutex
	list    []valueRequest // guarded by mu
}

type valueRequest struct {
	db     int
	key    []byte
	answer chan<- valueAnswer // capacity 1
}

type valueAnswer struct {
	value event.Value // owned; nil: it is not known
	kept  bool        // some rule has it kept
}

// add adds a request. It returns false if there are too many.
func (v *valueRequests) add(r valueRequest) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.list) >= maxValueAskers {
		return false
	}
	v.list = append(v.list, r)
	v.pending.Store(true)
	return true
}

// take returns all requests.
func (v *valueRequests) take() []valueRequest {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := v.list
	v.list = nil
	v.pending.Store(false)
	return list
}

// answerValues answers who asks for values, but in the midst of a transaction.
func (s *stream) answerValues(rec *source.Record) {
	if !s.valueRequests.pending.Load() || rec.Kind == source.Command && rec.Pos.IsZero() {
		return
	}
	for _, r := range s.valueRequests.take() {
		a := valueAnswer{value: event.CloneValue(s.interpreter.Lookup(r.db, r.key), maxLiveValue)}
		a.kept = s.matcher.Need(r.db, r.key) >= rules.NeedValue
		r.answer <- a
	}
}

// Value implements admin.Daemon. Of several streams it asks each, until one
// knows the key.
func (e *Engine) Value(ctx context.Context, db int, key string) (*admin.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, answerValueSoon)
	defer cancel()
	var found *admin.KeyValue
	for _, s := range e.streams {
		answer := make(chan valueAnswer, 1)
		if !s.valueRequests.add(valueRequest{db, []byte(key), answer}) {
			return nil, admin.ErrNoAnswer
		}
		s.notifyChanged()
		var a valueAnswer
		select {
		case a = <-answer:
		case <-ctx.Done():
			return nil, admin.ErrNoAnswer
		}
		if found == nil || a.value != nil && a.value != event.None {
			found = keyValue(a)
		}
	}
	return found, nil
}

func keyValue(a valueAnswer) *admin.KeyValue {
	kv := &admin.KeyValue{Kept: a.kept, Known: a.value != nil}
	if v := a.value; v != nil {
		kv.Type, kv.Size, kv.Cut = v.Type(), v.Len(), v.Truncated()
		kv.Value = event.AppendJSONValue(nil, v)
	}
	return kv
}
