package form

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"triggerd/actions"
	"triggerd/internal/wire"
)

// Outcome is the result of an attempt.
type Outcome uint8

// Outcomes of attempts that were made.
const (
	Delivered Outcome = iota
	Retried           // it failed, and will be made again
	GivenUp           // it failed, and the firing is a dead letter now
)

// Outcomes is how many outcomes an attempt may have.
const Outcomes = int(GivenUp) + 1

// Attempt is what is kept of an attempt to deliver.
type Attempt struct {
	Number    int // 1 for the first
	Uncounted bool
	At        time.Time // when it began
	Took      time.Duration
	Outcome   Outcome // Delivered, Retried or GivenUp
	Code      int     // status of the answer, or exit code of the program; 0: none
	Text      string  // what the receiver said, or the error
	Excerpt   string  // of the answer
}

// The stored form of an attempt:
//
//	version (1) number flags outcome time took code text excerpt
//
// took is in microseconds. Texts are a length and bytes, other numbers are
// uvarints.
const attemptVersion = 1

const attemptUncounted = 1 // in flags: the endpoint was down, so it is no attempt of the firing

// How much is kept of an attempt's texts, in bytes.
const (
	maxAttemptText    = 2 << 10
	maxAttemptExcerpt = 4 << 10
)

// AppendAttempt appends the stored form of an attempt. Long texts are cut.
func AppendAttempt(dst []byte, a *Attempt) []byte {
	flags := byte(0)
	if a.Uncounted {
		flags = attemptUncounted
	}
	dst = append(dst, attemptVersion)
	dst = binary.AppendUvarint(dst, uint64(a.Number))
	dst = append(dst, flags, byte(a.Outcome))
	dst = wire.AppendTime(dst, a.At)
	dst = binary.AppendUvarint(dst, uint64(max(a.Took, 0)/time.Microsecond))
	dst = binary.AppendUvarint(dst, uint64(a.Code))
	dst = wire.AppendText(dst, a.Text[:min(len(a.Text), maxAttemptText)])
	return wire.AppendText(dst, a.Excerpt[:min(len(a.Excerpt), maxAttemptExcerpt)])
}

var errKeptForm = errors.New("not what was kept of a delivery")

// ParseAttempt parses what AppendAttempt has written. The attempt owns its bytes.
func ParseAttempt(b []byte) (a Attempt, err error) {
	if len(b) == 0 || b[0] != attemptVersion {
		return a, errKeptForm
	}
	c := wire.NewCursor(b[1:])
	a.Number = int(c.Uvarint())
	a.Uncounted = c.Byte()&attemptUncounted != 0
	a.Outcome = Outcome(c.Byte())
	a.At = c.Time()
	took := c.Uvarint()
	if took > uint64(math.MaxInt64/time.Microsecond) {
		c.Reject()
	}
	a.Took = time.Duration(took) * time.Microsecond
	a.Code = int(c.Uvarint())
	a.Text, a.Excerpt = c.Text(), c.Text()
	if int(a.Outcome) >= Outcomes {
		c.Reject()
	}
	return a, c.End()
}

// ParseAttempts parses attempts, and leaves out what cannot be read.
func ParseAttempts(list [][]byte) []Attempt {
	var all []Attempt
	for _, b := range list {
		if a, err := ParseAttempt(b); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// Request is what was sent to deliver a firing, or what would be sent now.
type Request struct {
	actions.Preview
	Sent        bool   // it was sent so; false: it would be sent so now
	EventBody   bool   // the body is the JSON of the firing
	Destination string // of the action, as it says
}

// The stored form of a request:
//
//	version (1) flags destination count (word)… count (name value)… body
const requestVersion = 1

const requestEventBody = 1 // in flags: the body is the JSON of the firing, which is not stored twice

// AppendRequest appends the stored form of what was sent to a destination.
func AppendRequest(dst []byte, destination string, s *actions.Sent) []byte {
	flags := byte(0)
	if s.EventBody {
		flags = requestEventBody
	}
	shown := s.Shown()
	dst = append(dst, requestVersion, flags)
	dst = wire.AppendText(dst, destination)
	dst = binary.AppendUvarint(dst, uint64(len(shown.Call)))
	for _, word := range shown.Call {
		dst = wire.AppendText(dst, word)
	}
	dst = binary.AppendUvarint(dst, uint64(len(shown.Named)))
	for _, n := range shown.Named {
		dst = wire.AppendText(dst, n.Name)
		dst = wire.AppendText(dst, n.Value)
	}
	return wire.AppendText(dst, shown.Body)
}

// Like is the stored form of a request that many are like.
type Like struct {
	of     *actions.Preview
	text   []byte
	values []span // of each of what goes by name: where its value is in text
}

type span struct{ from, to int }

// NewLike returns the form of what s is like, as sent to a destination. s.Like has
// to be set.
func NewLike(destination string, s *actions.Sent) *Like {
	l := &Like{of: s.Like}
	whole := actions.Sent{Preview: *s.Like, EventBody: s.EventBody}
	for i := range whole.Named { // what is before a value is as long whatever comes after it
		part := whole
		part.Named = whole.Named[:i+1]
		head := len(AppendRequest(nil, destination, &part)) - len(wire.AppendText(nil, part.Body))
		head += len(binary.AppendUvarint(nil, uint64(len(whole.Named)))) - len(binary.AppendUvarint(nil, uint64(i+1)))
		l.values = append(l.values, span{head - len(wire.AppendText(nil, part.Named[i].Value)), head})
	}
	l.text = AppendRequest(nil, destination, &whole)
	return l
}

// IsOf reports whether s is like it. A nil Like is of nothing.
func (l *Like) IsOf(s *actions.Sent) bool { return l != nil && s.Like != nil && l.of == s.Like }

// AppendLike is AppendRequest of what was sent like l, which takes less time.
func AppendLike(dst []byte, l *Like, s *actions.Sent) []byte {
	done := 0
	for _, v := range s.Values {
		if v.Text == "" {
			continue
		}
		at := l.values[v.Place]
		dst = append(dst, l.text[done:at.from]...)
		dst = wire.AppendText(dst, v.Text)
		done = at.to
	}
	return append(dst, l.text[done:]...)
}

// ParseRequest parses a stored request. A body that is the JSON of the firing is
// not in it.
func ParseRequest(b []byte) (*Request, error) {
	if len(b) < 2 || b[0] != requestVersion {
		return nil, errKeptForm
	}
	c := wire.NewCursor(b[2:])
	r := &Request{Sent: true, EventBody: b[1]&requestEventBody != 0, Destination: c.Text()}
	for range c.Count(1) {
		r.Call = append(r.Call, c.Text())
	}
	for range c.Count(2) {
		r.Named = append(r.Named, actions.Named{Name: c.Text(), Value: c.Text()})
	}
	r.Body = c.Text()
	if err := c.End(); err != nil {
		return nil, err
	}
	return r, nil
}
