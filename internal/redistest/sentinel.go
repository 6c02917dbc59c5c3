package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"triggerd/internal/servers"
)

// SentinelName is the name by which Sentinels of StartSentinels know their
// primary.
const SentinelName = "mymaster"

// Sentinels are Sentinels that watch one primary.
type Sentinels struct {
	Addrs []string // "127.0.0.1:port"

	t     testing.TB
	procs []*servers.Process
}

// SentinelOptions configures StartSentinels.
type SentinelOptions struct {
	N         int           // how many; default 3, with a quorum of a majority
	DownAfter time.Duration // default 1 s
	Config    []string      // further lines of their configuration
}

// StartSentinels starts real Sentinels, of the program of a primary, that watch it
// at an address. They end with the test.
func StartSentinels(t testing.TB, primary *servers.Server, addr string, o SentinelOptions) *Sentinels {
	t.Helper()
	if o.N == 0 {
		o.N = 3
	}
	if o.DownAfter == 0 {
		o.DownAfter = time.Second
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sentinels{t: t}
	dir := t.TempDir()
	for range o.N {
		_, own, _ := net.SplitHostPort(UnusedAddr(t))
		lines := []string{
			"bind 127.0.0.1", "port " + own, "dir " + dir, "logfile " + filepath.Join(dir, own+".log"),
			fmt.Sprintf("sentinel monitor %s %s %s %d", SentinelName, host, port, o.N/2+1),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", SentinelName, o.DownAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s 10000", SentinelName),
		}
		lines = append(lines, o.Config...)
		conf := filepath.Join(dir, own+".conf")
		if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := servers.StartProcess(primary.Program.Command("server", conf, "--sentinel"))
		if err != nil {
			t.Fatal(err)
		}
		s.Addrs, s.procs = append(s.Addrs, "127.0.0.1:"+own), append(s.procs, p)
		t.Cleanup(p.Kill)
	}
	s.await(o.N)
	return s
}

// Kill ends one of them. One that has ended may be killed again.
func (s *Sentinels) Kill(i int) {
	s.procs[i].Kill()
}

// Do sends one of them a command on a connection of its own, and returns the
// reply.
func (s *Sentinels) Do(i int, args ...string) (any, error) {
	c, err := servers.Dial(s.t.Context(), s.Addrs[i])
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(args...)
}

// Primary returns the address that one of them has for the primary.
func (s *Sentinels) Primary(i int) string {
	reply, err := s.Do(i, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SentinelName)
	pair, _ := reply.([]any)
	if err != nil || len(pair) != 2 {
		return ""
	}
	return fmt.Sprintf("%s:%s", pair[0], pair[1])
}

// await waits until they know each other.
func (s *Sentinels) await(n int) {
	s.t.Helper()
	for i := range n {
		s.until(fmt.Sprintf("Sentinel %d to know the others", i), func() bool {
			return s.field(i, "num-other-sentinels") == fmt.Sprint(n-1)
		})
	}
}

// AwaitReplicas waits until all of them know so many replicas that are well.
func (s *Sentinels) AwaitReplicas(n int) {
	s.t.Helper()
	for i := range s.Addrs {
		s.until(fmt.Sprintf("Sentinel %d to know %d replicas", i, n), func() bool {
			reply, _ := s.Do(i, "SENTINEL", "REPLICAS", SentinelName)
			list, _ := reply.([]any)
			well := 0
			for _, one := range list {
				if fieldOf(one, "master-link-status") == "ok" && fieldOf(one, "flags") == "slave" {
					well++
				}
			}
			return well >= n
		})
	}
}

// field returns a field of what one of them says of the primary.
func (s *Sentinels) field(i int, name string) string {
	reply, _ := s.Do(i, "SENTINEL", "MASTER", SentinelName)
	return fieldOf(reply, name)
}

// fieldOf returns a field of a list of names and values.
func fieldOf(reply any, name string) string {
	list, _ := reply.([]any)
	for k := 0; k+1 < len(list); k += 2 {
		if fmt.Sprint(list[k]) == name {
			return fmt.Sprint(list[k+1])
		}
	}
	return ""
}

func (s *Sentinels) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited for %s in vain", what)
		}
	}
}
