package source_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/internal/spool"
	"triggerd/source"
)

var failing = []string{"redis-7.0", "redis-8.6", "valkey-9.1"}

// pair is a primary, a replica of it behind a proxy, and a proxy that follows the
// primary, as a name would.
type pair struct {
	primary, replica *servers.Server
	between          *Proxy // of the replica to the primary
	name             *Proxy
}

func startPair(t *testing.T, primary *servers.Server) *pair {
	t.Helper()
	p := &pair{primary: primary, replica: Start(t, primary.Program.Name)}
	for _, srv := range []*servers.Server{p.primary, p.replica} { // else a PING is lost now and then, over which reading goes back
		Do(t, srv, "CONFIG", "SET", "repl-ping-replica-period", "3600")
	}
	p.between, p.name = StartProxy(t, primary.Addr), StartProxy(t, primary.Addr)
	host, port, _ := strings.Cut(p.between.Addr, ":")
	Do(t, p.replica, "REPLICAOF", host, port)
	p.inSync(t)
	return p
}

// inSync waits until the replica has what the primary has.
func (p *pair) inSync(t *testing.T) {
	t.Helper()
	until(t, "the replica to have all", func() bool {
		return info(t, p.replica, "replication", "master_link_status") == "up" &&
			infoInt(t, p.replica, "replication", "slave_repl_offset") == infoInt(t, p.primary, "replication", "master_repl_offset")
	})
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// promote ends the primary and makes the replica one, which the name follows.
func (p *pair) promote(t *testing.T) {
	t.Helper()
	p.name.Refuse()
	if err := p.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	p.between.Reset()
	Do(t, p.replica, "REPLICAOF", "NO", "ONE")
	p.name.Move(p.replica.Addr)
	p.name.Admit()
}

// alive returns the commands of records that are part of the history in the end.
func alive(recs []record) (kept []record) {
	for _, r := range recs {
		switch r.Kind {
		case source.Command:
			kept = append(kept, r)
		case source.Rewound:
			for i := len(kept) - 1; i >= 0 && kept[i].Offset > r.Pos.Offset; i-- {
				kept = kept[:i]
			}
		}
	}
	return kept
}

func commandsOf(recs []record) (all []string) {
	for _, r := range recs {
		all = append(all, fmt.Sprintf("%s:%d db%d tx%d/%d %s", r.ReplID, r.Offset, r.DB, r.Tx.Index, r.Tx.Size, r.words()))
	}
	return all
}

// since returns what was read from a command on.
func since(t *testing.T, recs []record, words string) []record {
	t.Helper()
	i := slices.IndexFunc(recs, func(r record) bool { return r.words() == words })
	if i < 0 {
		t.Fatalf("%q is not among %d commands", words, len(recs))
	}
	return recs[i:]
}

// TestRewind: the replica that becomes the primary lacks the last of what was
// read. Reading goes on where it stands, and who reads from it sees the same.
func TestRewind(t *testing.T) {
	Each(t, failing, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		p := startPair(t, srv)
		log, err := spool.Open(spool.Options{Dir: filepath.Join(t.TempDir(), "spool")})
		if err != nil {
			t.Fatal(err)
		}
		f := follow(t, source.Config{URL: "redis://" + p.name.Addr, Spool: log, ForeignWait: time.Second}, source.Position{})
		behind := StartProxy(t, srv.Addr)
		late := follow(t, source.Config{URL: "redis://" + behind.Addr, ForeignWait: time.Second}, source.Position{})
		f.attached(1)
		late.attached(1)
		p.inSync(t)
		other := follow(t, source.Config{URL: url(p.replica)}, source.Position{})
		other.attached(1)

		c := Dial(t, srv)
		send(t, c, words("SELECT 3"), words("SET first 1"), words("MULTI"), words("SET tx 1"), words("INCR tx"), words("EXEC"))
		late.command("INCR", "tx")
		behind.Refuse() // the one that comes late has not read the rest of what lives
		behind.Cut()
		send(t, c, words("SET last 1"))
		other.command("SET", "last", "1")
		p.between.Stall()
		var dead int64
		for i := range 30 {
			send(t, c, words("SELECT 5"), words(fmt.Sprintf("SET dead:%d 1", i)), words("MULTI"), words("INCR dead"), words("INCR dead"), words("EXEC"))
			dead = f.command("INCR", "dead").Offset
		}
		p.promote(t)
		behind.Move(p.replica.Addr)
		behind.Admit()

		at := f.kind(source.Rewound)
		point := infoInt(t, p.replica, "replication", "second_repl_offset") - 1
		if at.Pos.Offset != point || at.From.Offset < dead || len(at.Dead) != 1 || at.Dead[0].After != point || at.Dead[0].To < dead {
			t.Errorf("went back at %+v, dead %+v; want to %d", at.Record, at.Dead, point)
		}
		n := Dial(t, p.replica)
		send(t, n, words("SELECT 7"), words("SET after 1"), words("MULTI"), words("SET tx 2"), words("INCR tx"), words("EXEC"), words("SELECT 3"), words("SET end 1"))
		for _, f := range []*follower{f, late, other} {
			f.command("SET", "end", "1")
		}
		want := since(t, other.all(source.Command), "SET first 1")
		for name, f := range map[string]*follower{"went back": f, "came late": late} {
			got := since(t, alive(f.everything()), "SET first 1")
			if g, w := commandsOf(got), commandsOf(want); !slices.Equal(g, w) {
				t.Errorf("%s: got\n%s\nwant what the new primary's own reader saw:\n%s", name, strings.Join(g, "\n"), strings.Join(w, "\n"))
			}
			if s := f.src.Status(); s.FullResyncs != 1 || s.Gaps != 0 || s.ProtocolErrors != 0 {
				t.Errorf("%s: status %+v; log:\n%s", name, s, f.log)
			}
		}
		if s := f.src.Status(); s.Rewinds != 1 || s.RewoundBytes < dead-point {
			t.Errorf("status %+v", s)
		}
		f.stop()

		// The next process goes on behind all that, or, if that is where it stood, with
		// what was dead when it ended.
		last := f.command1("SET", "end", "1")
		for _, start := range []source.Position{last.Pos, at.From} {
			again, err := source.NewReplica(source.Config{URL: "redis://" + p.name.Addr, Spool: log, ForeignWait: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			f := followSource(t, again, start, nil)
			f.attached(1)
			if start == at.From {
				if r := f.kind(source.Rewound); r.Pos != at.Pos {
					t.Errorf("the next process went back at %+v, want to %v", r.Record, at.Pos)
				}
				if got := commandsOf(since(t, want, "SET after 1")); !slices.Equal(commandsOf(f.waitAll(len(got))), got) {
					t.Errorf("the next process got %s, want %s", commandsOf(f.all(source.Command)), got)
				}
			}
			if s := f.src.Status(); s.FullResyncs != 0 {
				t.Errorf("the next process: %+v; log:\n%s", s, f.log)
			}
			f.stop()
		}
	})
}

// everything returns all records so far.
func (f *follower) everything() []record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.recs)
}

// command1 returns a command that was read already.
func (f *follower) command1(args ...string) record {
	f.t.Helper()
	return since(f.t.(*testing.T), f.all(source.Command), strings.Join(args, " "))[0]
}

// waitAll waits for so many commands.
func (f *follower) waitAll(n int) []record {
	f.t.Helper()
	f.status(fmt.Sprintf("%d commands", n), func(source.Status) bool { return len(f.all(source.Command)) >= n })
	return f.all(source.Command)
}

// TestFailoverThatIsUndone: the replica becomes the primary, is read, and then is
// made a replica again. What it wrote is gone, and reading goes back to where the
// histories parted.
func TestFailoverThatIsUndone(t *testing.T) {
	Each(t, failing, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		p := startPair(t, srv)
		f := follow(t, source.Config{URL: "redis://" + p.name.Addr, ForeignWait: time.Second}, source.Position{})
		steady := follow(t, source.Config{URL: url(srv)}, source.Position{})
		f.attached(1)
		steady.attached(1)
		c := Dial(t, srv)
		send(t, c, words("SELECT 3"), words("SET first 1"))
		f.command("SET", "first", "1")
		p.inSync(t)
		Do(t, p.replica, "REPLICAOF", "NO", "ONE")
		p.name.Move(p.replica.Addr)
		p.name.Cut()
		f.attached(2)
		send(t, c, words("SET meanwhile 1")) // the old primary goes on
		n := Dial(t, p.replica)
		send(t, n, words("SELECT 9"), words("SET gone 1"))
		gone := f.command("SET", "gone", "1")
		host, port, _ := strings.Cut(srv.Addr, ":")
		Do(t, p.replica, "REPLICAOF", host, port)
		p.name.Move(srv.Addr)
		p.name.Cut()
		r := f.kind(source.Rewound)
		if len(r.Dead) == 0 || r.Dead[len(r.Dead)-1].ReplID != gone.ReplID || r.Pos.DB != 3 {
			t.Errorf("went back at %+v, dead %+v", r.Record, r.Dead)
		}
		send(t, c, words("SET end 1"))
		f.command("SET", "end", "1")
		steady.command("SET", "end", "1")
		got, want := commandsOf(since(t, alive(f.everything()), "SET first 1")), commandsOf(since(t, steady.all(source.Command), "SET first 1"))
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if s := f.src.Status(); s.FullResyncs != 1 || s.Gaps != 0 || s.Rewinds != 1 {
			t.Errorf("status %+v; log:\n%s", s, f.log)
		}
	})
}

// TestForeignServer: a primary that is killed comes back empty, and is made a
// replica of the new one. It is not believed meanwhile. One that stays is
// believed in the end, with a gap.
func TestForeignServer(t *testing.T) {
	Each(t, failing, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		p := startPair(t, srv)
		f := follow(t, source.Config{URL: "redis://" + p.name.Addr, ForeignWait: time.Hour}, source.Position{})
		brief := follow(t, source.Config{URL: "redis://" + srv.Addr, ForeignWait: 300 * time.Millisecond}, source.Position{})
		f.attached(1)
		brief.attached(1)
		Do(t, srv, "SET", "first", "1")
		f.command("SET", "first", "1")
		p.inSync(t)
		p.between.Refuse() // else the replica may follow what comes back before it is promoted
		if err := srv.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.status("the foreign server to be told", func(s source.Status) bool {
			return s.Foreign == 1 && strings.Contains(s.LastError, "is a primary of another history")
		})
		Do(t, srv, "SET", "foreign", "1")
		Do(t, p.replica, "REPLICAOF", "NO", "ONE")
		Do(t, p.replica, "SET", "second", "1")
		p.name.Move(p.replica.Addr)
		f.command("SET", "second", "1")
		if n := len(f.all(source.Command)); n != 2 {
			t.Errorf("%d commands, want 2: %v", n, f.all(source.Command))
		}
		if s := f.src.Status(); s.FullResyncs != 1 || s.Gaps != 0 {
			t.Errorf("status %+v; log:\n%s", s, f.log)
		}
		if s := brief.status("a gap", func(s source.Status) bool { return s.Gaps == 1 && s.State == source.Streaming }); s.Foreign != 1 {
			t.Errorf("status %+v; log:\n%s", s, brief.log)
		}
		if !strings.Contains(brief.log.String(), "is not believed for 300ms") {
			t.Errorf("the wait was not told; log:\n%s", brief.log)
		}
	})
}

// TestForeignUntold: a full resync of another history is waited out also where the
// server does not tell its history, each other history anew.
func TestForeignUntold(t *testing.T) {
	first := script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1))
	foreign := func(id string) Script {
		return script(Expect("PSYNC", "id", "1028"), Send("+FULLRESYNC "+id+" 0\r\n"), Hang())
	}
	believed := func(id string) Script {
		return script(Expect("PSYNC", "id", "1028"), Send("+FULLRESYNC "+id+" 0\r\n"+framed(emptyRDB)+set2), Hang())
	}
	own := script(Expect("PSYNC", "id", "1028"), Send("+CONTINUE new\r\n"+set2), Hang())
	for _, c := range []struct {
		name    string
		scripts []Script
		took    time.Duration
		gaps    int64
	}{
		{"for a moment", []Script{foreign("x"), foreign("x"), own}, 10 * time.Second, 0},
		{"for good", []Script{foreign("x"), foreign("x"), foreign("x"), believed("x")}, 15 * time.Second, 1},
		{"another", []Script{foreign("x"), foreign("x"), foreign("y"), foreign("y"), foreign("y"), believed("y")}, 25 * time.Second, 1},
		{"of its own, without what comes next", []Script{believed("id")}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				f := followScripts(t, source.Config{ForeignWait: 15 * time.Second}, nil, append([]Script{first}, c.scripts...)...)
				f.commandWithin(time.Minute, "SET", "b", "2")
				if took := time.Since(began); took < c.took || took > c.took+time.Second {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if s := f.src.Status(); s.Gaps != c.gaps || s.Foreign != min(int64(c.took), 1) {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// TestYoungServer: a server that has less is believed at once if it ran before the
// link was lost, as a replica did that was promoted; else only once it has run for a
// while, since it may be a primary that came back with old data.
func TestYoungServer(t *testing.T) {
	told := "role:master\r\nmaster_replid:new\r\nmaster_replid2:id\r\nmaster_repl_offset:1010\r\nsecond_repl_offset:1001\r\n"
	bulk := func(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }
	for _, c := range []struct {
		uptime, waits int // in seconds
	}{{0, 15}, {2, 13}, {5, 0}, {100, 0}} {
		t.Run(fmt.Sprint(c.uptime), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				scripts := []Script{script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1))}
				for up := c.uptime; up <= c.uptime+c.waits; up++ {
					steps := []Step{Expect("INFO", "replication"), Send(bulk(told)), Expect("INFO", "server"), Send(bulk(fmt.Sprintf("uptime_in_seconds:%d\r\n", up)))}
					if up == c.uptime+c.waits {
						steps = append(steps, Expect("PSYNC", "new", "1001"), Send("+CONTINUE new\r\n"+set2))
					}
					scripts = append(scripts, script(append(steps, Hang())...))
				}
				f := followScripts(t, source.Config{ForeignWait: time.Minute}, nil, scripts...)
				f.commandWithin(time.Minute, "SET", "b", "2")
				if took, want := time.Since(began), time.Duration(c.waits)*time.Second; took < want || took > want+time.Second {
					t.Errorf("it took %v, want %v", took, want)
				}
				if s := f.src.Status(); s.Rewinds != 1 || s.Gaps != 0 {
					t.Errorf("status %+v", s)
				}
				if n := strings.Count(f.log.String(), "level=WARN"); n > 3 {
					t.Errorf("the wait is told %d times:\n%s", n, f.log)
				}
			})
		})
	}
}
