package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"triggerd/internal/store"
)

// A directory that an earlier program wrote is opened with all that it has, the
// first time and later ones, and is looked at and salvaged as one of today.
func TestEarlierFormats(t *testing.T) {
	for _, name := range []string{"format2"} {
		t.Run(name, func(t *testing.T) {
			dir, want := copyEarlier(t, name), filepath.Join("testdata", name, "golden.json")
			before, err := store.Verify(dir)
			if err != nil || len(before.Problems) > 0 {
				t.Errorf("Verify before = %+v, %v", before, err)
			}
			saved := filepath.Join(t.TempDir(), "saved")
			if r, err := store.Salvage(dir, saved); err != nil || len(r.Problems) > 0 || !reflect.DeepEqual(r.Checkpoints, before.Checkpoints) {
				t.Errorf("Salvage = %+v, %v", r, err)
			}
			for _, dir := range []string{dir, dir, saved} {
				s := openWith(t, dir, store.Options{Retention: -1})
				if s.LostTail() != nil {
					t.Errorf("LostTail = %v", s.LostTail())
				}
				golden(t, want, list(t, s))
				s.Close()
				if after, err := store.Verify(dir); err != nil || !reflect.DeepEqual(after, before) {
					t.Errorf("Verify = %+v, %v, want %+v", after, err, before)
				}
			}
		})
	}
}

// What an earlier program wrote is settled, retried, buried, requeued and
// replaced as what this one writes, and next to it.
func TestEarlierRecordsChange(t *testing.T) {
	dir := copyEarlier(t, "format2")
	opts := store.Options{Retention: -1}
	s := openWith(t, dir, opts)
	want := list(t, s)
	b := s.NewBatch()
	settle, retry, bury := want.Jobs[0], want.Jobs[1], want.Jobs[2]
	b.SettleListed(store.Settled{Seq: settle.Seq, Endpoint: settle.Endpoint, ID: settle.ID, Attempts: settle.Attempts + 1, Born: born, At: born})
	b.Retry(retry.Endpoint, retry.Seq, retry.Attempts+1, born, "again", "")
	b.Bury(store.DeadLetter{Seq: bury.Seq, Endpoint: bury.Endpoint, ID: bury.ID, Reason: "r", Born: born, At: born})
	b.Requeue(want.Letters[1].Number)
	b.DropDead(want.Letters[0].Number)
	b.Enqueue(job(retry.Endpoint, "new"))
	b.Put(mirror, []byte("new"), []byte("value"))
	b.Delete(timers, nil)
	b.DeleteRange(store.State(store.Standalone), nil, nil)
	b.SetCheckpoint(store.Standalone, "id:1/0")
	commit(t, b)
	for range 2 {
		got := list(t, s)
		index := func(seq uint64) int {
			return slices.IndexFunc(got.Jobs, func(j listedJob) bool { return j.Seq == seq })
		}
		again, fresh := index(want.NextJob+1), index(want.NextJob)
		if got.Checkpoint != "id:1/0" || len(got.Entries["state"]) != 0 || len(got.Entries["mirror"]) != len(want.Entries["mirror"])+1 ||
			index(settle.Seq) >= 0 || index(bury.Seq) >= 0 || got.Jobs[index(retry.Seq)].Attempts != retry.Attempts+1 ||
			fresh < 0 || got.Jobs[fresh].ID != "new" || again < 0 || got.Jobs[again].Payload != want.Letters[1].Payload ||
			len(got.Letters) != len(want.Letters)-1 || got.Letters[0].Payload != bury.Payload || len(got.Settled) != len(want.Settled)+1 {
			t.Errorf("after changes: %+v", got)
		}
		verify(t, s, dir)
		s = openWith(t, dir, opts)
	}
}

// loadEarlier copies a directory of an earlier format into memory, as it is
// after a power cut: all of it synced.
func loadEarlier(t *testing.T, name string) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	if ok, err := vfs.Clone(vfs.Default, mem, filepath.Join("testdata", name, "data"), "data", vfs.CloneSync); err != nil || !ok {
		t.Fatal(ok, err)
	}
	root, err := mem.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(root.Sync(), root.Close()); err != nil {
		t.Fatal(err)
	}
	return mem
}

// snapshots keeps, before each operation that changes something, what the disk
// has if the power is cut there.
type snapshots struct {
	mem *vfs.MemFS
	rng *rand.Rand

	mu     sync.Mutex // guards what follows
	clones []*vfs.MemFS
}

func (s *snapshots) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileRead, errorfs.OpFileReadAt, errorfs.OpOpen, errorfs.OpStat, errorfs.OpList:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Not a part of it: then the engine's manifest may be missing though what
	// names it is there, which no file system does that keeps their order.
	for _, percent := range []int{0, 100} {
		s.clones = append(s.clones, s.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: s.rng}))
	}
	return nil
}

func (s *snapshots) String() string { return "snapshots" }

// The power is cut at any step of the first start with an earlier directory:
// the next one finds all of it, once.
func TestCarryOverCrashes(t *testing.T) {
	want := filepath.Join("testdata", "format2", "golden.json")
	mem := loadEarlier(t, "format2")
	cuts := &snapshots{mem: mem, rng: rand.New(rand.NewPCG(3, 4))}
	s, err := store.Options{FS: errorfs.Wrap(mem, cuts), Retention: -1}.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	cuts.mu.Lock()
	clones := cuts.clones
	cuts.mu.Unlock()
	if err := errors.Join(s.Maintain(born), s.Close()); err != nil {
		t.Fatal(err)
	}
	if len(clones) < 20 {
		t.Errorf("only %d cuts", len(clones))
	}
	formats := map[byte]int{}
	for i, fs := range clones {
		opts := store.Options{FS: fs, Retention: -1}
		if b := contents(t, fs, "data/checkpoint"); len(b) > 9 {
			formats[b[9]]++
		}
		for range 2 {
			s, err := opts.Open("data")
			if err != nil {
				t.Fatalf("cut %d: %v", i, err)
			}
			if s.LostTail() != nil {
				t.Errorf("cut %d: %v", i, s.LostTail())
			}
			golden(t, want, list(t, s))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if t.Failed() {
				t.Fatalf("cut %d", i)
			}
		}
		if r, err := opts.Verify("data"); err != nil || len(r.Problems) > 0 {
			t.Fatalf("cut %d: Verify = %+v, %v", i, r, err)
		}
	}
	if formats['2'] == 0 || formats['3'] == 0 {
		t.Errorf("cuts on either side of the carry-over: %v", formats)
	}
}

// The disk fails at any step of it: an error, and nothing less afterwards.
func TestCarryOverDiskErrors(t *testing.T) {
	writes := func(op errorfs.Op) bool {
		switch op.Kind {
		case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpCreate, errorfs.OpRename, errorfs.OpOpenDir:
			return true
		}
		return false
	}
	for n, met := 0, true; met; n++ {
		mem := loadEarlier(t, "format2")
		f := &fault{match: writes, stays: n%2 == 0, err: syscall.EIO}
		f.left.Store(int64(n))
		s, err := store.Options{FS: errorfs.Wrap(mem, f), Retention: -1}.Open("data")
		if met = f.hit.Load(); err == nil {
			s.Close()
		} else if !met {
			t.Fatal(err)
		}
		after := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
		s, err = store.Options{FS: after, Retention: -1}.Open("data")
		if err != nil {
			t.Fatalf("operation %d failed: %v", n, err)
		}
		golden(t, filepath.Join("testdata", "format2", "golden.json"), list(t, s))
		s.Close()
		if n > 1000 {
			t.Fatal("it does not end")
		}
	}
}

// The programs before versions read of a directory the file "checkpoint", and
// the record of the format with its checksum: these stay as they were, so that
// what those say stays right.
func TestDowngradeIsTold(t *testing.T) {
	for name, dir := range map[string]string{"new": t.TempDir(), "carried over": copyEarlier(t, "format2")} {
		t.Run(name, func(t *testing.T) {
			s := open(t, dir)
			v := s.Value([]byte("v"))
			s.Close()
			castagnoli := crc32.MakeTable(crc32.Castagnoli)
			n := len(v) - 4
			if n < 4 || binary.BigEndian.Uint32(v) != store.FormatVersion || crc32.Checksum(append([]byte("v"), v[:n]...), castagnoli) != binary.LittleEndian.Uint32(v[n:]) {
				t.Errorf("format record %x", v)
			}
			line, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
			if err != nil || !strings.HasPrefix(string(line), fmt.Sprintf("triggerd %d ", store.FormatVersion)) {
				t.Errorf("checkpoint file %q, %v", line, err)
			}
		})
	}
}

// What a later program wrote is told with its place, and nothing of it is
// taken for something else.
func TestLaterRecords(t *testing.T) {
	fill := func(t *testing.T) (dir string, s *store.Store) {
		t.Helper()
		dir = t.TempDir()
		s = open(t, dir)
		b := s.NewBatch()
		for i := range 3 {
			b.Enqueue(job("e", fmt.Sprint(i)))
		}
		b.Put(mirror, []byte("k"), []byte("v"))
		commit(t, b)
		return dir, s
	}
	refused := func(t *testing.T, dir, place string) {
		t.Helper()
		for what, f := range map[string]func() error{
			"Open":    func() error { _, err := store.Open(dir); return err },
			"Salvage": func() error { _, err := store.Salvage(dir, filepath.Join(t.TempDir(), "out")); return err },
		} {
			err := f()
			if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "run that version or a later one") || !strings.Contains(err.Error(), place) {
				t.Errorf("%s = %v, want ErrNewer with %q", what, err, place)
			}
		}
	}
	for what, more := range map[string]string{`records of the kind 'z'`: "z\x01", `records of the kind 'p' in version 9`: "p\x09"} {
		t.Run(what, func(t *testing.T) {
			dir, s := fill(t)
			v := s.Value([]byte("v"))
			v = append(v[:len(v)-4], more...)
			if err := s.SetValue([]byte("v"), store.SealValue([]byte("v"), v)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			refused(t, dir, what)
			if _, err := store.Verify(dir); !errors.Is(err, store.ErrNewer) {
				t.Errorf("Verify = %v", err)
			}
		})
	}
	for _, key := range []string{"b", "qq", "w\x00\x01", "zlater", "\xff"} {
		t.Run(fmt.Sprintf("record %q", key), func(t *testing.T) {
			dir, s := fill(t)
			if err := s.SetValue([]byte(key), store.SealVersion([]byte(key), []byte("value"), 3)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			refused(t, dir, fmt.Sprintf("%q: written by a later triggerd (a record of version 3", key))
			r, err := store.Verify(dir)
			if err != nil || len(r.Problems) != 1 || r.Problems[0].Where != fmt.Sprintf("%q", key) || r.Jobs != 3 {
				t.Errorf("Verify = %+v, %v", r, err)
			}
		})
		t.Run(fmt.Sprintf("damaged record %q", key), func(t *testing.T) {
			dir, s := fill(t)
			if err := s.SetValue([]byte(key), []byte("value")); err != nil {
				t.Fatal(err)
			}
			s.Close()
			var damaged *store.CorruptError
			if _, err := store.Open(dir); !errors.As(err, &damaged) || damaged.Key != fmt.Sprintf("%q", key) {
				t.Errorf("Open = %v", err)
			}
			if r, err := store.Verify(dir); err != nil || len(r.Problems) != 1 || r.Problems[0].Where != fmt.Sprintf("%q", key) {
				t.Errorf("Verify = %+v, %v", r, err)
			}
			out := filepath.Join(t.TempDir(), "out")
			if r, err := store.Salvage(dir, out); err != nil || r.Jobs != 3 || len(r.Problems) != 1 {
				t.Errorf("Salvage = %+v, %v", r, err)
			}
			open(t, out)
		})
	}
	t.Run("version of a record", func(t *testing.T) {
		dir, s := fill(t)
		key := store.JobKey(2)
		if err := s.SetValue(key, store.SealVersion(key, []byte("fields of another shape"), 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(2); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "job 2: written by a later triggerd (record version 2, this one knows up to 1)") {
			t.Errorf("Load = %v", err)
		}
		var met error
		for _, err := range s.Jobs([]uint64{1, 2, 3}) {
			met = errors.Join(met, err)
		}
		if !errors.Is(met, store.ErrNewer) {
			t.Errorf("Jobs: %v", met)
		}
		s.Close()
		r, err := store.Verify(dir)
		if err != nil || len(r.Problems) != 1 || r.Problems[0].Where != "job 2" || r.Jobs != 2 {
			t.Errorf("Verify = %+v, %v", r, err)
		}
	})
	t.Run("entry of a space that is not known", func(t *testing.T) {
		dir, s := fill(t)
		for _, key := range []string{"xqk", "y\x00\x01sq", "y\x00\x09s"} {
			if err := s.SetValue([]byte(key), store.SealValue([]byte(key), nil)); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		if r, err := store.Verify(dir); err != nil || len(r.Problems) != 3 || r.Entries != 1 {
			t.Errorf("Verify = %+v, %v", r, err)
		}
	})
}

// Streams are apart: each has its checkpoint and its spaces.
func TestStreams(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	names := []string{store.Standalone, "shard-1", "shard-10", "\x00"}
	b := s.NewBatch()
	for i, name := range names {
		b.SetCheckpoint(name, fmt.Sprintf("id:%d/0", i))
		b.Put(store.Mirror(name), []byte("key"), []byte(name))
		b.Put(store.Timers(name), []byte("key"), []byte(name))
	}
	commit(t, b)
	b.DeleteRange(store.Mirror("shard-1"), nil, nil)
	b.SetCheckpoint("shard-1", "")
	commit(t, b)
	for range 2 {
		for i, name := range names {
			want, left := fmt.Sprintf("id:%d/0", i), 1
			if name == "shard-1" {
				want, left = "", 0
			}
			if got, err := s.Checkpoint(name); got != want || err != nil {
				t.Errorf("Checkpoint(%q) = %q, %v, want %q", name, got, err, want)
			}
			if got := all(t, s.Scan(store.Mirror(name), nil, nil)); len(got) != left {
				t.Errorf("mirror of %q: %d entries, want %d", name, len(got), left)
			}
			if got, err := s.Get(store.Timers(name), []byte("key")); string(got) != name || err != nil {
				t.Errorf("timers of %q: %q, %v", name, got, err)
			}
		}
		verify(t, s, dir)
		s = open(t, dir)
	}
	for what, f := range map[string]func(b *store.Batch){
		"no stream":                 func(b *store.Batch) { b.SetCheckpoint("", "id:1/0") },
		"a checkpoint's long name":  func(b *store.Batch) { b.SetCheckpoint(strings.Repeat("s", store.MaxName+1), "id:1/0") },
		"an entry's long name":      func(b *store.Batch) { b.Put(store.Mirror(strings.Repeat("s", store.MaxName+1)), nil, nil) },
		"an entry's very long name": func(b *store.Batch) { b.Put(store.Mirror(strings.Repeat("s", 1<<16+3)), nil, nil) },
		"a range's very long name":  func(b *store.Batch) { b.DeleteRange(store.Mirror("shard-1m"+strings.Repeat("s", 1<<16-1)), nil, nil) },
		"a deleted entry's":         func(b *store.Batch) { b.Delete(store.Mirror("shard-1m"+strings.Repeat("s", 1<<16-1)), nil) },
		"no space":                  func(b *store.Batch) { b.Put(store.Space{}, []byte("v"), nil) },
		"a range of no space":       func(b *store.Batch) { b.DeleteRange(store.Space{}, nil, nil) },
	} {
		b := s.NewBatch()
		f(b)
		if _, err := b.Commit(); err == nil {
			t.Errorf("%s is committed", what)
		}
	}
}

// A checkpoint that cannot be read ends the start with its stream's name, and
// what the file beside says takes its place in what is salvaged.
func TestDamagedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	b := s.NewBatch()
	b.SetCheckpoint("a", "a:1")
	b.SetCheckpoint("b", "b:1")
	commit(t, b)
	if err := s.Maintain(born); err != nil {
		t.Fatal(err)
	}
	if err := s.SetValue([]byte("kb"), []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	var bad *store.CorruptError
	if _, err := store.Open(dir); !errors.As(err, &bad) || bad.Key != `checkpoint of stream "b"` {
		t.Errorf("Open = %v", err)
	}
	want := map[string]string{"a": "a:1", "b": "b:1"}
	if r, err := store.Verify(dir); err != nil || len(r.Problems) != 1 || r.Problems[0].Where != bad.Key || !reflect.DeepEqual(r.Checkpoints, want) {
		t.Errorf("Verify = %+v, %v", r, err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if r, err := store.Salvage(dir, out); err != nil || len(r.Problems) != 1 || !reflect.DeepEqual(r.Checkpoints, want) {
		t.Errorf("Salvage = %+v, %v", r, err)
	}
	s = open(t, out)
	if got, err := s.Checkpoint("b"); got != "b:1" || err != nil {
		t.Errorf("Checkpoint = %q, %v", got, err)
	}
}

// One flipped bit anywhere in an earlier directory: it is told, or nothing is
// missing; and salvage has all but what was hit.
func TestEarlierDamaged(t *testing.T) {
	intact := loadEarlier(t, "format2")
	var want string
	{
		clone := intact.CrashClone(vfs.CrashCloneCfg{})
		s, err := store.Options{FS: clone, Retention: -1}.Open("data")
		if err != nil {
			t.Fatal(err)
		}
		want = fmt.Sprint(list(t, s))
		s.Close()
	}
	rng := rand.New(rand.NewPCG(8, 9))
	files := []string{"data/db/000005.sst", "data/db/000007.log", "data/checkpoint"}
	told := 0
	for n := range size(t, "TRIGGERD_FLIPS", 30) {
		name := files[n%len(files)]
		fs := damaged(t, intact, name, func(b []byte) []byte {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			return b
		})
		opts := store.Options{FS: fs, Retention: -1}
		r, err := opts.Salvage("data", "saved")
		if err != nil {
			t.Fatalf("flip %d of %s: Salvage: %v", n, name, err)
		}
		if r.Jobs < 10 { // a block of the log, or one of the table, is what one bit costs
			t.Errorf("flip %d of %s: %d jobs salvaged", n, name, r.Jobs)
		}
		s, err := opts.Open("data")
		if err != nil || s.LostTail() != nil {
			told++
			continue
		}
		if got, err := tryList(s); err != nil {
			told++
		} else if fmt.Sprint(got) != want {
			t.Errorf("flip %d of %s: something else, and nothing is told", n, name)
		}
		s.Close()
	}
	if told == 0 {
		t.Error("nothing was hit")
	}
}

// The file beside the database tells of each stream what was lost.
func TestLostTailOfStreams(t *testing.T) {
	mem := vfs.NewCrashableMem()
	opts := store.Options{FS: mem}
	s, err := opts.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	save := func(stream, position string) {
		if err := s.SaveCheckpoint(stream, position); err != nil {
			t.Fatal(err)
		}
	}
	save("a", "a:1")
	save("b", "b:1")
	save("c", "c:1")
	then := mem.CrashClone(vfs.CrashCloneCfg{})
	save("b", "b:2")
	save("a", "a:2")
	if err := errors.Join(s.Maintain(time.Now()), s.Close()); err != nil {
		t.Fatal(err)
	}
	line := contents(t, mem, "data/checkpoint")
	fs := damaged(t, then, "data/checkpoint", func([]byte) []byte { return bytes.Clone(line) })
	opts.FS = fs
	if s, err = opts.Open("data"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := store.LostTail{Commits: 2, Streams: []store.LostStream{{Stream: "a", From: "a:1", To: "a:2"}, {Stream: "b", From: "b:1", To: "b:2"}}}
	if l := s.LostTail(); l == nil || !reflect.DeepEqual(*l, want) || !strings.Contains(l.Error(), "positions a:1 to a:2 of a, positions b:1 to b:2 of b") {
		t.Errorf("LostTail = %v, want %v", l, &want)
	}
	if bytes.Count(line, []byte("\n")) != 1 {
		t.Errorf("checkpoint file %q", line)
	}
}
