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

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// envRounds is how many histories TestJournal runs; default 12.
const envRounds = "TRIGGERD_TEST_ROUNDS"

// entries is a store of a journal's entries, which obeys Changes.
type entries map[string]string

// take takes all changes, and returns how many there were and their bytes.
func (s entries) take(in *keyspace.Interpreter) (n, size int) {
	in.Changes(func(op keyspace.Op, key, value []byte) {
		n++
		size += len(key) + len(value)
		switch op {
		case keyspace.Put:
			s[string(key)] = string(value)
		case keyspace.Delete:
			delete(s, string(key))
		case keyspace.DeleteRange:
			for k := range s {
				if k >= string(key) && (value == nil || k < string(value)) {
					delete(s, k)
				}
			}
		}
	})
	return n, size
}

// restore gives the entries to an interpreter.
func (s entries) restore(in *keyspace.Interpreter, complete bool) error {
	in.Journal(true)
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if err := in.Restore(keyspace.Put, []byte(key), []byte(s[key])); err != nil {
			return err
		}
	}
	return in.RestoreEnd(complete)
}

// restored makes an interpreter of the entries.
func (s entries) restored(t *testing.T, c keyspace.Config) *keyspace.Interpreter {
	t.Helper()
	in := keyspace.New(c)
	if err := s.restore(in, true); err != nil {
		t.Fatal(err)
	}
	return in
}

// needLevel needs, of the keys of the generator, the less the higher the level
// is; of some only the state, and of some their expiry.
func needLevel(level int) func(int, []byte) keyspace.Need {
	return func(_ int, key []byte) keyspace.Need {
		kind, n, _ := strings.Cut(string(key), ":")
		switch {
		case n != "" && int(n[0]-'0') < level:
			return keyspace.NeedNothing
		case n == "5" || kind == "state":
			return keyspace.NeedState
		case kind == "t" || n == "4":
			return keyspace.NeedOnTime
		}
		return keyspace.NeedValue
	}
}

// step is something that happens to an interpreter; it returns what came of it.
type step func(in *keyspace.Interpreter) []event.Event

// history makes steps at random.
type history struct {
	*generator
	now   time.Time
	off   int64
	level int // of the need
}

func (h *history) next() step {
	h.off += 10
	h.now = h.now.Add(time.Duration(h.IntN(20)) * time.Millisecond)
	now, off := h.now, h.off
	switch n := h.IntN(1000); {
	case n < 40:
		return func(in *keyspace.Interpreter) []event.Event {
			return in.Expire(nil, &keyspace.Command{Time: now, Offset: off})
		}
	case n < 43 && h.level < 3:
		h.level++
		need := needLevel(h.level)
		return func(in *keyspace.Interpreter) []event.Event { in.SetNeed(need, keyspace.Classes{}); return nil }
	case n < 47:
		return h.snapshot()
	case n < 48:
		return func(in *keyspace.Interpreter) []event.Event { in.SnapshotBegin(); in.SnapshotAbort(); return nil }
	}
	db := h.IntN(3)
	args := h.command()
	return func(in *keyspace.Interpreter) []event.Event {
		return in.Command(nil, &keyspace.Command{Args: args, DB: db, Time: now, Offset: off})
	}
}

// command makes a command as it is replicated, and sometimes one that makes a
// value long.
func (h *history) command() [][]byte {
	var line []string
	switch n := h.IntN(100); {
	case n < 6:
		line = h.long()
	case n < 9: // over a long value, perhaps
		line = [][]string{
			args("COPY", h.any(), h.any(), "DB", h.num(3), "REPLACE"), args("RENAME", h.any(), h.any()), args("SUNIONSTORE", h.key("e"), h.key("e"), h.key("e")),
			args("ZUNIONSTORE", h.key("z"), "2", h.key("z"), h.key("e")), args("SORT", h.key("l"), "ALPHA", "STORE", h.key("l")),
			args("RESTORE", h.any(), "0", []string{dump(h.IntN(400))}, "REPLACE")}[h.IntN(6)]
	case n == 9:
		line = args("SWAPDB", h.num(3), h.num(3))
	case n == 10 && h.IntN(4) == 0:
		line = args(h.pick("FLUSHDB", "FLUSHALL"))
	case n == 11:
		line = args("DEL", h.any())
	case n < 20: // one key grows
		line = h.grow()
	default:
		line = h.one()
	}
	for i, w := range line {
		if w == "PX" && i+1 < len(line) {
			ms, _ := strconv.Atoi(line[i+1])
			line[i], line[i+1] = "PXAT", strconv.FormatInt(h.now.UnixMilli()+int64(ms), 10)
		}
	}
	var out [][]byte
	for _, w := range line {
		out = append(out, []byte(w))
	}
	return out
}

func (h *history) long() []string {
	line := [][]string{{"RPUSH", h.key("l")}, {"SADD", h.key("e")}, {"HSET", h.key("h")}, {"ZADD", h.key("z")}}[h.IntN(4)]
	switch h.IntN(8) {
	case 0:
		return args("SET", h.key("s"), strings.Repeat("x", 3000+h.IntN(600_000)))
	case 1:
		return args("SETBIT", h.key("b"), strconv.Itoa(30_000+h.IntN(9)), "1")
	}
	for i := range 150 + h.IntN(150) {
		if line[0] == "ZADD" {
			line = append(line, h.score())
		}
		line = append(line, "m"+strconv.Itoa(i))
		if line[0] == "HSET" {
			line = append(line, "value"+strconv.Itoa(i))
		}
	}
	return line
}

// dump is what DUMP gives of a list of n items.
func dump(n int) string {
	b := []byte{1, 0x40 | byte(n>>8), byte(n)}
	for i := range n {
		b = append(b, 1, byte('a'+i%26))
	}
	return string(append(b, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0)) // a checksum of 0 is none
}

func (h *history) grow() []string {
	h.serial++
	switch h.IntN(4) {
	case 0:
		return args("XADD", h.key("x"), fmt.Sprintf("%d-1", 100_000+h.serial), "f", strings.Repeat("v", 100))
	case 1:
		return args("APPEND", h.key("s"), strings.Repeat("y", h.IntN(500)))
	case 2:
		return args("SETRANGE", h.key("s"), h.num(5000), "patch")
	}
	return args("LMOVE", h.key("l"), h.key("l"), h.pick("LEFT", "RIGHT"), h.pick("LEFT", "RIGHT"))
}

// snapshot makes one of strings, after which all is needed again.
func (h *history) snapshot() step {
	h.level = 0
	k := keyspace.SnapshotKey{Time: h.now, Offset: h.off}
	var keys []keyspace.SnapshotKey
	for _, i := range h.Perm(6)[:h.IntN(6)] {
		key := k
		key.Key, key.DB, key.Type = fmt.Appendf(nil, "s:%d", i), h.IntN(3), "string"
		if h.IntN(3) == 0 {
			key.ExpireAt = h.now.UnixMilli() + int64(h.IntN(300))
		}
		keys = append(keys, key)
	}
	text := "of a snapshot " + h.num(100)
	ends := h.IntN(6) > 0
	return func(in *keyspace.Interpreter) (events []event.Event) {
		in.SetNeed(needLevel(0), keyspace.Classes{})
		in.SnapshotBegin()
		for _, key := range keys {
			key.Value = stringReader(text)
			for _, ev := range in.SnapshotKey(nil, &key) {
				events = append(events, *ev.Clone())
			}
		}
		if !ends {
			in.SnapshotAbort()
			return events
		}
		return in.SnapshotEnd(events, &k)
	}
}

// told runs a step and spells all that its events tell.
func (s step) told(in *keyspace.Interpreter) (lines []string) {
	for _, ev := range s(in) {
		lines = append(lines, fmt.Sprintf("%s %s %s #%d: %s -> %s %q %d", describe(&ev), ev.Origin, ev.Command, ev.Index, begun(ev.Before), begun(ev.After), ev.Changed, ev.TTL))
	}
	return lines
}

// begun spells a value, of a long one some of it: the rest is compared in the
// end.
func begun(v event.Value) string {
	if v == nil || v.Len() < 50 {
		return plain(v)
	}
	some := fmt.Sprint(v.Type(), v.Len())
	switch v.Type() {
	case "set", "hash", "zset":
		for i := range 10 {
			value, ok := v.Get(fmt.Append(nil, "m", i))
			some += fmt.Sprintf(" %q %t", value, ok)
		}
	default:
		some += plain(event.CloneValue(v, 400))
	}
	return some
}

// TestJournal: an interpreter that is thrown away at any time, made anew of what
// Changes has told, and given what happened since, makes the events of one that
// was never thrown away, and in the end has the same mirror.
func TestJournal(t *testing.T) {
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
		if journalRound(t, seed); t.Failed() {
			t.Fatalf("%s=%d %s=1", envSeed, seed, envRounds)
		}
	}
}

func journalRound(t *testing.T, seed uint64) {
	t.Helper()
	h := &history{generator: newGenerator(seed), now: start}
	chance := rand.New(rand.NewPCG(seed, 5))
	often := 1 + chance.IntN(200)
	config := keyspace.Config{Need: needLevel(0), Dialect: keyspace.Dialect(seed % 2)}
	steady, kept := keyspace.New(config), keyspace.New(config)
	kept.Journal(true)
	store, level := entries{}, 0
	if chance.IntN(3) > 0 {
		for _, in := range []*keyspace.Interpreter{steady, kept} {
			in.SnapshotBegin()
			in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
		}
	}
	var since []step
	var want [][]string
	for range 1500 {
		s := h.next()
		since, want = append(since, s), append(want, s.told(steady))
		if got := s.told(kept); !slices.Equal(got, want[len(want)-1]) {
			t.Fatalf("got %q\nwant %q", got, want[len(want)-1])
		}
		if chance.IntN(often) == 0 {
			dirty := kept.Dirty()
			if n, _ := store.take(kept); (n > 0) != (dirty > 0) && dirty == 0 {
				t.Fatalf("%d changes of %d", n, dirty)
			}
			since, want, level = nil, nil, h.level
			if kept.Dirty() != 0 {
				t.Fatalf("%d changes are left", kept.Dirty())
			}
		}
		if chance.IntN(150) != 0 || len(store) == 0 {
			continue
		}
		config.Need = needLevel(level)
		kept = store.restored(t, config)
		for i, s := range since {
			if got := s.told(kept); !slices.Equal(got, want[i]) {
				t.Fatalf("step %d of %d after a restart\n got %q\nwant %q", i, len(since), got, want[i])
			}
		}
	}
	store.take(kept)
	config.Need = needLevel(h.level)
	again := store.restored(t, config)
	all := mirrored(steady)
	for name, in := range map[string]*keyspace.Interpreter{"with a journal": kept, "made of it": again} {
		checkCount(t, in)
		if other := mirrored(in); !maps.Equal(other, all) {
			for key := range all {
				if all[key] != other[key] {
					t.Errorf("%s, %s is %.300s\nwant %.300s", name, key, other[key], all[key])
				}
			}
			t.Errorf("%s there are %d keys, want %d", name, len(other), len(all))
		}
	}
	a, _ := steady.NextDeadline()
	if b, ok := again.NextDeadline(); ok && b.Before(a) {
		t.Errorf("the next deadline is %v, was %v", b, a)
	}
}

// mirrored spells all of a mirror.
func mirrored(in *keyspace.Interpreter) map[string]string {
	all := map[string]string{}
	for _, k := range in.Mirror() {
		all[fmt.Sprintf("%d/%s", k.DB, k.Key)] = fmt.Sprint(k.Type, k.There, k.Sure, k.ExpireAt, k.Fields, k.Texts, asJSON(k.Value), k.Elements)
	}
	return all
}

// TestJournalOfASnapshot: what was kept inside of a snapshot is compared with
// the next one, but no command goes on from there.
func TestJournalOfASnapshot(t *testing.T) {
	config := keyspace.Config{Need: needAll}
	s := newSession(config)
	s.in.Journal(true)
	store := entries{}
	s.do("SET a 1")
	s.do("SET b 1")
	store.take(s.in)
	s.in.SnapshotBegin()
	k := keyspace.SnapshotKey{Key: []byte("a"), Type: "string", Time: start, Value: readerAt(t, "2")}
	s.in.SnapshotKey(nil, &k)
	store.take(s.in)

	s.in = store.restored(t, config)
	for _, step := range [][2]string{
		{"INCR a", `incrby a string command: ? -> ? [] 0`},
		{"INCR b", `incrby b string command: ? -> ? [] 0`},
		{"INCR c", `incrby c string command: ? -> ? [] 0`},
	} {
		if got := s.do(step[0]); len(got) != 1 || got[0] != step[1] {
			t.Errorf("%s: got %q, want %q", step[0], got, step[1])
		}
	}
	checkCount(t, s.in)

	in := store.restored(t, config)
	in.SnapshotBegin()
	k.Value = readerAt(t, "3")
	events := in.SnapshotKey(nil, &k)
	if len(events) != 2 || plain(events[1].Before) != `"2"` || plain(events[1].After) != `"3"` {
		t.Errorf("events %v", events)
	}
	events = in.SnapshotEnd(nil, &k)
	if len(events) != 1 || events[0].Name != "del" || string(events[0].Key) != "b" {
		t.Errorf("events %v", events)
	}
}

// TestJournalNotComplete: without knowing that the needs are those of the
// journal, only what it has is known.
func TestJournalNotComplete(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	store := entries{}
	s.do("SET a 1")
	store.take(s.in)
	s.in = keyspace.New(keyspace.Config{Need: needAll})
	if err := store.restore(s.in, false); err != nil {
		t.Fatal(err)
	}
	for _, step := range [][2]string{
		{"INCR a", `incrby a string command: "1" -> "2" [] -1`},
		{"INCR c", `incrby c string command: ? -> ? [] 0`},
	} {
		if got := s.do(step[0]); len(got) != 1 || got[0] != step[1] {
			t.Errorf("%s: got %q, want %q", step[0], got, step[1])
		}
	}
	for _, ev := range s.in.Command(nil, &keyspace.Command{Args: words("INCR c"), DB: 7, Time: start}) {
		if ev.Before != nil {
			t.Errorf("of another database it is known that there was %s", plain(ev.Before))
		}
	}
	store.take(s.in)
	s.in = store.restored(t, keyspace.Config{Need: needAll})
	if got := s.do("INCR d"); got[0] != `incrby d string command: ? -> ? [] 0` {
		t.Errorf("what was not known is known: %q", got)
	}
}

// TestJournalIsSmall: however long a value is, a change of one element costs
// what it changed; a value that was shortened is written anew.
func TestJournalIsSmall(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	store := entries{}
	run := func(line string) { s.in.Command(nil, &keyspace.Command{Args: words(line), Time: start}) }
	for i := range 5000 {
		for _, line := range []string{"SADD e member:%d", "HSET h member:%[1]d v", "RPUSH l member:%d", "ZADD z %d member:%[1]d", "XADD x %d-1 f v"} {
			run(fmt.Sprintf(line, i+1))
		}
	}
	run("SETRANGE s 100000 x")
	elements := strings.Fields(fmt.Sprint(rand.New(rand.NewPCG(1, 1)).Perm(3000)))
	run("PFADD sparse " + strings.Trim(strings.Join(elements[:1300], " "), "["))
	run("PFADD dense " + strings.Trim(strings.Join(elements, " "), "[]"))
	store.take(s.in)
	for i, c := range []string{
		"SADD e new", "SREM e member:8", "HSET h member:7 w", "HDEL h member:9", "HPEXPIREAT h 1700000000500 FIELDS 1 member:1", "RPUSH l a", "LPOP l", "LSET l 500 x",
		"LREM l 1 member:77", "LINSERT l BEFORE member:90 new", "LMOVE l l LEFT RIGHT", "LTRIM l 1 -2", "ZADD z 3 member:7", "ZPOPMIN z", "ZREM z member:70",
		"XADD x 999999-1 f v", "XADD x MAXLEN = 4900 9999999-1 f v", "XDEL x 500-1", "XGROUP CREATE x g 0", "XCLAIM x g c 0 1-1 TIME 5",
		"XGROUP CREATECONSUMER x g d", "XGROUP DELCONSUMER x g c", "XGROUP CREATE x other 0", "XGROUP DESTROY x g",
		"SETBIT s 77 1", "APPEND s x", "SETRANGE s 200 new", "BITFIELD s SET u8 80 9", "PEXPIREAT h 1700000000900", "RENAME l m", "MOVE z 1", "RENAME x h",
		"PFADD sparse new", "PFCOUNT sparse", "PFADD dense a b c", "PFCOUNT dense", "PFMERGE sparse sparse",
	} {
		run(c)
		if n, size := store.take(s.in); n == 0 || n > 4 || size > 120 {
			t.Errorf("%s: %d changes of %d bytes", c, n, size)
		}
		if i%5 == 0 {
			again := store.restored(t, keyspace.Config{Need: needAll})
			if got, want := mirrored(again), mirrored(s.in); !maps.Equal(got, want) {
				t.Fatalf("%s: got %.500v\nwant %.500v", c, got, want)
			}
			checkCount(t, again)
		}
	}
	if lost := s.in.Stats().Lost; lost != (keyspace.Losses{}) {
		t.Errorf("%+v", lost)
	}
	run("SADD e more")
	run("SWAPDB 0 2")
	if n, size := store.take(s.in); n > 4 || size > 200 {
		t.Errorf("SWAPDB: %d changes of %d bytes", n, size)
	}
	run("FLUSHALL")
	if n, size := store.take(s.in); n > 20 || size > 400 || len(store) > 4 {
		t.Errorf("FLUSHALL: %d changes of %d bytes, %d entries are left", n, size, len(store))
	}
	for i := range 3000 {
		run(fmt.Sprintf("SET k %0500d", i))
		run("DEL k")
	}
	if n, _ := store.take(s.in); n > 0 {
		t.Errorf("%d changes of a key that came and went", n)
	}
}

// TestJournalIsWrittenAnew: what was done to a long value does not become longer
// than the value, also over a restart.
func TestJournalIsWrittenAnew(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	store := entries{}
	longest := 0
	for i := range 30_000 {
		s.in.Command(nil, &keyspace.Command{Args: words(fmt.Sprintf("HSET h field:%d value", i%100)), Time: start})
		if i%20 != 0 {
			continue
		}
		store.take(s.in)
		size := 0
		for k, v := range store {
			size += len(k) + len(v)
		}
		longest = max(longest, size)
		if i > 15_000 && i%60 == 0 { // before it would be written anew
			s.in = store.restored(t, keyspace.Config{Need: needAll})
		}
	}
	const fields = 100 * len("field:99value")
	if longest > 4*fields || s.in.Stats().Lost != (keyspace.Losses{}) {
		t.Errorf("%d bytes are kept of %d; %+v", longest, fields, s.in.Stats().Lost)
	}
}

// TestJournalLimit: with less memory than before, what does not fit is not
// known, and so it is in the entries.
func TestJournalLimit(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	store := entries{}
	s.do("SETRANGE long 100000 x")
	s.do("SADD members " + strings.Repeat("member ", 3) + strings.Join(strings.Fields(fmt.Sprint(rand.Perm(3000))), " "))
	s.do("SET short 1")
	store.take(s.in)
	small := keyspace.Config{Need: needAll, MaxMirror: 20_000}
	for range 2 {
		s.in = store.restored(t, small)
		if st := s.in.Stats(); st.MirrorBytes > small.MaxMirror || st.MirrorKeys != 3 {
			t.Errorf("%+v", st)
		}
		checkCount(t, s.in)
		s.do("GETDEL other")
		for _, step := range [][2]string{
			{"APPEND long x", `append long string command: ? -> ? [] -1`},
			{"SADD members x", `sadd members set command: ? -> ? ["x"] -1`},
			{"INCRBY short 0", `incrby short string command: "1" -> "1" [] -1`},
		} {
			if got := s.do(step[0]); len(got) != 1 || got[0] != step[1] {
				t.Errorf("%s: got %q, want %q", step[0], got, step[1])
			}
		}
		store.take(s.in)
		if len(store) != 5 {
			t.Errorf("%d entries", len(store))
		}
	}
}

// TestJournalLongKeys: keys of any length have an entry.
func TestJournalLongKeys(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	store := entries{}
	keys := []string{"", strings.Repeat("k", 1023), strings.Repeat("k", 1024), strings.Repeat("k", 1025), strings.Repeat("k", 100_000)}
	for _, key := range keys {
		s.in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("SADD"), []byte(key), []byte("v")}, Time: start})
		s.in.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("APPEND"), []byte("t" + key), bytes.Repeat([]byte("v"), 5000)}, Time: start})
	}
	store.take(s.in)
	for key := range store {
		if len(key) > 4<<10 {
			t.Errorf("a key of %d bytes", len(key))
		}
	}
	again := store.restored(t, keyspace.Config{Need: needAll})
	if got, want := mirrored(again), mirrored(s.in); !maps.Equal(got, want) {
		t.Errorf("got %d keys, want %d", len(got), len(want))
	}
	for _, key := range keys {
		again.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("DEL"), []byte(key)}, Time: start})
		again.Command(nil, &keyspace.Command{Args: [][]byte{[]byte("DEL"), []byte("t" + key)}, Time: start})
	}
	store.take(again)
	if len(store) != 2 {
		t.Errorf("%d entries are left", len(store))
	}
}

// TestJournalOnOff: switched on late it tells all, and nothing when it is off.
func TestJournalOnOff(t *testing.T) {
	s := newSession(keyspace.Config{})
	store := entries{"left": "of another"}
	s.do("SET a 1")
	if n, _ := store.take(s.in); n != 0 || s.in.Dirty() != 0 {
		t.Errorf("%d changes, %d dirty", n, s.in.Dirty())
	}
	s.in.Journal(true)
	s.do("SET b 1")
	store.take(s.in)
	if got, want := mirrored(store.restored(t, keyspace.Config{Need: needAll})), mirrored(s.in); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	s.in.Journal(false)
	s.do("SET c 1")
	if n, _ := store.take(s.in); n != 0 || s.in.Dirty() != 0 {
		t.Errorf("%d changes, %d dirty", n, s.in.Dirty())
	}
	s.in.Journal(true)
	store.take(s.in)
	if got, want := mirrored(store.restored(t, keyspace.Config{Need: needAll})), mirrored(s.in); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	s.in.SetNeed(nil, keyspace.Classes{})
	if s.in.Dirty() == 0 {
		t.Error("nothing has changed")
	}
	if store.take(s.in); len(store) != 0 {
		t.Errorf("entries %v", store)
	}
}

// TestRestoreRefuses: what is not a journal is an error.
func TestRestoreRefuses(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.in.Journal(true)
	store := entries{}
	s.do("SET k v")
	s.do("SETRANGE long 5000 x")
	for _, c := range []string{"RPUSH l a", "SADD e a", "HSET h f 1", "ZADD z 1 a", "XADD x 1-1 f v"} {
		s.do(c)
	}
	store.take(s.in)
	appended := func(key, op string) func(entries) {
		return func(s entries) {
			for k := range s {
				if k[0] == 'k' && strings.HasSuffix(k, "\x00"+key) {
					s[k] += op
				}
			}
		}
	}
	for name, spoil := range map[string]func(entries){
		"another version":   func(s entries) { s["a"] = "\x02\x00" },
		"no whole":          func(s entries) { delete(s, "a") },
		"no database":       func(s entries) { maps.DeleteFunc(s, func(k, _ string) bool { return k[0] == 'd' }) },
		"another kind":      func(s entries) { s["x"] = "" },
		"an empty key":      func(s entries) { s[""] = "" },
		"parts of no value": func(s entries) { s["v"+strings.Repeat("\xff", 12)] = "\x00" },
		"a part is missing": func(s entries) {
			for k, v := range s {
				if k[0] == 'v' {
					delete(s, k)
					s[k[:len(k)-1]+"\x01"] = v
				}
			}
		},
		"an op that is none":             appended("k", "\xff"),
		"an op of a list on a string":    appended("k", "\x06\x01"),
		"an op of a string on a list":    appended("l", "\x02\x01"),
		"an op of a list on a set":       appended("e", "\x06\x01"),
		"an op of a list on a hash":      appended("h", "\x06\x01"),
		"an op of a list on a zset":      appended("z", "\x06\x01"),
		"an op of a list on a stream":    appended("x", "\x06\x01"),
		"more items than there are go":   appended("l", "\x06\x02"),
		"more entries than there are go": appended("x", "\x13\x02"),
	} {
		t.Run(name, func(t *testing.T) {
			spoilt := maps.Clone(store)
			spoil(spoilt)
			in := keyspace.New(keyspace.Config{Need: needAll})
			err := spoilt.restore(in, true)
			if err == nil {
				t.Fatal("no error")
			}
			t.Log(err)
			in.SetNeed(nil, keyspace.Classes{})
			in.SetNeed(needAll, keyspace.Classes{})
			if spoilt.take(in); len(spoilt) != 1 || in.Stats().MirrorKeys != 0 {
				t.Errorf("what was restored is not given up: %d entries", len(spoilt))
			}
		})
	}
}

// FuzzRestore gives any entries to an interpreter, which goes on from there: no
// more memory than is allowed, and what it keeps it can keep again.
func FuzzRestore(f *testing.F) {
	h := &history{generator: newGenerator(1), now: start}
	in := keyspace.New(keyspace.Config{Need: needAll})
	in.Journal(true)
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
	for range 40 {
		for range 30 {
			h.next()(in)
		}
		store := entries{}
		in.Journal(false)
		in.Journal(true)
		store.take(in)
		var b []byte
		for _, key := range slices.Sorted(maps.Keys(store)) {
			b = append(append(append(append(b, byte(len(key))), key...), byte(len(store[key])>>8), byte(len(store[key]))), store[key]...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 100_000
		in := keyspace.New(keyspace.Config{Need: needLevel(0), MaxMirror: limit})
		cut := func(n int) []byte {
			part := b[:min(n, len(b))]
			b = b[len(part):]
			return part
		}
		var err error
		for len(b) > 2 && err == nil {
			key := cut(int(cut(1)[0]))
			n := append(cut(2), 0, 0)
			err = in.Restore(keyspace.Put, key, cut(int(n[0])<<8|int(n[1])))
		}
		if err != nil || in.RestoreEnd(true) != nil {
			return
		}
		in.SnapshotBegin() // so that it is not given up
		checkCount(t, in)
		if s := in.Stats(); s.MirrorBytes > limit {
			t.Fatalf("%d bytes", s.MirrorBytes)
		}
		h := &history{generator: newGenerator(2), now: start}
		in.SnapshotAbort()
		for range 50 {
			h.next()(in)
		}
		in.Journal(false)
		in.Journal(true)
		store := entries{}
		store.take(in)
		again := keyspace.New(keyspace.Config{Need: needLevel(h.level)})
		if err := store.restore(again, true); err != nil {
			t.Fatal(err)
		}
		if got, want := mirrored(again), mirrored(in); !maps.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
	})
}

// TestJournalOfLongValuesReplaced: a long value in place of another, by each
// command that can do it.
func TestJournalOfLongValuesReplaced(t *testing.T) {
	fill := func(line string, n int) string {
		for i := range n {
			line += fmt.Sprintf(" m%d", i)
		}
		return line
	}
	for name, test := range map[string][2]string{
		"COPY":        {fill("SADD k", 400), "COPY other k REPLACE"},
		"RENAME":      {fill("SADD k", 400), "RENAME other k"},
		"SUNIONSTORE": {fill("SADD k", 400), "SUNIONSTORE k other"},
		"RESTORE":     {fill("RPUSH k", 400), "RESTORE k 0 " + dump(900) + " REPLACE"},
		"SET":         {"SET k " + strings.Repeat("x", 5000), "SET k " + strings.Repeat("y", 5000)},
		"DEL":         {"SET k " + strings.Repeat("x", 5000), "DEL k"},
		"set again":   {fill("SADD k", 400), "SET k " + strings.Repeat("y", 5000)},
		"unknown":     {fill("SADD k", 400), "MOD.SET k"},
		"removed":     {fill("RPUSH k", 400), "LREM k 0 m7"},
		"trimmed":     {fill("RPUSH k", 400), "LTRIM k 5 8"},
		"a snapshot":  {"SET k " + strings.Repeat("x", 5000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := keyspace.New(keyspace.Config{Need: needAll})
			in.Journal(true)
			store := entries{}
			run := func(line string) { in.Command(nil, &keyspace.Command{Args: words(line), Time: start}) }
			run("FLUSHALL")
			run(fill("SADD other x", 500))
			run("RENAME other third")
			run("RENAME third other")
			run(test[0])
			store.take(in)
			if test[1] != "" {
				run(test[1])
			} else {
				in.SnapshotBegin()
				k := keyspace.SnapshotKey{Key: []byte("k"), Type: "string", Time: start, Value: readerAt(t, strings.Repeat("y", 5000))}
				in.SnapshotKey(nil, &k)
				in.SnapshotEnd(nil, &k)
			}
			store.take(in)
			for _, then := range []string{"SADD k more", "RPUSH k more", "APPEND k more", "SADD other more"} {
				if got, want := mirrored(store.restored(t, keyspace.Config{Need: needAll})), mirrored(in); !maps.Equal(got, want) {
					t.Fatalf("before %s: got %.1000v\nwant %.1000v", then, got, want)
				}
				run(then)
				store.take(in)
			}
		})
	}
}

// TestJournalOfBuriedFields: a field that is buried is so after a restart, in a hash
// that is written whole and in one to whose entry changes are added.
func TestJournalOfBuriedFields(t *testing.T) {
	for _, fields := range []int{2, 5000} {
		config := keyspace.Config{Dialect: keyspace.Valkey, Need: needAll}
		s := newSession(config)
		s.in.Journal(true)
		store := entries{}
		line := "HSET h"
		for i := range fields {
			line += fmt.Sprintf(" f%d v", i)
		}
		for _, c := range []string{line, "HPEXPIREAT h @0 FIELDS 1 f0", "HDEL h f0 f1"} {
			s.do(c)
			store.take(s.in)
		}
		again := &session{in: store.restored(t, config), now: start}
		if got, want := mirrored(again.in), mirrored(s.in); !maps.Equal(got, want) {
			t.Errorf("%d fields: got %.500v\nwant %.500v", fields, got, want)
		}
		checkCount(t, again.in)
		got := again.do("HDEL h f0")
		if want := s.do("HDEL h f0"); !slices.Equal(got, want) || !strings.HasPrefix(got[0], "hexpired h") {
			t.Errorf("%d fields: got %.200q\nwant %.200q", fields, got, want)
		}
	}
}
