package firing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/wire"
)

// The stored form of a firing has no ID, which the store keeps beside it:
//
//	version (2) rule action params flags [timing] [spans] [others] [event]
//	timing = status by count first last suppressed items (id params event')… lines (rule count suppressed first last params flag [event'])…
//	spans = since duration (status since duration)…
//	others = n (event')…
//	params = n (name value)…
//
// A text is its length as a uvarint and its bytes. Numbers are varints. A time
// is its seconds and nanoseconds. event is the event's binary form, up to the
// end; event' is its length and its binary form. Of spans, the first is the
// firing's, and the others are those of the items. Others are the values of other
// keys, each as that after an event of the key. Version 1 had neither flags nor
// timing. The version is 3 if there are spans or others, so that a triggerd that
// knows none does not take the firing for another one.
const (
	payloadVersion     = 2
	payloadMoreVersion = 3
)

const (
	payloadTiming      = 1 << iota // it has a timing
	payloadLastEvent               // its event is that of the batch's last item, and is stored only there
	payloadSpans                   // it has spans
	payloadRedelivered             // it was delivered before
	payloadOthers                  // it has values of other keys
)

// AppendBinary appends a firing's stored form, without its ID.
func AppendBinary(dst []byte, f *Firing) []byte {
	dst = slices.Grow(dst, payloadSize(f))
	version, flags := byte(payloadVersion), byte(0)
	if hasSpans(&f.Timing) {
		version, flags = payloadMoreVersion, payloadSpans
	}
	if len(f.Others) > 0 {
		version, flags = payloadMoreVersion, flags|payloadOthers
	}
	if f.Redelivered {
		flags |= payloadRedelivered
	}
	if timed(&f.Timing) {
		flags |= payloadTiming
	}
	if n := len(f.Batch); n > 0 && f.Batch[n-1].Event == f.Event {
		flags |= payloadLastEvent
	}
	dst = append(dst, version)
	dst = wire.AppendText(dst, f.Rule)
	dst = wire.AppendText(dst, f.Action)
	dst = append(appendParams(dst, f.Params), flags)
	if flags&payloadTiming != 0 {
		dst = appendTiming(dst, &f.Timing)
	}
	if flags&payloadSpans != 0 {
		dst = appendSpans(dst, &f.Timing)
	}
	if flags&payloadOthers != 0 {
		dst = appendOthers(dst, f.Others)
	}
	if flags&payloadLastEvent != 0 {
		return dst
	}
	return event.AppendBinary(dst, f.Event)
}

// payloadSize estimates the size of an ordinary firing's payload, without the
// values before and after.
func payloadSize(f *Firing) int {
	e := f.Event
	n := 128 + len(f.Rule) + len(f.Action) + len(e.Key) + len(e.ReplID) + len(e.Source) + len(e.Tx.ID)
	for _, a := range e.Args {
		n += len(a) + 3
	}
	return n
}

// timed reports whether time fields have added something.
func timed(t *event.Timing) bool {
	return t.Status != "" || t.By != "" || t.Count != 0 || !t.First.IsZero() || !t.Last.IsZero() || t.Suppressed != 0 ||
		len(t.Batch) > 0 || len(t.Summary) > 0
}

// hasSpans reports whether it is told when something began.
func hasSpans(t *event.Timing) bool {
	return !t.Since.IsZero() || slices.ContainsFunc(t.Batch, func(it event.Item) bool { return it.Status != "" })
}

func appendSpans(dst []byte, t *event.Timing) []byte {
	dst = binary.AppendVarint(wire.AppendTime(dst, t.Since), int64(t.Duration))
	for i := range t.Batch {
		it := &t.Batch[i]
		dst = wire.AppendText(dst, it.Status)
		dst = binary.AppendVarint(wire.AppendTime(dst, it.Since), int64(it.Duration))
	}
	return dst
}

func appendTiming(dst []byte, t *event.Timing) []byte {
	dst = wire.AppendText(dst, t.Status)
	dst = wire.AppendText(dst, t.By)
	dst = binary.AppendVarint(dst, int64(t.Count))
	dst = wire.AppendTime(dst, t.First)
	dst = wire.AppendTime(dst, t.Last)
	dst = binary.AppendVarint(dst, int64(t.Suppressed))
	dst = binary.AppendUvarint(dst, uint64(len(t.Batch)))
	for i := range t.Batch {
		it := &t.Batch[i]
		dst = wire.AppendText(dst, it.ID)
		dst = appendParams(dst, it.Params)
		dst = appendEvent(dst, it.Event)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Summary)))
	for i := range t.Summary {
		l := &t.Summary[i]
		dst = wire.AppendText(dst, l.Rule)
		dst = binary.AppendVarint(dst, int64(l.Count))
		dst = binary.AppendVarint(dst, int64(l.Suppressed))
		dst = wire.AppendTime(dst, l.First)
		dst = wire.AppendTime(dst, l.Last)
		dst = appendParams(dst, l.Params)
		if l.Event == nil {
			dst = append(dst, 0)
			continue
		}
		dst = appendEvent(append(dst, 1), l.Event)
	}
	return dst
}

func appendOthers(dst []byte, others []OtherKey) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(others)))
	for _, o := range others {
		dst = appendEvent(dst, &event.Event{Key: []byte(o.Key), After: o.Value})
	}
	return dst
}

func appendParams(dst []byte, params map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(params)))
	for name, value := range params {
		dst = wire.AppendText(dst, name)
		dst = wire.AppendText(dst, value)
	}
	return dst
}

// appendEvent appends an event after its length.
func appendEvent(dst []byte, e *event.Event) []byte {
	start := len(dst)
	dst = event.AppendBinary(dst, e)
	var size [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(size[:], uint64(len(dst)-start))
	dst = append(dst, size[:n]...)
	copy(dst[start+n:], dst[start:len(dst)-n])
	copy(dst[start:], size[:n])
	return dst
}

var errPayload = errors.New("not a firing")

// ParseBinary parses what AppendBinary has written. The firing owns its bytes.
func ParseBinary(id ID, b []byte) (*Firing, error) {
	if len(b) == 0 || b[0] < 1 || b[0] > payloadMoreVersion {
		return nil, fmt.Errorf("%w of this version", errPayload)
	}
	b = bytes.Clone(b)
	d := payloadDecoder{wire.NewCursor(b[1:])}
	f := &Firing{ID: id, Rule: d.Text(), Action: d.Text(), Params: d.params(), stored: b}
	flags := byte(0)
	if b[0] > 1 {
		flags = d.Byte()
	}
	f.Redelivered = flags&payloadRedelivered != 0
	if flags&payloadTiming != 0 {
		d.timing(&f.Timing)
	}
	if flags&payloadSpans != 0 {
		d.spans(&f.Timing)
	}
	if flags&payloadOthers != 0 {
		f.Others = d.others()
	}
	switch n := len(f.Batch); {
	case flags&payloadLastEvent == 0:
		f.Event = d.parsed(event.ParseShared(d.Rest()))
	case n > 0 && d.Len() == 0:
		f.Event = f.Batch[n-1].Event
	default:
		d.Reject()
	}
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errPayload, err)
	}
	return f, nil
}

// payloadDecoder reads the stored form of a firing.
type payloadDecoder struct{ wire.Cursor }

// params returns nil if there are none.
func (d *payloadDecoder) params() map[string]string {
	n := d.Count(2)
	if n == 0 {
		return nil
	}
	params := make(map[string]string, min(n, 16)) // n is not trusted
	for range n {
		name, value := d.Text(), d.Text()
		if d.Err() != nil {
			return nil
		}
		params[name] = value
	}
	return params
}

func (d *payloadDecoder) others() (list []OtherKey) {
	for range d.Count(minOther) {
		e := d.event(d.Bytes())
		if d.Err() != nil {
			return nil
		}
		list = append(list, OtherKey{Key: string(e.Key), Value: e.After})
	}
	return list
}

func (d *payloadDecoder) event(b []byte) *event.Event {
	if d.Err() != nil {
		return nil
	}
	return d.parsed(event.ParseBinary(b))
}

func (d *payloadDecoder) parsed(e *event.Event, err error) *event.Event {
	if err != nil {
		d.Fail(err)
	}
	return e
}

func (d *payloadDecoder) spans(t *event.Timing) {
	t.Since, t.Duration = d.Time(), time.Duration(d.Varint())
	for i := range t.Batch {
		it := &t.Batch[i]
		it.Status, it.Since, it.Duration = d.Text(), d.Time(), time.Duration(d.Varint())
	}
}

func (d *payloadDecoder) timing(t *event.Timing) {
	t.Status, t.By, t.Count = d.Text(), d.Text(), d.Int()
	t.First, t.Last, t.Suppressed = d.Time(), d.Time(), d.Int()
	for range d.Count(minItem) {
		it := event.Item{ID: d.Text(), Params: d.params(), Event: d.event(d.Bytes())}
		if d.Err() != nil {
			return
		}
		t.Batch = append(t.Batch, it)
	}
	for range d.Count(minLine) {
		l := event.Line{Rule: d.Text(), Count: d.Int(), Suppressed: d.Int(), First: d.Time(), Last: d.Time(), Params: d.params()}
		if d.Byte() != 0 {
			l.Event = d.event(d.Bytes())
		}
		if d.Err() != nil {
			return
		}
		t.Summary = append(t.Summary, l)
	}
}

// The least bytes that an item of a batch, and a line of a summary, take.
const (
	minItem = 20
	minLine = 9

	minOther = 8 // and a value of another key
)
