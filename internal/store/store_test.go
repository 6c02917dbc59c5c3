package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	return openWith(t, dir, store.Options{})
}

func openWith(t *testing.T, dir string, o store.Options) *store.Store {
	t.Helper()
	s, err := o.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func commit(t *testing.T, b *store.Batch) uint64 {
	t.Helper()
	first, err := b.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// all collects what an iterator yields.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) (list []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

// Spaces of the stream that most tests have.
var mirror, timers = store.Mirror(store.Standalone), store.Timers(store.Standalone)

var born = time.UnixMilli(1_764_000_000_123)

func job(endpoint, id string) store.Job {
	return store.Job{Endpoint: endpoint, Lane: 7, ID: id, Born: born, Payload: []byte("payload of " + id)}
}

func seqs(list []store.Pending) (all []uint64) {
	for _, p := range list {
		all = append(all, p.Seq)
	}
	return all
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	for _, want := range []string{"", "abc:12/0", "abc:1234567890123/15", "with \"quotes\"\nand \xff"} {
		if want != "" {
			if err := s.SaveCheckpoint(store.Standalone, want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Checkpoint(store.Standalone); got != want || err != nil {
			t.Errorf("Checkpoint = %q, %v, want %q", got, err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if got, err := s.Checkpoint(store.Standalone); got != "with \"quotes\"\nand \xff" || err != nil {
		t.Errorf("after reopening: Checkpoint = %q, %v", got, err)
	}
	if s.LostTail() != nil {
		t.Errorf("after a clean close: %v", s.LostTail())
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open = %v, want ErrLocked with the directory", err)
	}
	if _, err := store.Verify(dir); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Verify = %v, want ErrLocked", err)
	}
	if _, err := store.Salvage(dir, t.TempDir()); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Salvage = %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// A job's way: enqueued, retried, settled; or buried, requeued, dropped.
func TestJobs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	b := s.NewBatch()
	for i := range 3 {
		b.Enqueue(job("crm", fmt.Sprint("c", i)))
		b.Enqueue(job("log", fmt.Sprint("l", i)))
	}
	b.SetCheckpoint(store.Standalone, "id:5/0")
	if first := commit(t, b); first != 1 {
		t.Errorf("first seq %d, want 1", first)
	}
	if !b.Empty() || b.Jobs() != 0 || b.Size() != 0 {
		t.Error("the batch is not empty after Commit")
	}
	equal(t, "crm", seqs(all(t, s.Pending("crm", 0))), []uint64{1, 3, 5})
	equal(t, "log from 4", seqs(all(t, s.Pending("log", 4))), []uint64{4, 6})
	equal(t, "cr", seqs(all(t, s.Pending("cr", 0))), nil)

	due := born.Add(time.Minute)
	b.Retry("crm", 3, 1, born, "first", "")
	b.Retry("crm", 3, 2, due, "sec\x00ond", "try\x00later")
	b.Settle("crm", 1, 1)
	b.SettleListed(store.Settled{Endpoint: "log", Seq: 2, ID: "l0", Status: "200", Excerpt: "thanks", Attempts: 1, Born: born, At: due})
	letter := store.DeadLetter{Endpoint: "log", Seq: 4, ID: "l1", Reason: "permanent", Error: "410", Excerpt: "gone", Attempts: 1, Born: born, At: due}
	b.Bury(letter)
	b.Bury(store.DeadLetter{Reason: "dropped", Error: "12 firings", At: due})
	commit(t, b)

	check := func(s *store.Store) {
		t.Helper()
		crm := all(t, s.Pending("crm", 0))
		equal(t, "crm", crm, []store.Pending{
			{Seq: 3, Lane: 7, Size: 13, Born: born, Attempts: 2, Due: due, Error: "sec ond", Excerpt: "try\x00later"},
			{Seq: 5, Lane: 7, Size: 13, Born: born},
		})
		equal(t, "log", seqs(all(t, s.Pending("log", 0))), []uint64{6})
		ends, err := s.Endpoints()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "endpoints", ends, []store.Endpoint{{Name: "crm", Pending: 2, First: 3}, {Name: "log", Pending: 1, First: 6}})
		equal(t, "settled", all(t, s.Settled(0)), []store.Settled{{Number: 1, Seq: 2, Endpoint: "log", ID: "l0", Status: "200", Excerpt: "thanks", Attempts: 1, Born: born, At: due}})
		letter.Number = 1
		equal(t, "dead", all(t, s.Dead(0)), []store.DeadLetter{{Number: 2, Reason: "dropped", Error: "12 firings", At: due}, letter})
		equal(t, "dead before 2", all(t, s.Dead(2)), []store.DeadLetter{letter})
		if d, err := s.DeadLetter(1); err != nil || *d != letter {
			t.Errorf("DeadLetter(1) = %+v, %v", d, err)
		}
		if j, err := s.Load(4); err != nil || j.ID != "l1" || string(j.Payload) != "payload of l1" || j.Seq != 4 || j.Lane != 7 || !j.Born.Equal(born) || j.Endpoint != "log" {
			t.Errorf("Load of a dead job = %+v, %v", j, err)
		}
		for _, seq := range []uint64{1, 2, 7, 0} {
			if j, err := s.Load(seq); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Load(%d) = %+v, %v, want ErrNotFound", seq, j, err)
			}
		}
	}
	check(s)
	s.Close()
	s = open(t, dir)
	check(s)

	b = s.NewBatch()
	b.Enqueue(job("crm", "c3"))
	b.Requeue(1)
	b.DropDead(2)
	if first := commit(t, b); first != 7 {
		t.Errorf("first seq %d, want 7", first)
	}
	equal(t, "dead", all(t, s.Dead(0)), nil)
	equal(t, "log", all(t, s.Pending("log", 0)), []store.Pending{{Seq: 6, Lane: 7, Size: 13, Born: born}, {Seq: 8, Lane: 7, Size: 13, Born: born}})
	for _, number := range []uint64{1, 2, 3} {
		b.DropDead(number)
		if _, err := b.Commit(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("DropDead(%d) again: %v, want ErrNotFound", number, err)
		}
		b.Reset()
	}
	verify(t, s, dir)
}

// verify closes the store and lets Verify look for problems.
func verify(t *testing.T, s *store.Store, dir string) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := store.Verify(dir)
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("Verify: %v, %+v", err, r)
	}
}

// What Commit refuses changes nothing.
func TestRefused(t *testing.T) {
	s := open(t, t.TempDir())
	long := strings.Repeat("x", store.MaxName+1)
	for name, fill := range map[string]func(b *store.Batch){
		"no endpoint":     func(b *store.Batch) { b.Enqueue(job("", "id")) },
		"endpoint":        func(b *store.Batch) { b.Enqueue(job(long, "id")) },
		"id":              func(b *store.Batch) { b.Enqueue(job("e", long)) },
		"payload":         func(b *store.Batch) { b.Enqueue(store.Job{Endpoint: "e", Payload: make([]byte, store.MaxPayload+1)}) },
		"checkpoint":      func(b *store.Batch) { b.SetCheckpoint(store.Standalone, long) },
		"key":             func(b *store.Batch) { b.Put(mirror, []byte(long), nil) },
		"status":          func(b *store.Batch) { b.SettleListed(store.Settled{Endpoint: "e", Seq: 1, Status: long}) },
		"settled nothing": func(b *store.Batch) { b.Settle("e", 0, 1) },
		"reason":          func(b *store.Batch) { b.Bury(store.DeadLetter{Reason: long}) },
		"no letter":       func(b *store.Batch) { b.Requeue(1) },
	} {
		t.Run(name, func(t *testing.T) {
			before := s.Stats()
			b := s.NewBatch()
			b.Enqueue(job("good", "id"))
			b.SetCheckpoint(store.Standalone, "moved")
			fill(b)
			if _, err := b.Commit(); err == nil {
				t.Error("no error")
			}
			b.Reset()
			if got, _ := s.Checkpoint(store.Standalone); got != "" || s.Stats().NextJob != before.NextJob || len(all(t, s.Pending("good", 0))) > 0 {
				t.Errorf("checkpoint %q, %+v before, %+v after", got, before, s.Stats())
			}
			b.Enqueue(job("other", "id")) // the store and the batch still work
			commit(t, b)
		})
	}
}

// Texts of others are cut, and not refused.
func TestLongErrors(t *testing.T) {
	s := open(t, t.TempDir())
	b := s.NewBatch()
	b.Enqueue(job("e", "id"))
	commit(t, b)
	long := strings.Repeat("y", 2*store.MaxText)
	b.Retry("e", 1, 1, born, long, "")
	commit(t, b)
	if p := all(t, s.Pending("e", 0)); p[0].Error != long[:store.MaxText] {
		t.Errorf("%d bytes of the error are kept", len(p[0].Error))
	}
	b.Bury(store.DeadLetter{Endpoint: "e", Seq: 1, Error: long, Excerpt: long})
	commit(t, b)
	if d := all(t, s.Dead(0)); d[0].Error != long[:store.MaxText] || d[0].Excerpt != d[0].Error {
		t.Errorf("%d and %d bytes are kept", len(d[0].Error), len(d[0].Excerpt))
	}
}

func TestSpaces(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	b := s.NewBatch()
	for _, k := range []string{"", "a", "b", "b\x00", "\xff", "\xff\xff"} {
		b.Put(mirror, []byte(k), []byte("m"+k))
		b.Put(timers, []byte(k), nil)
	}
	b.Put(mirror, []byte("a"), []byte("second"))
	b.Delete(timers, []byte("b"))
	b.Delete(timers, []byte("never"))
	commit(t, b)
	list := func(space store.Space, from, to []byte) (got []string) {
		for e, err := range s.Scan(space, from, to) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(e.Key)+"="+string(e.Value))
		}
		return got
	}
	want := []string{"=m", "a=second", "b=mb", "b\x00=mb\x00", "\xff=m\xff", "\xff\xff=m\xff\xff"}
	equal(t, "mirror", list(mirror, nil, nil), want)
	equal(t, "mirror from a to b0", list(mirror, []byte("a"), []byte("b\x00")), want[1:3])
	equal(t, "timers", list(timers, nil, nil), []string{"=", "a=", "b\x00=", "\xff=", "\xff\xff="})
	if v, err := s.Get(mirror, []byte("b")); string(v) != "mb" || err != nil {
		t.Errorf("Get = %q, %v", v, err)
	}
	if v, err := s.Get(timers, []byte("b")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %q, %v, want ErrNotFound", v, err)
	}
	b.DeleteRange(mirror, []byte("b"), nil)
	b.DeleteRange(timers, nil, []byte("b"))
	commit(t, b)
	s.Close()
	s = open(t, dir)
	equal(t, "mirror after the deletion", list(mirror, nil, nil), want[:2])
	equal(t, "timers after the deletion", list(timers, nil, nil), []string{"b\x00=", "\xff=", "\xff\xff="})
	verify(t, s, dir)
}

// An iteration that begins at 0 starts where the last one found the first job.
func TestLowWatermark(t *testing.T) {
	s := open(t, t.TempDir())
	b := s.NewBatch()
	for range 10 {
		b.Enqueue(job("e", "id"))
	}
	commit(t, b)
	for seq := range uint64(6) {
		b.Settle("e", seq+1, 1)
	}
	commit(t, b)
	equal(t, "from 9", seqs(all(t, s.Pending("e", 9))), []uint64{9, 10})
	if low := s.Lows("e"); low != 0 {
		t.Errorf("an iteration that began late has set the watermark to %d", low)
	}
	equal(t, "from 0", seqs(all(t, s.Pending("e", 0))), []uint64{7, 8, 9, 10})
	if low := s.Lows("e"); low != 7 {
		t.Errorf("watermark %d, want 7", low)
	}
	b.Enqueue(job("e", "id"))
	commit(t, b)
	equal(t, "from 0 again", seqs(all(t, s.Pending("e", 0))), []uint64{7, 8, 9, 10, 11})
}

func TestRetention(t *testing.T) {
	s := openWith(t, t.TempDir(), store.Options{Retention: time.Hour, MaxSettled: 50})
	b := s.NewBatch()
	for i := range 3000 {
		b.Enqueue(job("e", fmt.Sprint(i)))
	}
	commit(t, b)
	at := func(i int) time.Time { return born.Add(time.Duration(i) * time.Second) }
	for i := range 100 {
		b.SettleListed(store.Settled{Endpoint: "e", Seq: uint64(i + 1), ID: fmt.Sprint(i), Attempts: 1, At: at(i)})
	}
	for i := 100; i < 3000; i++ {
		b.Bury(store.DeadLetter{Endpoint: "e", Seq: uint64(i + 1), ID: fmt.Sprint(i), At: at(i)})
	}
	commit(t, b)
	maintain := func(now time.Time) (settled []store.Settled, dead []store.DeadLetter) {
		t.Helper()
		if err := s.Maintain(now); err != nil {
			t.Fatal(err)
		}
		return all(t, s.Settled(0)), all(t, s.Dead(0))
	}
	settled, dead := maintain(born)
	if len(settled) != 50 || settled[49].ID != "50" || len(dead) != 2900 {
		t.Errorf("%d settled, %d dead, want 50 by number, and all 2900", len(settled), len(dead))
	}
	settled, dead = maintain(at(80).Add(time.Hour))
	if len(settled) != 20 || settled[19].ID != "80" || len(dead) != 2900 {
		t.Errorf("%d settled, %d dead, want 20 by age, and all 2900", len(settled), len(dead))
	}
	now := at(2999).Add(time.Hour)
	settled, dead = maintain(now)
	if len(settled) != 0 || len(dead) != 1900 {
		t.Errorf("%d settled, %d dead, want none, and 1000 less than 2900", len(settled), len(dead))
	}
	maintain(now)
	if _, dead = maintain(now); len(dead) != 1 || dead[0].ID != "2999" {
		t.Errorf("%d dead, want the one that is not older", len(dead))
	}
	if _, err := s.Load(2999); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the payload of a letter that was removed: %v", err)
	}
	if _, err := s.Load(3000); err != nil {
		t.Errorf("the payload of a letter that was kept: %v", err)
	}
}

// Without a retention nothing is removed by age.
func TestRetentionForEver(t *testing.T) {
	s := openWith(t, t.TempDir(), store.Options{Retention: -1})
	b := s.NewBatch()
	b.Bury(store.DeadLetter{Reason: "dropped", At: time.UnixMilli(1)})
	b.Enqueue(job("e", "id"))
	commit(t, b)
	b.SettleListed(store.Settled{Endpoint: "e", Seq: 1, At: time.UnixMilli(1)})
	commit(t, b)
	if err := s.Maintain(born); err != nil {
		t.Fatal(err)
	}
	if len(all(t, s.Dead(0))) != 1 || len(all(t, s.Settled(0))) != 1 {
		t.Error("something is gone")
	}
}

func TestLetterCount(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	b := s.NewBatch()
	bury := func(n int) {
		t.Helper()
		for range n {
			b.Enqueue(job("e", "id"))
		}
		first := commit(t, b)
		for i := range n {
			b.Bury(store.DeadLetter{Seq: first + uint64(i), Endpoint: "e", At: born})
		}
		commit(t, b)
	}
	bury(5)
	if n := s.Stats().Letters; n != -1 {
		t.Errorf("%d before they were counted", n)
	}
	s.CountLetters(t.Context())
	check := func(want int64) {
		t.Helper()
		if n := s.Stats().Letters; n != want || n != int64(len(all(t, s.Dead(0)))) {
			t.Errorf("%d letters counted, want %d", n, want)
		}
	}
	check(5)
	bury(3)
	b.DropDead(1)
	b.DropDead(2)
	b.Requeue(3)
	commit(t, b)
	check(5)
	b.DropDead(1) // refused
	if _, err := b.Commit(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Commit = %v", err)
	}
	b.Reset()
	check(5)
	if err := s.Maintain(born.Add(30 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	check(0)
	bury(2)
	s.Close()
	s = open(t, dir)
	s.CountLetters(t.Context())
	check(2)
}

func TestRun(t *testing.T) {
	s := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir())
	b := s.NewBatch()
	b.Enqueue(job("e", "id"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if _, err := b.Commit(); err == nil {
		t.Error("Commit after Close: no error")
	}
	if _, err := s.Load(1); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Load after Close = %v", err)
	}
	for _, err := range s.Pending("e", 0) {
		if err == nil {
			t.Error("Pending after Close yields a job")
		}
	}
}

// A directory of the first version has only a checkpoint file.
func TestFirstFormat(t *testing.T) {
	write := func(t *testing.T, text string) (dir string) {
		t.Helper()
		dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "checkpoint"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	line := store.Seal("triggerd 1 0123456789abcdef:851576/3")
	t.Run("read", func(t *testing.T) {
		dir := write(t, line)
		if r, err := store.Verify(dir); err != nil || len(r.Problems) > 0 || r.Checkpoints[store.Standalone] != "0123456789abcdef:851576/3" {
			t.Errorf("Verify = %+v, %v", r, err)
		}
		for range 2 {
			s := open(t, dir)
			if got, err := s.Checkpoint(store.Standalone); got != "0123456789abcdef:851576/3" || err != nil {
				t.Errorf("Checkpoint = %q, %v", got, err)
			}
			verify(t, s, dir)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		for i := range line {
			bad := []byte(line)
			bad[i] ^= 1
			dir := write(t, string(bad))
			for range 2 { // the first leaves a database behind
				if s, err := store.Open(dir); err == nil {
					s.Close()
					t.Fatalf("opened with byte %d flipped", i)
				}
			}
			if i%8 == 0 {
				dir = write(t, line[:i])
				if s, err := store.Open(dir); err == nil {
					s.Close()
					t.Fatalf("opened with %d bytes", i)
				}
			}
		}
	})
}

func TestNewerFormat(t *testing.T) {
	check := func(t *testing.T, dir string) {
		t.Helper()
		_, err := store.Open(dir)
		if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "run that version or a later one") {
			t.Errorf("Open = %v, want ErrNewer and what to do", err)
		}
		if _, err := store.Verify(dir); !errors.Is(err, store.ErrNewer) {
			t.Errorf("Verify = %v, want ErrNewer", err)
		}
		if _, err := store.Salvage(dir, filepath.Join(t.TempDir(), "out")); !errors.Is(err, store.ErrNewer) {
			t.Errorf("Salvage = %v, want ErrNewer", err)
		}
	}
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "checkpoint"), []byte(store.Seal("triggerd 4 whatever it says")), 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, dir)
	})
	t.Run("database", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		if err := s.SetValue([]byte("v"), store.SealValue([]byte("v"), []byte{0, 0, 0, 4})); err != nil {
			t.Fatal(err)
		}
		s.Close()
		check(t, dir)
	})
}

// The file beside the database tells if the database lost its tail.
func TestLostTail(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 5 {
		if err := s.SaveCheckpoint(store.Standalone, fmt.Sprintf("id:%d/0", i)); err != nil {
			t.Fatal(err)
		}
	}
	commits := s.Stats().Commits
	s.Close()
	path := filepath.Join(dir, "checkpoint")
	if err := os.WriteFile(path, []byte(store.CheckpointLine(commits+3, "id:9/0")), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // said until something is committed
		s = open(t, dir)
		if l := s.LostTail(); l == nil || !reflect.DeepEqual(*l, store.LostTail{Commits: 3, Streams: []store.LostStream{{Stream: store.Standalone, From: "id:4/0", To: "id:9/0"}}}) {
			t.Fatalf("LostTail = %+v", l)
		}
		s.Close()
	}
	s = open(t, dir)
	if err := s.SaveCheckpoint(store.Standalone, "id:10/0"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, dir)
	if l := s.LostTail(); l != nil {
		t.Errorf("after a commit: LostTail = %v", l)
	}
	if got := s.Stats().Commits; got != commits+4 {
		t.Errorf("%d commits, want one more than the lost ones", got)
	}
}

// A damaged or missing file beside a good database costs nothing but a word.
func TestCheckpointFileDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"flipped": func(path string) error { return flip(path, 100) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			for _, p := range []string{"id:1/0", "id:2/0"} {
				if err := s.SaveCheckpoint(store.Standalone, p); err != nil {
					t.Fatal(err)
				}
			}
			s.Close()
			if err := damage(filepath.Join(dir, "checkpoint")); err != nil {
				t.Fatal(err)
			}
			if r, err := store.Verify(dir); err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Where, "checkpoint") {
				t.Errorf("Verify = %+v, %v", r, err)
			}
			var log logBuffer
			s = openWith(t, dir, store.Options{Logger: log.logger()})
			if got, _ := s.Checkpoint(store.Standalone); got != "id:2/0" || !strings.Contains(log.String(), "the checkpoint file is") {
				t.Errorf("Checkpoint = %q; log: %s", got, log.String())
			}
			verify(t, s, dir)
		})
	}
}

// flip changes the bit'th bit of a file.
func flip(path string, bit int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[bit/8] ^= 1 << (bit % 8)
	return os.WriteFile(path, b, 0o600)
}

func TestJobsTogether(t *testing.T) {
	s := open(t, t.TempDir())
	b := s.NewBatch()
	for i := range 10 {
		b.Enqueue(job(fmt.Sprint("e", i%3), fmt.Sprint(i)))
	}
	first := commit(t, b)
	for _, gone := range []uint64{first + 2, first + 9} {
		b.Settle(fmt.Sprint("e", (gone-first)%3), gone, 1)
	}
	commit(t, b)
	var got []string
	for j, err := range s.Jobs([]uint64{first, first + 2, first + 3, first + 8, first + 9, first + 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		alone, err := s.Load(j.Seq)
		if err != nil || !reflect.DeepEqual(j, alone) {
			t.Errorf("%+v, alone it is %+v, %v", j, alone, err)
		}
		got = append(got, j.ID)
	}
	equal(t, "IDs", got, []string{"0", "3", "8"})
	for j, err := range s.Jobs(nil) {
		t.Errorf("no numbers gave %v, %v", j, err)
	}
	for range s.Jobs([]uint64{first, first + 1}) {
		break
	}
}

// A record whose bytes are not those that were written is an error that names
// it, wherever it is met, and not a record less.
func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	b := s.NewBatch()
	for i := range 3 {
		b.Enqueue(job("e", fmt.Sprint(i)))
	}
	commit(t, b)
	if err := s.SetValue(store.JobKey(2), []byte("something that is no job")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(2)
	var damaged *store.CorruptError
	if !errors.As(err, &damaged) || damaged.Key != "job 2" || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Load = %v, want a CorruptError of job 2", err)
	}
	if got := s.Stats().Damaged; got != 1 {
		t.Errorf("%d damaged records counted, want 1", got)
	}
	var before []uint64
	for j, err := range s.Jobs([]uint64{1, 2, 3}) {
		if err == nil {
			before = append(before, j.Seq)
		} else if !errors.As(err, &damaged) {
			t.Errorf("Jobs: %v, want a CorruptError", err)
		}
	}
	equal(t, "jobs before the damaged one", before, []uint64{1})
	s.Close()
	r, err := store.Verify(dir)
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Where != "job 2" || r.Jobs != 2 {
		t.Errorf("Verify = %+v, %v", r, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	r, err = store.Salvage(dir, out)
	if err != nil || r.Jobs != 2 || !strings.Contains(fmt.Sprint(r.Problems), `index entry of endpoint "e", job 2: the job is lost`) {
		t.Errorf("Salvage = %+v, %v", r, err)
	}
	s = open(t, out)
	equal(t, "salvaged", seqs(all(t, s.Pending("e", 0))), []uint64{1, 3})
	if j, err := s.Load(3); err != nil || !bytes.Equal(j.Payload, job("e", "2").Payload) {
		t.Errorf("Load = %+v, %v", j, err)
	}
	if s.Stats().NextJob != 4 {
		t.Errorf("next seq %d, want 4", s.Stats().NextJob)
	}
	verify(t, s, out)
}
