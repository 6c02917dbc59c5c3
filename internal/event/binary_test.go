package event_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"triggerd/internal/event"
)

var binaryEvents = []*event.Event{
	{},
	{Name: "set", Origin: event.FromStream, Cause: event.CauseCommand, DB: 3, Key: []byte("k\x00\xff"), Type: "string", Command: "SET",
		Args: [][]byte{[]byte("k"), {}, []byte("v")}, Time: time.Unix(17, 5), Bytes: 30, ReplID: "abc", Offset: math.MaxInt64, Index: 2,
		Tx: event.Tx{ID: "abc:1", Index: 2, Size: 3}, Source: "redis://h:1", TTL: -1,
		Before: event.None, After: event.String([]byte("v\xff"))},
	{Key: []byte{}, Args: [][]byte{}, Changed: [][]byte{[]byte("f")},
		Before: event.Elements("hash", []event.Element{{Name: "f", Value: "1"}, {Name: "g", Value: "\xff"}}),
		After:  event.Elements("zset", []event.Element{{Name: "a", Score: math.Inf(-1)}, {Name: "b", Score: 1.5}})},
	{Before: event.Elements("stream", []event.Element{{Name: "1-0", Fields: []string{"a", "b"}}}), After: event.Elements("list", nil)},
	{After: event.CloneValue(event.String(bytes.Repeat([]byte("x"), 100)), 10)},
	{Args: [][]byte{[]byte("k")}, Part: event.Part{Index: 3, Size: 30_000}},
	{Args: [][]byte{[]byte("k")}, Cut: true},
}

func TestBinary(t *testing.T) {
	for i, e := range binaryEvents {
		b := event.AppendBinary([]byte("before"), e)
		got, err := event.ParseBinary(b[len("before"):])
		if err != nil {
			t.Errorf("event %d: %v", i, err)
			continue
		}
		if !got.Time.Equal(e.Time) {
			t.Errorf("event %d: time %v, want %v", i, got.Time, e.Time)
		}
		d := event.Delivery{ID: "x"}
		got.Time = e.Time
		if a, b := event.AppendJSON(nil, got, d), event.AppendJSON(nil, e, d); !bytes.Equal(a, b) {
			t.Errorf("event %d:\n%s\nwant\n%s", i, a, b)
		}
		if (got.Key == nil) != (e.Key == nil) || (got.Args == nil) != (e.Args == nil) || (got.Changed == nil) != (e.Changed == nil) {
			t.Errorf("event %d: what is not there is told from what is empty: %+v, want %+v", i, got, e)
		}
		if got.Part != e.Part || got.Cut != e.Cut {
			t.Errorf("event %d: %+v, cut %t; want %+v, %t", i, got.Part, got.Cut, e.Part, e.Cut)
		}
		if again := event.AppendBinary(nil, got); !bytes.Equal(again, b[len("before"):]) {
			t.Errorf("event %d: written again it differs", i)
		}
	}
	if _, err := event.ParseBinary([]byte{99, 0}); err == nil {
		t.Error("a later version is read")
	}
}

// Whatever is read is written back as it was, and nothing panics or takes more
// memory than the input promises.
func FuzzParseBinary(f *testing.F) {
	for _, e := range binaryEvents {
		f.Add(event.AppendBinary(nil, e))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := event.ParseBinary(in)
		if err != nil {
			return
		}
		again, err := event.ParseBinary(event.AppendBinary(nil, e))
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if !reflect.DeepEqual(e, again) && !hasNaN(e) {
			t.Fatalf("%+v\nread again\n%+v", e, again)
		}
	})
}

// hasNaN reports whether a score is not a number, which equals nothing.
func hasNaN(e *event.Event) bool {
	for _, v := range []event.Value{e.Before, e.After} {
		if v == nil {
			continue
		}
		for el := range v.All() {
			if math.IsNaN(el.Score) {
				return true
			}
		}
	}
	return false
}
