package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"triggerd/internal/redistest"
)

// endsAtOnce interrupts a process, which then has to end: within ten times what
// it allows itself.
func endsAtOnce(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(10 * endTime):
		p.cmd.Process.Kill()
		<-p.ended
		t.Error("it did not end at the first signal")
	}
}

// unread is how many bytes are in a pipe.
func unread(t *testing.T, pipe *os.File) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(pipe.Fd()), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// recorded writes a file of many commands.
func recorded(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&b, "*3\r\n$3\r\nSET\r\n$6\r\nk%05d\r\n$1\r\nx\r\n", i)
	}
	name := filepath.Join(dir, "recorded.resp")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// replay ends at the first signal, whatever it waits for.
func TestReplayEndsAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules.toml", "[[rule]]\nname = \"r\"\n[[rule.action]]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n")
	file := recorded(t, dir)
	t.Run("standard input that says nothing", func(t *testing.T) {
		cmd := command(t, dir, "replay", "--events", "-")
		in, feed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		defer in.Close()
		cmd.Stdin = in
		p, stdout, _ := startPiped(t, cmd)
		go io.Copy(io.Discard, stdout)
		io.WriteString(feed, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nx\r\n")
		for began := time.Now(); unread(t, in) > 0 && time.Since(began) < patience; {
			time.Sleep(10 * time.Millisecond)
		}
		endsAtOnce(t, p)
	})
	t.Run("standard output that nobody reads", func(t *testing.T) {
		p, stdout, _ := startPiped(t, command(t, dir, "replay", "--dry-run", file))
		if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		endsAtOnce(t, p)
	})
	t.Run("a receiver that is not there", func(t *testing.T) {
		p, stdout, _ := startPiped(t, command(t, dir, "replay", file))
		lines := bufio.NewReader(stdout)
		for range 9000 { // soon there are as many pending as may be
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		go io.Copy(io.Discard, lines)
		endsAtOnce(t, p)
	})
}

// listen ends at the first signal though nobody reads what it prints.
func TestListenEndsAtOnce(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	p, stdout, _ := startPiped(t, command(t, t.TempDir(), "listen", "redis://"+srv.Addr, "n:*"))
	p.logs.await(t, `msg="attached`, 1)
	value := strings.Repeat("x", 1000)
	for i := range 2000 {
		redistest.Do(t, srv, "SET", fmt.Sprint("n:", i), value)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	endsAtOnce(t, p)
}

// A daemon that is told to stop ends in time, though its reader is at a piece of
// work that takes long: the reader stops, and the next start begins there.
func TestStopsThoughBusy(t *testing.T) {
	members := []string{"SADD", "k"}
	for i := range 1_000_000 {
		members = append(members, fmt.Sprint("some member of it ", i))
	}
	slow := func(each string) string { return strings.Repeat(each+" || ", 45) + "false" }
	for _, tt := range []struct {
		name   string
		busy   string // the condition of the first rules
		then   string // that of the next
		before []string
		cmd    []string
		more   []string // what makes the command longer
	}{
		{name: "a condition", busy: slow(`any(args, # contains "never")`), then: `len(args) > 1000000`, cmd: members, more: members[2:]},
		{name: "a condition that is left to the machine", busy: slow(`any(args, # + "x" == "never")`), then: `len(args) > 1000000`, cmd: members, more: members[2:]},
		{
			name: "a command", busy: `size(after) == 1`, then: `event == "set" && after[0:0] == "" && size(after) == 1000001`,
			before: []string{"SETRANGE", "k", "1000000", "x"}, cmd: []string{"BITOP", "OR", "k"}, more: slices.Repeat([]string{"k"}, 300),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := tt.cmd
			for try := 1; ; try++ {
				cmd = append(slices.Clip(cmd), tt.more...)
				if stopsThoughBusy(t, tt.busy, tt.then, tt.before, cmd) {
					return
				}
				if try == 5 {
					t.Fatal("the command was handled before it was told to stop, each time")
				}
			}
		})
	}
}

// stopsThoughBusy tells a daemon to stop while it handles a command. It returns
// false if that was handled before.
func stopsThoughBusy(t *testing.T, busy, then string, before, cmd []string) bool {
	t.Helper()
	srv := redistest.Start(t, "redis-7.0", bigBacklog...)
	dir := t.TempDir()
	rules := func(rules string) {
		write(t, dir, "rules.toml", "[defaults]\nshutdown_timeout = '500ms'\n"+rules)
	}
	rule := func(name, when string) string {
		return fmt.Sprintf("[[rule]]\nname = '%s'\nkey = 'k'\nwhen = '%s'\n[[rule.action]]\ntype = 'log'\n", name, when)
	}
	rules(rule("slow", busy) + rule("early", then))
	p := start(t, dir, "--source", "redis://"+srv.Addr)
	p.logs.await(t, `msg="attached`, 1)
	if before != nil {
		redistest.Do(t, srv, before...)
	}
	redistest.Do(t, srv, cmd...)
	time.Sleep(200 * time.Millisecond) // the reader is at it
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.logs.await(t, "msg=stopping", 1)
	select {
	case <-p.ended:
	case <-time.After(10 * (500*time.Millisecond + endAfter)):
		p.cmd.Process.Kill()
		<-p.ended
		t.Error("it did not end")
	}
	if !strings.Contains(p.logs.String(), `msg="triggerd stopped"`) {
		t.Error("it was ended, and did not stop")
	}
	if strings.Contains(p.logs.String(), "condition failed") {
		t.Error("a condition that was given up counts as failed")
	}
	if strings.Contains(p.logs.String(), "rule=early") {
		return false
	}
	rules(rule("next", then))
	p = start(t, dir, "--source", "redis://"+srv.Addr)
	p.logs.await(t, "rule=next", 1)
	p.stop()
	return true
}
