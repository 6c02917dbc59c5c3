package sentinel

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answering returns a Sentinel that says the same to whatever comes.
func answering(t *testing.T, addr string, answers ...string) Sentinel {
	t.Helper()
	return Sentinel{Addr: addr, Dial: func(context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			buf := make([]byte, 4096)
			for _, a := range answers {
				if _, err := there.Read(buf); err != nil {
					return
				}
				if _, err := there.Write([]byte(a)); err != nil {
					return
				}
			}
			_, _ = there.Read(buf) // until the other side closes
		}()
		return here, nil
	}}
}

func list(words ...string) string {
	var b strings.Builder
	b.WriteString("*" + itoa(len(words)) + "\r\n")
	for _, w := range words {
		b.WriteString("$" + itoa(len(w)) + "\r\n" + w + "\r\n")
	}
	return b.String()
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func primary(host, port, epoch string) string {
	return list("name", "m", "ip", host, "port", port, "flags", "master", "config-epoch", epoch)
}

// In a bubble, so that no answer is late because the machine is busy.
func TestAsk(t *testing.T) { synctest.Test(t, testAsk) }

func testAsk(t *testing.T) {
	replicas := "*3\r\n" +
		list("ip", "10.0.0.9", "port", "6379", "flags", "slave", "master-link-status", "ok") +
		list("ip", "10.0.0.8", "port", "6379", "flags", "s_down,slave,disconnected", "master-link-status", "err") +
		list("ip", "10.0.0.7", "port", "0", "flags", "slave", "master-link-status", "ok")
	for _, c := range []struct {
		name      string
		sentinels []Sentinel
		want      string
		differ    bool
		err       string
	}{
		{"one", []Sentinel{answering(t, "a", primary("10.0.0.1", "6379", "3"), list("10.0.0.1", "6379"), replicas)}, "10.0.0.1:6379", false, ""},
		{"the later epoch", []Sentinel{answering(t, "a", primary("10.0.0.1", "6379", "3"), list("10.0.0.1", "6379"), "*0\r\n"), answering(t, "b", primary("10.0.0.2", "6379", "4"), list("10.0.0.2", "6379"), "*0\r\n")}, "10.0.0.2:6379", false, ""},
		{"they differ", []Sentinel{answering(t, "a", primary("10.0.0.1", "6379", "3"), list("10.0.0.1", "6379"), "*0\r\n"), answering(t, "b", primary("10.0.0.2", "6379", "3"), list("10.0.0.2", "6379"), "*0\r\n")}, "", true, ""},
		{"one is gone", []Sentinel{answering(t, "a"), answering(t, "b", primary("::1", "6379", "3"), "-NOPERM no\r\n", "*0\r\n")}, "[::1]:6379", false, ""},
		{"one that leads a failover", []Sentinel{answering(t, "a", primary("10.0.0.1", "6379", "4"), list("10.0.0.2", "6379"), "*0\r\n"), answering(t, "b", primary("10.0.0.1", "6379", "3"), list("10.0.0.1", "6379"), "*0\r\n")}, "10.0.0.2:6379", false, ""},
		{"only the address is allowed", []Sentinel{answering(t, "a", "-NOPERM no\r\n", list("10.0.0.1", "6379"), "-NOPERM no\r\n")}, "10.0.0.1:6379", false, ""},
		{"the same from several", []Sentinel{answering(t, "b", "-WRONGPASS x\r\n"), answering(t, "a", "-WRONGPASS x\r\n"), answering(t, "c")}, "", false, "Sentinels a, b: it said \"WRONGPASS x\": sentinel_user or sentinel_password in [source] is wrong; Sentinel c: "},
		{"unknown name", []Sentinel{answering(t, "a", "-ERR No such master with that name\r\n", "*1\r\n"+list("name", "other"))}, "", false, `no Sentinel knows the name "m": they know "other"`},
		{"knows none", []Sentinel{answering(t, "a", "-ERR No such master with that name\r\n", "*0\r\n")}, "", false, "SENTINEL MONITOR"},
		{"no address", []Sentinel{answering(t, "a", primary("10.0.0.1", "0", "3"))}, "", false, "which is no address"},
		{"an address with a line's end", []Sentinel{answering(t, "a", primary("10.0.0.1\r\nX", "7", "3"))}, "", false, "which is no address"},
		{"HTTP", []Sentinel{answering(t, "a", "HTTP/1.1 400 Bad Request\r\n")}, "", false, "not Redis protocol"},
		{"endless", []Sentinel{answering(t, "a", "*2147483647\r\n")}, "", false, "a length of"},
		{"no Sentinel", []Sentinel{answering(t, "a", "-ERR unknown command 'SENTINEL', with args beginning with: 'x'\r\n")}, "", false, "it is no Sentinel"},
	} {
		g := New(Config{Name: "m", Sentinels: c.sentinels, Timeout: 2 * time.Second})
		got, err := g.Ask(t.Context())
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "args beginning") {
				t.Errorf("%s: got %+v, %v; want %s", c.name, got, err, c.err)
			}
		case err != nil || c.want != "" && got.Primary != c.want || got.Differ != c.differ:
			t.Errorf("%s: got %+v, %v; want %s", c.name, got, err, c.want)
		}
		if needs := strings.Contains(c.err, "it said") || strings.Contains(c.err, "no Sentinel knows") || c.name == "knows none" || c.name == "no Sentinel"; NeedsChange(err) != needs {
			t.Errorf("%s: %v needs a change: %v, want %v", c.name, err, !needs, needs)
		}
		if c.name == "only the address is allowed" && got.NoReplicas == nil {
			t.Errorf("%s: not told that it may not list replicas", c.name)
		}
		if c.name == "one" && (len(got.Replicas) != 2 || got.Replicas[0] != (Replica{"10.0.0.8:6379", false}) || got.Replicas[1] != (Replica{"10.0.0.9:6379", true})) {
			t.Errorf("replicas %+v", got.Replicas)
		}
	}
	if _, err := New(Config{Name: "m", Sentinels: []Sentinel{answering(t, "a", "-ERR No such master with that name\r\n", "*0\r\n")}}).Ask(t.Context()); !errors.Is(err, ErrUnknownName) {
		t.Errorf("got %v", err)
	}
}

func TestConcerns(t *testing.T) {
	g := New(Config{Name: "m"})
	if !g.concerns([]string{"message", "+switch-master", "m 10.0.0.1 6379 10.0.0.2 6379"}) {
		t.Error("a switch is not noticed")
	}
	for _, m := range [][]string{nil, {"message", "+switch-master", "mm 10.0.0.1 6379 10.0.0.2 6379"}, {"subscribe", "+switch-master", "1"}, {"pong", ""}} {
		if g.concerns(m) {
			t.Errorf("%q is taken for a switch", m)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add("*2\r\n$1\r\na\r\n*1\r\n:7\r\n")
	f.Add("-ERR x\r\n")
	f.Add("$-1\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := newReplyReader(strings.NewReader(text))
		reply, err := r.read()
		if err != nil && reply != nil {
			t.Errorf("%v with %v", reply, err)
		}
		fields(reply)
	})
}
