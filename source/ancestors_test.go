package source_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// ancestorList is a file of testdata/ancestors.
type ancestorList struct {
	commands [][]string
	counts   map[string][2]int // by name or "name|name"
}

func readAncestorList(t *testing.T, name string) ancestorList {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "ancestors", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	commands, counts, ok := strings.Cut(string(text), "-- counts --\n")
	if !ok {
		t.Fatalf("%s has no counts", name)
	}
	l := ancestorList{counts: map[string][2]int{}}
	for line := range strings.Lines(commands) {
		l.commands = append(l.commands, strings.Fields(line))
	}
	for line := range strings.Lines(counts) {
		f := strings.Fields(line)
		first, err1 := strconv.Atoi(f[1])
		second, err2 := strconv.Atoi(f[2])
		if len(f) != 3 || err1 != nil || err2 != nil {
			t.Fatalf("%s: %q", name, line)
		}
		l.counts[f[0]] = [2]int{first, second}
	}
	return l
}

// TestAncestorsCommands runs the lists of commands twice, and counts.
func TestAncestorsCommands(t *testing.T) {
	Each(t, All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		f := follow(t, source.Config{URL: url(srv)}, source.Position{})
		f.attached(1)
		c := Dial(t, srv)
		for _, name := range []string{"string", "hash", "list", "set", "zset", "key"} {
			l := readAncestorList(t, name)
			for run := range 2 {
				before := len(f.all(source.Command))
				send(t, c, l.commands...)
				mark := fmt.Sprintf("mark:%s:%d", name, run)
				send(t, c, []string{"SET", mark, "1"})
				f.command("SET", mark, "1")
				got := map[string]int{}
				cmds := f.all(source.Command)
				for _, r := range cmds[before : len(cmds)-1] {
					got[countedAs(l, strings.ToLower(string(r.Args[0])))]++
				}
				want := map[string]int{}
				for n, counts := range l.counts {
					if counts[run] > 0 {
						want[n] = counts[run]
					}
				}
				if !maps.Equal(got, want) {
					t.Errorf("%s, run %d: got %v, want %v", name, run+1, got, want)
				}
			}
		}
		entities(t, srv, c)
	})
}

// countedAs returns the name under which a command's name is counted.
func countedAs(l ancestorList, name string) string {
	for n := range l.counts {
		if slices.Contains(strings.Split(n, "|"), name) {
			return n
		}
	}
	return name
}

// entities compares the keys of a snapshot, which the ancestor called entities,
// with what the server has: with their database and their expiry, which it
// dropped.
func entities(t *testing.T, srv *servers.Server, c *servers.Client) {
	t.Helper()
	f := follow(t, source.Config{URL: url(srv)}, source.Position{}, wantsKeys)
	f.kind(source.SnapshotEnd)
	keys := f.all(source.Key)
	total := 0
	for _, db := range []int{0, 9} {
		send(t, c, words("SELECT "+strconv.Itoa(db)))
		n, err := c.Do("DBSIZE")
		if err != nil {
			t.Fatal(err)
		}
		total += int(n.(int64))
	}
	if len(keys) != total {
		t.Errorf("got %d keys, the server has %d", len(keys), total)
	}
	for _, k := range keys {
		send(t, c, words("SELECT "+strconv.Itoa(k.DB)))
		typ, err := c.Do("TYPE", k.Key)
		if err != nil {
			t.Fatal(err)
		}
		ttl, err := c.Do("PTTL", k.Key)
		if err != nil {
			t.Fatal(err)
		}
		if typ != k.Type || (ttl.(int64) > 0) != (k.TTL > 0) || k.TTL > 0 && k.TTL < time.Now().Add(5*time.Hour).UnixMilli() {
			t.Errorf("%v: the server says it is a %v and expires in %v ms; got %d", k, typ, ttl, k.TTL)
		}
	}
}

// TestAncestorsMonitor is the example of redis-sync's users: tell of every
// command on one of some named keys.
func TestAncestorsMonitor(t *testing.T) {
	monitor := func(src source.Source, found chan<- string, names ...string) {
		defer close(found)
		for rec, err := range src.Records(t.Context(), source.Position{}, nil) {
			if err != nil || rec.Kind != source.Command || len(rec.Args) < 2 {
				continue
			}
			if slices.Contains(names, string(rec.Args[1])) {
				found <- strings.ToLower(string(rec.Args[0])) + " " + string(rec.Args[1])
			}
		}
	}
	Each(t, []string{"redis-6.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		src, err := source.NewReplica(source.Config{URL: url(srv)})
		if err != nil {
			t.Fatal(err)
		}
		found := make(chan string)
		go monitor(src, found, "stock:7", "stock:8")
		c := Dial(t, srv)
		for src.Status().State != source.Streaming {
			time.Sleep(time.Millisecond) // nothing tells
		}
		send(t, c, words("SET stock:7 1"), words("SET other 1"), words("DECR stock:7"), words("GET stock:7"), words("DEL stock:8 other"), words("SADD stock:8 a"))
		for _, want := range []string{"set stock:7", "decr stock:7", "sadd stock:8"} {
			got := <-found
			if got == "del stock:8" { // of a key that was not there, with another that was
				got = <-found
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

// TestAncestorsInline reads commands as the servers of 2012 wrote them, in
// pieces of one byte.
func TestAncestorsInline(t *testing.T) {
	p := StartPrimary(t, script(Expect("PSYNC", "?", "-1"),
		SendChunks(1, "+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+"PING\r\nSET a 1\r\nset \"b c\" '2'\n"+set1), Hang()))
	f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
	f.command("SET", "a", "1")
	f.command("set", "b c", "2")
	if r := f.command("SET", "a", "1"); r.Offset != 1000+6+9+14+27 {
		t.Errorf("got %v", r)
	}
	if beats := f.all(source.Heartbeat); len(beats) != 1 || beats[0].Pos.Offset != 1006 {
		t.Errorf("the PING: got %v", beats)
	}
}

// setup is how a source is made, and whether its consumer wants keys.
type setup struct {
	source.Config
	keys bool
}

// TestAncestorsBugs has a case for each bug that the ancestors are known for.
func TestAncestorsBugs(t *testing.T) {
	full := "+FULLRESYNC id 1000\r\n"
	good := script(Expect("PSYNC", "*", "*"), Send(full+framed(emptyRDB)+set2), Hang())
	again := script(Expect("PSYNC", "id", "1028"), Send("+CONTINUE\r\n"+set2), Hang())
	mark := strings.Repeat("7", 40)
	for _, c := range []struct {
		name    string
		scripts []Script
		cfg     setup
		check   func(*testing.T, *follower)
	}{
		{"a keepalive together with $len made it deaf", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+"\n\n"+framed(emptyRDB)+set2), Hang())}, setup{}, nil},
		{"-ERR and more bytes crashed it", []Script{
			script(Expect("PSYNC", "?", "-1"), Send("-ERR no\r\n$5\r\nhello\r\n*1\r\n")), good}, setup{}, nil},
		{"$EOF: was taken for digits", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+"$EOF:"+mark+"\r\n"+emptyRDB+mark+set2), Hang())}, setup{}, nil},
		{"+FULLRESYNC was a command", []Script{good}, setup{}, func(t *testing.T, f *follower) {
			if n := len(f.all(source.Command)); n != 1 {
				t.Errorf("got %v", f.all(source.Command))
			}
		}},
		{"a length could be anything", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+"$1x7\r\n")),
			script(Expect("PSYNC", "?", "-1"), Send(full+"$-7\r\n")),
			script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)+set1+"*2\r\n$-3\r\nDEL\r\n")), again}, setup{}, nil},
		{"a length had no limit", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)+set1+"*1\r\n$9999999999999999999\r\n")), again}, setup{}, nil},
		{"what cannot be parsed crashed it", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)+set1+"#!\x00\r\n")), again}, setup{}, nil},
		{"a half-open link was silent forever", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)+set1), Hang()), again}, setup{}, nil},
		{"every reconnect was a full resync", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)+set1)), again}, setup{}, func(t *testing.T, f *follower) {
			if s := f.src.Status(); s.FullResyncs != 1 || s.PartialResyncs != 1 {
				t.Errorf("status %+v", s)
			}
		}},
		{"an argument came in pieces", []Script{
			script(Expect("PSYNC", "?", "-1"), SendChunks(1, full+framed(emptyRDB)+set2), Hang())}, setup{}, nil},
		{"SELECT was not followed", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)+command("SELECT", "9")+set2), Hang())}, setup{}, func(t *testing.T, f *follower) {
			if r := f.all(source.Command)[0]; r.DB != 9 || len(f.all(source.Command)) != 1 {
				t.Errorf("got %v", r)
			}
		}},
		{"MULTI was not followed", []Script{
			script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)+command("MULTI")+set1+set2+command("EXEC")), Hang())}, setup{}, func(t *testing.T, f *follower) {
			if r := f.all(source.Command)[1]; r.Tx.Index != 2 || r.Tx.Size != 2 {
				t.Errorf("got %v", r)
			}
		}},
		{"a key's database and expiry were dropped", []Script{
			wantingKeys(Expect("PSYNC", "?", "-1"), Send(full+framed("REDIS0009\xfe\x05\xfc\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01k\x01v\xff\x00\x00\x00\x00\x00\x00\x00\x00")+set2), Hang())},
			setup{keys: true}, func(t *testing.T, f *follower) {
				keys := f.all(source.Key)
				if len(keys) != 1 || keys[0].Key != "k" || keys[0].DB != 5 || keys[0].TTL != 1<<40 {
					t.Errorf("got %v, expires at %d", keys, keys[0].TTL)
				}
			}},
		{"a newer type ended everything", []Script{
			wantingKeys(Expect("PSYNC", "?", "-1"), Send(full+framed("REDIS0009\xc8 what is this? \xff12345678")+set2), Hang())},
			setup{keys: true}, func(t *testing.T, f *follower) {
				if s := f.src.Status(); s.SnapshotErrors != 1 || s.Connects != 1 {
					t.Errorf("status %+v", s)
				}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := followScripts(t, c.cfg.Config, wants{keys: c.cfg.keys}, c.scripts...)
				f.commandWithin(2*time.Minute, "SET", "b", "2")
				if c.check != nil {
					c.check(t, f)
				}
			})
		})
	}

	t.Run("the pause between attempts had no limit", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "none.sock")
		synctest.Test(t, func(t *testing.T) {
			f := follow(t, source.Config{URL: "unix://" + missing, MaxBackoff: 10 * time.Second}, source.Position{})
			time.Sleep(24 * time.Hour) // of the bubble's time
			f.stop()
			pauses := strings.Split(f.log.String(), "pause=")[1:]
			for _, p := range pauses {
				text, _, _ := strings.Cut(p, "\n")
				if d, err := time.ParseDuration(text); err != nil || d > 10*time.Second {
					t.Fatalf("pause %q", text)
				}
			}
			if len(pauses) < 24*360 { // one each ten seconds, at least
				t.Errorf("got %d attempts in a day", len(pauses))
			}
		})
	})
	t.Run("it could not be stopped", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, script(Expect("PSYNC", "?", "-1"), Send(full+framed(emptyRDB)), Hang()))
		f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
		f.attached(1)
		f.stop()
		if err := f.ended(); err != nil || f.src.Status().State != source.Stopped {
			t.Errorf("got %v, status %+v", err, f.src.Status())
		}
	})
}
