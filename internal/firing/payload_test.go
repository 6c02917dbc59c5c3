package firing

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	batchEvent = &event.Event{Name: "set", Key: []byte("k2"), After: event.String([]byte("v\xff")), Time: time.Unix(20, 0)}
	payloads   = map[string]*Firing{
		"empty": {Event: &event.Event{}},
		"plain": {ID: "i", Rule: "r", Action: "a", Event: &event.Event{Name: "set", Key: []byte("k\xff"), Args: [][]byte{[]byte("k"), nil}, Offset: -1},
			Params: map[string]string{"sku": "\x00"}},
		"long": {Rule: strings.Repeat("r", 300), Event: &event.Event{After: event.String([]byte("v")), Before: event.None}},
		"absent": {ID: "absent:1", Rule: "r", Event: &event.Event{Name: event.Absent, Origin: event.FromClock, Time: time.Unix(10, 1)},
			Timing: event.Timing{Status: "firing", By: "web-1\xff"}},
		"count": {Rule: "r", Event: &event.Event{Name: "set"},
			Timing: event.Timing{Count: 3, First: time.Unix(10, 0), Last: time.Unix(12, 999_999_999), Suppressed: 7}},
		"batch": {Rule: "r", Event: batchEvent, Params: map[string]string{"a": "2"}, Timing: event.Timing{Count: 2, Batch: []event.Item{
			{ID: "1", Event: &event.Event{Name: "set", Key: []byte("k1")}, Params: map[string]string{"a": "1"}},
			{ID: "2", Event: batchEvent, Params: map[string]string{"a": "2"}},
		}}},
		"resolved": {ID: "resolved:1", Rule: "r", Event: &event.Event{Name: event.Resolved, Origin: event.FromClock, Key: []byte("k")},
			Timing: event.Timing{Status: "resolved", Since: time.Unix(10, 0), Duration: 90 * time.Second}},
		"episodes": {Rule: "r", Event: batchEvent, Timing: event.Timing{Count: 2, Batch: []event.Item{
			{ID: "1", Event: &event.Event{Name: "set", Key: []byte("k1")}, Status: "firing", Since: time.Unix(10, 0)},
			{ID: "2", Event: batchEvent, Status: "resolved", Since: time.Unix(5, 0), Duration: time.Minute},
		}}},
		"summary": {Rule: "daily", Event: &event.Event{Name: event.Schedule}, Timing: event.Timing{Summary: []event.Line{
			{Rule: "r", Count: 5, Suppressed: 2, First: time.Unix(10, 0), Last: time.Unix(12, 0), Event: batchEvent, Params: map[string]string{"a": "2"}},
			{Rule: "idle"},
		}}},
		"others": {Rule: "r", Event: &event.Event{Name: "set"}, Others: []OtherKey{
			{Key: "limit:7\xff", Value: event.String([]byte("5"))}, {Key: "none", Value: event.None}, {Key: "unknown"},
			{Key: "user:7", Value: event.Elements("hash", []event.Element{{Name: "f", Value: "v"}})},
		}},
		"others-batch": {Rule: "r", Event: batchEvent, Timing: event.Timing{Count: 1, Batch: []event.Item{{ID: "2", Event: batchEvent}}},
			Others: []OtherKey{{Key: "", Value: event.None}}},
	}
)

// sameFiring compares what of two firings is delivered.
func sameFiring(a, b *Firing) bool {
	return a.ID == b.ID && a.Rule == b.Rule && a.Action == b.Action && bytes.Equal(a.AppendJSON(nil), b.AppendJSON(nil)) &&
		bytes.Equal(event.AppendBinary(nil, a.Event), event.AppendBinary(nil, b.Event)) &&
		slices.EqualFunc(a.Others, b.Others, func(a, b OtherKey) bool {
			return a.Key == b.Key && (a.Value == nil) == (b.Value == nil) && (a.Value == event.None) == (b.Value == event.None) &&
				bytes.Equal(event.AppendJSONValue(nil, a.Value), event.AppendJSONValue(nil, b.Value))
		})
}

// golden compares got with a file of hexadecimal digits.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	var text strings.Builder
	for line := range slices.Chunk(got, 40) {
		text.WriteString(hex.EncodeToString(line) + "\n")
	}
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || text.String() != string(want) {
		t.Errorf("%v; got\n%swant\n%s", err, text.String(), want)
	}
}

func TestPayload(t *testing.T) {
	for name, f := range payloads {
		t.Run(name, func(t *testing.T) {
			b := AppendBinary(nil, f)
			golden(t, "payload-"+name, b)
			got, err := ParseBinary(f.ID, b)
			if err != nil {
				t.Fatal(err)
			}
			if !sameFiring(got, f) || got.Attempt != 0 {
				t.Errorf("%+v, want %+v", got, f)
			}
			for n := range len(b) {
				if got, err := ParseBinary("", b[:n]); err == nil {
					t.Errorf("cut to %d of %d bytes it is %+v", n, len(b), got)
				}
			}
		})
	}
}

// What an earlier version of triggerd left in its store is delivered by this
// one.
func TestPayloadVersion1(t *testing.T) {
	old, err := hex.DecodeString("01" + "0172" + "0161" + "0103736b750100" + hex.EncodeToString(event.AppendBinary(nil, payloads["plain"].Event)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseBinary("i", old)
	if err != nil || !sameFiring(got, payloads["plain"]) {
		t.Errorf("%+v, %v; want %+v", got, err, payloads["plain"])
	}
	if _, err := ParseBinary("i", append([]byte{payloadVersion + 1}, old[1:]...)); err == nil {
		t.Error("a later version is read")
	}
}

// The event of a batch, up to a MiB of it, is not there twice.
func TestPayloadOfBatchIsOnce(t *testing.T) {
	e := &event.Event{Args: [][]byte{make([]byte, 1<<20)}}
	b := AppendBinary(nil, &Firing{Event: e, Timing: event.Timing{Batch: []event.Item{{Event: e}}}})
	if len(b) > 1<<20+1<<10 {
		t.Errorf("%d bytes", len(b))
	}
}

// What is read is written back and read again as the same firing, and takes no
// more memory than what it was read from promises.
func FuzzPayload(f *testing.F) {
	for _, p := range payloads {
		f.Add(AppendBinary(nil, p))
	}
	f.Add([]byte{1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{payloadVersion, 0, 0, 0, payloadTiming, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, in []byte) {
		one, err := ParseBinary("id", in)
		if err != nil {
			return
		}
		again, err := ParseBinary("id", AppendBinary(nil, one))
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if !sameFiring(one, again) {
			t.Fatalf("%+v\nread again\n%+v", one, again)
		}
	})
}

func TestKeptEvent(t *testing.T) {
	ev := &event.Event{
		Name: "hset", Origin: event.FromStream, Key: []byte("k\xff"), Args: [][]byte{[]byte("f"), []byte("1")}, Changed: [][]byte{[]byte("f")},
		Time: time.Unix(10, 5), Offset: 7, TTL: -1, Source: "redis://here",
		Before: event.None, After: event.String(bytes.Repeat([]byte("x"), 2*event.DefaultMaxValue)),
	}
	want := *ev
	want.Source = ""
	got, err := ParseEvent(AppendEvent([]byte("before"), ev, nil)[len("before"):])
	if err != nil {
		t.Fatal(err)
	}
	if a, b := event.AppendBinary(nil, got), event.AppendBinary(nil, want.Clone()); !bytes.Equal(a, b) {
		t.Errorf("got %+v, want %+v", got, ev)
	}
	if ev.After.Truncated() {
		t.Error("the borrowed event was changed")
	}

	slim := AppendSlimEvent(nil, ev)
	golden(t, "match-slim", slim)
	want.Args, want.Changed, want.Before, want.After = nil, nil, nil, nil
	if got, err = ParseEvent(slim); err != nil || !reflect.DeepEqual(got, &want) {
		t.Errorf("%+v, %v; want %+v", got, err, &want)
	}
	for n := range len(slim) {
		if _, err := ParseEvent(slim[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes it is read", n, len(slim))
		}
	}
}

func FuzzKeptEvent(f *testing.F) {
	for _, p := range payloads {
		f.Add(AppendEvent(nil, p.Event, nil))
		f.Add(AppendSlimEvent(nil, p.Event))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		ev, err := ParseEvent(in)
		if err != nil {
			return
		}
		again, err := ParseEvent(AppendSlimEvent(nil, ev))
		if err != nil || again.Name != ev.Name || !bytes.Equal(again.Key, ev.Key) || TriggerOf(again) != TriggerOf(ev) {
			t.Fatalf("%+v read again as %+v, %v", ev, again, err)
		}
	})
}
