package source_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// The columns of the table in docs/replication.md.
const (
	waitCell = iota
	waitAOFCell
	setSlotCell
	shutdownCell
	failoverCell
	minReplicasCell
	cells
)

var cellNames = [cells]string{"`WAIT`", "`WAITAOF`", "`CLUSTER SETSLOT`, reshard", "`SHUTDOWN`", "`FAILOVER`", "`min-replicas-to-write`"}

var policies = []source.AckPolicy{source.AckNone, source.AckReceived, source.AckDurable}

// effects is what attaching changes: of a server and a policy, in words.
type effects map[string]*[cells]string

func effectOf(server string, policy source.AckPolicy) string { return server + " " + string(policy) }

// documented reads the table.
func documented(t *testing.T) effects {
	t.Helper()
	text, err := os.ReadFile("../docs/replication.md")
	if err != nil {
		t.Fatal(err)
	}
	head := "| server | `ack` | " + strings.Join(cellNames[:], " | ") + " |\n"
	_, body, ok := strings.Cut(string(text), head)
	if !ok {
		t.Fatalf("docs/replication.md has no table with the head %s", head)
	}
	table := effects{}
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		row := strings.Split(strings.Trim(line, "| \n"), " | ")
		if strings.HasPrefix(row[0], "---") {
			continue
		}
		if len(row) != 2+cells {
			t.Fatalf("a row of %d cells: %s", len(row), line)
		}
		table[effectOf(row[0], source.AckPolicy(strings.Trim(row[1], "`")))] = (*[cells]string)(row[2:])
	}
	return table
}

// TestEffects tries what docs/replication.md says that attaching changes, cell
// by cell, on the real servers.
func TestEffects(t *testing.T) {
	want := documented(t)
	names := slices.Concat(redistest.All, []string{"redict-7.3", "valkey-8.1"})
	if len(want) != len(names)*len(policies) {
		t.Errorf("the table has %d rows, want %d servers with %d policies each", len(want), len(names), len(policies))
	}
	if list := os.Getenv("TRIGGERD_TEST_SERVERS"); list != "" {
		names = strings.Split(list, ",")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Run("standalone", func(t *testing.T) {
				t.Parallel()
				s := &standalone{t: t, srv: redistest.Start(t, name)}
				for _, policy := range policies {
					got, want := s.effects(policy), want[effectOf(name, policy)]
					for cell, seen := range got {
						if cell != setSlotCell {
							compare(t, policy, cell, seen, want)
						}
					}
				}
			})
			t.Run("cluster", func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, name)
				for _, policy := range policies {
					compare(t, policy, setSlotCell, c.moveSlots(policy), want[effectOf(name, policy)])
				}
			})
		})
	}
}

func compare(t *testing.T, policy source.AckPolicy, cell int, seen string, want *[cells]string) {
	t.Helper()
	if want == nil {
		t.Errorf("ack %q: no row in the table", policy)
	} else if seen != want[cell] {
		t.Errorf("ack %q: %s is seen to be %q, docs/replication.md says %q", policy, cellNames[cell], seen, want[cell])
	}
}

// keeper is a source whose records are safe as soon as they are handed out, if
// it is told so.
type keeper struct {
	*source.Replica
	safe atomic.Bool
}

func (k *keeper) Records(ctx context.Context, from source.Position, c source.Consumer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) {
		for rec, err := range k.Replica.Records(ctx, from, c) {
			if err == nil && k.safe.Load() {
				k.Ack(rec.Pos)
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// attach follows a server with a policy, all of it safe at once.
func attach(t *testing.T, cfg source.Config, c source.Consumer) (*follower, *keeper) {
	t.Helper()
	cfg.MinBackoff, cfg.MaxBackoff = 20*time.Millisecond, 100*time.Millisecond
	r, err := source.NewReplica(cfg)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{Replica: r}
	k.safe.Store(true)
	f := followSource(t, k, source.Position{}, c)
	f.attached(1)
	return f, k
}

// standalone is a server on which triggerd is the only replica.
type standalone struct {
	t   *testing.T
	srv *servers.Server
}

const (
	briefly = "300"   // ms: long enough to be counted in, where that is expected not to be
	atLast  = "30000" // ms
)

func (s *standalone) effects(policy source.AckPolicy) (seen [cells]string) {
	s.t.Helper()
	cfg := source.Config{URL: url(s.srv), Ack: policy}
	f, k := attach(s.t, cfg, nil)
	s.awaitAck(policy)
	fresh := s.failover(policy) // of the first policy: a server that was never written to
	f.attached(1)
	c := redistest.Dial(s.t, s.srv)
	c.Timeout = patience + 10*time.Second
	seen[waitCell] = s.counted(c, k, policy == source.AckReceived, policy == source.AckDurable, "WAIT", "1")
	seen[waitAOFCell] = s.counted(c, k, false, policy == source.AckDurable, "WAITAOF", "0", "1")
	seen[minReplicasCell] = s.minReplicas(c)
	if seen[failoverCell] = s.failover(policy); seen[failoverCell] != fresh {
		seen[failoverCell] += ", at first " + fresh
	}
	f.stop()

	seen[shutdownCell] = s.shutdown(cfg)
	if seen[shutdownCell] == "not held up" {
		_ = redistest.Do(s.t, s.srv, "ACL", "SETUSER", "triggerd", "on", ">secret", "+psync", "+replconf", "+ping")
		cfg.URL = strings.Replace(cfg.URL, "redis://", "redis://triggerd:secret@", 1)
		if s.shutdown(cfg) != "not held up" {
			seen[shutdownCell] = "held up without `+info`"
		}
	}
	return seen
}

// awaitAck waits until the server, which was never written to, has heard an
// acknowledgement of triggerd's. Until then FAILOVER may choose any replica, also
// one that is online. Those that acknowledge what there is may be chosen then, too.
func (s *standalone) awaitAck(policy source.AckPolicy) {
	s.t.Helper()
	heard := "state=online,"
	if policy == source.AckNone {
		heard += "offset=1,"
	}
	for limit := time.Now().Add(patience); !strings.Contains(redistest.Do(s.t, s.srv, "INFO", "replication").(string), heard); {
		if time.Now().After(limit) {
			s.t.Fatal("the server does not hear from triggerd")
		}
		time.Sleep(time.Millisecond) // nobody tells
	}
}

// counted tells when a command that waits for replicas counts triggerd. atOnce
// and whenSafe say for which of them to be patient.
func (s *standalone) counted(c *servers.Client, k *keeper, atOnce, whenSafe bool, command ...string) string {
	s.t.Helper()
	if _, err := c.Do(append(command, "1")...); err != nil {
		if strings.Contains(err.Error(), "unknown command") {
			return "no such command"
		}
		s.t.Fatal(err)
	}
	ask := func(patient bool) bool {
		timeout := briefly
		if patient {
			timeout = atLast
		}
		reply, err := c.Do(append(command, timeout)...)
		if err != nil {
			s.t.Fatal(err)
		}
		return strings.HasSuffix(strings.Trim(fmt.Sprint(reply), "[]"), "1")
	}
	k.safe.Store(false)
	send(s.t, c, words("SET counted 1"))
	if ask(atOnce) {
		k.safe.Store(true)
		return "counted at once"
	}
	k.safe.Store(true)
	send(s.t, c, words("SET counted 2"))
	if ask(whenSafe) {
		return "counted when safe"
	}
	return "not counted"
}

// minReplicas tells whether triggerd is one of the replicas that a write needs.
func (s *standalone) minReplicas(c *servers.Client) string {
	s.t.Helper()
	send(s.t, c, words("CONFIG SET min-replicas-to-write 1"))
	defer send(s.t, c, words("CONFIG SET min-replicas-to-write 0"))
	_, err := c.Do("SET", "k", "v")
	if err == nil {
		return "counted"
	}
	return "not counted: " + err.Error()
}

// failover tells what FAILOVER without a target does, and undoes it.
func (s *standalone) failover(policy source.AckPolicy) string {
	s.t.Helper()
	c := redistest.Dial(s.t, s.srv)
	timeout := briefly
	if policy != source.AckNone {
		timeout = atLast
	}
	if _, err := c.Do("FAILOVER", "TIMEOUT", timeout); err != nil {
		if strings.Contains(err.Error(), "unknown command") {
			return "no such command"
		}
		s.t.Fatal(err)
	}
	for {
		switch state := info(s.t, s.srv, "replication", "master_failover_state"); state {
		case "waiting-for-sync":
			time.Sleep(10 * time.Millisecond) // nothing tells when it ends; the timeout ends it
		case "no-failover":
			return "not chosen"
		case "failover-in-progress":
			send(s.t, c, words("FAILOVER ABORT"))
			return "may be chosen"
		default:
			s.t.Fatalf("FAILOVER is in the state %s", state)
		}
	}
}

// shutdown tells whether triggerd holds a SHUTDOWN up, and starts the server
// anew. The server's log says whom it has waited for in vain.
func (s *standalone) shutdown(cfg source.Config) string {
	s.t.Helper()
	f, _ := attach(s.t, cfg, nil)
	defer f.stop()
	c := redistest.Dial(s.t, s.srv)
	timeout := "30"
	if strings.Contains(cfg.URL, "@") && cfg.Ack == source.AckNone {
		timeout = "1"
	}
	if _, err := c.Do("CONFIG", "SET", "shutdown-timeout", timeout); err != nil && s.srv.Program.Name != "redis-6.0" {
		s.t.Fatal(err)
	}
	send(s.t, c, words("SET before shutdown"))
	f.command("SET", "before", "shutdown")
	_ = c.Send("SHUTDOWN", "NOSAVE")
	_ = c.Flush()
	c.Timeout = time.Minute
	for err := error(nil); err == nil; { // until it closes the connection
		_, err = c.Receive()
	}
	if err := s.srv.Stop(); err != nil {
		s.t.Fatal(err)
	}
	log := s.srv.Log()
	said := log[max(0, strings.LastIndex(log, "User requested shutdown")):]
	if err := s.srv.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if strings.Contains(said, "Lagging replica") {
		return "held up"
	}
	return "not held up"
}

// cluster is two primaries that share the slots, the first of them with a
// replica.
type cluster struct {
	t     *testing.T
	nodes []*servers.Server
	ids   []string
}

func newCluster(t *testing.T, name string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	for range 3 {
		srv := redistest.Start(t, name, "--cluster-enabled", "yes")
		c.nodes = append(c.nodes, srv)
		c.ids = append(c.ids, redistest.Do(t, srv, "CLUSTER", "MYID").(string))
	}
	for i, srv := range c.nodes[:2] {
		add := []string{"CLUSTER", "ADDSLOTS"}
		for slot := i * 8192; slot < (i+1)*8192; slot++ {
			add = append(add, strconv.Itoa(slot))
		}
		redistest.Do(t, srv, add...)
		redistest.Do(t, srv, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, srv := range c.nodes[1:] {
		host, port, _ := strings.Cut(c.nodes[0].Addr, ":")
		redistest.Do(t, srv, "CLUSTER", "MEET", host, port)
	}
	c.until("the replica knows its primary", func() bool {
		client := redistest.Dial(t, c.nodes[2])
		_, err := client.Do("CLUSTER", "REPLICATE", c.ids[0])
		return err == nil
	})
	c.until("the cluster is whole", func() bool {
		for _, srv := range c.nodes {
			text, _ := redistest.Do(t, srv, "CLUSTER", "INFO").(string)
			nodes, _ := redistest.Do(t, srv, "CLUSTER", "NODES").(string)
			if !strings.Contains(text, "cluster_state:ok") || !strings.Contains(text, "cluster_known_nodes:3") || !strings.Contains(nodes, "slave") && !strings.Contains(nodes, "replica") {
				return false
			}
		}
		return strings.Contains(redistest.Do(t, c.nodes[0], "INFO", "replication").(string), "state=online")
	})
	return c
}

func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) { // the nodes gossip: there is no event
		if time.Now().After(deadline) {
			c.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// moveSlots tells whether slots can be moved away from a primary that triggerd
// is attached to, with the keys of a snapshot and without.
func (c *cluster) moveSlots(policy source.AckPolicy) string {
	c.t.Helper()
	family, _ := family(c.nodes[0])
	client := redistest.Dial(c.t, c.nodes[0])
	send(c.t, client, words("HSET mig:5 field value"))
	if c.nodes[0].Program.Name == "valkey-9.1" {
		send(c.t, client, words("HEXPIRE mig:5 1000 FIELDS 1 field"))
	}
	for _, keys := range []bool{false, true} {
		log := new(logBuffer)
		f, _ := attach(c.t, source.Config{
			URL: url(c.nodes[0]), Ack: policy,
			Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}, wants{keys: keys})
		if keys && family == "valkey" && policy == source.AckNone {
			c.until("the link is renewed", func() bool { return strings.Contains(log.String(), "link renewed") })
		}
		if got := len(f.all(source.Key)); keys && got != 1 {
			c.t.Errorf("ack %q: %d keys of a snapshot, want 1; log:\n%s", policy, got, log)
		}
		how := c.setSlot(client)
		if how == "works" {
			how = c.reshard()
		}
		f.stop()
		if how != "works" {
			return how
		}
	}
	return "works"
}

func (c *cluster) setSlot(client *servers.Client) (how string) {
	c.t.Helper()
	for range 3 { // the real replica is on a busy machine too
		for _, line := range []string{"CLUSTER SETSLOT 100 MIGRATING " + c.ids[1], "CLUSTER SETSLOT 100 STABLE"} {
			if _, err := client.Do(words(line)...); err != nil {
				how = "fails: " + err.Error()
				break
			}
			how = "works"
		}
		if how == "works" {
			return how
		}
	}
	return how
}

// reshard moves a slot with the servers' own tool.
func (c *cluster) reshard() (how string) {
	c.t.Helper()
	c.until("a slot is moved", func() bool {
		out, err := c.nodes[0].Program.Command("cli", "--cluster", "reshard", c.nodes[0].Addr,
			"--cluster-from", c.ids[0], "--cluster-to", c.ids[1], "--cluster-slots", "1", "--cluster-yes").CombinedOutput()
		switch how = "works"; {
		case strings.Contains(string(out), "NOREPLICAS"):
			how = "fails: NOREPLICAS"
		case strings.Contains(string(out), "Nodes don't agree"):
			return false // they have to hear of the last one
		case err != nil || strings.Contains(string(out), "[ERR]"):
			how = fmt.Sprintf("fails: %v\n%.2000s", err, out)
		}
		return true
	})
	return how
}
