package store_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"triggerd/internal/store"
)

// fault makes the nth operation of a kind fail, and all that follow it if the
// disk stays broken.
type fault struct {
	match func(op errorfs.Op) bool
	left  atomic.Int64 // operations that still succeed
	stays bool
	err   error
	hit   atomic.Bool
}

func (f *fault) MaybeError(op errorfs.Op) error {
	if !f.match(op) {
		return nil
	}
	if n := f.left.Add(-1); n == -1 || n < 0 && f.stays {
		f.hit.Store(true)
		return f.err
	}
	return nil
}

func (f *fault) String() string { return "fault" }

// A disk that fails once, or from then on, at any read, write, sync or other
// operation: an error, at once or from a later call, and after a restart all
// that was committed is there.
func TestDiskErrors(t *testing.T) {
	kinds := map[string]func(op errorfs.Op) bool{
		"read":  func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt },
		"write": func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileWrite },
		"sync": func(op errorfs.Op) bool {
			return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		},
		"create": func(op errorfs.Op) bool {
			return op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpRename || op.Kind == errorfs.OpReuseForWrite || op.Kind == errorfs.OpOpenDir
		},
	}
	rounds := size(t, "TRIGGERD_DISK_ERRORS", 8)
	for name, match := range kinds {
		t.Run(name, func(t *testing.T) {
			none := &fault{match: match}
			none.left.Store(math.MaxInt64)
			if err := underFault(none, 0); err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			operations := int(math.MaxInt64 - none.left.Load())
			hits := 0
			for n := range rounds {
				for _, stays := range []bool{false, true} {
					f := &fault{match: match, stays: stays, err: syscall.EIO}
					left := operations * n * n / (rounds * rounds) // from the first operation of Open to the last, more of the first
					f.left.Store(int64(left))
					if err := underFault(f, uint64(n)); err != nil {
						t.Errorf("operation %d fails, stays %v: %v", left, stays, err)
					}
					if f.hit.Load() {
						hits++
					}
				}
			}
			if hits < rounds { // the last may not come: the engine does not do the same each time; else nothing was tested
				t.Errorf("only %d of %d faults were met, of %d operations", hits, 2*rounds, operations)
			}
		})
	}
}

// underFault writes under a fault, and checks what is there after a restart.
func underFault(f *fault, seed uint64) error {
	mem := vfs.NewCrashableMem()
	opts := store.Options{FS: errorfs.Wrap(mem, f)}
	durable, l, err := writeUnderFault(opts, seed)
	if err != nil && !errors.Is(err, f.err) && !strings.Contains(err.Error(), f.err.Error()) {
		return fmt.Errorf("an error that does not say why: %w", err)
	}
	if err == nil && f.stays && f.hit.Load() && f.left.Load() < -100 {
		return errors.New("the disk is broken, and nothing has said so")
	}
	if l == nil {
		l = newLoad(nil, seed, 8_000)
	}
	for _, percent := range []int{0, 100} { // what another process finds, and what a power cut leaves
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 4))})
		if err := l.checkClone(clone, durable); err != nil {
			return fmt.Errorf("after a restart, %d%% of what was not synced kept: %w", percent, err)
		}
	}
	return nil
}

func writeUnderFault(opts store.Options, seed uint64) (durable int64, l *load, err error) {
	s, err := opts.Open("data")
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l = newLoad(s, seed, 8_000)
	for g := int64(1); g <= 40; g++ {
		if err := l.group(g); err != nil {
			if _, again := s.Endpoints(); again == nil {
				return l.durable.Load(), l, fmt.Errorf("a commit failed and the store goes on: %w", err)
			}
			return l.durable.Load(), l, err
		}
		if g%10 == 0 {
			if err := errors.Join(s.Maintain(born), s.Flush()); err != nil {
				return l.durable.Load(), l, err
			}
			if _, err := look(s, l.max); err != nil {
				return l.durable.Load(), l, err
			}
		}
	}
	return l.durable.Load(), l, nil
}

// filled makes a store with tables, logs and an unclean end, as a killed
// process leaves it.
func filled(t *testing.T) (fs *vfs.MemFS, l *load) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s, err := store.Options{FS: mem}.Open("data")
	if err != nil {
		t.Fatal(err)
	}
	l = newLoad(s, 11, 2000)
	for g := int64(1); g <= 60; g++ {
		if err := l.group(g); err != nil {
			t.Fatal(err)
		}
		if g == 20 || g == 40 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Maintain(born); err != nil { // notes in the file beside it where it stands
		t.Fatal(err)
	}
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return clone, l
}

// damaged copies a file system with one file changed.
func damaged(t *testing.T, fs vfs.FS, name string, change func(b []byte) []byte) vfs.FS {
	t.Helper()
	mem := vfs.NewMem()
	if ok, err := vfs.Clone(fs, mem, "data", "data"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	b := contents(t, mem, name)
	f, err := mem.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(change(b)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return mem
}

func contents(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// One flipped bit, a cut or a tail of garbage in any file: never less without a
// word, from Open, from a read, from LostTail or in the log. And what can be
// saved is saved.
func TestDamagedFiles(t *testing.T) {
	fs, l := filled(t)
	rng := rand.New(rand.NewPCG(5, 5))
	rounds := size(t, "TRIGGERD_DAMAGES", 2)
	said, harmless := map[string]int{}, map[string]int{}
	for _, name := range listFiles(t, fs) {
		length := len(contents(t, fs, name))
		for n := range rounds {
			changes := map[string]func(b []byte) []byte{
				"garbage": func(b []byte) []byte { return append(b, "this was never written"...) },
			}
			if length > 0 {
				bit := rng.IntN(length * 8)
				changes["flip"] = func(b []byte) []byte {
					b[bit/8] ^= 1 << (bit % 8)
					return b
				}
				changes["cut"] = func(b []byte) []byte { return b[:len(b)*n/rounds] }
			}
			for what, change := range changes {
				word, err := l.afterDamage(damaged(t, fs, name, change))
				if err != nil {
					t.Errorf("%s of %s, round %d: %v", what, name, n, err)
				}
				kind := what + " of " + kindOf(name)
				if word != "" {
					said[kind]++
				} else {
					harmless[kind]++
				}
			}
		}
	}
	t.Logf("said: %v; harmless: %v", said, harmless)
	for _, kind := range []string{"flip of table", "cut of table", "flip of log", "cut of log", "flip of checkpoint", "cut of manifest"} {
		if said[kind] == 0 {
			t.Errorf("%s was never noticed: is anything damaged at all?", kind)
		}
	}
}

func listFiles(t *testing.T, fs vfs.FS) (names []string) {
	t.Helper()
	for _, dir := range []string{"data", "data/db"} {
		list, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(list)
		for _, name := range list {
			if name != "LOCK" && name != "db" && name != "ballast" {
				names = append(names, fs.PathJoin(dir, name))
			}
		}
	}
	return names
}

func kindOf(name string) string {
	base := filepath.Base(name)
	switch {
	case strings.HasSuffix(base, ".sst"):
		return "table"
	case strings.HasSuffix(base, ".log"):
		return "log"
	case strings.HasPrefix(base, "MANIFEST"):
		return "manifest"
	case strings.HasPrefix(base, "OPTIONS"):
		return "options"
	case strings.HasPrefix(base, "marker"):
		return "marker"
	}
	return base
}

// afterDamage opens a damaged directory and returns what was said about it; an
// error if something is missing and nothing was said, or if Salvage does not do
// its best.
func (l *load) afterDamage(fs vfs.FS) (word string, err error) {
	opts := store.Options{FS: fs}
	report, err := opts.Salvage("data", "salvaged")
	if err != nil {
		return "", fmt.Errorf("salvage: %w", err)
	}
	if err := l.checkSalvaged(opts, report); err != nil {
		return "", fmt.Errorf("salvaged with %v: %w", report.Problems, err)
	}
	verified, err := opts.Verify("data")
	if err != nil {
		return "", fmt.Errorf("verify: %w", err)
	}
	defer func() {
		if word != "" && err == nil && len(verified.Problems) == 0 {
			err = fmt.Errorf("verify finds no problem, though: %s", word)
		}
	}()

	var log logBuffer
	opts.Logger = log.logger()
	s, err := opts.Open("data")
	if err != nil {
		return err.Error(), nil
	}
	defer s.Close()
	if lost := s.LostTail(); lost != nil {
		return lost.Error(), nil
	}
	c, err := look(s, l.max)
	if err != nil {
		return err.Error(), nil
	}
	if err := l.check(c, l.durable.Load()); err != nil && log.String() == "" {
		return "", fmt.Errorf("not a word, but: %w", err)
	}
	return log.String(), nil
}

// checkSalvaged opens what was salvaged. If the report names no problem, all
// has to be there; what is there has to be right in any case.
func (l *load) checkSalvaged(opts store.Options, r *store.Report) error {
	s, err := opts.Open("salvaged")
	if err != nil {
		return err
	}
	c, err := lookAt(s, l.max, len(r.Problems) > 0)
	if err == nil && len(r.Problems) == 0 {
		err = l.check(c, l.durable.Load())
	}
	if err == nil && r.Jobs != len(c.pending) {
		err = fmt.Errorf("the report says %d jobs, there are %d", r.Jobs, len(c.pending))
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	again, err := opts.Verify("salvaged")
	if err == nil && len(again.Problems) > 0 {
		err = fmt.Errorf("verify: %v", again.Problems)
	}
	return err
}

// Damage to one block costs what is in it, and no more.
func TestSalvageIsNear(t *testing.T) {
	fs, l := filled(t)
	whole, err := store.Options{FS: fs}.Verify("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range listFiles(t, fs) {
		if k := kindOf(name); k != "table" && k != "log" && k != "manifest" {
			continue
		}
		opts := store.Options{FS: damaged(t, fs, name, func(b []byte) []byte {
			b[len(b)/3] ^= 1
			return b
		})}
		r, err := opts.Salvage("data", "salvaged")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.checkSalvaged(opts, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Jobs+r.DeadLetters < (whole.Jobs+whole.DeadLetters)/2 { // a table has a few blocks
			t.Errorf("%s: only %d of %d jobs, %d of %d dead letters: %v", name, r.Jobs, whole.Jobs, r.DeadLetters, whole.DeadLetters, r.Problems)
		}
	}
}

func TestSalvageTargetNotEmpty(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	open(t, dir).Close()
	if err := os.WriteFile(filepath.Join(out, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Salvage(dir, out); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("Salvage = %v", err)
	}
}
