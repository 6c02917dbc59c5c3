package source_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// loggedPauses returns the pauses between attempts, as the log has them.
func loggedPauses(t *testing.T, log string) []time.Duration {
	t.Helper()
	var all []time.Duration
	for _, m := range regexp.MustCompile(`pause=(\S+)`).FindAllStringSubmatch(log, -1) {
		pause, err := time.ParseDuration(m[1])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, pause)
	}
	return all
}

// TestComesBackSoon loses a server soon after the full resync, finds it gone for
// many attempts, and loses it again: no pause is long, though any could be.
func TestComesBackSoon(t *testing.T) {
	Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		const least = 10 * time.Millisecond
		p := StartProxy(t, srv.Addr)
		f := follow(t, source.Config{URL: "redis://" + p.Addr, MinBackoff: least, MaxBackoff: time.Hour}, source.Position{})
		f.attached(1)
		p.Refuse()
		p.Cut()
		f.status("twelve refused connections", func(source.Status) bool {
			return strings.Count(f.log.String(), "connection refused") >= 12
		})
		p.Admit()
		f.attached(2)
		Do(t, srv, "SET", "a", "1")
		f.command("SET", "a", "1")
		before := len(loggedPauses(t, f.log.String()))
		p.Cut()
		f.attached(3)
		all := loggedPauses(t, f.log.String())
		for i, pause := range all {
			if pause > 2*time.Second || (i == 0 || i >= before) && pause > least {
				t.Errorf("pause %d of %d was %v; log:\n%s", i, len(all), pause, f.log)
			}
		}
		if s := f.src.Status(); s.FullResyncs != 1 || s.Gaps != 0 {
			t.Errorf("status %+v", s)
		}
		if n := strings.Count(f.log.String(), "asking for a full resync"); n != 1 {
			t.Errorf("a full resync is announced %d times, want 1; log:\n%s", n, f.log)
		}
	})
}

// TestServerWithoutReplconf: such a server takes an acknowledgement for an error,
// and without one it ends the link now and then.
func TestServerWithoutReplconf(t *testing.T) {
	Each(t, []string{"redis-6.0", "redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		f := follow(t, source.Config{URL: url(srv), Ack: source.AckReceived}, source.Position{}, wantsKeys)
		f.attached(1)
		Do(t, srv, "SET", "before", "1")
		f.command("SET", "before", "1")
		f.attached(3)
		Do(t, srv, "SET", "after", "1")
		f.command("SET", "after", "1")
		if s := f.src.Status(); s.FullResyncs != 1 || s.Gaps != 0 || s.ProtocolErrors != 0 || len(f.all(source.Command)) != 2 {
			t.Errorf("status %+v, commands %v", s, f.all(source.Command))
		}
		for text, want := range map[string]int{"has no REPLCONF": 1, "level=WARN": 2, "asking for a full resync": 1} {
			if n := strings.Count(f.log.String(), text); n != want {
				t.Errorf("%q is in the log %d times, want %d:\n%s", text, n, want, f.log)
			}
		}
	}, "--rename-command", "REPLCONF", "", "--repl-timeout", "2", "--repl-ping-replica-period", "1")
}

// TestAskedAheadOfWhatCanBeRead: the link was lost behind bytes that turn out to
// be unreadable. The server has what comes before them, so it is asked for that.
func TestAskedAheadOfWhatCanBeRead(t *testing.T) {
	t.Parallel()
	const junk = "-ERR no command\r\n" // 17 bytes
	asked := make(chan struct{})
	p := StartPrimary(t,
		script(Expect("PSYNC", "?", "-1"), Send("+FULLRESYNC id 1000\r\n"+framed(emptyRDB)+set1+junk)),
		script(Expect("PSYNC", "id", "1045"), signal(asked), Send("+FULLRESYNC id 1027\r\n"+framed(emptyRDB)), Hang()),
		script(Expect("PSYNC", "id", "1028"), Send("+CONTINUE\r\n"+set2), Hang()))
	src, err := source.NewReplica(source.Config{URL: "redis://" + p.Addr, MinBackoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	last := ""
	for rec, err := range src.Records(ctx, source.Position{}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind != source.Command {
			continue
		}
		if last = string(rec.Args[1]); last == "b" {
			break
		}
		<-asked
	}
	if s := src.Status(); last != "b" || s.Gaps != 0 || s.FullResyncs != 1 {
		t.Errorf("the last key is %q; status %+v", last, s)
	}
}

// TestWhyChangesWereMissed looks at what the log says of a gap.
func TestWhyChangesWereMissed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		next         Script // before the snapshot
		want         string
	}{
		{"the server is ahead", "+FULLRESYNC id 5000\r\n", nil, "the server no longer had"},
		{"another history", "+FULLRESYNC other 500\r\n", nil, "history is another one"},
		{"the server is behind", "+FULLRESYNC id 500\r\n", nil, "it went back"},
		{"SYNC", "-ERR unknown command 'PSYNC'\r\n", Script{Expect("SYNC")}, "with SYNC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			steps := slices.Concat(Script{Expect("PSYNC", "id", "1001"), Send(c.answer)}, c.next, Script{Send(framed(emptyRDB)), Hang()})
			p := StartPrimary(t, script(steps...))
			f := follow(t, source.Config{URL: "redis://" + p.Addr}, source.Position{ReplID: "id", Offset: 1000})
			f.attached(1)
			if log := f.log.String(); !strings.Contains(log, c.want) || strings.Count(log, "changes were missed")+strings.Count(log, "may have been missed") != 1 {
				t.Errorf("want %q; log:\n%s", c.want, log)
			}
			if strings.Contains(f.log.String(), "asking for a full resync") {
				t.Errorf("none was asked for; log:\n%s", f.log)
			}
		})
	}
}
