package keyspace_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rdb"
)

// lzfRun is a string of n*264+1 times "a", compressed to three bytes for 264.
func lzfRun(n int) []byte {
	packed := append([]byte{0, 'a'}, bytes.Repeat([]byte{7 << 5, 255, 0}, n)...)
	b := append([]byte{0xc3, 0x80}, binary.BigEndian.AppendUint32(nil, uint32(len(packed)))...)
	b = append(append(b, 0x80), binary.BigEndian.AppendUint32(nil, uint32(n*264+1))...)
	return append(b, packed...)
}

// loadBody loads a snapshot of body, and returns "key value" of each event.
func loadBody(t *testing.T, in *keyspace.Interpreter, stop func() error, body ...[]byte) (got []string, err error) {
	t.Helper()
	data := "REDIS0012" + string(bytes.Join(body, nil)) + "\xff\x00\x00\x00\x00\x00\x00\x00\x00"
	r := rdb.NewReader(strings.NewReader(data))
	r.Strict = true
	r.Stop = stop
	in.SnapshotBegin()
	var events []event.Event
	for {
		e, err := r.Next()
		if err != nil {
			return got, err
		}
		events = in.SnapshotKey(events[:0], &keyspace.SnapshotKey{Key: e.Key, DB: e.DB, Type: e.Type.String(), Value: r})
		for _, ev := range events {
			got = append(got, string(ev.Key)+" "+asJSON(ev.After))
		}
	}
}

// A value over the limit is not unpacked, wherever in it the string stands that
// is too large; the keys after it are read.
func TestLoadOverTheLimit(t *testing.T) {
	large := lzfRun(1 << 18) // 69 MB
	small := []byte("\x01x")
	field := []byte("\x01f")
	var body [][]byte
	add := func(typ byte, name string, parts ...[]byte) {
		body = append(body, []byte{typ, byte(len(name))}, []byte(name))
		body = append(body, parts...)
	}
	add(0, "string", large)
	add(1, "list", []byte{3}, small, large, small)
	add(2, "set", []byte{2}, large, small)
	add(4, "hash-value", []byte{2}, field, large, small, small)
	add(4, "hash-field", []byte{2}, large, large, field, small)
	add(5, "zset", []byte{2}, large, make([]byte, 8), small, make([]byte, 8))
	add(16, "listpack", large)
	add(18, "quicklist", []byte{2, 1}, large, []byte{1}, small)
	add(24, "expiring", make([]byte, 8), []byte{2, 0}, field, large, []byte{0}, small, small)
	add(0, "last", small)
	in := keyspace.New(keyspace.Config{Need: needAll, MaxMirror: 1 << 20})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := loadBody(t, in, nil, body...)
	runtime.ReadMemStats(&after)
	want := `string unknown,list unknown,set unknown,hash-value unknown,hash-field unknown,zset unknown,listpack unknown,quicklist unknown,expiring unknown,last string 1 "x"`
	if err != io.EOF || strings.Join(got, ",") != want {
		t.Errorf("got %q, %v\nwant %s", got, err, want)
	}
	if s := in.Stats(); s.Lost.Limit != 9 || s.Lost.Unreadable != 0 || s.MirrorKeys != 10 {
		t.Errorf("%+v", s)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 { // the snapshot itself, twice
		t.Errorf("%d bytes were allocated for values that are not kept", used)
	}
}

// What Redis takes twice in a listpack has the value that its commands find. The
// next command is not followed: it may change the other one.
func TestLoadTwice(t *testing.T) {
	in := keyspace.New(keyspace.Config{Need: needAll})
	got, err := loadBody(t, in, nil,
		[]byte("\x10\x01h\x13\x13\x00\x00\x00\x04\x00\x81f\x02\x81v\x02\x81f\x02\x81w\x02\xff"),
		[]byte("\x11\x01z\x11\x11\x00\x00\x00\x04\x00\x81a\x02\x01\x01\x81a\x02\x02\x01\xff"),
		[]byte("\x14\x01s\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x81a\x02\xff"),
		[]byte("\x04\x01i\x02\x01f\x01v\x01f\x01w"),
		[]byte("\x18\x01e\x01\x00\x00\x00\x00\x00\x00\x00\x03\x05\x01f\x01v\x04\x01f\x01w\x05\x01f\x01u"),
	)
	want := `h hash 1 {"f":"v"},z zset 1 [["a",1]],s set 1 ["a"],i hash 1 {"f":"v"},e hash 1 {"f":"w"}`
	if err != io.EOF || strings.Join(got, ",") != want {
		t.Errorf("got %q, %v\nwant %s", got, err, want)
	}
	events := in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("HDEL"), []byte("h"), []byte("f")}})
	if len(events) == 0 || events[0].After != nil || in.Stats().Lost.Undecided != 1 {
		t.Errorf("%d events, %+v", len(events), in.Stats())
	}
}

// A key that the snapshot has not whole makes no event, nor does one whose
// reading was stopped.
func TestLoadCut(t *testing.T) {
	in := keyspace.New(keyspace.Config{Need: needAll})
	whole, cut := []byte("\x00\x01k\x01v"), []byte("\x02\x01s\x02\x01a\x01a")
	got, err := loadBody(t, in, nil, whole, cut)
	var syntax *rdb.SyntaxError
	if !errors.As(err, &syntax) || strings.Join(got, ",") != `k string 1 "v"` {
		t.Errorf("got %q, %v", got, err)
	}
	asked, stop := 0, errors.New("stop")
	got, err = loadBody(t, in, func() error {
		if asked++; asked > 3 {
			return stop
		}
		return nil
	}, whole, []byte("\x00\x01l"), lzfRun(1<<19))
	if !errors.Is(err, stop) || strings.Join(got, ",") != `k string 1 "v"` {
		t.Errorf("got %q, %v", got, err)
	}
}

// A value that ends with the link is lost with the snapshot; only one that is damaged
// is unreadable.
func TestLoadEnds(t *testing.T) {
	const head = "REDIS0009\x01\x01k\x03\x01a\x01b" // two of three items
	for name, c := range map[string]struct {
		in   io.Reader
		want keyspace.Losses
	}{
		"it ends":       {strings.NewReader(head), keyspace.Losses{Snapshot: 1}},
		"the link ends": {io.MultiReader(strings.NewReader(head), iotest.ErrReader(errors.New("reset"))), keyspace.Losses{Snapshot: 1}},
		"it is damaged": {strings.NewReader(head + "\xc9"), keyspace.Losses{Unreadable: 1}},
	} {
		in := keyspace.New(keyspace.Config{Need: needAll})
		r := rdb.NewReader(c.in)
		in.SnapshotBegin()
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		in.SnapshotKey(nil, &keyspace.SnapshotKey{Key: e.Key, DB: e.DB, Type: e.Type.String(), Value: r})
		if got := in.Stats().Lost; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
