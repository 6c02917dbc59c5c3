package store_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"triggerd/internal/store"
)

// size returns how large a test is made: n, a part of it under the race
// detector, or what the environment variable says, for a longer run by hand.
func size(t *testing.T, name string, n int) int {
	t.Helper()
	n = max(1, n/raceDivisor)
	if v := os.Getenv(name); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return n
}

// load is a writer whose work can be checked after any crash. Group g enqueues
// jobs g/0/n to g/n-1/n for an endpoint each, sets the checkpoint to g and an
// entry of a space, and settles, retries or buries some that were enqueued
// before.
type load struct {
	s   *store.Store
	rng *rand.Rand
	max int // bytes of a payload

	durable atomic.Int64 // the last group whose Commit returned

	mu      sync.Mutex        // guards what follows
	touched map[string]bool   // IDs of which a settlement or burial was begun
	pending map[uint64]string // what the writer may settle: seq to ID
	groups  map[int64]int     // how many jobs each has
}

func newLoad(s *store.Store, seed uint64, max int) *load {
	return &load{
		s: s, rng: rand.New(rand.NewPCG(seed, 1)), max: max,
		touched: map[string]bool{}, pending: map[uint64]string{}, groups: map[int64]int{},
	}
}

func endpointOf(i int) string { return fmt.Sprint("endpoint", i%3) }

// payload is what a job with that ID has to have.
func payload(id string, max int) []byte {
	h := uint64(14695981039346656037)
	for _, c := range []byte(id) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return bytes.Repeat([]byte(id+" "), 1+int(h%uint64(max))/(len(id)+1))
}

// group writes one group.
func (l *load) group(g int64) error {
	b := l.s.NewBatch()
	n := 1 + l.rng.IntN(8)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%d/%d/%d", g, i, n)
		b.Enqueue(store.Job{Endpoint: endpointOf(i), Lane: uint64(i), ID: ids[i], Born: born, Payload: payload(ids[i], l.max)})
	}
	b.SetCheckpoint(store.Standalone, strconv.FormatInt(g, 10))
	b.Put(mirror, []byte("group"), []byte(strconv.FormatInt(g, 10)))
	l.mu.Lock()
	l.groups[g] = n
	l.mu.Unlock()
	acks := b
	if l.rng.IntN(2) == 0 { // alone, so that they do not wait for the disk
		acks = l.s.NewBatch()
	}
	l.settle(acks)
	if acks != b {
		if _, err := acks.Commit(); err != nil {
			return err
		}
	}
	first, err := b.Commit()
	if err != nil {
		return err
	}
	l.durable.Store(g)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, id := range ids {
		l.pending[first+uint64(i)] = id
	}
	return nil
}

func (l *load) settle(b *store.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seqs := slices.Sorted(maps.Keys(l.pending))
	for _, seq := range seqs {
		id := l.pending[seq]
		i, _ := strconv.Atoi(strings.Split(id, "/")[1])
		switch l.rng.IntN(4) {
		case 0:
			b.Retry(endpointOf(i), seq, 1, born, "again", "")
			continue
		case 1:
			b.SettleListed(store.Settled{Endpoint: endpointOf(i), Seq: seq, ID: id, Attempts: 2, At: born})
		case 2:
			b.Bury(store.DeadLetter{Endpoint: endpointOf(i), Seq: seq, ID: id, At: born})
		default:
			continue
		}
		l.touched[id] = true
		delete(l.pending, seq)
	}
}

// crashed is what a store has after a crash.
type crashed struct {
	checkpoint int64
	pending    map[string]bool
	dead       map[string]bool
	listed     map[string]bool
}

// look reads a whole store and checks it against itself.
func look(s *store.Store, max int) (*crashed, error) { return lookAt(s, max, false) }

// lookAt is look, for a salvaged store without what takes all to be there.
func lookAt(s *store.Store, max int, salvaged bool) (*crashed, error) {
	c := &crashed{pending: map[string]bool{}, dead: map[string]bool{}, listed: map[string]bool{}}
	text, err := s.Checkpoint(store.Standalone)
	if err != nil {
		return nil, err
	}
	if text != "" {
		if c.checkpoint, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, err
		}
		if entry, err := s.Get(mirror, []byte("group")); !salvaged && (err != nil || string(entry) != text) {
			return nil, fmt.Errorf("torn: checkpoint %s, entry %s, %v", text, entry, err)
		}
	}
	check := func(seq uint64, id string) error {
		j, err := s.Load(seq)
		if err != nil {
			return err
		}
		if id != "" && id != j.ID || !bytes.Equal(j.Payload, payload(j.ID, max)) {
			return fmt.Errorf("job %d is %q with %d bytes, want %q", seq, j.ID, len(j.Payload), id)
		}
		if c.pending[j.ID] || c.dead[j.ID] {
			return fmt.Errorf("job %q is there twice", j.ID)
		}
		if id == "" {
			c.pending[j.ID] = true
		} else {
			c.dead[j.ID] = true
		}
		return nil
	}
	for i := range 3 {
		for p, err := range s.Pending(endpointOf(i), 0) {
			if err == nil {
				err = check(p.Seq, "")
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for d, err := range s.Dead(0) {
		if err == nil && !(salvaged && d.Seq == 0) {
			err = check(d.Seq, d.ID)
		}
		if err != nil {
			return nil, err
		}
	}
	for r, err := range s.Settled(0) {
		if err != nil {
			return nil, err
		}
		c.listed[r.ID] = true
	}
	return c, nil
}

// check compares what a store has with what was written. durable is the last
// group that was known to be on disk before the crash.
func (l *load) check(c *crashed, durable int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.checkpoint < durable {
		return fmt.Errorf("lost: group %d was on disk, the checkpoint is %d", durable, c.checkpoint)
	}
	known := 0
	for g, n := range l.groups {
		for i := range n {
			id := fmt.Sprintf("%d/%d/%d", g, i, n)
			there := c.pending[id] || c.dead[id]
			if there {
				known++
			}
			switch {
			case g > c.checkpoint && there:
				return fmt.Errorf("torn: job %s is there, the checkpoint is %d", id, c.checkpoint)
			case g <= c.checkpoint && !there && !l.touched[id]:
				return fmt.Errorf("lost: job %s, the checkpoint is %d", id, c.checkpoint)
			case c.listed[id] && there:
				return fmt.Errorf("torn: job %s is listed as settled and still there", id)
			case c.dead[id] && !l.touched[id]:
				return fmt.Errorf("job %s is dead, and was never buried", id)
			}
		}
	}
	if known != len(c.pending)+len(c.dead) {
		return fmt.Errorf("%d jobs that were never enqueued", len(c.pending)+len(c.dead)-known)
	}
	return nil
}

// At any moment the power is cut, and of what was not synced nothing, all, or
// any part reaches the disk: what was committed is there, whole, and what was
// not is not.
func TestPowerCuts(t *testing.T) {
	cuts := size(t, "TRIGGERD_POWER_CUTS", 300)
	const perStore = 10
	for n := range (cuts + perStore - 1) / perStore {
		seed := uint64(n) + 1
		fs := vfs.NewCrashableMem()
		opts := store.Options{FS: fs}
		s, err := opts.Open("data")
		if err != nil {
			t.Fatal(err)
		}
		max := 200
		if n%5 == 0 {
			max = 40_000 // enough for flushes
		}
		l := newLoad(s, seed, max)
		groups := make(chan int64) // numbers of groups to write
		done := make(chan error, 1)
		go func() {
			var err error
			for g := range groups {
				if err == nil && g%20 == 0 {
					err = s.Maintain(born)
				}
				if err == nil {
					err = l.group(g)
				}
			}
			done <- err
		}()
		rng := rand.New(rand.NewPCG(seed, 2))
		g := int64(0)
		for range perStore {
			for range 1 + rng.IntN(20) {
				g++
				groups <- g // the one before has been written, and this one is being
			}
			for range rng.IntN(300) { // anywhere within it
				runtime.Gosched()
			}
			durable := l.durable.Load()
			percent := []int{0, 25, 50, 75, 100}[rng.IntN(5)]
			clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(rng.Uint64(), 3))})
			if err := l.checkClone(clone, durable); err != nil {
				t.Fatalf("seed %d, %d%% of what was not synced kept: %v", seed, percent, err)
			}
		}
		close(groups)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkClone opens what a crash left, checks it, goes on writing, and lets
// Verify look at the whole.
func (l *load) checkClone(fs *vfs.MemFS, durable int64) error {
	opts := store.Options{FS: fs}
	s, err := opts.Open("data")
	if err != nil {
		return err
	}
	if lost := s.LostTail(); lost != nil {
		return lost
	}
	c, err := look(s, l.max)
	if err != nil {
		return err
	}
	if err := l.check(c, durable); err != nil {
		return err
	}
	b := s.NewBatch()
	b.Enqueue(store.Job{Endpoint: "after", ID: "after"})
	if _, err := b.Commit(); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	r, err := opts.Verify("data")
	if err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("verify: %v", r.Problems)
	}
	return nil
}

// childDir tells the test binary to be the process that is killed.
const childDir = "TRIGGERD_TEST_STORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child writes groups behind the one that its directory has, and says of each
// that it is on disk, until it is killed.
func child(dir string) error {
	s, err := store.Open(dir)
	if err != nil {
		return err
	}
	start, err := s.Checkpoint(store.Standalone)
	if err != nil {
		return err
	}
	g, _ := strconv.ParseInt(start, 10, 64)
	l := newLoad(s, uint64(g)+1, 4000)
	for {
		g++
		if g%50 == 0 {
			if err := s.Maintain(born); err != nil {
				return err
			}
		}
		if err := l.group(g); err != nil {
			return err
		}
		l.mu.Lock()
		line := fmt.Sprintf("%d %d", g, l.groups[g])
		for id := range l.touched {
			line += " " + id
		}
		clear(l.touched)
		l.mu.Unlock()
		if _, err := fmt.Println(line); err != nil {
			return err
		}
	}
}

// A process is killed under load, again and again in one directory.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	all := newLoad(nil, 0, 4000) // what the children said
	rng := rand.New(rand.NewPCG(7, 7))
	for n := range size(t, "TRIGGERD_KILLS", 20) {
		groups := 1 + rng.IntN(60)
		if err := all.killAfter(t, dir, groups); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(dir)
		if err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		if s.LostTail() != nil {
			t.Fatalf("kill %d: %v", n, s.LostTail())
		}
		c, err := look(s, 4000)
		if err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		// The last group may be on disk though the child was killed before it
		// could say so, and its settlements with it.
		durable := all.durable.Load()
		all.adopt(c, durable)
		if err := all.check(c, durable); err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		all.durable.Store(c.checkpoint)
		verify(t, s, dir)
	}
}

// killAfter runs a child until it has written some groups, kills it, and notes
// what it said.
func (l *load) killAfter(t *testing.T, dir string, groups int) error {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == groups {
			if err := cmd.Process.Kill(); err != nil {
				return err
			}
		}
		line, err := r.ReadString('\n')
		if err == io.EOF { // what follows the last line end was cut by the kill
			break
		}
		if err != nil {
			return err
		}
		words := strings.Fields(line)
		g, _ := strconv.ParseInt(words[0], 10, 64)
		l.groups[g], _ = strconv.Atoi(words[1])
		for _, id := range words[2:] {
			l.touched[id] = true
		}
		l.durable.Store(g)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
		return fmt.Errorf("child: %v: %s", err, errs.String())
	}
	return nil
}

// adopt takes over what can be true of the group that was being written, and
// nothing else: it may be there, and what it settled, gone.
func (l *load) adopt(c *crashed, durable int64) {
	for id := range c.pending {
		l.adoptGroup(id, durable)
	}
	for id := range c.dead {
		l.adoptGroup(id, durable)
	}
	for id := range c.listed {
		l.touched[id] = true
	}
	for id := range c.dead {
		l.touched[id] = true
	}
}

func (l *load) adoptGroup(id string, durable int64) {
	var g int64
	var i, n int
	if _, err := fmt.Sscanf(id, "%d/%d/%d", &g, &i, &n); err == nil && g > durable && g <= durable+2 {
		l.groups[g] = n
	}
}
