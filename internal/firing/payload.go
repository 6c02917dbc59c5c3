package firing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"triggerd/internal/event"
)

// The stored form of a firing is without its ID, which the store keeps beside it:
//
//	version (2) rule action params flags [timing] [event]
//	timing = status by count first last suppressed items (id params event')… lines (rule count suppressed first last params flag [event'])…
//	params = n (name value)…
//
// Texts are their length as a uvarint and their bytes, numbers are varints, a
// time is its seconds and nanoseconds. The event is in its binary form, to the
// end; event' is one with its length before it. Version 1 had neither flags nor
// timing.
const payloadVersion = 2

const (
	payloadTiming    = 1 << iota // there is a timing
	payloadLastEvent             // the event is the last one's of the batch, and not there twice
)

// AppendBinary appends a firing's stored form, without its ID.
func AppendBinary(dst []byte, f *Firing) []byte {
	dst = slices.Grow(dst, payloadSize(f))
	dst = append(dst, payloadVersion)
	dst = appendText(dst, f.Rule)
	dst = appendText(dst, f.Action)
	dst = appendParams(dst, f.Params)
	if !timed(&f.Timing) {
		return event.AppendBinary(append(dst, 0), f.Event)
	}
	flags := byte(payloadTiming)
	if n := len(f.Batch); n > 0 && f.Batch[n-1].Event == f.Event {
		flags |= payloadLastEvent
	}
	dst = appendTiming(append(dst, flags), &f.Timing)
	if flags&payloadLastEvent != 0 {
		return dst
	}
	return event.AppendBinary(dst, f.Event)
}

// payloadSize is about what the payload of an ordinary firing takes, without
// the values before and after.
func payloadSize(f *Firing) int {
	e := f.Event
	n := 128 + len(f.Rule) + len(f.Action) + len(e.Key) + len(e.ReplID) + len(e.Source) + len(e.Tx.ID)
	for _, a := range e.Args {
		n += len(a) + 3
	}
	return n
}

// timed reports whether a rule with time fields has added something.
func timed(t *event.Timing) bool {
	return t.Status != "" || t.By != "" || t.Count != 0 || !t.First.IsZero() || !t.Last.IsZero() || t.Suppressed != 0 ||
		len(t.Batch) > 0 || len(t.Summary) > 0
}

func appendTiming(dst []byte, t *event.Timing) []byte {
	dst = appendText(dst, t.Status)
	dst = appendText(dst, t.By)
	dst = binary.AppendVarint(dst, int64(t.Count))
	dst = appendTime(dst, t.First)
	dst = appendTime(dst, t.Last)
	dst = binary.AppendVarint(dst, int64(t.Suppressed))
	dst = binary.AppendUvarint(dst, uint64(len(t.Batch)))
	for i := range t.Batch {
		it := &t.Batch[i]
		dst = appendText(dst, it.ID)
		dst = appendParams(dst, it.Params)
		dst = appendEvent(dst, it.Event)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Summary)))
	for i := range t.Summary {
		l := &t.Summary[i]
		dst = appendText(dst, l.Rule)
		dst = binary.AppendVarint(dst, int64(l.Count))
		dst = binary.AppendVarint(dst, int64(l.Suppressed))
		dst = appendTime(dst, l.First)
		dst = appendTime(dst, l.Last)
		dst = appendParams(dst, l.Params)
		if l.Event == nil {
			dst = append(dst, 0)
			continue
		}
		dst = appendEvent(append(dst, 1), l.Event)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendParams(dst []byte, params map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(params)))
	for name, value := range params {
		dst = appendText(dst, name)
		dst = appendText(dst, value)
	}
	return dst
}

func appendTime(dst []byte, t time.Time) []byte {
	return binary.AppendVarint(binary.AppendVarint(dst, t.Unix()), int64(t.Nanosecond()))
}

// appendEvent appends an event that is not the last thing: with its length,
// which is known only behind it.
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

// ParseBinary reads what AppendBinary wrote. The firing owns its bytes.
func ParseBinary(id ID, b []byte) (*Firing, error) {
	if len(b) == 0 || b[0] < 1 || b[0] > payloadVersion {
		return nil, fmt.Errorf("%w of this version", errPayload)
	}
	d := &payloadDecoder{rest: b[1:]}
	f := &Firing{ID: id, Rule: d.text(), Action: d.text(), Params: d.params()}
	flags := byte(0)
	if b[0] > 1 {
		flags = d.byte()
	}
	if flags&payloadTiming != 0 {
		d.timing(&f.Timing)
	}
	switch n := len(f.Batch); {
	case flags&payloadLastEvent == 0:
		f.Event = d.event(d.rest)
	case n > 0 && len(d.rest) == 0:
		f.Event = f.Batch[n-1].Event
	default:
		d.fail()
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: %w", errPayload, d.err)
	}
	return f, nil
}

// payloadDecoder reads one thing after the other. After the first error all
// that it reads is zero.
type payloadDecoder struct {
	rest []byte
	err  error
}

var errCut = errors.New("it is cut short, or damaged")

// skip drops n bytes, and reports whether there are so many and none was wrong.
func (d *payloadDecoder) skip(n int) bool {
	if d.err != nil || n <= 0 || n > len(d.rest) {
		d.fail()
		return false
	}
	d.rest = d.rest[n:]
	return true
}

func (d *payloadDecoder) fail() {
	if d.err == nil {
		d.err = errCut
	}
	d.rest = nil
}

func (d *payloadDecoder) byte() (b byte) {
	if len(d.rest) > 0 {
		b = d.rest[0]
	}
	if !d.skip(1) {
		return 0
	}
	return b
}

func (d *payloadDecoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if !d.skip(n) {
		return 0
	}
	return v
}

func (d *payloadDecoder) int() int { return int(d.varint()) }

// count reads how many things follow that take at least size bytes each.
func (d *payloadDecoder) count(size int) int {
	v, n := binary.Uvarint(d.rest)
	if !d.skip(n) {
		return 0
	}
	if v > uint64(len(d.rest)/size) {
		d.fail()
		return 0
	}
	return int(v)
}

func (d *payloadDecoder) bytes() []byte {
	n := d.count(1)
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *payloadDecoder) text() string { return string(d.bytes()) }

func (d *payloadDecoder) time() time.Time {
	seconds, nanos := d.varint(), d.varint()
	if d.err != nil || nanos < 0 || nanos >= int64(time.Second) {
		d.fail()
		return time.Time{}
	}
	return time.Unix(seconds, nanos)
}

// params returns nil for none.
func (d *payloadDecoder) params() map[string]string {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	params := make(map[string]string, min(n, 16)) // what is announced may not be there
	for range n {
		name, value := d.text(), d.text()
		if d.err != nil {
			return nil
		}
		params[name] = value
	}
	return params
}

func (d *payloadDecoder) event(b []byte) *event.Event {
	if d.err != nil {
		return nil
	}
	e, err := event.ParseBinary(b)
	if err != nil {
		d.err, d.rest = err, nil
	}
	return e
}

func (d *payloadDecoder) timing(t *event.Timing) {
	t.Status, t.By, t.Count = d.text(), d.text(), d.int()
	t.First, t.Last, t.Suppressed = d.time(), d.time(), d.int()
	for range d.count(minItem) {
		it := event.Item{ID: d.text(), Params: d.params(), Event: d.event(d.bytes())}
		if d.err != nil {
			return
		}
		t.Batch = append(t.Batch, it)
	}
	for range d.count(minLine) {
		l := event.Line{Rule: d.text(), Count: d.int(), Suppressed: d.int(), First: d.time(), Last: d.time(), Params: d.params()}
		if d.byte() != 0 {
			l.Event = d.event(d.bytes())
		}
		if d.err != nil {
			return
		}
		t.Summary = append(t.Summary, l)
	}
}

// What an item of a batch and a line of a summary take at least.
const (
	minItem = 20
	minLine = 9
)
