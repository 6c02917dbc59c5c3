package keyspace_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// recording is what a server replicated and announced for a list of cases. A
// character of its strings is a byte.
type recording struct {
	Server string
	Cases  []struct {
		Name   string
		Sent   []string // by the client, for the reader
		Stream []string // what was replicated, arguments joined by a space
		Events []string // what was announced: "set k", "move_to k@5"
	}
}

// TestScoreboard holds the events made of the recorded streams against those
// that the servers announced. A difference is allowed only for one of the
// reasons of explain, all things that a command alone cannot tell. How many
// cases are exact, and how many want state for which reason, is golden.
func TestScoreboard(t *testing.T) {
	var board strings.Builder
	for _, server := range []string{"redis-6.0.16", "redis-7.0.15", "redis-8.0.6", "redis-8.6.3", "valkey-9.1.2"} {
		cases, exact, enough, own, reasons := 0, 0, 0, 0, map[string]int{}
		for _, rec := range readRecordings(t, server) {
			for _, c := range rec.Cases {
				cases++
				got, ours := interpret(t, server, c.Stream)
				own += ours
				d := newDiff(c.Stream, announced(c.Events), got)
				why := d.explain(t, server+"/"+c.Name)
				for reason := range why {
					reasons[reason]++
				}
				if len(d.missing)+len(d.extra) == 0 {
					exact++
				}
				delete(why, existence)
				delete(why, reads)
				if len(why) == 0 {
					enough++
				}
			}
		}
		fmt.Fprintf(&board, "%s: %d cases, %d exact, %d but for the classes that a server announces only when asked (n, o, c, m); %d events of our own\n", server, cases, exact, enough, own)
		for _, reason := range slices.Sorted(maps.Keys(reasons)) {
			fmt.Fprintf(&board, "\t%3d cases: %s\n", reasons[reason], reason)
		}
	}
	t.Log("\n" + board.String())
	golden(t, "testdata/scoreboard.txt", board.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it after go test -run '^%s$' ./internal/keyspace -update\ngot:\n%s", path, t.Name(), got)
	}
}

func readRecordings(t *testing.T, server string) []recording {
	t.Helper()
	var recs []recording
	for _, suffix := range []string{".json", ".extra.json"} {
		b, err := os.ReadFile(filepath.Join("testdata/propagation", server+suffix))
		if err != nil {
			t.Fatal(err)
		}
		var rec recording
		if err := json.Unmarshal(b, &rec); err != nil {
			t.Fatal(err)
		}
		if len(rec.Cases) == 0 {
			t.Fatalf("%s%s has no cases", server, suffix)
		}
		recs = append(recs, rec)
	}
	return recs
}

// recordersKey is a key that the recorder wrote and removed for itself; it
// left what was announced of it out.
const recordersKey = "__mark"

// ownEvents are those that no server announces.
var ownEvents = []string{
	event.FlushDB, event.FlushAll, event.SwapDB, event.Publish, event.SPublish, event.Function,
	"vadd", "vrem", "vsetattr",
}

// interpret gives a stream's events as the recordings spell them, and how many
// events of our own there were besides.
func interpret(t *testing.T, server string, stream []string) (events []string, own int) {
	t.Helper()
	in := keyspace.New(keyspace.Config{Dialect: dialect(server)})
	db := 0
	for _, line := range stream {
		args := splitRecorded(line)
		if strings.EqualFold(string(args[0]), "SELECT") {
			db, _ = strconv.Atoi(string(args[1]))
		}
		for _, ev := range in.Command(nil, &keyspace.Command{Args: args, DB: db}) {
			switch {
			case slices.Contains(ownEvents, ev.Name):
				own++
			case string(ev.Key) != recordersKey:
				events = append(events, spell(&ev))
			}
		}
	}
	if s := in.Stats(); s.Malformed > 0 || s.Unknown > 0 {
		t.Errorf("%s: %q counted as %+v", server, stream, s)
	}
	return events, own
}

func dialect(server string) keyspace.Dialect {
	if strings.HasPrefix(server, "valkey") {
		return keyspace.Valkey
	}
	return keyspace.Redis
}

func spell(ev *event.Event) string {
	s := ev.Name + " " + string(ev.Key)
	if ev.DB != 0 {
		s += "@" + strconv.Itoa(ev.DB)
	}
	return s
}

// splitRecorded takes a recorded command apart.
func splitRecorded(line string) [][]byte {
	var args [][]byte
	for _, arg := range strings.Split(toBytes(line), " ") {
		args = append(args, []byte(arg))
	}
	return args
}

// toBytes turns each character into the byte that it stands for.
func toBytes(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func announced(events []string) []string {
	var out []string
	for _, e := range events {
		out = append(out, toBytes(e))
	}
	return out
}

// diff is what has to be put into and taken out of our events to get those of
// the server, with the order kept.
type diff struct {
	stream         []string
	want, got      []string
	missing, extra []string
}

func newDiff(stream, want, got []string) *diff {
	d := &diff{stream: stream, want: want, got: got}
	// lcs[i][j] is the length of the longest common subsequence of want[i:]
	// and got[j:].
	lcs := make([][]int, len(want)+1)
	for i := range lcs {
		lcs[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && lcs[i+1][j] >= lcs[i][j+1]:
			d.missing = append(d.missing, want[i])
			i++
		default:
			d.extra = append(d.extra, got[j])
			j++
		}
	}
	return d
}

// explain names the reasons of all differences; one without a reason fails the
// test.
func (d *diff) explain(t *testing.T, name string) map[string]bool {
	t.Helper()
	reasons := map[string]bool{}
	for _, ev := range d.missing {
		r := d.whyMissing(ev)
		if r == "" {
			t.Errorf("%s: no event %q\nstream %q\n got %q\nwant %q", name, ev, d.stream, d.got, d.want)
			continue
		}
		reasons[r] = true
	}
	for _, ev := range d.extra {
		r := d.whyExtra(ev)
		if r == "" {
			t.Errorf("%s: event %q too many\nstream %q\n got %q\nwant %q", name, ev, d.stream, d.got, d.want)
			continue
		}
		reasons[r] = true
	}
	return reasons
}

// The reasons: what a command alone cannot tell.
const (
	existence     = "whether the key was there, and its type (new, overwritten, type_changed)"
	reads         = "a read, which is not replicated (keymiss)"
	trailingDel   = "trailing del of an emptied key"
	emptyStore    = "del, or nothing, for the empty result of a store"
	expiry        = "DEL or UNLINK is an expiry or an eviction"
	fieldExpiry   = "HDEL is the expiry of fields, announced once"
	fieldReplaced = "an expired field is replaced without an HDEL"
	spops         = "SREM or DEL is an SPOP, announced once"
	floats        = "SET or HSET is an INCRBYFLOAT, HINCRBYFLOAT or HINCRBY"
	consumers     = "XCLAIM made the consumer"
	readgroups    = "XGROUP SETID is an XREADGROUP"
	trims         = "XADD trimmed the stream"
	absentKeys    = "which keys of a DEL were there"
	smoves        = "SMOVE of a member that the destination has"
	pastFields    = "HSETEX in the past is replicated as HDEL"
	unreplicated  = "announced without being replicated"
)

var removing = []string{
	"lpop", "rpop", "lrem", "ltrim", "srem", "hdel", "zrem", "zpopmin", "zpopmax",
	"zremrangebyscore", "zremrangebyrank", "zremrangebylex",
}

var storing = []string{
	"set", "sinterstore", "sunionstore", "sdiffstore", "zinterstore", "zunionstore", "zdiffstore",
	"zrangestore", "georadiusstore", "geosearchstore", "sortstore",
}

func (d *diff) whyMissing(ev string) string {
	name, key, _ := strings.Cut(ev, " ")
	switch name {
	case "new", "overwritten", "type_changed":
		return existence
	case "keymiss":
		return reads
	}
	if len(d.stream) == 0 {
		return unreplicated
	}
	switch {
	case name == "del" && has(d.extra, key, storing...):
		return emptyStore
	case name == "del" && has(d.got, key, removing...):
		return trailingDel
	case (name == "expired" || name == "evicted") && has(d.extra, key, "del"):
		return expiry
	case name == "hexpired" && has(d.extra, key, "hdel"):
		return fieldExpiry
	case name == "hexpired" && !d.replicates("HDEL") && d.replicates("HPEXPIREAT"):
		return fieldReplaced
	case name == "spop" && has(d.got, key, "srem", "del"):
		return spops
	case name == "incrbyfloat" && has(d.extra, key, "set") && d.replicates("KEEPTTL"):
		return floats
	case (name == "hincrbyfloat" || name == "hincrby") && has(d.extra, key, "hset"):
		return floats
	case name == "hset" && len(d.stream) == 1 && d.replicates("HDEL"):
		return pastFields
	case name == "xgroup-createconsumer" && d.replicates("XCLAIM"):
		return consumers
	case name == "xtrim" && has(d.got, key, "xadd") && (d.replicates("MAXLEN") || d.replicates("MINID")):
		return trims
	}
	return ""
}

func (d *diff) whyExtra(ev string) string {
	name, key, _ := strings.Cut(ev, " ")
	switch {
	case name == "del" && has(d.missing, key, "expired", "evicted"):
		return expiry
	case name == "del" && d.replicates("DEL") && d.keysOfDel() > 1:
		return absentKeys
	case slices.Contains(storing, name) && has(d.missing, key, "del"):
		return emptyStore
	case name == "sdiffstore" && len(d.want) == 0: // Redis 6.0 replicates it
		return emptyStore
	case name == "srem" && has(d.want, key, "spop"):
		return spops
	case name == "set" && has(d.missing, key, "incrbyfloat"):
		return floats
	case (name == "hset" || name == "hexpire") && has(d.missing, key, "hincrbyfloat", "hincrby"):
		return floats
	case name == "hdel" && has(d.want, key, "hexpired"):
		return fieldExpiry
	case name == "xgroup-setid" && (d.replicates("XCLAIM") || d.replicates("CREATECONSUMER") || len(d.want) == 0):
		return readgroups
	case name == "sadd" && d.replicates("SMOVE"):
		return smoves
	}
	return ""
}

// has reports whether one of the named events of key is in events.
func has(events []string, key string, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(events, name+" "+key) })
}

// replicates reports whether word is in the stream.
func (d *diff) replicates(word string) bool {
	return slices.ContainsFunc(d.stream, func(line string) bool {
		return slices.Contains(strings.Fields(strings.ToUpper(line)), word)
	})
}

// keysOfDel is the number of keys of the longest DEL in the stream.
func (d *diff) keysOfDel() int {
	n := 0
	for _, line := range d.stream {
		if words := strings.Fields(strings.ToUpper(line)); len(words) > 0 && words[0] == "DEL" {
			n = max(n, len(words)-1)
		}
	}
	return n
}

// TestEventNamesHoldsAllRecorded: what a server announces can be written in a
// rule. The exception is keymiss: reads are not replicated.
func TestEventNamesHoldsAllRecorded(t *testing.T) {
	names := keyspace.EventNames()
	if !slices.IsSorted(names) {
		t.Error("EventNames is not sorted")
	}
	seen := 0
	for _, server := range []string{"redis-6.0.16", "redis-7.0.15", "redis-8.0.6", "redis-8.6.3", "valkey-9.1.2"} {
		for _, rec := range readRecordings(t, server) {
			for _, c := range rec.Cases {
				for _, ev := range c.Events {
					name, _, _ := strings.Cut(ev, " ")
					if seen++; name != "keymiss" && !slices.Contains(names, name) {
						t.Errorf("%s announces %q, which EventNames has not", server, name)
					}
				}
			}
		}
	}
	if seen == 0 {
		t.Error("nothing recorded")
	}
}

// TestCommandsTellTheirTypes: of all that servers have sent no key has a type
// afterwards that its command is not said to leave.
func TestCommandsTellTheirTypes(t *testing.T) {
	types := map[string][]string{}
	for _, info := range keyspace.Commands() {
		types[info.Name] = info.Types
	}
	seen := 0
	for _, server := range []string{"redis-6.0.16", "redis-7.0.15", "redis-8.0.6", "redis-8.6.3", "valkey-9.1.2"} {
		for _, rec := range readRecordings(t, server) {
			for _, c := range rec.Cases {
				in := keyspace.New(keyspace.Config{Dialect: dialect(server), Need: needLevel(0)})
				for _, line := range c.Stream {
					for _, ev := range in.Command(nil, &keyspace.Command{Args: splitRecorded(line)}) {
						if ev.Type == "" {
							continue
						}
						seen++
						if of := types[ev.Command]; of != nil && !slices.Contains(of, ev.Type) {
							t.Errorf("%s: %q leaves a %s, its entry says %q", server, line, ev.Type, of)
						}
						if (ev.Name == "del" || ev.Name == "expired") && ev.Type != "none" {
							t.Errorf("%s: %q: a %s is there after %q", server, line, ev.Type, ev.Name)
						}
					}
				}
			}
		}
	}
	if seen == 0 {
		t.Error("nothing recorded")
	}
}
