package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/mirrorfile"
	"triggerd/internal/spool"
	"triggerd/internal/store"
	"triggerd/internal/wire"
	"triggerd/source"
)

// A model of what becomes of values over crashes. A world is what a server does:
// commands, transactions, failovers, full resyncs, and when the stream is silent.
// An engine that reads it, is ended at any record without a word, and is started
// again on what it has left, fires what one fires that reads it in one go: each
// firing with the same values before and after.

// envRounds is how many worlds are tried; envSeed is the first.
const (
	envRounds = "TRIGGERD_TEST_ROUNDS"
	envSeed   = "TRIGGERD_TEST_SEED"
)

const modelRules = `
[[rule]]
name = "all"
key = "*"
when = 'before == nil || before != "no such text"'
[[rule.action]]
type = "print"
order = "none"
[[rule]]
name = "over"
key = "t:*"
event = ["expired", "del"]
on_time = true
[[rule.action]]
type = "print"
order = "none"
[[rule]]
name = "often"
key = "c:{id}"
count = { over = 2, within = "1h", by = "params.id" }
[[rule.action]]
type = "print"
order = "none"
`

// world makes the records of a server.
type world struct {
	*rand.Rand
	records []*source.Record
	replID  string
	offset  int64
	db      int
	now     time.Time
	serial  int
}

func newWorld(seed uint64, records int) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 1)), replID: "first", now: time.Now().Add(-time.Hour)}
	w.resync()
	for len(w.records) < records {
		w.now = w.now.Add(time.Duration(w.IntN(30)) * time.Millisecond)
		switch n := w.IntN(1000); {
		case n < 60:
			w.silence()
		case n < 64:
			w.fullResync()
		case n < 70:
			w.failover()
		case n < 90:
			w.add(&source.Record{Kind: source.Heartbeat}, 14, true)
		case n < 180:
			w.transaction()
		default:
			w.command(source.Tx{}, true)
		}
	}
	w.silence()
	return w
}

func (w *world) pos() source.Position {
	return source.Position{ReplID: w.replID, Offset: w.offset, DB: w.db}
}

func (w *world) add(r *source.Record, bytes int, whole bool) {
	w.offset += int64(bytes)
	r.ReplID, r.Offset, r.Bytes, r.DB, r.Time = w.replID, w.offset, bytes, w.db, w.now
	if whole {
		r.Pos = w.pos()
	}
	w.records = append(w.records, r)
}

func (w *world) silence() {
	w.now = w.now.Add(time.Duration(w.IntN(300)) * time.Millisecond)
	w.records = append(w.records, &source.Record{Kind: source.Woken, Idle: true, ReplID: w.replID, Offset: w.offset, Time: w.now})
}

// resync is a snapshot of no keys.
func (w *world) resync() {
	for _, kind := range []source.Kind{source.SnapshotBegin, source.SnapshotEnd} {
		r := &source.Record{Kind: kind, ReplID: w.replID, Offset: w.offset, Time: w.now}
		if kind == source.SnapshotEnd {
			r.Pos = w.pos()
		}
		w.records = append(w.records, r)
	}
}

func (w *world) fullResync() {
	w.serial++
	w.replID, w.offset = fmt.Sprint("another", w.serial), w.offset+int64(w.IntN(1000))
	w.resync()
}

func (w *world) failover() {
	w.serial++
	w.replID = fmt.Sprint("promoted", w.serial)
	w.add(&source.Record{Kind: source.Heartbeat}, 0, true)
}

func (w *world) transaction() {
	n := 2 + w.IntN(4)
	tx := source.Tx{ID: fmt.Sprintf("%s:%d", w.replID, w.offset), Size: n}
	for i := range n {
		tx.Index = i + 1
		w.command(tx, i == n-1)
	}
}

func (w *world) command(tx source.Tx, whole bool) {
	if tx.Index <= 1 {
		w.db = w.IntN(2)
	}
	key := func(kind string, n int) string { return kind + ":" + strconv.Itoa(w.IntN(n)) }
	words := []string{"INCR", key("c", 6)}
	switch w.IntN(16) {
	case 0:
		words = []string{"COPY", key("c", 6), key("c", 6), "REPLACE"}
	case 1, 2:
		words = []string{"SET", key("t", 4), "x" + strconv.Itoa(w.IntN(9)), "PXAT", strconv.FormatInt(w.now.UnixMilli()+int64(w.IntN(1000)), 10)}
		if w.IntN(2) == 0 { // as redis 6.0 replicates it
			words[3], words[4] = "PX", strconv.Itoa(1+w.IntN(1000))
		}
	case 3:
		words = []string{"RENAME", key("e", 4), key("e", 4)}
	case 4:
		words = []string{"DEL", key("e", 4)}
	case 5, 6:
		words = []string{"SADD", key("e", 4)}
		for range 1 + w.IntN(2)*w.IntN(90) {
			words = append(words, "member:"+strconv.Itoa(w.IntN(300)))
		}
	case 7:
		words = []string{"SREM", key("e", 4), "member:" + strconv.Itoa(w.IntN(300))}
	case 8, 9:
		words = []string{"HSET", key("h", 4), "f" + strconv.Itoa(w.IntN(5)), "v" + strconv.Itoa(w.IntN(100))}
	case 10:
		words = []string{"APPEND", key("s", 2), strings.Repeat("y", w.IntN(400))}
	case 11:
		words = []string{"RPUSH", key("l", 2), strconv.Itoa(w.IntN(100))}
	case 12:
		words = []string{"LPOP", key("l", 2)}
	case 13:
		if w.IntN(12) == 0 {
			words = []string{"FLUSHDB"}
		} else if w.IntN(3) == 0 {
			words = []string{"DEL", key("t", 4)}
		}
	}
	r := &source.Record{Kind: source.Command, Tx: tx}
	bytes := 10
	for _, word := range words {
		r.Args = append(r.Args, []byte(word))
		bytes += len(word) + 6
	}
	w.add(r, bytes, whole)
}

// link is a Spooler over a world, that ends when it is told to, as a process
// does that is killed.
type link struct {
	*world
	e        *Engine
	chance   *rand.Rand
	end      int // the record at which it is killed; beyond all: never
	trimmed  source.Position
	received int // of records, that are in the spool
	synced   int // of these, that outlive the machine
	started  source.Position
	mistake  string
	clean    bool       // it is not killed at end, but told to stop
	rules    string     // "": modelRules
	machine  *machine   // that it runs on; nil: one that never loses its power
	atEnd    func()     // called when it is killed
	mu       sync.Mutex // guards received and trimmed, while it runs
}

var errKilled = errors.New("killed")

// after returns the index of the record behind a position.
func (l *link) after(p source.Position) int {
	for i := len(l.records) - 1; i >= 0; i-- {
		if q := l.records[i].Pos; !q.IsZero() && q == p {
			return i + 1
		}
	}
	return -1
}

func (l *link) Ack(source.Position) {}
func (l *link) Status() source.Status {
	return source.Status{State: source.Streaming, Addr: "redis://world", Spool: spool.Stats{Files: true, Limit: 1 << 40}}
}

func (l *link) Keep(context.Context, source.Position, bool) error { return nil }

func (l *link) Trim(p source.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimmed = p
}

func (l *link) Records(_ context.Context, from source.Position, _ source.Consumer) iter.Seq2[*source.Record, error] {
	from.Events = 0
	l.started = from
	return func(yield func(*source.Record, error) bool) {
		i := 0
		now := l.records[0].Time
		if !from.IsZero() {
			if i = l.after(from); i < 0 {
				yield(nil, fmt.Errorf("no record is at %s", from))
				return
			}
			now = l.records[i-1].Time
		}
		at := func(kind source.Kind) *source.Record {
			return &source.Record{Kind: kind, Idle: true, ReplID: from.ReplID, Offset: from.Offset, Time: now}
		}
		if !yield(at(source.Attached), nil) || !yield(at(source.Woken), nil) {
			return
		}
		for ; i < len(l.records); i++ {
			if i == l.end {
				if l.atEnd != nil {
					l.atEnd()
				}
				if !l.clean {
					yield(nil, errKilled)
				}
				return
			}
			s := l.e.streams[0]
			if l.chance.IntN(40) == 0 && s.writeback.phase == idle {
				s.writeback.asked = true
			}
			if r := l.chance.IntN(30); r == 0 && !s.unsaved.inside {
				s.writeback.finish()
			} else if r < 10 {
				s.writeback.records = tellEvery // the next command makes a step
			}
			if !yield(l.records[i], nil) {
				return
			}
			l.mu.Lock()
			if l.received = max(l.received, i+1); l.chance.IntN(20) == 0 {
				l.synced = l.received
			}
			l.mu.Unlock()
		}
	}
}

func (l *link) Replay(_ context.Context, from, to source.Position, _ source.Preparer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) {
		first, last := l.after(from), l.after(to)
		switch trimmed := l.after(l.trimmed); {
		case first < 0 || last < first:
			yield(nil, fmt.Errorf("%s to %s: the spool does not have it", from, to))
			return
		case last > l.received:
			yield(nil, fmt.Errorf("the spool ends at record %d, before %d", l.received, last))
			return
		case trimmed > first:
			yield(nil, fmt.Errorf("the spool begins at %s", l.trimmed))
			return
		}
		for i, r := range l.records[first:last] {
			if l.mistake == "a bad frame" && i > 10 {
				yield(nil, errors.New("a frame is damaged"))
				return
			}
			switch r.Kind {
			case source.SnapshotBegin:
				yield(nil, errors.New("a snapshot lies between them"))
				return
			case source.Command, source.Heartbeat:
				again := *r
				if l.mistake == "live clock" {
					again.Time = time.Now()
				}
				if !yield(&again, nil) {
					return
				}
			}
		}
	}
}

// firings are what fired, by ID.
type firings map[string]string

// play runs an engine over a world until it is killed. It returns the position at
// which it began.
func (l *link) play(t *testing.T, dir string, got firings, log *strings.Builder) (ended bool) {
	t.Helper()
	o := ActionOptions{Stdout: new(strings.Builder)}
	set, err := ParseRules("rules.toml", []byte(cmp.Or(l.rules, modelRules)), o)
	if err != nil {
		t.Fatal(err)
	}
	st := l.machine.open(t, dir)
	defer st.Close()
	fired := func(f *actions.Firing) {
		text := f.Rule + " " + string(event.AppendJSON(nil, f.Event, event.Delivery{}))
		if was, ok := got[f.ID.String()]; ok && was != text {
			t.Errorf("%s is\n%s\nand was\n%s", f.ID, text, was)
		}
		got[f.ID.String()] = text
	}
	l.e, err = New(Config{Rules: set, Source: l, Store: st, Actions: o, OnFiring: fired, Logger: slog.New(slog.NewTextHandler(log, nil)), disk: l.machine.files()})
	if err != nil {
		t.Fatal(err)
	}
	err = l.e.Run(t.Context())
	if err != nil && !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	return err == nil
}

// lost is what the log says where values could not be restored.
const lost = "values of keys cannot be restored"

// crashes reads a world with crashes.
func crashes(t *testing.T, seed uint64, w *world) (got firings, log string) {
	t.Helper()
	return mistaken(t, seed, w, "", func(*testing.T, *link, string) {})
}

// mistaken does that with a mistake: between is called between two processes.
func mistaken(t *testing.T, seed uint64, w *world, mistake string, between func(t *testing.T, l *link, dir string)) (got firings, log string) {
	t.Helper()
	dir := t.TempDir()
	l := &link{world: w, chance: rand.New(rand.NewPCG(seed, 2)), mistake: mistake}
	got = firings{}
	var lines strings.Builder
	for at := 0; ; {
		at += 1 + l.chance.IntN(len(w.records)/3)
		if l.end = at; l.chance.IntN(8) == 0 {
			l.end = len(w.records) // to the end
		}
		one := firings{}
		ended := l.play(t, dir, one, &lines)
		for id, text := range one {
			if was, ok := got[id]; ok && was != text && mistake == "" {
				t.Errorf("%s is\n%s\nand was\n%s", id, text, was)
			}
			got[id] = text
		}
		if ended {
			return got, lines.String()
		}
		between(t, l, dir)
	}
}

// steady reads a world in one go.
func steady(t *testing.T, w *world) firings {
	t.Helper()
	got := firings{}
	l := &link{world: w, chance: rand.New(rand.NewPCG(1, 1)), end: len(w.records)}
	l.play(t, t.TempDir(), got, &strings.Builder{})
	if len(got) == 0 {
		t.Fatal("nothing fired")
	}
	return got
}

func differences(got, want firings) (list []string) {
	for id, text := range want {
		if got[id] != text {
			list = append(list, fmt.Sprintf("%s is\n%s\nwant\n%s", id, got[id], text))
		}
	}
	for id, text := range got {
		if _, ok := want[id]; !ok {
			list = append(list, fmt.Sprintf("%s is too much: %s", id, text))
		}
	}
	return list
}

func number(t *testing.T, env string, otherwise int) int {
	t.Helper()
	s := os.Getenv(env)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCrashes: over any number of crashes nothing fires with other values, and
// none is unknown, but after a crash in the midst of a snapshot's end.
func TestCrashes(t *testing.T) {
	first := uint64(number(t, envSeed, int(time.Now().UnixNano()%1_000_000)))
	restored := 0
	for i := range number(t, envRounds, 10) {
		seed := first + uint64(i)
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { // whose directories go with it
			w := newWorld(seed, 600)
			want := steady(t, w)
			got, log := crashes(t, seed, w)
			unknown := strings.Count(log, lost)
			if list := differences(got, want); len(list) > 0 || unknown > 0 || t.Failed() {
				t.Fatalf("%d differences, values unknown %d times\n%.3000s\n%.8000s", len(list), unknown, strings.Join(list, "\n"), log)
			}
			restored += strings.Count(log, "commands_since")
		})
		if !ok {
			t.Fatalf("%s=%d %s=1", envSeed, seed, envRounds)
		}
	}
	t.Logf("restored %d times", restored)
}

// edit changes what the store has of the stream between two processes.
func (l *link) edit(t *testing.T, dir string, f func(st *store.Store, b *store.Batch)) {
	t.Helper()
	st := l.machine.open(t, dir)
	defer st.Close()
	b := st.NewBatch()
	f(st, b)
	if _, err := b.Commit(); err != nil {
		t.Fatal(err)
	}
}

var state = store.State(Standalone)

func entryOf(t *testing.T, st *store.Store, key []byte) []byte {
	t.Helper()
	b, _, err := readEntry(st, state, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMistakes holds the model against mistakes: each is seen, either by another
// firing, or, where what is left shows it, by values that are not known.
func TestMistakes(t *testing.T) {
	var old []byte // of filesEntry
	for _, m := range []struct {
		name    string
		told    bool // it is seen from what is left
		between func(t *testing.T, l *link, dir string)
	}{
		{"committed before it was saved", true, func(_ *testing.T, l *link, _ string) { l.received = 0 }},
		{"trimmed before it was noted", true, func(_ *testing.T, l *link, _ string) { l.trimmed = l.records[l.received-1].Pos }},
		{"live clock", false, func(*testing.T, *link, string) {}},
		{"no ticks", false, func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(_ *store.Store, b *store.Batch) { b.DeleteRange(state, tickEntry, tickEnd) })
		}},
		{"a position that is not the state's", false, func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(st *store.Store, b *store.Batch) {
				m, err := parseMirrorState(entryOf(t, st, filesEntry))
				if err != nil {
					return
				}
				m.meta.Position, _ = st.Checkpoint(Standalone)
				b.Put(state, filesEntry, m.append(nil))
			})
		}},
		{"another state's note", false, func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(st *store.Store, b *store.Batch) {
				now := entryOf(t, st, filesEntry)
				if a, err := parseMirrorState(old); err == nil {
					if c, err := parseMirrorState(now); err == nil && len(a.files) < len(c.files) && a.files[0] == c.files[0] {
						c.files = a.files // of one moment, and the position of another
						b.Put(state, filesEntry, c.append(nil))
					}
				}
				old = now
			})
		}},
		{"a flipped byte", true, func(t *testing.T, _ *link, dir string) {
			names, _ := filepath.Glob(filepath.Join(mirrorfile.Dir(dir, Standalone), "*"))
			for _, name := range names {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				b[len(b)/2] ^= 1
				if err := os.WriteFile(name, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"no files", true, func(_ *testing.T, _ *link, dir string) { os.RemoveAll(mirrorfile.Dir(dir, Standalone)) }},
		{"a note that cannot be read", true, func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(_ *store.Store, b *store.Batch) { b.Put(state, filesEntry, []byte{1, 1, 1}) })
		}},
		{"a note of a later version", true, func(t *testing.T, l *link, dir string) {
			l.edit(t, dir, func(_ *store.Store, b *store.Batch) { b.Put(state, filesEntry, []byte{9}) })
		}},
	} {
		seen := 0
		for seed := uint64(1); seed < 40 && seen == 0; seed++ {
			t.Run(m.name, func(t *testing.T) { // whose directories go with it
				w := newWorld(seed, 600)
				want := steady(t, w)
				old = nil
				got, log := mistaken(t, seed, w, m.name, m.between)
				if m.told {
					seen = strings.Count(log, lost)
					checkUnknown(t, got, want)
				} else {
					seen = len(differences(got, want))
				}
			})
		}
		if seen == 0 {
			t.Errorf("%s: it was not seen", m.name)
		}
	}
}

// checkUnknown checks that values that are not known are left out, and all
// others are right.
func checkUnknown(t *testing.T, got, want firings) {
	t.Helper()
	type values struct {
		Data struct {
			Before, After any
			Unknown       []string
		}
	}
	read := func(text string) (v values) {
		_, text, _ = strings.Cut(text, " ")
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for id, text := range got {
		if want[id] == "" || want[id] == text || strings.Contains(text, `"origin":"resync"`) { // which are numbered, and some are missing
			continue
		}
		g, w := read(text).Data, read(want[id]).Data
		for name, pair := range map[string][2]any{"before": {g.Before, w.Before}, "after": {g.After, w.After}} {
			if !slices.Contains(g.Unknown, name) && !reflect.DeepEqual(pair[0], pair[1]) {
				t.Errorf("%s is\n%s\nwant\n%s", id, text, want[id])
			}
		}
	}
}

func TestStateEntries(t *testing.T) {
	m := mirrorState{
		files: []mirrorfile.File{{Number: 7, Base: true, Bytes: 100, Sum: 5}, {Number: 9, Bytes: 3}},
		meta:  mirrorfile.Meta{Position: "a:7/0", Need: "n", Server: "redis 7", Other: []byte{1}},
	}
	b := m.append(nil)
	again, err := parseMirrorState(b)
	if err != nil || !slices.Equal(again.files, m.files) || again.meta.Position != m.meta.Position || again.version != replayVersion {
		t.Errorf("%+v, %v", again, err)
	}
	for n := range b {
		if _, err := parseMirrorState(b[:n]); err == nil {
			t.Errorf("%d bytes of %d are no error", n, len(b))
		}
	}
	if _, err := parseMirrorState([]byte{mirrorStateFormat + 1}); !errors.Is(err, mirrorfile.ErrNewer) {
		t.Error(err)
	}
	if got, err := parseTick(tick{-5, 1 << 40}.append(nil)); err != nil || got != (tick{-5, 1 << 40}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseTick([]byte{1}); !errors.Is(err, wire.ErrDamaged) {
		t.Error(err)
	}
}
