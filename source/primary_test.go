package source_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "triggerd/internal/redistest"
	"triggerd/internal/resp"
	"triggerd/source"
)

const emptyRDB = "REDIS0009\xff\x00\x00\x00\x00\x00\x00\x00\x00"

// script returns steps after those of a handshake that goes well, up to PSYNC.
func script(steps ...Step) Script { return slices.Concat(greeting, withoutKeys, steps) }

// acknowledging is script for the policies that acknowledge something, which
// tell a version.
func acknowledging(steps ...Step) Script { return slices.Concat(greeting, version, withoutKeys, steps) }

// wantingKeys is script for one that wants a snapshot's keys.
func wantingKeys(steps ...Step) Script { return slices.Concat(greeting, version, steps) }

var (
	greeting = Script{
		Expect("PING"), Send("+PONG\r\n"),
		Expect("REPLCONF", "listening-port", "*"), Send("+OK\r\n"),
		Expect("REPLCONF", "capa", "eof", "capa", "psync2"), Send("+OK\r\n"),
	}
	version     = Script{Expect("REPLCONF", "version", "*"), Send("-ERR Unrecognized REPLCONF option: version\r\n")}
	withoutKeys = Script{Expect("REPLCONF", "rdb-filter-only", ""), Send("+OK\r\n")}
)

func framed(rdb string) string { return fmt.Sprintf("$%d\r\n%s", len(rdb), rdb) }

func command(args ...string) string { return string(resp.AppendCommand(nil, args...)) }

var set1, set2 = command("SET", "a", "1"), command("SET", "b", "2") // 27 bytes each

func TestRefusals(t *testing.T) {
	const (
		noperm = "-NOPERM this user has no permissions to run the '%s' command\r\n"
		user   = "triggerd:hunter2@"
	)
	for _, c := range []struct {
		name, user string
		script     Script
		want       []string
	}{
		{"NOAUTH", "", Script{Expect("PING"), Send("-NOAUTH Authentication required.\r\n")},
			[]string{`PING: server said "NOAUTH Authentication required."`, "put it in the source URL"}},
		{"WRONGPASS", user, Script{Expect("PING"), Send("-NOAUTH Authentication required.\r\n"),
			Expect("AUTH", "triggerd", "hunter2"), Send("-WRONGPASS invalid username-password pair or user is disabled.\r\n")},
			[]string{"AUTH: ", `the password of user "triggerd" in the source URL is wrong`}},
		{"invalid password, old server", ":hunter2@", Script{Expect("PING"), Send("-NOAUTH Authentication required.\r\n"),
			Expect("AUTH", "hunter2"), Send("-ERR invalid password\r\n")},
			[]string{`the password of user "default" in the source URL is wrong`}},
		{"no password configured", ":hunter2@", Script{Expect("PING"), Send("+PONG\r\n"),
			Expect("AUTH", "hunter2"), Send("-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n")},
			[]string{"the server has no password: take it out"}},
		{"no password set, old server", ":hunter2@", Script{Expect("PING"), Send("+PONG\r\n"),
			Expect("AUTH", "hunter2"), Send("-ERR Client sent AUTH, but no password is set\r\n")},
			[]string{"the server has no password: take it out"}},
		{"AUTH repeated", user, Script{Expect("PING"), Send("+PONG\r\n"),
			Expect("AUTH", "triggerd", "hunter2"), Send("-ERR unknown command `AUTH`, with args beginning with: `triggerd`, `hunter2`, \r\n")},
			[]string{"AUTH: server said \"ERR unknown command `AUTH`\""}},
		{"AUTH repeated in other words", user, Script{Expect("PING"), Send("+PONG\r\n"),
			Expect("AUTH", "triggerd", "hunter2"), Send("-ERR do not know hunter2\r\n")},
			[]string{`server said "ERR do not know ***"`}},
		{"REPLCONF not allowed", user, Script{Expect("PING"), Send("+PONG\r\n"), Expect("AUTH", "*", "*"), Send("+OK\r\n"),
			Expect("REPLCONF", "..."), Send(fmt.Sprintf(noperm, "replconf"))},
			[]string{"REPLCONF listening-port: ", "ACL SETUSER triggerd on +psync +replconf +ping"}},
		{"PSYNC not allowed", "", script(Expect("PSYNC", "?", "-1"), Send(fmt.Sprintf(noperm, "psync"))),
			[]string{"PSYNC: ", "ACL SETUSER triggerd on >PASSWORD +psync +replconf +ping"}},
		{"PSYNC unknown, SYNC not allowed", "", script(Expect("PSYNC", "?", "-1"), Send("-ERR unknown command 'PSYNC'\r\n"),
			Expect("SYNC"), Send(fmt.Sprintf(noperm, "sync"))),
			[]string{"SYNC: ", "+psync +sync +replconf +ping"}},
		{"PSYNC and SYNC unknown", "", script(Expect("PSYNC", "?", "-1"), Send("-ERR unknown command 'PSYNC'\r\n"),
			Expect("SYNC"), Send("-ERR unknown command `SYNC`, with args beginning with: \r\n")),
			[]string{"SYNC: ", "as most hosted services do", "psync_command in [source]"}},
		{"error in place of a snapshot", "", script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1\r\n-ERR BGSAVE failed, replication can't continue\r\n$3\r\nabc")),
			[]string{`PSYNC: server said "ERR BGSAVE failed, replication can't continue"`}},
		{"protected mode", "", Script{Send("-DENIED Redis is running in protected mode because ...\r\n"), Expect("PING")},
			[]string{"protected mode: set a password"}},
		{"HTTP", "", Script{Expect("PING"), Send("HTTP/1.1 400 Bad Request\r\n\r\n")}, []string{"this is an HTTP server"}},
		{"SMTP", "", Script{Send("220 mail.example.com ESMTP\r\n"), Expect("PING")}, []string{"is this a Redis or Valkey server?"}},
		{"TLS alert with a line's end", "", Script{Expect("PING"), Send("\x15\x03\x01\x00\x02\x02\n")}, []string{"use rediss://"}},
		{"TLS alert", "", Script{Expect("PING"), Send("\x15\x03\x01\x00\x02\x02\x46")}, []string{"if the port speaks TLS, use rediss://"}},
		{"hangs up", "", Script{Expect("PING")}, []string{"server closed the connection", "use rediss://"}},
		{"resets", "", Script{Expect("PING"), Reset()}, []string{"server closed the connection", "use rediss://"}},
		{"hangs up later", "", script(Expect("PSYNC", "?", "-1")), []string{"PSYNC: EOF"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := StartPrimary(t, c.script)
			f := follow(t, source.Config{URL: "redis://" + c.user + p.Addr, FailFirst: true}, source.Position{})
			err := f.ended()
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
			if all := err.Error() + f.log.String() + fmt.Sprintf("%+v", f.src.Status()); strings.Contains(all, "hunter2") {
				t.Errorf("the password is told: %s", all)
			}
			if got := f.src.Status().State; got != source.Stopped {
				t.Errorf("state %s", got)
			}
		})
	}
}

// TestPassingRefusals makes sure that what ends by itself is waited for, even
// by those who want to know of a failure at once.
func TestPassingRefusals(t *testing.T) {
	good := script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1), Hang())
	for _, c := range []struct {
		name string
		bad  Script
		want string
	}{
		{"LOADING", Script{Expect("PING"), Send("-LOADING Redis is loading the dataset in memory\r\n")}, "until it is done"},
		{"MASTERDOWN", Script{Expect("PING"), Send("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n")}, "lost its own primary"},
		{"BUSY", Script{Expect("PING"), Send("-BUSY Redis is busy running a script.\r\n")}, "busy with a script"},
		{"NOMASTERLINK", script(Expect("PSYNC", "?", "-1"), Send("-NOMASTERLINK Can't SYNC while not connected with my master\r\n")), "lost its own primary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := StartPrimary(t, c.bad, c.bad, good)
			f := follow(t, source.Config{URL: "redis://" + p.Addr, FailFirst: true}, source.Position{})
			f.command("SET", "a", "1")
			if got := strings.Count(f.log.String(), "level=WARN"); got != 1 || !strings.Contains(f.log.String(), c.want) {
				t.Errorf("got %d warnings, want one for two attempts; log:\n%s", got, f.log)
			}
			if s := f.src.Status(); s.LastError != "" || s.Connects != 1 { // which was told before the command was handed out
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestOldServers plays servers that do not know what newer ones do.
func TestOldServers(t *testing.T) {
	t.Run("no REPLCONF, no PSYNC", func(t *testing.T) {
		t.Parallel()
		const unknown = "-ERR unknown command\r\n"
		p := StartPrimary(t, Script{
			Expect("PING"), Send("+PONG\r\n"), Expect("REPLCONF", "..."), Send(unknown), Expect("PSYNC", "?", "-1"), Send(unknown),
			Expect("SYNC"), Send("\n\n" + framed(emptyRDB) + set1), Hang()})
		f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
		if r := f.command("SET", "a", "1"); !r.Pos.IsZero() {
			t.Errorf("a position that cannot be resumed at: %v", r)
		}
	})
	t.Run("PING not allowed", func(t *testing.T) {
		t.Parallel()
		s := script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1), Hang())
		s[1] = Send("-NOPERM this user has no permissions to run the 'ping' command\r\n")
		p := StartPrimary(t, s)
		follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{}).command("SET", "a", "1")
	})
	t.Run("renamed PSYNC that is taken for SYNC", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, script(Expect("secret-psync", "?", "-1"), Send("\n"+framed(emptyRDB)+set1), Hang()))
		f := follow(t, source.Config{URL: "redis://" + p.Addr, PsyncCommand: "secret-psync"}, source.Position{})
		if r := f.command("SET", "a", "1"); !r.Pos.IsZero() {
			t.Errorf("a position that cannot be resumed at: %v", r)
		}
		if !strings.Contains(f.log.String(), "only SYNC") {
			t.Errorf("the log does not warn:\n%s", f.log)
		}
	})
	t.Run("renamed PSYNC", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, script(Expect("secret-psync", "?", "-1"), Send("+FULLRESYNC id 1000 7 applied_info{} 0\r\n"+framed(emptyRDB)+set1), Hang()))
		follow(t, source.Config{URL: "redis://" + p.Addr, PsyncCommand: "secret-psync"}, source.Position{}).command("SET", "a", "1")
	})
}

// TestSilence makes sure that a server which says nothing more is noticed at
// each place, after a minute.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent Script
		want   string
	}{
		{"at first", Script{Expect("PING"), Hang()}, "PING: nothing received for"},
		{"after PSYNC", script(Expect("PSYNC", "?", "-1"), Hang()), "PSYNC: nothing received for"},
		{"before the snapshot", script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"), Hang()), "wait for the snapshot: nothing received for"},
		{"in the snapshot", script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)[:12]), Hang()), "read the snapshot: nothing received for"},
		{"in the stream", script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1[:5]), Hang()), "read the stream: nothing received for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := script(Expect("PSYNC", "*", "*"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set2), Hang())
				began := time.Now()
				f := followScripts(t, source.Config{}, nil, c.silent, good)
				f.commandWithin(2*time.Minute, "SET", "b", "2")
				if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
					t.Errorf("it took %v", took)
				}
				if !strings.Contains(f.log.String(), c.want+" 1m0s") {
					t.Errorf("want %q in the log:\n%s", c.want, f.log)
				}
			})
		})
	}
}

// TestSlowServerIsNotSilent keeps a server busy for longer than the timeout,
// with a newline now and then.
func TestSlowServerIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []Step{Expect("PSYNC", "?", "-1")}
		for _, line := range []string{"+FULLRESYNC id 1000\r\n", framed(emptyRDB)} {
			for range 8 {
				steps = append(steps, Send("\n"), hold(9*time.Second))
			}
			steps = append(steps, Send(line))
		}
		f := followScripts(t, source.Config{Timeout: time.Minute}, nil, script(append(steps, Send(set1), Hang())...))
		if r := f.commandWithin(5*time.Minute, "SET", "a", "1"); r.Offset != 1027 {
			t.Errorf("newlines were counted: %v", r)
		}
		if s := f.src.Status(); s.Connects != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestNoBusyLoop counts attempts against a server that is not there.
func TestNoBusyLoop(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.sock")
	synctest.Test(t, func(t *testing.T) {
		f := follow(t, source.Config{URL: "unix://" + missing, MinBackoff: 100 * time.Millisecond, MaxBackoff: 15 * time.Second}, source.Position{})
		time.Sleep(10 * time.Minute) // of the bubble's time
		f.stop()
		// One about each second. The log says each, the first as a warning.
		n := strings.Count(f.log.String(), "not attached to the server")
		if n < 400 || n > 1200 {
			t.Errorf("got %d attempts in ten minutes", n)
		}
		if n := strings.Count(f.log.String(), "level=WARN"); n != 1 {
			t.Errorf("got %d warnings of the same, want 1", n)
		}
	})
}

// TestFullResyncsAreNotAskedForAgainAndAgain plays a server that is always cut
// after a full resync: each costs it a fork, so there must be a backoff.
func TestFullResyncsAreNotAskedForAgainAndAgain(t *testing.T) {
	t.Parallel()
	const attempts, unit = 8, 10 * time.Millisecond
	var scripts []Script
	for i := range attempts {
		scripts = append(scripts, script(Expect("PSYNC", "*", "*"), Send(fmt.Sprintf("+FULLRESYNC id %d\r\n", 1000*(i+1))+framed(emptyRDB)+set1)))
	}
	p := StartPrimary(t, scripts...)
	f := follow(t, source.Config{URL: "redis://" + p.Addr, MinBackoff: unit, MaxBackoff: time.Hour}, source.Position{})
	f.status("all full resyncs", func(s source.Status) bool { return s.FullResyncs == attempts })
	p.Wait()
	// Of seven pauses, random parts of 1, 2, 4, ... units, one is over a unit,
	// but for once in two million.
	longest := slices.Max(loggedPauses(t, f.log.String()))
	if longest <= unit {
		t.Errorf("the longest pause was %v; log:\n%s", longest, f.log)
	}
}

// TestWrongByte plays a stream that cannot be read behind a certain byte, as
// long as it is asked for.
func TestWrongByte(t *testing.T) {
	t.Parallel()
	first := script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1+"*x\r\n"), Hang())
	again := script(Expect("PSYNC", "id", "1028"), Send("+CONTINUE\r\n*x\r\n"), Hang())
	fresh := script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 2000\r\n"+framed(emptyRDB)+set2), Hang())
	p := StartPrimary(t, first, again, again, again, again, fresh)
	f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
	if r := f.command("SET", "a", "1"); r.Pos != (source.Position{ReplID: "id", Offset: 1027}) {
		t.Errorf("got %v", r)
	}
	gap := f.next("a gap", func(r record) bool { return r.Kind == source.SnapshotEnd && r.Gap })
	if want := (source.Position{ReplID: "id", Offset: 1027}); gap.From != want {
		t.Errorf("gap from %v, want %v", gap.From, want)
	}
	if want := (source.Position{ReplID: "id", Offset: 2000}); gap.Pos != want {
		t.Errorf("gap to %v, want %v", gap.Pos, want)
	}
	f.command("SET", "b", "2")
	s := f.src.Status()
	if s.ProtocolErrors != 5 || s.Gaps != 1 || s.FullResyncs != 2 || s.PartialResyncs != 4 {
		t.Errorf("status %+v", s)
	}
	if !strings.Contains(f.log.String(), "protocol error at byte 1028") {
		t.Errorf("the log does not say where:\n%s", f.log)
	}
	for text, want := range map[string]int{"level=WARN": 1, "asking for a full resync": 2, "could not be read: changes were missed": 1, "no longer had": 0} {
		if n := strings.Count(f.log.String(), text); n != want {
			t.Errorf("%q is in the log %d times, want %d:\n%s", text, n, want, f.log)
		}
	}
}

// TestWrongByteOnce makes sure that what went wrong on the way is asked for
// again, and no more than that.
func TestWrongByteOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, wrong string }{
		{"length", "*3\r\n$3\r\nSET\r\n$x"},
		{"array", "\xd53\r\n$3\r\nSET\r\n"},
		{"error line", "-NOPERM this user has no permissions to run the 'replconf' command\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := StartPrimary(t,
				script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1+c.wrong), Hang()),
				script(Expect("PSYNC", "id", "1028"), Send("+CONTINUE\r\n"+set2), Hang()))
			f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
			if r := f.command("SET", "b", "2"); r.Offset != 1054 {
				t.Errorf("got %v", r)
			}
			if n := len(f.all(source.Command)); n != 2 {
				t.Errorf("got %d commands, want 2", n)
			}
		})
	}
}

// TestCutAnywhere cuts the link inside a command and inside a transaction, also
// where the history gets another name meanwhile: what was received is not asked
// for again, and nothing of a transaction is handed out before it is whole.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	stream := set1 + command("MULTI") + set2 + set1 + command("EXEC")
	for cut := 0; cut <= len(stream); cut += 5 {
		for _, name := range []string{"", " other"} {
			t.Run(fmt.Sprintf("at %d%s", cut, name), func(t *testing.T) {
				t.Parallel()
				id := strings.TrimSpace(name)
				if id == "" {
					id = "id"
				}
				p := StartPrimary(t,
					script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+stream[:cut])),
					script(Expect("PSYNC", "id", fmt.Sprint(1001+cut)), Send("+CONTINUE"+name+"\r\n"+stream[cut:]+set2), Hang()))
				f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
				last := f.command("SET", "b", "2")
				for last.Tx.Index > 0 {
					last = f.command("SET", "b", "2")
				}
				cmds := f.all(source.Command)
				if len(cmds) != 4 || cmds[1].Tx.Index != 1 || cmds[2].Tx.Size != 2 || cmds[1].Tx.ID[max(0, len(cmds[1].Tx.ID)-5):] != ":1027" {
					t.Errorf("got %v", cmds)
				}
				if want := (source.Position{ReplID: id, Offset: int64(1000 + len(stream) + 27)}); last.Pos != want {
					t.Errorf("got %v, want it at %v", last, want)
				}
				for _, r := range f.all(source.Heartbeat) {
					if r.ReplID == "other" && (r.Pos.ReplID != "other" || r.Pos.Offset > int64(1000+cut)) {
						t.Errorf("another name: %v", r)
					}
				}
			})
		}
	}
}

// TestNewNameOfHistory plays a failover: the position goes on under a new ID,
// and that is the one to resume with.
func TestNewNameOfHistory(t *testing.T) {
	t.Parallel()
	from := source.Position{ReplID: "old", Offset: 1000, DB: 7}
	p := StartPrimary(t,
		script(Expect("PSYNC", "old", "1001"), Send("+CONTINUE new\r\n")),
		script(Expect("PSYNC", "new", "1001"), Send("+CONTINUE\r\n"+set1), Hang()))
	f := follow(t, source.Config{URL: "redis://" + p.Addr}, from)
	if r := f.kind(source.Heartbeat); r.Pos != (source.Position{ReplID: "new", Offset: 1000, DB: 7}) {
		t.Errorf("got %v", r)
	}
	if r := f.command("SET", "a", "1"); r.DB != 7 || r.Pos != (source.Position{ReplID: "new", Offset: 1027, DB: 7}) {
		t.Errorf("got %v", r)
	}
}

// TestAcks looks at what is acknowledged, byte for byte.
func TestAcks(t *testing.T) {
	getack := command("REPLCONF", "GETACK", "*") // 37 bytes
	attach := func(steps ...Step) []Step {
		return append([]Step{Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n" + framed(emptyRDB))}, steps...)
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, script(attach(ExpectAck(0), Send(set1+getack), ExpectAck(0), ExpectAck(0), Hang())...))
		f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
		f.src.Ack(f.command("SET", "a", "1").Pos)
		p.Wait()
	})
	t.Run("received", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, acknowledging(attach(ExpectAck(1000), Send(set1+getack), ExpectAck(1064), Hang())...))
		follow(t, source.Config{URL: "redis://" + p.Addr, Ack: source.AckReceived}, source.Position{})
		p.Wait()
	})
	t.Run("durable", func(t *testing.T) {
		t.Parallel()
		fack := func(n string) Step { return Expect("REPLCONF", "ACK", n, "FACK", n) }
		sent, done := make(chan struct{}), make(chan struct{})
		p := StartPrimary(t, acknowledging(attach(fack("1000"), Send(set1+getack), fack("1000"), fack("1000"), signal(sent), await(done), fack("1027"), fack("1027"), Hang())...))
		f := follow(t, source.Config{URL: "redis://" + p.Addr, Ack: source.AckDurable}, source.Position{})
		f.src.Ack(f.kind(source.SnapshotEnd).Pos)
		pos := f.command("SET", "a", "1").Pos
		<-sent
		f.src.Ack(source.Position{ReplID: "other", Offset: 5000})
		f.src.Ack(pos)
		f.src.Ack(source.Position{ReplID: "id", Offset: 1000}) // late
		close(done)
		p.Wait()
	})
	t.Run("durable at once", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, acknowledging(attach(Expect("REPLCONF", "ACK", "1000", "FACK", "1000"), Send(set1), ExpectAck(1027))...))
		src, err := source.NewReplica(source.Config{URL: "redis://" + p.Addr, Ack: source.AckDurable, MinBackoff: time.Hour, MaxBackoff: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { p.Wait(); cancel() }()
		for rec, err := range src.Records(ctx, source.Position{}, nil) {
			if err != nil {
				t.Fatal(err)
			}
			src.Ack(rec.Pos) // as the example of the package does
		}
	})
	t.Run("what Records starts from is durable", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, acknowledging(Expect("PSYNC", "id", "1001"), Send("+CONTINUE\r\n"), Expect("REPLCONF", "ACK", "1000", "FACK", "1000"), Hang()))
		follow(t, source.Config{URL: "redis://" + p.Addr, Ack: source.AckDurable}, source.Position{ReplID: "id", Offset: 1000})
		p.Wait()
	})
	t.Run("another history is not", func(t *testing.T) {
		t.Parallel()
		p := StartPrimary(t, acknowledging(Expect("PSYNC", "id", "1001"), Send("+FULLRESYNC id2 500\r\n"+framed(emptyRDB)), Expect("REPLCONF", "ACK", "0", "FACK", "0"), Hang()))
		follow(t, source.Config{URL: "redis://" + p.Addr, Ack: source.AckDurable}, source.Position{ReplID: "id", Offset: 1000})
		p.Wait()
	})
	t.Run("by a SYNC of unknown length", func(t *testing.T) {
		t.Parallel()
		mark := strings.Repeat("m", 40)
		p := StartPrimary(t, script(Expect("PSYNC", "?", "-1"), Send("-ERR unknown command 'PSYNC'\r\n"), Expect("SYNC"),
			Send("$EOF:"+mark+"\r\n"+emptyRDB+mark), ExpectAck(0), Send(set1), Hang()))
		follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{}).command("SET", "a", "1")
	})
}

// TestStopping makes sure that Records ends soon wherever it is.
func TestStopping(t *testing.T) {
	for _, c := range []struct {
		name   string
		script Script
	}{
		{"handshake", Script{Expect("PING"), Hang()}},
		{"snapshot", script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)[:12]), Hang())},
		{"stream", script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)), Hang())},
	} {
		t.Run("cancel in "+c.name, func(t *testing.T) {
			t.Parallel()
			p := StartPrimary(t, c.script)
			f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{})
			p.Wait()
			f.stop()
			if err := f.ended(); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("break", func(t *testing.T) {
		t.Parallel()
		for _, at := range []source.Kind{source.SnapshotBegin, source.Key, source.SnapshotEnd, source.Command} {
			rdb := strings.Replace(emptyRDB, "\xff", "\x00\x01a\x011\xff", 1)
			p := StartPrimary(t, wantingKeys(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(rdb)+set1)))
			src, err := source.NewReplica(source.Config{URL: "redis://" + p.Addr})
			if err != nil {
				t.Fatal(err)
			}
			got := source.Kind(0)
			for rec, err := range src.Records(t.Context(), source.Position{}, wantsKeys) {
				if err != nil {
					t.Fatal(err)
				}
				if got = rec.Kind; got == at {
					break
				}
			}
			if got != at || src.Status().State != source.Stopped {
				t.Errorf("ended at %d, want %d; status %+v", got, at, src.Status())
			}
		}
	})
}

func TestFailFirstOfRefusedConnection(t *testing.T) {
	f := follow(t, source.Config{URL: "redis://" + UnusedAddr(t), FailFirst: true}, source.Position{})
	if err := f.ended(); err == nil || !strings.Contains(err.Error(), "connect: ") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	var refused *source.ServerError
	if errors.As(f.ended(), &refused) {
		t.Error("a refused connection is a *ServerError")
	}
}
