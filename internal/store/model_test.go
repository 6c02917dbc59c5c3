package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"triggerd/internal/store"
)

// model is what a store is to hold, in the plainest form.
type model struct {
	checkpoints map[string]string // by stream
	next        uint64
	jobs        map[uint64]store.Job // pending and dead
	pending     map[uint64]store.Pending
	settled     []store.Settled // the first first
	dead        map[uint64]store.DeadLetter
	nextDead    uint64
	spaces      map[store.Space]map[string]string
}

// streams have names of which some begin alike.
var streams = []string{store.Standalone, "s", "st", "s\x00", "\xff", "ключ"}

// allSpaces are those of the model, near each other.
var allSpaces = []store.Space{mirror, timers, store.Pauses, store.Cancels, store.Mirror("s"), store.Timers("s"), store.State("s"), store.Mirror("st"), store.Timers("s\x00"), store.State("\xff")}

func newModel() *model {
	m := &model{
		next: 1, nextDead: 1, jobs: map[uint64]store.Job{}, pending: map[uint64]store.Pending{}, dead: map[uint64]store.DeadLetter{},
		checkpoints: map[string]string{}, spaces: map[store.Space]map[string]string{},
	}
	for _, space := range allSpaces {
		m.spaces[space] = map[string]string{}
	}
	return m
}

func (m *model) enqueue(j store.Job) {
	j.Seq = m.next
	m.next++
	m.jobs[j.Seq] = j
	m.pending[j.Seq] = store.Pending{Seq: j.Seq, Lane: j.Lane, Size: len(j.Payload), Born: j.Born}
}

// pick returns some key of a map; the map is not empty.
func pick[K ~uint64, V any](rng *rand.Rand, m map[K]V) K {
	return slices.Sorted(maps.Keys(m))[rng.IntN(len(m))]
}

var endpoints = []string{"a", "aa", "b\x00", "\xff\xff", "ключ"}

// batch fills a batch with random changes, and returns what makes them in the
// model, in the order in which the store makes them.
func (m *model) batch(rng *rand.Rand, b *store.Batch) (after func()) {
	var numbered, again []func()
	gone := map[uint64]bool{} // jobs and letters that the batch has dealt with
	for range 1 + rng.IntN(12) {
		switch op := rng.IntN(10); {
		case op < 3:
			j := store.Job{
				Endpoint: endpoints[rng.IntN(len(endpoints))], Lane: rng.Uint64(), ID: fmt.Sprint("id", rng.Uint32()),
				Born: born.Add(time.Duration(rng.IntN(1000)) * time.Millisecond), Payload: bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(3000)),
			}
			b.Enqueue(j)
			numbered = append(numbered, func() { m.enqueue(j) })
		case op == 3:
			stream := streams[rng.IntN(len(streams))]
			position := []string{"", fmt.Sprint(rng.Uint64())}[min(1, rng.IntN(4))]
			b.SetCheckpoint(stream, position)
			if m.checkpoints[stream] = position; position == "" {
				delete(m.checkpoints, stream)
			}
		case op == 4:
			m.space(rng, b)
		case op < 8 && len(m.pending) > 0:
			seq := pick(rng, m.pending)
			if gone[seq] {
				continue
			}
			m.outcome(rng, b, seq, &numbered)
			_, still := m.pending[seq]
			gone[seq] = !still
		case op >= 8 && len(m.dead) > 0:
			number := pick(rng, m.dead)
			d := m.dead[number]
			if op == 9 {
				b.DropDead(number)
			} else if d.Seq != 0 {
				b.Requeue(number)
				j := m.jobs[d.Seq]
				again = append(again, func() { m.enqueue(j) })
			} else {
				continue
			}
			delete(m.jobs, d.Seq)
			delete(m.dead, number)
		}
	}
	return func() {
		for _, f := range append(numbered, again...) {
			f()
		}
	}
}

// outcome settles, retries or buries a pending job.
func (m *model) outcome(rng *rand.Rand, b *store.Batch, seq uint64, numbered *[]func()) {
	p, j := m.pending[seq], m.jobs[seq]
	at := born.Add(time.Hour)
	switch rng.IntN(4) {
	case 0:
		p.Attempts++
		p.Due, p.Error = at.Add(time.Duration(p.Attempts)*time.Second), fmt.Sprint("error ", p.Attempts)
		p.Excerpt = ""
		if rng.IntN(2) == 0 {
			p.Excerpt = "said\x00so"
		}
		m.pending[seq] = p
		b.Retry(j.Endpoint, seq, p.Attempts, p.Due, p.Error, p.Excerpt)
		return
	case 1:
		b.Settle(j.Endpoint, seq, p.Attempts+1)
		delete(m.jobs, seq)
	case 2:
		r := store.Settled{Seq: seq, Endpoint: j.Endpoint, ID: j.ID, Status: "200", Excerpt: p.Excerpt, Attempts: p.Attempts + 1, Born: j.Born, At: at}
		b.SettleListed(r)
		r.Number = uint64(len(m.settled)) + 1
		m.settled = append(m.settled, r)
		delete(m.jobs, seq)
	case 3:
		d := store.DeadLetter{Seq: seq, Endpoint: j.Endpoint, ID: j.ID, Reason: "exhausted", Error: "e", Excerpt: "x", Attempts: p.Attempts + 1, Born: j.Born, At: at}
		b.Bury(d)
		*numbered = append(*numbered, func() {
			d.Number = m.nextDead
			m.nextDead++
			m.dead[d.Number] = d
		})
	}
	delete(m.pending, seq)
}

func (m *model) space(rng *rand.Rand, b *store.Batch) {
	space := allSpaces[rng.IntN(len(allSpaces))]
	entries := m.spaces[space]
	key := func() string { return string([]byte{byte(rng.IntN(8)) * 36, byte(rng.IntN(256))}[:rng.IntN(3)]) }
	switch k := key(); rng.IntN(6) {
	case 0:
		b.Delete(space, []byte(k))
		delete(entries, k)
	case 1:
		to := key()
		if to < k {
			k, to = to, k
		}
		b.DeleteRange(space, []byte(k), []byte(to))
		maps.DeleteFunc(entries, func(e, _ string) bool { return k <= e && e < to })
	default:
		entries[k] = fmt.Sprint(rng.Uint64())
		b.Put(space, []byte(k), []byte(entries[k]))
	}
}

// check compares all that a store gives out with the model.
func (m *model) check(t *testing.T, s *store.Store) {
	t.Helper()
	for _, stream := range streams {
		if got, err := s.Checkpoint(stream); got != m.checkpoints[stream] || err != nil {
			t.Errorf("Checkpoint of %q = %q, %v, want %q", stream, got, err, m.checkpoints[stream])
		}
	}
	if got := s.Stats().NextJob; got != m.next {
		t.Errorf("next job %d, want %d", got, m.next)
	}
	var ends []store.Endpoint
	for _, name := range slices.Sorted(slices.Values(endpoints)) {
		var want []store.Pending
		for _, seq := range slices.Sorted(maps.Keys(m.pending)) {
			if m.jobs[seq].Endpoint == name {
				want = append(want, m.pending[seq])
			}
		}
		equal(t, "pending of "+name, all(t, s.Pending(name, 0)), want)
		if len(want) > 0 {
			ends = append(ends, store.Endpoint{Name: name, Pending: len(want), First: want[0].Seq})
			middle := len(want) / 2
			equal(t, "pending of "+name+" from the middle", all(t, s.Pending(name, want[middle].Seq)), want[middle:])
		}
	}
	got, err := s.Endpoints()
	if err != nil {
		t.Error(err)
	}
	equal(t, "endpoints", got, ends)
	for seq := uint64(0); seq < m.next; seq++ {
		j, err := s.Load(seq)
		want, there := m.jobs[seq]
		switch {
		case !there && !errors.Is(err, store.ErrNotFound):
			t.Errorf("Load(%d) = %v, want ErrNotFound", seq, err)
		case there && (err != nil || j.Seq != seq || j.Endpoint != want.Endpoint || j.Lane != want.Lane || j.ID != want.ID || !j.Born.Equal(want.Born) || !bytes.Equal(j.Payload, want.Payload)):
			t.Errorf("Load(%d) = %+v, %v, want %+v", seq, j, err, want)
		}
	}
	settled := slices.Clone(m.settled)
	slices.Reverse(settled)
	equal(t, "settled", all(t, s.Settled(0)), settled)
	var dead []store.DeadLetter
	for _, number := range slices.Backward(slices.Sorted(maps.Keys(m.dead))) {
		dead = append(dead, m.dead[number])
	}
	equal(t, "dead", all(t, s.Dead(0)), dead)
	for space, entries := range m.spaces {
		var keys, want []string
		for e, err := range s.Scan(space, nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, string(e.Key)+"="+string(e.Value))
		}
		for _, k := range slices.Sorted(maps.Keys(entries)) {
			want = append(want, k+"="+entries[k])
		}
		equal(t, fmt.Sprintf("space %q", space), keys, want)
	}
}

// Whatever is done, in whatever order, with whatever restarts: the store is
// what a few maps are.
func TestModel(t *testing.T) {
	for seed := range uint64(size(t, "TRIGGERD_MODELS", 20)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			mem := vfs.NewCrashableMem()
			m := newModel()
			s, err := store.Options{FS: mem}.Open("data")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { s.Close() }()
			for step := range 150 {
				b := s.NewBatch()
				after := m.batch(rng, b)
				commit(t, b)
				after()
				switch rng.IntN(30) {
				case 0: // stopped and started
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s, err = store.Options{FS: mem}.Open("data")
				case 1: // killed and started; a durable commit takes the settlements before it along
					if err := s.SaveCheckpoint(streams[1], m.checkpoints[streams[1]]); err != nil {
						t.Fatal(err)
					}
					old := s
					mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
					s, err = store.Options{FS: mem}.Open("data")
					old.Close()
				case 2:
					err = s.Flush()
				case 3:
					err = s.Maintain(born)
				}
				if err != nil {
					t.Fatal(err)
				}
				if step%10 == 0 {
					m.check(t, s)
				}
				if t.Failed() {
					t.Fatalf("step %d", step)
				}
			}
			m.check(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := store.Options{FS: mem}.Verify("data")
			if err != nil || len(r.Problems) > 0 || r.Jobs != len(m.pending) || r.DeadLetters != len(m.dead) || r.Settled != len(m.settled) || !maps.Equal(r.Checkpoints, m.checkpoints) {
				t.Errorf("Verify = %+v, %v", r, err)
			}
			if r, err = (store.Options{FS: mem}).Salvage("data", "salvaged"); err != nil || len(r.Problems) > 0 || !maps.Equal(r.Checkpoints, m.checkpoints) {
				t.Fatalf("Salvage = %+v, %v", r, err)
			}
			if s, err = (store.Options{FS: mem}).Open("salvaged"); err != nil {
				t.Fatal(err)
			}
			for seq, p := range m.pending { // a salvaged store has nothing less; more is possible
				j, err := s.Load(seq)
				if err != nil || j.Lane != p.Lane {
					t.Errorf("salvaged: Load(%d) = %+v, %v", seq, j, err)
				}
			}
			for space, entries := range m.spaces {
				for k, v := range entries {
					if got, err := s.Get(space, []byte(k)); string(got) != v || err != nil {
						t.Errorf("salvaged: %q of %q is %q, %v, want %q", k, space, got, err, v)
					}
				}
			}
			for _, stream := range streams {
				if got, err := s.Checkpoint(stream); got != m.checkpoints[stream] || err != nil {
					t.Errorf("salvaged: Checkpoint of %q = %q, %v, want %q", stream, got, err, m.checkpoints[stream])
				}
			}
		})
	}
}
