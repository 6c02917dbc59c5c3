package keyspace_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/keyspace"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// clusterNode is a node of a cluster with the events of its stream.
type clusterNode struct {
	t      *testing.T
	srv    *servers.Server
	client *servers.Client
	in     *keyspace.Interpreter
	events chan []string // up to the key last
}

func startNode(t *testing.T, name, first, last string, args ...string) *clusterNode {
	t.Helper()
	n := &clusterNode{t: t, srv: redistest.Start(t, name, append([]string{"--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"}, args...)...)}
	n.client = redistest.Dial(t, n.srv)
	n.client.Timeout = time.Minute
	n.do("CLUSTER", "ADDSLOTSRANGE", first, last)
	n.do("CONFIG", "SET", "notify-keyspace-events", "EA")
	n.until("the cluster is up", func() bool { return strings.Contains(n.do("CLUSTER", "INFO").(string), "cluster_state:ok") })
	return n
}

func (n *clusterNode) do(args ...string) any {
	n.t.Helper()
	reply, err := n.client.Do(args...)
	if err != nil {
		n.t.Fatalf("%q: %v", args, err)
	}
	return reply
}

func (n *clusterNode) lines(commands ...string) {
	n.t.Helper()
	for _, c := range commands {
		n.do(strings.Split(c, " ")...)
	}
}

func (n *clusterNode) until(what string, ok func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) { // it has no event
		if time.Now().After(deadline) {
			n.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// follow makes events of the node's stream from now on.
func (n *clusterNode) follow() {
	n.t.Helper()
	n.in = keyspace.New(keyspace.Config{Dialect: dialect(n.srv.Program.Name), Need: needAll})
	n.events = make(chan []string, 1)
	src, err := source.NewReplica(source.Config{URL: "redis://" + n.srv.Addr})
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(n.t.Context())
	attached, stopped := make(chan bool), make(chan bool)
	n.t.Cleanup(func() { cancel(); <-stopped })
	go func() {
		defer close(stopped)
		n.read(ctx, src, attached)
	}()
	select {
	case <-attached:
	case <-time.After(time.Minute):
		n.t.Fatal("not attached after a minute")
	}
}

func (n *clusterNode) read(ctx context.Context, src source.Source, attached chan bool) {
	var got []string
	for rec := range src.Records(ctx, source.Position{}, keysToo{}) {
		switch rec.Kind {
		case source.SnapshotBegin:
			n.in.SnapshotBegin()
		case source.SnapshotEnd:
			n.in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: rec.Time})
			close(attached)
		case source.Command:
			c := keyspace.Command{Args: rec.Args, DB: rec.DB, Offset: rec.Offset, Time: rec.Time}
			for events := n.in.Command(nil, &c); len(events) > 0; events = n.in.Rest(events[:0]) {
				for _, ev := range events {
					if strings.HasSuffix(string(ev.Key), lastKey) {
						n.events <- got
						return
					}
					if ev.Key != nil {
						got = append(got, describe(&ev)+": "+plain(ev.Before))
					}
				}
			}
		}
	}
}

// seen returns the events up to a last write, and holds the mirror against the
// server's keys.
func (n *clusterNode) seen(dbs int, last string) []string {
	n.t.Helper()
	n.do(strings.Split(last, " ")...)
	var got []string
	select {
	case got = <-n.events:
	case <-time.After(time.Minute):
		n.t.Fatal("the last write did not arrive within a minute")
	}
	var theirs, ours []string
	for db := range dbs {
		if dbs > 1 {
			n.do("SELECT", fmt.Sprint(db))
		}
		for _, key := range list(n.do("KEYS", "*")) {
			if !strings.HasSuffix(key.(string), lastKey) {
				theirs = append(theirs, fmt.Sprintf("%v@%d", key, db))
			}
		}
	}
	for _, k := range n.in.Mirror() {
		if strings.HasSuffix(k.Key, lastKey) {
			continue
		}
		if k.There {
			ours = append(ours, fmt.Sprintf("%s@%d", k.Key, k.DB))
		}
		if k.Value == nil {
			n.t.Errorf("the value of %s in %d is not known", k.Key, k.DB)
		}
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	if !slices.Equal(ours, theirs) {
		n.t.Errorf("the mirror has %q, the server %q", ours, theirs)
	}
	return got
}

// TestFlushSlot: the events of Valkey's CLUSTER FLUSHSLOT are those that it
// announces, in whatever database.
func TestFlushSlot(t *testing.T) {
	n := startNode(t, "valkey-9.1", "0", "16383", "--cluster-databases", "3")
	n.follow()
	listener := redistest.Dial(t, n.srv)
	if _, err := listener.Do("PSUBSCRIBE", "__keyevent@*"); err != nil {
		t.Fatal(err)
	}
	n.lines("SET mig:5 1", "SET stock:21 5", "RPUSH {mig:5}l a b", "SELECT 2", "SET mig:5 2", "SET other 3",
		"CLUSTER FLUSHSLOT 80", "SET mig:5 4", "CLUSTER FLUSHSLOT 80 ASYNC", "CLUSTER FLUSHSLOT 4327 SYNC", "INCR other")
	got := n.seen(3, "SET last x")
	want := []string{
		"set mig:5 string command: null", "set stock:21 string command: null", "rpush {mig:5}l list command: null", "set mig:5@2 string command: null", "set other@2 string command: null",
		`del mig:5 none trimmed: "1"`, `del {mig:5}l none trimmed: ["a","b"]`, `del mig:5@2 none trimmed: "2"`,
		"set mig:5@2 string command: null", `del mig:5@2 none trimmed: "4"`, `del stock:21 none trimmed: "5"`, `incrby other@2 string command: "3"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var theirs []string
	for {
		reply, err := listener.Receive()
		if err != nil {
			t.Fatal(err)
		}
		m := list(reply)
		db, name, _ := strings.Cut(strings.TrimPrefix(m[2].(string), "__keyevent@"), "__:")
		if m[3] == lastKey {
			break
		}
		if name == "del" {
			theirs = append(theirs, fmt.Sprintf("%v@%s", m[3], db))
		}
	}
	slices.Sort(theirs)
	if want := []string{"mig:5@0", "mig:5@2", "mig:5@2", "stock:21@0", "{mig:5}l@0"}; !slices.Equal(theirs, want) {
		t.Errorf("the server announced del of %q, want %q", theirs, want)
	}
}

// TestSlotMigration: when a slot is moved from one Redis to another, the first
// drops its keys. All others keep their values, at both.
func TestSlotMigration(t *testing.T) {
	from := startNode(t, "redis-8.6", "0", "8191")
	to := startNode(t, "redis-8.6", "8192", "16383")
	host, port, _ := strings.Cut(from.srv.Addr, ":")
	to.do("CLUSTER", "MEET", host, port)
	for _, n := range []*clusterNode{from, to} {
		n.until("both nodes know each other's slots", func() bool { return len(list(n.do("CLUSTER", "SLOTS"))) == 2 })
	}
	from.follow()
	to.follow()
	from.lines("SET mig:5 1", "SET stock:21 5", "HSET {mig:5}h f v")
	to.lines("SET foo 7") // slot 12182
	task := to.do("CLUSTER", "MIGRATION", "IMPORT", "80", "80").(string)
	to.until("the slot is moved", func() bool {
		return strings.Contains(fmt.Sprint(to.do("CLUSTER", "MIGRATION", "STATUS", "ID", task)), "completed")
	})
	from.until("its keys are gone", func() bool { return from.do("DBSIZE") == int64(1) })
	got := from.seen(1, "SET {stock:21}last x")
	want := []string{
		"set mig:5 string command: null", "set stock:21 string command: null", "hset {mig:5}h hash command: null",
		`del mig:5 none trimmed: "1"`, `del {mig:5}h none trimmed: {"f":"v"}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	to.lines("INCR foo")
	if got := to.seen(1, "SET {foo}last x"); !slices.Contains(got, `incrby foo string command: "7"`) {
		t.Errorf("at the target: %q", got)
	}
}
