package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"triggerd/internal/doctor"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// examine asks a server with the real program, as a user of triggerd's own, and
// returns the findings by ID.
func examine(t *testing.T, srv *servers.Server, flags ...string) (byID map[string]doctor.Finding, exit int) {
	t.Helper()
	redistest.Do(t, srv, "ACL", "SETUSER", "triggerd", "on", ">secret-word", "-@all", "+psync", "+replconf", "+ping", "+info", "+config|get", "+acl|whoami", "+pubsub")
	return examineAs(t, "redis://triggerd:secret-word@"+srv.Addr, flags...)
}

func examineAs(t *testing.T, url string, flags ...string) (byID map[string]doctor.Finding, exit int) {
	t.Helper()
	cmd := command(t, t.TempDir(), append([]string{"doctor", "--json", "--measure", "200ms", "--source", url}, flags...)...)
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	var r doctor.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	byID = map[string]doctor.Finding{}
	for _, f := range r.Findings {
		byID[f.ID] = f
	}
	return byID, cmd.ProcessState.ExitCode()
}

var doctorServers = []string{"redis-6.0", "redis-7.0", "redis-8.6", "valkey-9.1"}

// A stock server with enough backlog, a user for triggerd and one replica has
// nothing to mend.
func TestDoctorOfAHealthyServer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, doctorServers, func(t *testing.T, srv *servers.Server) {
		replica := redistest.Start(t, srv.Program.Name, "--replicaof", host(srv.Addr), port(srv.Addr))
		awaitReplica(t, replica)
		found, exit := examine(t, srv)
		for id, f := range found {
			if f.Severity == doctor.Warn || f.Severity == doctor.Error || f.Severity == doctor.Unknown {
				t.Errorf("%s: %+v", id, f)
			}
		}
		if exit != exitOK || len(found) != 13 {
			t.Errorf("exit %d, %d findings", exit, len(found))
		}
		if f := found["version"]; !strings.Contains(f.Figure, strings.Split(srv.Program.Name, "-")[0]) {
			t.Errorf("version: %+v", f)
		}
	}, "--repl-backlog-size", "256mb")
}

func host(addr string) string { h, _, _ := net.SplitHostPort(addr); return h }
func port(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

// awaitReplica waits until a replica has its primary's data.
func awaitReplica(t *testing.T, srv *servers.Server) {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		if strings.Contains(fmt.Sprint(redistest.Do(t, srv, "INFO", "replication")), "master_link_status:up") {
			return
		}
	}
	t.Fatal("the replica has no link")
}

// Each setting that is made wrong is found, by itself, with the command that
// mends it.
func TestDoctorFindsWrongSettings(t *testing.T) {
	t.Parallel()
	redistest.Each(t, doctorServers, func(t *testing.T, srv *servers.Server) {
		replica := redistest.Start(t, srv.Program.Name, "--replicaof", host(srv.Addr), port(srv.Addr))
		awaitReplica(t, replica)
		before := func() (settings []string) {
			for _, name := range []string{"repl-backlog-size", "repl-backlog-ttl", "client-output-buffer-limit", "min-replicas-to-write", "maxmemory", "maxmemory-policy", "lazyfree-lazy-expire", "repl-timeout", "repl-ping-replica-period", "notify-keyspace-events"} {
				value := redistest.Do(t, srv, "CONFIG", "GET", name).([]any)
				settings = append(settings, name, text(value[1]))
			}
			return settings
		}()
		restore := func() {
			for i := 0; i < len(before); i += 2 {
				redistest.Do(t, srv, "CONFIG", "SET", before[i], before[i+1])
			}
		}
		for _, tt := range []struct {
			id, name, value string
			severity        doctor.Severity
			figure, fix     string
		}{
			{"backlog", "repl-backlog-size", "100kb", doctor.Warn, "102.4 KB", "CONFIG SET repl-backlog-size 256mb"},
			{"output-buffer", "client-output-buffer-limit", "replica 1mb 512kb 10", doctor.Warn, "", "CONFIG SET client-output-buffer-limit"},
			{"output-buffer", "client-output-buffer-limit", "replica 0 0 0", doctor.Info, "no limit", ""},
			{"min-replicas", "min-replicas-to-write", "2", doctor.Warn, "1 of 2", "CONFIG SET min-replicas-to-write 1"},
			{"eviction", "maxmemory", "1mb", doctor.Warn, "", "maxmemory"},
			{"expiry-verb", "lazyfree-lazy-expire", "yes", doctor.Info, "UNLINK", ""},
			{"timeouts", "repl-ping-replica-period", "50", doctor.Warn, "50 s", "CONFIG SET repl-ping-replica-period 10"},
			{"timeouts", "repl-timeout", "3", doctor.Warn, "3 s", "CONFIG SET repl-timeout 60"},
			{"notify", "notify-keyspace-events", "KEA", doctor.Info, "", ""},
		} {
			redistest.Do(t, srv, "CONFIG", "SET", tt.name, tt.value)
			if tt.id == "eviction" {
				redistest.Do(t, srv, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
			}
			found, exit := examine(t, srv)
			f := found[tt.id]
			if f.Severity != tt.severity || !strings.Contains(f.Figure, tt.figure) || !strings.Contains(f.Fix, tt.fix) || f.Why == "" {
				t.Errorf("%s %s: %+v", tt.name, tt.value, f)
			}
			if want := map[bool]int{true: exitFailed, false: exitOK}[tt.severity == doctor.Warn]; exit != want {
				t.Errorf("%s %s: exit %d, want %d: %+v", tt.name, tt.value, exit, want, found)
			}
			restore()
		}
	}, "--repl-backlog-size", "256mb")
}

func text(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

// What has to do with who is asked, and as whom.
func TestDoctorOfOthers(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", "--repl-backlog-size", "256mb")
	t.Run("as default", func(t *testing.T) {
		found, exit := examineAs(t, "redis://"+srv.Addr)
		if f := found["user"]; f.Severity != doctor.Warn || f.Figure != "default" || exit != exitFailed {
			t.Errorf("exit %d, %+v", exit, f)
		}
	})
	t.Run("alone, with a backlog that is given up", func(t *testing.T) {
		redistest.Do(t, srv, "CONFIG", "SET", "repl-backlog-ttl", "60")
		defer redistest.Do(t, srv, "CONFIG", "SET", "repl-backlog-ttl", "3600")
		found, _ := examine(t, srv)
		if f := found["backlog-ttl"]; f.Severity != doctor.Warn || f.Figure != "60.0 s" {
			t.Errorf("%+v", f)
		}
	})
	t.Run("who may look at nothing", func(t *testing.T) {
		redistest.Do(t, srv, "ACL", "SETUSER", "blind", "on", ">secret-word", "-@all", "+info")
		found, exit := examineAs(t, "redis://blind:secret-word@"+srv.Addr)
		for _, id := range []string{"backlog-ttl", "output-buffer", "min-replicas", "user", "timeouts", "sentinel"} {
			if f := found[id]; f.Severity != doctor.Unknown {
				t.Errorf("%s: %+v", id, f)
			}
		}
		if exit != exitOK {
			t.Errorf("exit %d: %+v", exit, found)
		}
	})
	t.Run("who may not even INFO", func(t *testing.T) {
		redistest.Do(t, srv, "ACL", "SETUSER", "least", "on", ">secret-word", "-@all", "+psync", "+replconf", "+ping")
		redistest.Do(t, srv, "ACL", "SETUSER", "noinfo", "on", ">secret-word", "-@all", "+config|get")
		for user, known := range map[string][]string{"least": nil, "noinfo": {"min-replicas", "eviction", "expiry-verb", "timeouts", "notify"}} {
			found, exit := examineAs(t, "redis://"+user+":secret-word@"+srv.Addr)
			for id, f := range found {
				if (f.Severity != doctor.Unknown) != slices.Contains(known, id) {
					t.Errorf("%s: %+v", user, f)
				}
			}
			if exit != exitOK || len(found) != 13 {
				t.Errorf("%s: exit %d, %d findings", user, exit, len(found))
			}
		}
	})
	t.Run("a wrong password", func(t *testing.T) {
		found, exit := examineAs(t, "redis://blind:another-word@"+srv.Addr)
		if f := found["unreachable"]; f.Severity != doctor.Error || exit != exitFailed || !strings.Contains(f.Why, "WRONGPASS") || strings.Contains(f.Why, "another-word") || !strings.Contains(f.Fix, `password of user "blind"`) {
			t.Errorf("exit %d, %+v", exit, f)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		found, exit := examineAs(t, "redis://127.0.0.1:1")
		if f := found["unreachable"]; f.Severity != doctor.Error || exit != exitFailed || len(found) != 1 {
			t.Errorf("exit %d, %+v", exit, found)
		}
	})
	t.Run("no Sentinel", func(t *testing.T) {
		found, exit := examineAs(t, "redis+sentinel://127.0.0.1:1/main")
		if f := found["unreachable"]; exit != exitFailed || !strings.Contains(f.Fix, "name Sentinels that answer") {
			t.Errorf("exit %d, %+v", exit, found)
		}
	})
	t.Run("watched by a Sentinel", func(t *testing.T) {
		c := redistest.Dial(t, srv)
		if _, err := c.Do("SUBSCRIBE", "__sentinel__:hello"); err != nil {
			t.Fatal(err)
		}
		found, _ := examine(t, srv)
		if f := found["sentinel"]; f.Severity != doctor.Warn || f.Figure != "1" {
			t.Errorf("%+v", f)
		}
	})
	t.Run("a shard", func(t *testing.T) {
		shard := redistest.Start(t, "redis-7.0", "--cluster-enabled", "yes")
		found, _ := examine(t, shard)
		if f := found["cluster"]; f.Severity != doctor.Info {
			t.Errorf("%+v", f)
		}
	})
	t.Run("a replica that lost its primary", func(t *testing.T) {
		lost := redistest.Start(t, "redis-7.0", "--replicaof", "127.0.0.1", "1")
		found, exit := examineAs(t, "redis://"+lost.Addr)
		if f := found["version"]; f.Severity != doctor.Error || exit != exitFailed {
			t.Errorf("exit %d, %+v", exit, f)
		}
	})
}

// The outage that the backlog survives is what it is said to be: half of it
// resumes, and twice of it does not.
func TestDoctorBacklogIsTrue(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0", "--repl-backlog-size", "2mb")
	ctx, stop := context.WithCancel(t.Context())
	writes := make(chan struct{})
	go func() {
		defer close(writes)
		c, err := servers.Dial(context.Background(), srv.Socket)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		value := strings.Repeat("x", 10_000)
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C { // 500 KB/s
			if _, err := c.Do("SET", "k", value); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	defer func() {
		stop()
		<-writes
	}()
	psync(t, srv.Addr, "?", -1) // or there is no stream yet
	before, began := masterOffset(t, srv), time.Now()
	found, _ := examine(t, srv, "--measure", "1s")
	written, took := float64(masterOffset(t, srv)-before), time.Since(began).Seconds()
	said, err := strconv.ParseFloat(strings.TrimSuffix(found["backlog"].Figure, " s"), 64)
	if err != nil || found["backlog"].Severity != doctor.Warn {
		t.Fatalf("%+v", found["backlog"])
	}
	var rate float64 // bytes a second
	if _, err := fmt.Sscanf(after(found["backlog"].Why, ", and "), "%f KB/s", &rate); err != nil {
		t.Fatalf("%v: %+v", err, found["backlog"])
	}
	// A busy machine writes at another rate from second to second.
	if rate *= 1000; rate > 1.1*written || rate < written/took/4 {
		t.Errorf("%.0f bytes/s are said to be written, and %.0f were in %.2f s", rate, written, took)
	}
	words := strings.Fields(psync(t, srv.Addr, "?", -1))
	if len(words) != 3 {
		t.Fatalf("answer %q", words)
	}
	offset, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// The outage is as long as it takes to write so much.
	for part, want := range []string{"", "+CONTINUE", "", "", "+FULLRESYNC"} { // halves of what was said
		if want == "" {
			continue
		}
		end := offset + int64(said*rate*float64(part)/2)
		for limit := time.Now().Add(patience); masterOffset(t, srv) < end; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatal("too little is written")
			}
		}
		if got := psync(t, srv.Addr, words[1], offset+1); !strings.HasPrefix(got, want) {
			t.Errorf("after %d halves of %.2f s at %.0f bytes/s: %q, want %s", part, said, rate, got, want)
		}
	}
}

// psync asks a server for its stream behind an offset, and returns the answer.
func psync(t *testing.T, addr, replID string, offset int64) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "PSYNC %s %d\r\n", replID, offset)
	line, err := bufio.NewReader(conn).ReadString('\n')
	for ; err == nil && strings.TrimSpace(line) == ""; line, err = bufio.NewReader(conn).ReadString('\n') {
	}
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}
