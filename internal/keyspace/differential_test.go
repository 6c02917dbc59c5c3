package keyspace_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/rdb"
	"triggerd/source"
)

// The environment of TestDifferential.
const (
	envSeed     = "TRIGGERD_DIFF_SEED"     // replays a run; default: see seedOf
	envCommands = "TRIGGERD_DIFF_COMMANDS" // a server; default 6000
	envScript   = "TRIGGERD_DIFF_SCRIPT"   // files of commands (a glob), see readScript, in place of those of testdata
)

// TestDifferential sends random commands to a real server. The events made of
// what it replicates are those that it announces, one for one and in order,
// but for what exempt names; each event's value before is the one after the
// last; and in the end each mirrored value and deadline is the server's own.
func TestDifferential(t *testing.T) {
	seed := seedOf(t)
	total := 6000
	if s := os.Getenv(envCommands); s != "" {
		var err error
		if total, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d %s=%d", envSeed, seed, envCommands, total)
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		d := startDifferential(t, srv)
		g := newGenerator(seed)
		for sent := 0; sent < total; {
			var batch [][]string
			for len(batch) < 200 {
				batch = append(batch, g.next()...)
			}
			sent += len(batch)
			d.send(batch)
			d.restore(g.any(), g.any(), g.IntN(3) == 0)
		}
		d.finish()
	})
}

// seedOf returns the seed of a test that runs at random: that of the environment,
// with CI set always the same one, and else one of the clock.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	if s := os.Getenv(envSeed); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return seed
	}
	if os.Getenv("CI") != "" {
		return 1
	}
	return uint64(time.Now().UnixNano())
}

// TestScripts does the same with the commands of files.
func TestScripts(t *testing.T) {
	pattern := "testdata/*.cmds"
	if p := os.Getenv(envScript); p != "" {
		pattern = p
	}
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts %s: %v", pattern, err)
	}
	for _, path := range paths {
		commands := readScript(t, path)
		t.Run(filepath.Base(path), func(t *testing.T) {
			redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
				d := startDifferential(t, srv)
				for batch := range slices.Chunk(commands, 500) {
					d.send(batch)
				}
				d.finish()
			})
		})
	}
}

// readScript reads commands, one a line: words with spaces between, of which
// one in double quotes is a Go string. Lines that are empty or begin with # are
// passed over. What a server does not know it refuses, which is no fault.
func readScript(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out [][]string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		rest := strings.TrimSpace(lines.Text())
		if rest == "" || rest[0] == '#' {
			continue
		}
		var command []string
		for rest != "" {
			word := rest
			if rest[0] == '"' {
				quoted, err := strconv.QuotedPrefix(rest)
				if err != nil {
					t.Fatalf("%s:%d: %v", path, n, err)
				}
				word, _ = strconv.Unquote(quoted)
				rest = rest[len(quoted):]
			} else {
				word, rest, _ = strings.Cut(rest, " ")
			}
			command = append(command, word)
			rest = strings.TrimSpace(rest)
		}
		out = append(out, command)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// differential is one server with an interpreter of its stream and a listener
// to its notifications.
type differential struct {
	t      *testing.T
	srv    *servers.Server
	in     *keyspace.Interpreter
	client *servers.Client

	ours, theirs chan []string // all events, once the last was seen
	stream       []string      // the commands, for a look at what went wrong
	at           []int         // event -> command
	values       map[string]*known
	faults       []string

	state   *keyspace.Interpreter // keeps no texts
	cramped *keyspace.Interpreter // has little memory, and never had a snapshot
	inexact []string              // state's events
	spare   []event.Event
	blanks  int // values that cramped did not know

	fieldsExpire atomic.Bool // of all hashes; the goroutine that follows reads it
}

// known is a key's value as events told of it last.
type known struct {
	offset        int64
	before, after string
	sure          bool
}

const lastKey = "last"

// needAll keeps all keys, but for those of one prefix, of which only the state
// is kept.
func needAll(_ int, key []byte) keyspace.Need {
	if bytes.HasPrefix(key, []byte("state:")) {
		return keyspace.NeedState
	}
	return keyspace.NeedValue
}

func configOf(srv *servers.Server) keyspace.Config {
	c := keyspace.Config{Dialect: dialect(srv.Program.Name), Need: needAll}
	c.Version = keyspace.ParseVersion(srv.Program.Version)
	if srv.Program.Name == "redis-6.0" {
		c.ExpiryGrace = 500 * time.Millisecond // it replicates how long a key has to live, not until when
	}
	c.Classes = keyspace.Classes{New: srv.Program.Name != "redis-6.0", Overwritten: srv.Program.Name == "redis-8.6"}
	return c
}

// classFlags asks a server for all classes that it has, but for the misses of
// reads.
func classFlags(srv *servers.Server) string {
	flags := "EA"
	if c := configOf(srv).Classes; c.New {
		flags += "n"
		if c.Overwritten {
			flags += "oc"
		}
	}
	return flags
}

func startDifferential(t *testing.T, srv *servers.Server, prepare ...func(*keyspace.Interpreter)) *differential {
	t.Helper()
	d := &differential{
		t: t, srv: srv, in: keyspace.New(configOf(srv)), client: redistest.Dial(t, srv), values: map[string]*known{},
		ours: make(chan []string, 1), theirs: make(chan []string, 1),
	}
	d.client.Timeout = time.Minute
	config := configOf(srv)
	config.MaxMirror = 30_000
	d.cramped = keyspace.New(config)
	config = configOf(srv)
	config.Need = func(int, []byte) keyspace.Need { return keyspace.NeedState }
	d.state = keyspace.New(config)
	for _, f := range prepare {
		f(d.in)
		f(d.cramped)
		f(d.state)
	}
	for name, value := range map[string]string{
		"notify-keyspace-events": classFlags(srv), "repl-diskless-sync-delay": "0", "client-output-buffer-limit": "pubsub 0 0 0",
	} {
		if _, err := d.client.Do("CONFIG", "SET", name, value); err != nil {
			t.Fatal(err)
		}
	}
	attached := make(chan bool)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan bool)
	t.Cleanup(func() { cancel(); <-stopped })
	go func() {
		defer close(stopped)
		d.follow(ctx, attached)
	}()
	d.listen()
	select {
	case <-attached:
	case <-time.After(time.Minute):
		t.Fatal("not attached after a minute")
	}
	return d
}

// keysToo is a consumer that wants the keys of a snapshot, too.
type keysToo struct{}

func (keysToo) WantsKeys() bool          { return true }
func (keysToo) LacksKeys() bool          { return false }
func (keysToo) NextWake() time.Time      { return time.Time{} }
func (keysToo) Changed() <-chan struct{} { return nil }

// follow makes events of the stream until it has seen the last key.
func (d *differential) follow(ctx context.Context, attached chan bool) {
	src, err := source.NewReplica(source.Config{URL: "redis://" + d.srv.Addr})
	if err != nil {
		d.t.Error(err)
		return
	}
	var ours []string
	var events []event.Event
	for rec, err := range src.Records(ctx, source.Position{}, keysToo{}) {
		if err != nil {
			d.t.Error(err)
			return
		}
		switch rec.Kind {
		case source.SnapshotBegin:
			d.in.SnapshotBegin()
			d.state.SnapshotBegin()
		case source.Key:
			d.t.Errorf("the snapshot has key %q", rec.Entry.Key)
		case source.SnapshotEnd:
			d.in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: rec.Time})
			d.state.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: rec.Time})
			close(attached)
		case source.Command:
			command := keyspace.Command{
				Args: rec.Args, DB: rec.DB, Offset: rec.Offset, Bytes: rec.Bytes, Tx: event.Tx(rec.Tx), Time: rec.Time,
			}
			events = d.in.Command(events[:0], &command)
			d.others(&command, events)
			d.stream = append(d.stream, fmt.Sprintf("db%d tx%d/%d %q", rec.DB, rec.Tx.Index, rec.Tx.Size, bytes.Join(rec.Args, []byte(" "))))
			if changesInSilence(rec.Args) {
				clear(d.values)
			}
			for i := range events {
				ev := &events[i]
				d.check(ev)
				if slices.Contains(ownEvents, ev.Name) {
					continue
				}
				ours = append(ours, spell(ev))
				d.at = append(d.at, len(d.stream)-1)
				if string(ev.Key) == lastKey && ev.Name == "set" {
					d.ours <- ours
					return
				}
			}
		}
	}
}

// changesInSilence reports whether a command may change a value without an
// event: the count in a HyperLogLog, and its form.
func changesInSilence(args [][]byte) bool {
	name := strings.ToUpper(string(args[0]))
	return name == "PFCOUNT" || name == "PFDEBUG"
}

// others gives the command to the other interpreters. What the one without
// memory knows is what the first one knows.
func (d *differential) others(c *keyspace.Command, events []event.Event) {
	d.spare = d.state.Command(d.spare[:0], c)
	for i := range d.spare {
		if ev := &d.spare[i]; !slices.Contains(ownEvents, ev.Name) {
			d.inexact = append(d.inexact, spell(ev))
		}
	}
	d.spare = d.cramped.Command(d.spare[:0], c)
	for i := range d.spare {
		ev := &d.spare[i]
		var same *event.Event
		for j := range events {
			if events[j].DB == ev.DB && bytes.Equal(events[j].Key, ev.Key) {
				same = &events[j]
			}
		}
		if ev.Before == nil {
			d.blanks++
		}
		if same == nil || len(d.faults) > 5 {
			continue
		}
		for _, v := range [][2]event.Value{{ev.Before, same.Before}, {ev.After, same.After}} {
			if got, want := asJSON(v[0]), asJSON(v[1]); v[0] != nil && v[1] != nil && got != want {
				d.faults = append(d.faults, fmt.Sprintf("with little memory, %q: %s of %q\n got %.300s\nwant %.300s", bytes.Join(c.Args, []byte(" ")), ev.Name, ev.Key, got, want))
			}
		}
		if ev.TTL != same.TTL && ev.TTL != event.TTLUnknown && same.TTL != event.TTLUnknown {
			d.faults = append(d.faults, fmt.Sprintf("with little memory, %q: TTL of %q is %d, want %d", bytes.Join(c.Args, []byte(" ")), ev.Key, ev.TTL, same.TTL))
		}
	}
	if s := d.cramped.Stats(); s.MirrorBytes > 30_000 && len(d.faults) < 5 {
		d.faults = append(d.faults, fmt.Sprintf("a mirror of 30,000 bytes holds %d after %.100q", s.MirrorBytes, bytes.Join(c.Args, []byte(" "))))
	}
}

// check holds an event's value before against what the one before it said.
func (d *differential) check(ev *event.Event) {
	switch ev.Name {
	case event.FlushAll, event.FlushDB, event.SwapDB:
		clear(d.values) // of whichever databases
	}
	if ev.Key == nil || len(d.faults) > 5 {
		return
	}
	name := fmt.Sprintf("%d/%s", ev.DB, ev.Key)
	before, after := asJSON(ev.Before), asJSON(ev.After)
	k := d.values[name]
	if k == nil {
		k = &known{}
		d.values[name] = k
	}
	want := k.after
	if k.offset == ev.Offset {
		want = k.before
	}
	if k.sure && before != want && ev.Before != nil && !d.buries(ev) {
		d.faults = append(d.faults, fmt.Sprintf("before %s of %s at %s\n got %.300s\nwant %.300s", ev.Name, name, d.stream[len(d.stream)-1], before, want))
	}
	if after != "unknown" && (ev.Type == "none") != (ev.After == event.None) || ev.After != nil && ev.Type != ev.After.Type() {
		d.faults = append(d.faults, fmt.Sprintf("%s of %s has type %q and is %s", ev.Name, name, ev.Type, after))
	}
	if k.offset != ev.Offset {
		k.before = before
	}
	k.offset, k.after, k.sure = ev.Offset, after, ev.After != nil
}

// buries reports whether a command may bury fields of a hash, which are not there
// before it either.
func (d *differential) buries(ev *event.Event) bool {
	return dialect(d.srv.Program.Name) == keyspace.Valkey && ev.Type == "hash" && (d.fieldsExpire.Load() || bytes.HasPrefix(ev.Key, []byte("ht:")))
}

// asJSON spells a value, whole.
func asJSON(v event.Value) string {
	if v == nil {
		return "unknown"
	}
	line := event.AppendJSON(nil, &event.Event{Key: []byte("k"), After: event.CloneValue(v, 1<<30)}, event.Delivery{})
	var out struct {
		Data struct{ After json.RawMessage }
	}
	if err := json.Unmarshal(line, &out); err != nil {
		return err.Error()
	}
	return v.Type() + " " + strconv.Itoa(v.Len()) + " " + string(out.Data.After)
}

// listen gathers the server's notifications until it has seen the last key.
func (d *differential) listen() {
	c := redistest.Dial(d.t, d.srv)
	if _, err := c.Do("PSUBSCRIBE", "__keyevent@*"); err != nil {
		d.t.Fatal(err)
	}
	c.Timeout = 10 * time.Minute
	go func() {
		var theirs []string
		for {
			reply, err := c.Receive()
			if err != nil {
				d.theirs <- append(theirs, err.Error())
				return
			}
			m := list(reply)
			db, name, _ := strings.Cut(strings.TrimPrefix(m[2].(string), "__keyevent@"), "__:")
			n, _ := strconv.Atoi(db)
			ev := event.Event{Name: name, DB: n, Key: []byte(m[3].(string))}
			theirs = append(theirs, spell(&ev))
			if string(ev.Key) == lastKey && ev.Name == "set" {
				d.theirs <- theirs
				return
			}
		}
	}()
}

// send sends commands; that a server refuses one is no fault.
func (d *differential) send(commands [][]string) {
	d.t.Helper()
	for _, c := range commands {
		if err := d.client.Send(c...); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := d.client.Flush(); err != nil {
		d.t.Fatal(err)
	}
	for range commands {
		var refused servers.ReplyError
		if _, err := d.client.Receive(); err != nil && !errors.As(err, &refused) {
			d.t.Fatal(err)
		}
	}
}

// restore copies a key by DUMP and RESTORE.
func (d *differential) restore(from, to string, expires bool) {
	d.t.Helper()
	payload, err := d.client.Do("DUMP", from)
	if err != nil {
		d.t.Fatal(err)
	}
	text, ok := payload.(string)
	if !ok {
		return // not there
	}
	ttl := "0"
	if expires {
		ttl = "500000"
	}
	d.send([][]string{{"RESTORE", to, ttl, text, "REPLACE"}})
}

// finish compares events and values.
func (d *differential) finish() {
	d.t.Helper()
	d.send([][]string{{"SELECT", "0"}, {"SET", lastKey, "1"}})
	for { // not while the snapshot of the attaching is still being written
		_, err := d.client.Do("SAVE")
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "in progress") {
			d.t.Fatal(err)
		}
	}
	var ours, theirs []string
	deadline := time.After(5 * time.Minute)
	for ours == nil || theirs == nil {
		select {
		case ours = <-d.ours:
		case theirs = <-d.theirs:
		case <-deadline:
			d.t.Fatal("the last event did not come")
		}
	}
	for _, f := range d.faults {
		d.t.Error(f)
	}
	d.compareEvents(ours, theirs)
	d.compareState(ours)
	if s := d.cramped.Stats(); len(ours) > 1000 && (d.blanks == len(d.stream) || s.Lost.Limit == 0) {
		d.t.Errorf("%d values unknown of %d, %+v", d.blanks, len(d.stream), s)
	}
	d.compareValues()
	d.t.Logf("%d commands replicated, %d events; %+v", len(d.stream), len(ours), d.in.Stats())
}

func (d *differential) compareEvents(ours, theirs []string) {
	d.t.Helper()
	got, gotAt := d.exempt(ours)
	want, _ := d.exempt(theirs)
	for i := range min(len(got), len(want)) {
		if got[i] == want[i] {
			continue
		}
		at := d.at[gotAt[i]]
		d.t.Fatalf("event %d\n got %q\nwant %q\nstream of the keys\n%s\nstream\n%s", i, got[max(0, i-3):min(len(got), i+4)], want[max(0, i-3):min(len(want), i+4)],
			strings.Join(d.about(at, got[i], want[i]), "\n"), strings.Join(d.stream[max(0, at-4):min(len(d.stream), at+4)], "\n"))
	}
	if len(got) != len(want) {
		d.t.Fatalf("%d events, want %d", len(got), len(want))
	}
}

// compareState: without texts all events have the right names, but for those
// whose name depends on the text of strings: BITOP of nothing, INCRBYFLOAT and
// what is replicated like it.
func (d *differential) compareState(ours []string) {
	d.t.Helper()
	text := func(ev string) string {
		name, key, _ := strings.Cut(ev, " ")
		switch kind, _, _ := strings.Cut(key, ":"); {
		case kind == "b", kind == "nf", len(kind) == 1 && (name == "set" || name == "del"):
			return ""
		case name == "incrbyfloat", name == "hincrbyfloat", name == "hincrby", name == "hexpire", name == "hset",
			name == "new", name == "overwritten", name == "type_changed":
			return ""
		}
		return ev
	}
	var got, want []string
	for _, ev := range d.inexact {
		if ev = text(ev); ev != "" {
			got = append(got, ev)
		}
	}
	for _, ev := range ours {
		if ev = text(ev); ev != "" {
			want = append(want, ev)
		}
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			d.t.Fatalf("without texts, event %d\n got %q\nwant %q", i, got[max(0, i-3):min(len(got), i+4)], want[max(0, i-3):min(len(want), i+4)])
		}
	}
	if len(got) != len(want) {
		d.t.Fatalf("without texts %d events, want %d", len(got), len(want))
	}
}

// about returns the last commands up to the one at that concern the keys of
// events.
func (d *differential) about(at int, events ...string) (lines []string) {
	for i := at; i >= 0 && len(lines) < 16; i-- {
		for _, ev := range events {
			_, key, _ := strings.Cut(ev, " ")
			key, _, _ = strings.Cut(key, "@")
			if strings.Contains(d.stream[i], key) || strings.Contains(d.stream[i], "SWAPDB") || strings.Contains(d.stream[i], "FLUSH") {
				lines = append(lines, d.stream[i])
				break
			}
		}
	}
	slices.Reverse(lines)
	return lines
}

// exempt leaves out, or makes alike, what the stream cannot tell. Each is a
// kind of keys of the generator, so that all else is exact:
//
//   - sp: SREM is an SPOP, and DEL one that takes all;
//   - hf: before Redis 8.0.6, and in Valkey, HSET is an HINCRBYFLOAT;
//   - h: in Valkey, HSET is an HINCRBY if another field has a deadline;
//   - lt: an LTRIM that changes nothing is announced and not replicated;
//   - ht: the expiry of several fields is announced once, or, when a field is
//     replaced, not at all, or later;
//   - xg: a consumer that finds nothing to read is announced and not
//     replicated, and one that was waiting is announced before the XADD;
//   - pe: Valkey 8.1 calls what is past its deadline at once expired, in the
//     stream it is an UNLINK.
func (d *differential) exempt(events []string) (kept []string, at []int) {
	name := d.srv.Program.Name
	valkey := dialect(name) == keyspace.Valkey
	floats := valkey || name < "redis-8.6" // 8.0 from 8.0.6 on
	for i, ev := range events {
		what, key, _ := strings.Cut(ev, " ")
		kind, _, _ := strings.Cut(key, ":")
		switch {
		case kind == "sp" && (what == "srem" || what == "spop"), kind == "lt" && what == "ltrim",
			kind == "xg" && (what == "xgroup-createconsumer" || what == "xgroup-setid"),
			kind == "ht" && (what == "hexpired" || what == "hdel"):
			continue
		case kind == "hf" && floats && what == "hincrbyfloat":
			ev = "hset " + key
		case kind == "h" && valkey && what == "hincrby":
			ev = "hset " + key
		case kind == "pe" && valkey && what == "expired":
			ev = "del " + key
		}
		kept, at = append(kept, ev), append(at, i)
	}
	return kept, at
}

// unknownKinds are the keys whose values only the server knows: what SORT .. BY has stored, distances, and which of two places at the same
// distance is counted.
var unknownKinds = []string{"u", "gs"}

// compareValues holds the mirror against a snapshot of the server, in two ways:
// key by key, and as a resync does it.
func (d *differential) compareValues() {
	d.t.Helper()
	path := filepath.Join(d.srv.Dir, "dump.rdb")
	fresh := keyspace.New(configOf(d.srv))
	if changes := load(d.t, fresh, path); len(changes) > 0 {
		d.t.Errorf("loading into an empty mirror changes %q", changes)
	}
	got, want := d.mirrored(d.in), d.mirrored(fresh)
	for key, w := range want {
		g := got[key]
		kind, _, _ := strings.Cut(key[strings.Index(key, "/")+1:], ":")
		if g.value == "unknown" && slices.Contains(unknownKinds, kind) {
			g.value = w.value
		}
		if kind == "ht" && slices.ContainsFunc(g.expires[1:], past) {
			continue
		}
		if d.in.Stats().Lost.Limit == 0 && g.value != w.value || g.typ != w.typ || !sameDeadline(d.srv, g.expires, w.expires) {
			d.t.Errorf("%s\n got %.300s\nwant %.300s", key, fmt.Sprint(g), fmt.Sprint(w))
		}
	}
	for key, g := range got {
		if _, ok := want[key]; !ok && g.there && !g.removed() {
			d.t.Errorf("%s is mirrored and not in the server: %.300s", key, fmt.Sprint(g))
		}
	}
	if len(want) == 0 {
		d.t.Error("the server has no key, not even the last")
	}
	if d.t.Failed() || d.srv.Program.Name == "redis-6.0" { // its deadlines are relative
		return
	}
	changes := slices.DeleteFunc(load(d.t, d.in, path), func(c string) bool { return strings.Contains(c, " t:") || strings.Contains(c, " ht:") })
	if len(changes) > 0 {
		d.t.Errorf("a resync finds changes: %q", changes)
	}
	if g := d.in.Stats(); g.MirrorKeys != fresh.Stats().MirrorKeys {
		d.t.Errorf("%d keys after a resync, want %d", g.MirrorKeys, fresh.Stats().MirrorKeys)
	}
}

// past reports whether a deadline has passed: what the server has removed since
// is no difference.
func past(deadline int64) bool { return deadline > 0 && deadline <= time.Now().UnixMilli() }

// keyState is a mirrored key for comparing.
type keyState struct {
	value, typ string
	len        int     // of the value, if it is known
	expires    []int64 // the key, its fields in order
	there      bool
}

// removed reports whether the server may have removed the key since: it is past
// its own deadline, or it is a hash and each of its fields is.
func (s keyState) removed() bool {
	fields := s.expires[1:]
	return past(s.expires[0]) || len(fields) > 0 && len(fields) == s.len && !slices.ContainsFunc(fields, func(at int64) bool { return !past(at) })
}

func (d *differential) mirrored(in *keyspace.Interpreter) map[string]keyState {
	all := map[string]keyState{}
	for _, k := range in.Mirror() {
		s := keyState{value: asJSON(k.Value), typ: k.Type, expires: []int64{k.ExpireAt}, there: k.There && k.Sure}
		if k.Value != nil {
			s.len = k.Value.Len()
		}
		var fields []string
		for f := range k.Fields {
			fields = append(fields, f)
		}
		slices.Sort(fields)
		for _, f := range fields {
			s.expires = append(s.expires, k.Fields[f])
		}
		all[fmt.Sprintf("%d/%s", k.DB, k.Key)] = s
	}
	return all
}

// sameDeadline: Redis 6.0 replicates how long a key has to live, so that the
// time on the way is added.
func sameDeadline(srv *servers.Server, a, b []int64) bool {
	if srv.Program.Name != "redis-6.0" {
		return slices.Equal(a, b)
	}
	const onTheWay = 60_000
	return len(a) == len(b) && (a[0] == 0) == (b[0] == 0) && a[0]-b[0] < onTheWay && b[0]-a[0] < onTheWay
}

// load gives an interpreter a snapshot and returns the net changes.
func load(t *testing.T, in *keyspace.Interpreter, path string) (changes []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := rdb.NewReader(f)
	in.SnapshotBegin()
	var events []event.Event
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		events = in.SnapshotKey(events[:0], &keyspace.SnapshotKey{Key: e.Key, DB: e.DB, Type: e.Type.String(), ExpireAt: e.ExpireAt, Value: r, Time: time.Now()})
		for _, ev := range events {
			if ev.Name != event.Snapshot {
				changes = append(changes, fmt.Sprintf("%s: %.200s -> %.200s", spell(&ev), asJSON(ev.Before), asJSON(ev.After)))
			}
		}
	}
	for _, ev := range in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: time.Now()}) {
		changes = append(changes, fmt.Sprintf("%s: %.200s", spell(&ev), asJSON(ev.Before)))
	}
	return changes
}
