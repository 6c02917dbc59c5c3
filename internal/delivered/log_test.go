package delivered_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"triggerd/internal/delivered"
)

func open(t testing.TB, dir string, limit int64) *delivered.Log {
	t.Helper()
	l, err := delivered.Open(delivered.Options{Dir: dir, Limit: limit, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func record(seq uint64, payload int) *delivered.Record {
	at := time.UnixMilli(1_700_000_000_000 + int64(seq))
	return &delivered.Record{
		Head: delivered.Head{
			Seq: seq, Lane: seq * 7, At: at, Born: at.Add(-time.Second), Attempts: 2, Endpoint: "target/crm", ID: fmt.Sprint("id", seq),
			Event: "set", Key: "k\xff\x00", Status: "200",
		},
		Tries: [][]byte{[]byte("first"), {}}, Request: []byte("request"), Payload: bytes.Repeat([]byte{'p'}, payload),
	}
}

func add(l *delivered.Log, list ...*delivered.Record) {
	for _, r := range list {
		l.Add(r)
	}
	l.Flush()
}

func all(t testing.TB, l *delivered.Log, q delivered.Query) (list []*delivered.Record) {
	t.Helper()
	for r, err := range l.Latest(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func seqs(list []*delivered.Record) (seqs []uint64) {
	for _, r := range list {
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

// What was added is there as it was, the latest first, over a restart too, and
// numbers rise.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	want := []*delivered.Record{record(5, 10), record(3, 0), record(9, 100)}
	add(l, want...)
	for range 2 {
		got := all(t, l, delivered.Query{})
		slices.Reverse(got)
		if want[1].Payload = nil; len(got) != 3 || len(got[1].Payload) > 0 {
			t.Fatalf("got %+v", got)
		}
		got[1].Payload = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v, want\n%+v", got[0], want[0])
		}
		l.Close()
		l = open(t, dir, 1<<20)
	}
	again := record(5, 1)
	add(l, again)
	for name, test := range map[string]struct {
		q    delivered.Query
		want []uint64
	}{
		"all":        {delivered.Query{}, []uint64{5, 9, 3, 5}},
		"seq":        {delivered.Query{Seqs: []uint64{5}}, []uint64{5, 5}},
		"seqs":       {delivered.Query{Seqs: []uint64{2, 3, 5}}, []uint64{5, 3, 5}},
		"no seq":     {delivered.Query{Seqs: []uint64{4}}, nil},
		"before":     {delivered.Query{Before: want[2].Number}, []uint64{3, 5}},
		"since":      {delivered.Query{Since: want[0].At}, []uint64{5, 9, 5}},
		"pick":       {delivered.Query{Pick: func(h *delivered.Head) bool { return h.ID == "id3" }}, []uint64{3}},
		"since late": {delivered.Query{Since: time.Now().Add(time.Hour)}, nil},
	} {
		if got := seqs(all(t, l, test.q)); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	if again.Number <= want[2].Number {
		t.Errorf("number %d after %d", again.Number, want[2].Number)
	}
}

// A reader whose context is done reads no more, and does not wait for its turn.
// Few read at once.
func TestReadersTakeTurns(t *testing.T) {
	l := open(t, t.TempDir(), 1<<20)
	add(l, record(1, 10), record(2, 10))
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("nobody waits for it")
	read := func(ctx context.Context, during func()) (n int, err error) {
		for _, err = range l.Latest(ctx, delivered.Query{}) {
			n++
			if during != nil {
				during()
				during = nil
			}
		}
		return n, err
	}
	waiting := make(chan error, 1)
	n, err := read(t.Context(), func() { // the first of two
		m, err := read(t.Context(), func() {
			go func() {
				_, err := read(ctx, nil)
				waiting <- err
			}()
			cancel(gone)
			if err := <-waiting; err != gone {
				t.Errorf("a third reader: %v", err)
			}
		})
		if m != 2 || err != nil {
			t.Errorf("another reader: %d deliveries, %v", m, err)
		}
	})
	if n != 2 || err != nil {
		t.Errorf("%d deliveries, %v", n, err)
	}
	if n, err := read(ctx, nil); n != 1 || err != gone {
		t.Errorf("a reader that is gone: yielded %d times, %v", n, err)
	}
}

// The log stays under its limit, and the oldest go first. Shrink removes files at
// once.
func TestLimit(t *testing.T) {
	const limit = 1 << 20
	dir := t.TempDir()
	l := open(t, dir, limit)
	for seq := range uint64(3000) {
		add(l, record(seq+1, 1000))
	}
	check := func(least int) {
		t.Helper()
		got, used := seqs(all(t, l, delivered.Query{})), int64(0)
		names, _ := os.ReadDir(dir)
		for _, e := range names {
			info, _ := e.Info()
			used += info.Size()
		}
		if s := l.Stats(); used > limit || used != s.Bytes || s.Lost != 0 || len(got) < least {
			t.Errorf("%d bytes, %+v, %d deliveries", used, s, len(got))
		}
		for i, seq := range got {
			if seq != 3000-uint64(i) {
				t.Fatalf("delivery %d is %d", i, seq)
			}
		}
	}
	check(800)
	if n := l.Shrink(300_000); n < 300_000 {
		t.Errorf("%d bytes freed", n)
	}
	check(500)
	if l.Shrink(1 << 40); l.Stats().Bytes != 0 || len(all(t, l, delivered.Query{})) != 0 {
		t.Errorf("something is left: %+v", l.Stats())
	}
	huge := record(3001, limit/4)
	add(l, huge) // it would take much of the log
	if got := all(t, l, delivered.Query{}); len(got) != 1 || len(got[0].Payload) != 0 || got[0].ID != "id3001" {
		t.Errorf("got %d", len(got))
	}
}

// Whatever of the newest file is missing, what is whole before it is read, the
// next process goes on, and nothing is called damaged.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	add(l, record(1, 20))
	add(l, record(2, 20), record(3, 0))
	l.Close()
	names, _ := os.ReadDir(dir)
	path := filepath.Join(dir, names[0].Name())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		cut := t.TempDir()
		if err := os.WriteFile(filepath.Join(cut, names[0].Name()), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, problems, err := delivered.Verify(cut); len(problems) > 0 || err != nil {
			t.Fatalf("cut at %d: %v, %v", n, problems, err)
		}
		l := open(t, cut, 1<<20)
		before := len(all(t, l, delivered.Query{}))
		add(l, record(4, 5))
		got := seqs(all(t, l, delivered.Query{}))
		if len(got) != before+1 || got[0] != 4 || l.Stats().Lost > 0 {
			t.Fatalf("cut at %d: %v after %d", n, got, before)
		}
		l.Close()
	}
}

// What is damaged is left out, named by Verify, and the rest is read.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	for seq := range uint64(200) {
		add(l, record(seq+1, 1000))
	}
	l.Close()
	names, _ := os.ReadDir(dir)
	if len(names) < 3 {
		t.Fatalf("%d files", len(names))
	}
	path := filepath.Join(dir, names[1].Name())
	b, _ := os.ReadFile(path)
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	whole, problems, err := delivered.Verify(dir)
	if err != nil || len(problems) != 1 || whole != 199 {
		t.Errorf("%d whole, %v, %v", whole, problems, err)
	}
	if got := all(t, open(t, dir, 1<<20), delivered.Query{}); len(got) != 199 {
		t.Errorf("%d are read", len(got))
	}
}

// A copy by Files is a log.
func TestFiles(t *testing.T) {
	l, to := open(t, t.TempDir(), 1<<20), t.TempDir()
	for seq := range uint64(200) {
		add(l, record(seq+1, 1000))
	}
	err := l.Files(func(name string, size int64, content io.Reader) error {
		b, err := io.ReadAll(content)
		if err != nil || int64(len(b)) != size {
			return fmt.Errorf("%d bytes of %d, %v", len(b), size, err)
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o600)
	})
	if got := all(t, open(t, to, 1<<20), delivered.Query{}); err != nil || len(got) != 200 {
		t.Errorf("%d of 200, %v", len(got), err)
	}
}

// Whatever is left of a file by a process that was killed, and whichever of
// its bytes is damaged: it is read as far as it is whole, and the log goes on.
func TestAnyFile(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	add(l, record(1, 20), record(2, 0))
	l.Close()
	names, _ := os.ReadDir(dir)
	path := filepath.Join(dir, names[0].Name())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(b []byte, atLeast int) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := delivered.Verify(dir); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir, 1<<20)
		before := len(all(t, l, delivered.Query{}))
		add(l, record(3, 5))
		after := all(t, l, delivered.Query{})
		if before < atLeast || len(after) != before+1 || after[0].Seq != 3 {
			t.Errorf("%d bytes: %d records, want %d; %d after one was added", len(b), before, atLeast, len(after))
		}
		l.Close()
		if err := delivered.Remove(dir); err != nil || os.MkdirAll(dir, 0o700) != nil {
			t.Fatal(err)
		}
	}
	try(whole, 2)
	for i := 0; i < len(whole); i += 5 {
		try(whole[:i], 0)
		b := bytes.Clone(whole)
		b[i] ^= 1
		try(b, 0)
	}
	try(whole[:len(whole)-1], 1)
}
