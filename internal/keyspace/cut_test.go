package keyspace_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/keyspace"
)

// cuts is a store of cuts: the blocks of those that were told to their end.
type cuts struct {
	blocks  [][]byte
	telling [][]byte // of the one that is under way
	whole   bool     // it is
}

func (c *cuts) begin(in *keyspace.Interpreter, whole bool) {
	c.telling, c.whole = nil, whole
	in.Cut(whole, func(block []byte) []byte {
		c.telling = append(c.telling, bytes.Clone(block))
		return block
	})
}

// end takes over what was told.
func (c *cuts) end() {
	if c.whole {
		c.blocks = nil
	}
	c.blocks = append(c.blocks, c.telling...)
	c.telling = nil
}

// take makes a cut and tells it at once.
func (c *cuts) take(in *keyspace.Interpreter, whole bool) {
	c.begin(in, whole)
	for !in.TellCut(1 << 20) {
	}
	c.end()
}

func (c *cuts) restored(t *testing.T, config keyspace.Config) *keyspace.Interpreter {
	t.Helper()
	in := keyspace.New(config)
	for _, b := range c.blocks {
		if _, err := in.RestoreBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.RestoreEnd(true); err != nil {
		t.Fatal(err)
	}
	return in
}

// TestCuts: an interpreter that is thrown away at any time, made anew of the
// cuts that were told to their end, and given what happened since the last of
// these, makes the events of one that was never thrown away, and in the end has
// the same mirror.
func TestCuts(t *testing.T) {
	rounds := 12
	if s := os.Getenv(envRounds); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	first := seedOf(t)
	t.Logf("%s=%d %s=%d", envSeed, first, envRounds, rounds)
	for i := range rounds {
		seed := first + uint64(i)
		if cutRound(t, seed); t.Failed() {
			t.Fatalf("%s=%d %s=1", envSeed, seed, envRounds)
		}
	}
}

func cutRound(t *testing.T, seed uint64) {
	t.Helper()
	h := &history{generator: newGenerator(seed), now: start}
	chance := rand.New(rand.NewPCG(seed, 6))
	often, much := 1+chance.IntN(100), 1+chance.IntN(1<<(4+chance.IntN(14)))
	config := keyspace.Config{Need: needLevel(0), Dialect: keyspace.Dialect(seed % 2)}
	steady, kept := keyspace.New(config), keyspace.New(config)
	kept.Journal(true)
	if chance.IntN(3) > 0 {
		for _, in := range []*keyspace.Interpreter{steady, kept} {
			in.SnapshotBegin()
			in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
		}
	}
	var store cuts
	var since []step
	var want [][]string
	cutting, at, level, levelAt := false, 0, 0, 0
	for range 1500 {
		s := h.next()
		since, want = append(since, s), append(want, s.told(steady))
		if got := s.told(kept); !slices.Equal(got, want[len(want)-1]) {
			t.Fatalf("got %q\nwant %q", got, want[len(want)-1])
		}
		switch {
		case cutting && kept.TellCut(much):
			store.end()
			since, want, level, cutting = since[at:], want[at:], levelAt, false
		case !cutting && chance.IntN(often) == 0:
			store.begin(kept, len(store.blocks) == 0 || chance.IntN(5) == 0)
			cutting, at, levelAt = true, len(since), h.level
			if kept.Dirty() != 0 {
				t.Fatalf("%d changes are left", kept.Dirty())
			}
		}
		if chance.IntN(150) != 0 || len(store.blocks) == 0 {
			continue
		}
		config.Need = needLevel(level)
		kept, cutting = store.restored(t, config), false
		for i, s := range since {
			if got := s.told(kept); !slices.Equal(got, want[i]) {
				t.Fatalf("step %d of %d after a restart\n got %q\nwant %q", i, len(since), got, want[i])
			}
		}
	}
	if cutting {
		for !kept.TellCut(1 << 20) {
		}
		store.end()
	}
	store.take(kept, len(store.blocks) == 0)
	config.Need = needLevel(h.level)
	again := store.restored(t, config)
	all := mirrored(steady)
	for name, in := range map[string]*keyspace.Interpreter{"with cuts": kept, "made of them": again} {
		checkCount(t, in)
		if got, want := in.Stats().MirrorBytes, steady.Stats().MirrorBytes; got != want {
			t.Errorf("%s the mirror has %d bytes, want %d: where memory ends other values would go", name, got, want)
		}
		if other := mirrored(in); !maps.Equal(other, all) {
			for key := range all {
				if all[key] != other[key] {
					t.Errorf("%s, %s is %.300s\nwant %.300s", name, key, other[key], all[key])
				}
			}
			t.Errorf("%s there are %d keys, want %d", name, len(other), len(all))
		}
	}
}

// TestCutIsOfOneMoment: what is done to a key after a cut has begun is not in
// it, whatever is done.
func TestCutIsOfOneMoment(t *testing.T) {
	for _, line := range []string{
		"SET k other", "DEL k", "RENAME k l", "RENAME l k", "COPY l k REPLACE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "MOVE k 1", "SADD k more", "UNLINK k l",
		"PEXPIREAT k 99999999999999", "SUNIONSTORE k l", "SMOVE k l m0", "MOD.SET k", "TRIMSLOTS RANGES 1 0 16383", "snapshot", "need", "need less", "expire",
	} {
		for _, members := range []int{3, 2000} {
			s := newSession(keyspace.Config{})
			s.in.Journal(true)
			s.do("FLUSHALL")
			for _, key := range []string{"k", "l"} {
				add := "SADD " + key
				for i := range members {
					add += fmt.Sprintf(" m%d", i)
				}
				s.do(add)
			}
			s.do("PEXPIREAT l 1700000000001")
			s.do("SET text value")
			var store cuts
			want := mirrored(s.in)
			store.begin(s.in, true)
			switch line {
			case "snapshot":
				s.in.SnapshotBegin()
				s.in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
			case "need":
				s.in.SetNeed(needLevel(9), keyspace.Classes{})
			case "need less":
				s.in.SetNeed(func(int, []byte) keyspace.Need { return keyspace.NeedState }, keyspace.Classes{})
			case "expire":
				s.in.Expire(nil, &keyspace.Command{Time: start.Add(time.Hour)})
			default:
				s.do(line)
			}
			for n := 0; !s.in.TellCut(1); n++ {
				if n > 1_000_000 {
					t.Fatalf("%s: the cut has no end", line)
				}
			}
			store.end()
			if got := mirrored(store.restored(t, keyspace.Config{Need: needAll})); !maps.Equal(got, want) {
				t.Errorf("%s of %d members: got %.500v\nwant %.500v", line, members, got, want)
			}
			if strings.HasPrefix(line, "need") {
				continue
			}
			store.take(s.in, false)
			if got, want := mirrored(store.restored(t, keyspace.Config{Need: needAll})), mirrored(s.in); !maps.Equal(got, want) {
				t.Errorf("%s of %d members, the next cut: got %.500v\nwant %.500v", line, members, got, want)
			}
		}
	}
}

// TestCutForgets: a key that comes and goes costs no memory while no cut is made.
func TestCutForgets(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	args := func(line string) *keyspace.Command { return &keyspace.Command{Args: words(line), Time: start} }
	set, del := args("SET k "+strings.Repeat("x", 100)), args("DEL k")
	for range 200_000 {
		s.in.Command(nil, set)
		s.in.Command(nil, del)
	}
	if n := s.in.Marks(); n > 10_000 {
		t.Errorf("%d marks", n)
	}
	if n := s.in.Dirty(); n > 2 {
		t.Errorf("%d dirty", n)
	}
}

// TestRestoreBlockRefuses: what is no block is an error.
func TestRestoreBlockRefuses(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	s.do("SET k v")
	s.do("SADD e " + strings.Join(strings.Fields(fmt.Sprint(rand.Perm(3000))), " "))
	var store cuts
	store.take(s.in, true)
	s.do("SET l v")
	store.take(s.in, false)
	last := len(store.blocks) - 1
	for name, spoil := range map[string]func(b [][]byte) [][]byte{
		"cut short":          func(b [][]byte) [][]byte { return append(b, b[last][:len(b[last])-1]) },
		"another op":         func(b [][]byte) [][]byte { return append(b, []byte{9, 1, 'a', 0}) },
		"no base":            func(b [][]byte) [][]byte { return b[last:] },
		"a range of no kind": func(b [][]byte) [][]byte { return append(b, []byte{2, 1, 'a', 1, 'b'}) },
		"a range of two": func(b [][]byte) [][]byte {
			return append(b, append([]byte{2, 9, 'v', 0, 0, 0, 0, 0, 0, 0, 1, 9, 'v'}, 0, 0, 0, 0, 0, 0, 0, 3))
		},
		"a long value is gone": func(b [][]byte) [][]byte {
			return append(b, append([]byte{2, 9, 'v', 0, 0, 0, 0, 0, 0, 0, 1, 9, 'v'}, 0, 0, 0, 0, 0, 0, 0, 2))
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := keyspace.New(keyspace.Config{Need: needAll})
			var err error
			for _, b := range spoil(slices.Clone(store.blocks)) {
				if _, err = in.RestoreBlock(b); err != nil {
					break
				}
			}
			if err == nil {
				err = in.RestoreEnd(true)
			}
			if err == nil {
				t.Fatal("no error")
			}
			t.Log(err)
			in.SetNeed(nil, keyspace.Classes{})
			in.SetNeed(needAll, keyspace.Classes{})
			if n := in.Stats().MirrorKeys; n != 0 {
				t.Errorf("%d keys are left", n)
			}
		})
	}
}

// FuzzRestoreBlock gives any blocks to an interpreter, which goes on from there:
// no more memory than is allowed, and what it keeps it can keep again.
func FuzzRestoreBlock(f *testing.F) {
	h := &history{generator: newGenerator(3), now: start}
	in := keyspace.New(keyspace.Config{Need: needAll})
	in.Journal(true)
	var store cuts
	for i := range 30 {
		for range 30 {
			h.next()(in)
		}
		store.take(in, i%10 == 0)
		f.Add(bytes.Join(store.blocks, nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 100_000
		in := keyspace.New(keyspace.Config{Need: needLevel(0), MaxMirror: limit})
		if _, err := in.RestoreBlock(b); err != nil || in.RestoreEnd(true) != nil {
			return
		}
		in.SnapshotBegin() // so that it is not given up
		checkCount(t, in)
		if s := in.Stats(); s.MirrorBytes > limit {
			t.Fatalf("%d bytes", s.MirrorBytes)
		}
		in.SnapshotAbort()
		h := &history{generator: newGenerator(4), now: start}
		for range 50 {
			h.next()(in)
		}
		var store cuts
		store.take(in, true)
		again := store.restored(t, keyspace.Config{Need: needLevel(h.level)})
		if got, want := mirrored(again), mirrored(in); !maps.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
	})
}
