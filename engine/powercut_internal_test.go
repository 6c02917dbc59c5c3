package engine

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"triggerd/internal/disk"
	"triggerd/internal/disk/disktest"
	"triggerd/internal/store"
	"triggerd/source"
)

// The model of writeback_internal_test.go, on a machine that loses its power, and
// with other rules from one start to the next. What counts is what has been
// committed: each firing once, as if nothing had happened.

// otherRules ask for the same values as modelRules, and fire otherwise.
var otherRules = strings.NewReplacer(
	`name = "all"`, `name = "most"`, `"no such text"`, `"x1"`, `over = 2, within = "1h"`, `over = 1, within = "10h"`,
).Replace(modelRules) + `
[[rule]]
name = "large"
key = "*"
when = 'type == "set" && count(after, # endsWith "7") > 2'
dedupe = { ttl = "10h", by = "key" }
[[rule.action]]
type = "print"
order = "none"
`

// machine is what a process runs on. nil is one that never loses its power, and
// has real disks.
type machine struct {
	store *vfs.MemFS     // the disk with the store
	disk  *disktest.Disk // with the files of values
}

func newMachine() *machine { return &machine{vfs.NewCrashableMem(), &disktest.Disk{}} }

func (m *machine) open(t *testing.T, dir string) *store.Store {
	t.Helper()
	o, at := store.Options{Logger: slog.New(slog.DiscardHandler)}, dir
	if m != nil {
		o.FS, o.Beside, at = m.store, dir, "data"
	}
	st, err := o.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (m *machine) files() disk.FS {
	if m == nil {
		return nil
	}
	return m.disk
}

// cut takes the machine's power. What is left is on the machine that it returns,
// and in a new directory: of the store and of the files what was synced, and some
// of what was not. trimmed is where the spool begins at that moment.
func (l *link) cut(dir, to string) (left *machine, trimmed source.Position, err error) {
	left = newMachine()
	return left, trimmed, l.machine.disk.Cut(dir, to, l.chance, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		trimmed = l.trimmed
		left.store = l.machine.store.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: l.chance.IntN(101), RNG: l.chance})
	})
}

// life is what became of a stream: the firings that were committed, and from
// which record on which rules were in force.
type life struct {
	got   firings
	twice []string // IDs of firings that were committed twice
	rules []string
	since []int // of the records of rules
	log   strings.Builder
	short int // times that the spool had less than was committed
}

// note takes over the firings that a process has committed, out of those that it
// has planned, and returns up to where it has come.
func (f *life) note(t *testing.T, st *store.Store, planned firings) source.Position {
	t.Helper()
	seen := map[string]bool{}
	add := func(id string, err error) {
		switch {
		case err != nil:
			t.Fatal(err)
		case seen[id]:
			f.twice = append(f.twice, id)
		case f.got[id] == "":
			if f.got[id] = planned[id]; planned[id] == "" {
				t.Fatalf("%s is committed and was never planned", id)
			}
		}
		seen[id] = true
	}
	for s, err := range st.Settled(0) {
		add(s.ID, err)
	}
	endpoints, err := st.Endpoints()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		for p, err := range st.Pending(e.Name, 0) {
			if err != nil {
				t.Fatal(err)
			}
			j, err := st.Load(p.Seq)
			if err != nil {
				t.Fatal(err)
			}
			add(j.ID, nil)
		}
	}
	saved, err := st.Checkpoint(Standalone)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := source.ParsePosition(saved)
	return at
}

// hardLife reads a world on a machine that loses its power now and then, where
// rules change while no process runs. between is called between two processes.
func hardLife(t *testing.T, seed uint64, w *world, mistake string, between func(t *testing.T, l *link, dir string)) *life {
	t.Helper()
	l := &link{world: w, chance: rand.New(rand.NewPCG(seed, 3)), machine: newMachine(), mistake: mistake, rules: modelRules}
	l.machine.disk.NoSync = mistake == "files that are not synced"
	f := &life{got: firings{}, rules: []string{modelRules}, since: []int{0}}
	dir, root := t.TempDir(), t.TempDir()
	shortAt := -1
	for at := 0; ; {
		at += 1 + l.chance.IntN(len(w.records)/3)
		if l.end = at; l.chance.IntN(8) == 0 {
			l.end = len(w.records)
		}
		to := ""
		var left *machine
		var trimmed source.Position
		var failed error
		l.atEnd = nil
		if l.chance.IntN(2) == 0 {
			l.atEnd = func() {
				to = filepath.Join(root, fmt.Sprint(at))
				left, trimmed, failed = l.cut(dir, to)
			}
		}
		planned := firings{}
		ended := l.play(t, dir, planned, &f.log)
		if failed != nil {
			t.Fatal(failed)
		}
		if left != nil {
			l.machine, l.trimmed, dir = left, trimmed, to
			l.machine.disk.NoSync = mistake == "files that are not synced"
			if l.received = max(l.received, l.synced); l.chance.IntN(2) == 0 {
				l.received = l.synced + l.chance.IntN(l.received-l.synced+1)
			}
		}
		st := l.machine.open(t, dir)
		c := f.note(t, st, planned)
		st.Close()
		if ended {
			return f
		}
		next := 0
		if whole := c; !c.IsZero() {
			whole.Events = 0
			next = l.after(whole)
		}
		if l.received < next { // the server is asked for it again, and the spool begins there
			l.received, l.synced, l.trimmed = next, next, l.records[next-1].Pos
			shortAt = next
		}
		if shortAt == next { // also where the process that found out has not committed that
			f.short++
		}
		between(t, l, dir)
		silent := next < len(w.records) && w.records[next].Kind == source.Woken // what fired in it is committed, or not
		if c.Events == 0 && next > f.since[len(f.since)-1] && !silent && l.chance.IntN(2) == 0 {
			l.rules = map[string]string{modelRules: otherRules, otherRules: modelRules}[l.rules]
			f.rules, f.since = append(f.rules, l.rules), append(f.since, next)
		}
	}
}

// easyLife reads the same, where each process ends when it is told to.
func easyLife(t *testing.T, w *world, hard *life) firings {
	t.Helper()
	f := &life{got: firings{}}
	dir := t.TempDir()
	l := &link{world: w, chance: rand.New(rand.NewPCG(1, 1)), clean: true}
	for i, rules := range hard.rules {
		l.rules, l.end = rules, len(w.records)
		if i+1 < len(hard.since) {
			l.end = hard.since[i+1]
		}
		planned := firings{}
		l.play(t, dir, planned, &f.log)
		st := l.machine.open(t, dir)
		f.note(t, st, planned)
		st.Close()
	}
	if len(f.got) == 0 || len(f.twice) > 0 || strings.Contains(f.log.String(), lost) {
		t.Fatalf("%d firings, %d of them twice\n%.3000s", len(f.got), len(f.twice), f.log.String())
	}
	return f.got
}

// TestPowerCuts: over any number of crashes and power cuts, and changes of the
// rules in between, each firing is committed once, with the values and by the rules
// of an undisturbed life. Values become unknown only where the spool had not
// outlived the machine as far as the commit.
func TestPowerCuts(t *testing.T) {
	first := uint64(number(t, envSeed, int(time.Now().UnixNano()%1_000_000)))
	exact, short, changed := 0, 0, 0
	for i := range number(t, envRounds, 4) {
		seed := first + uint64(i)
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(seed, 600)
			f := hardLife(t, seed, w, "", func(*testing.T, *link, string) {})
			want := easyLife(t, w, f)
			unknown := strings.Count(f.log.String(), lost)
			if len(f.twice) > 0 || unknown > f.short {
				t.Fatalf("%d firings twice: %q; values unknown %d times, of which %d are to be\n%.8000s", len(f.twice), f.twice, unknown, f.short, f.log.String())
			}
			changed += len(f.rules) - 1
			if short += unknown; unknown > 0 {
				checkUnknown(t, f.got, want)
				return
			}
			exact++
			if list := differences(f.got, want); len(list) > 0 {
				t.Fatalf("%d differences\n%.3000s\n%.8000s", len(list), strings.Join(list, "\n"), f.log.String())
			}
		})
		if !ok {
			t.Fatalf("%s=%d %s=1", envSeed, seed, envRounds)
		}
	}
	t.Logf("%d lives were exact, values became unknown %d times, rules changed %d times", exact, short, changed)
}

// TestMistakesOfPowerCuts holds that against mistakes: each is seen, by a firing that is
// committed twice, is another, or is missing, or by values that are not known
// though they should be.
func TestMistakesOfPowerCuts(t *testing.T) {
	var before string // the checkpoint of the last time
	nothing := func(*testing.T, *link, string) {}
	for _, m := range []struct {
		name    string
		between func(t *testing.T, l *link, dir string)
	}{
		{"a bad frame", nothing},
		{"files that are not synced", nothing},
		{"live clock", nothing},
		{"a state that is noted before its commit", func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(st *store.Store, b *store.Batch) {
				now, _ := st.Checkpoint(Standalone)
				if before != "" {
					b.SetCheckpoint(Standalone, before)
				}
				before = now
			})
		}},
		{"nothing is held back", func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(st *store.Store, b *store.Batch) {
				if m, err := parseMirrorState(entryOf(t, st, filesEntry)); err == nil {
					b.SetCheckpoint(Standalone, m.meta.Position)
				}
			})
		}},
		{"what has the offset of the commit is held back", func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(st *store.Store, b *store.Batch) {
				saved, _ := st.Checkpoint(Standalone)
				c, err := source.ParsePosition(saved)
				for e, scanErr := range st.Scan(state, tickEntry, tickEnd) {
					if tick, tickErr := parseTick(e.Value); err == nil && scanErr == nil && tickErr == nil && tick.offset == c.Offset {
						b.Delete(state, e.Key)
					}
				}
			})
		}},
	} {
		seen := 0
		for seed := uint64(1); seed < 40 && seen == 0; seed++ {
			t.Run(m.name, func(t *testing.T) {
				w := newWorld(seed, 600)
				before = ""
				f := hardLife(t, seed, w, m.name, m.between)
				unknown := strings.Count(f.log.String(), lost)
				seen = len(f.twice) + max(0, unknown-f.short)
				if seen == 0 && unknown == 0 {
					seen = len(differences(f.got, easyLife(t, w, f)))
				}
			})
		}
		if seen == 0 {
			t.Errorf("%s: it was not seen", m.name)
		}
	}
}
