package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/store"
)

// receiver is an action that keeps what it got.
type receiver struct {
	mu       sync.Mutex
	got      []string // "key=id" in the order of success
	attempts []string
	now      int
	most     int // attempts at the same time
	closed   bool
	do       func(f *actions.Firing) error // nil: success
	takes    time.Duration
	says     string
}

func (r *receiver) Do(ctx context.Context, f *actions.Firing) (actions.Result, error) {
	r.mu.Lock()
	r.now++
	r.most = max(r.most, r.now)
	r.attempts = append(r.attempts, fmt.Sprintf("%s#%d", f.ID, f.Attempt))
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.now--
		r.mu.Unlock()
	}()
	if r.takes > 0 {
		select {
		case <-time.After(r.takes):
		case <-ctx.Done():
			return actions.Result{}, ctx.Err()
		}
	}
	r.mu.Lock()
	do := r.do
	r.mu.Unlock()
	if do != nil {
		if err := do(f); err != nil {
			return actions.Result{Excerpt: r.says}, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, f.ID.String())
	return actions.Result{Status: "ok", Excerpt: r.says}, nil
}

func (r *receiver) Close() error {
	r.closed = true
	return nil
}

func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.got...)
}

// box is an outbox in a bubble, with one endpoint for each receiver: "0", "1".
type box struct {
	*Outbox
	t      *testing.T
	log    *lockedBuffer
	cancel context.CancelFunc
	acked  string

	batches bool // the actions that use brings in are Batchers
}

// lockedBuffer is a log that many goroutines write and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBox(t *testing.T, maxPending, concurrency int, rs ...*receiver) *box {
	t.Helper()
	st, err := store.OpenInMemory()
	if err != nil {
		t.Fatal(err)
	}
	b := openBox(t, st, maxPending, concurrency, rs...)
	t.Cleanup(func() {
		b.end()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// openBox returns a running outbox on a store.
func openBox(t *testing.T, st *store.Store, maxPending, concurrency int, rs ...*receiver) *box {
	t.Helper()
	return openBounded(t, st, defaultBounds, maxPending, concurrency, rs...)
}

func openBounded(t *testing.T, st *store.Store, lim bounds, maxPending, concurrency int, rs ...*receiver) *box {
	t.Helper()
	return openPrepared(t, st, lim, maxPending, func(b *box) { b.use(concurrency, rs...) })
}

// openPrepared starts an outbox after prepare has given it its actions.
func openPrepared(t *testing.T, st *store.Store, lim bounds, maxPending int, prepare func(*box)) *box {
	t.Helper()
	b := &box{t: t, log: &lockedBuffer{}}
	b.Outbox = New(Options{
		Store: st, MaxPending: maxPending, Interval: time.Hour, Logger: slog.New(slog.NewTextHandler(b.log, nil)),
		Acked: func(_, position string) { b.acked = position },
	})
	lim.interval = time.Hour
	b.bounds = lim
	if err := b.Recover(); err != nil {
		t.Fatal(err)
	}
	prepare(b)
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.Start(ctx, ctx, func(err error) {
		t.Errorf("fatal: %v", err)
		cancel()
	})
	t.Cleanup(b.end)
	return b
}

// use brings in actions with the receivers for endpoints.
func (b *box) use(concurrency int, rs ...*receiver) { b.usePolicy(spec(nil), concurrency, rs...) }

// usePolicy is use, with a policy for all of them.
func (b *box) usePolicy(p *Policy, concurrency int, rs ...*receiver) {
	all := map[string]*Action{}
	for i, r := range rs {
		if r != nil {
			a := actions.Action(r)
			if b.batches {
				a = batcher{r}
			}
			all[fmt.Sprint(i)] = &Action{Action: a, Concurrency: concurrency, Policy: p}
		}
	}
	b.SetActions(all, nil)
}

// end stops the outbox, once.
func (b *box) end() {
	if b.cancel != nil {
		b.cancel()
		b.Close()
		b.cancel = nil
	}
}

// sleep lets d pass in the bubble, and all that is due happen.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// condition returns the state of an endpoint, whose workers may be at work.
func (b *box) condition(endpoint string) condition {
	ep := b.endpoints[endpoint]
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return ep.gate.condition(time.Now())
}

// put has a firing delivered with a policy.
func (b *box) put(endpoint, key, id string, p *Policy) {
	b.t.Helper()
	if p.Order != "none" {
		all := map[PolicyKey]*Policy{}
		if before := b.policies.Load(); before != nil {
			maps.Copy(all, *before)
		}
		all[PolicyKey{"r" + endpoint, "a"}] = p
		b.policies.Store(&all)
	}
	b.take(endpoint, p, &actions.Firing{ID: firing.ID(id), Rule: "r" + endpoint, Action: "a", Event: &event.Event{Key: []byte(key)}})
	b.Submit(Commit{Stream: "s", Whole: true})
}

// take takes a firing in as the reader does.
func (b *box) take(endpoint string, p *Policy, f *actions.Firing) {
	b.Add(Planned{Stream: "s", Endpoint: endpoint, Policy: p, Firing: f})
}

func spec(change func(*Policy)) *Policy {
	p := &Policy{Order: "key", Overflow: "block", Timeout: time.Second, Retry: Retry{MaxAttempts: 4, Backoff: time.Second, MaxBackoff: time.Minute, MaxAge: time.Hour}}
	if change != nil {
		change(p)
	}
	return p
}

func over(overflow firing.Overflow) *Policy { return spec(func(p *Policy) { p.Overflow = overflow }) }

var errDown = errors.New("down")

// A key's firings arrive in order though the first of them fails, and other
// keys do not wait for it.
func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{do: func(f *actions.Firing) error {
			if f.ID == "a1" && f.Attempt < 3 {
				return errDown
			}
			return nil
		}}
		b := newBox(t, 100, 4, r)
		for i := range 3 {
			b.put("0", "a", fmt.Sprintf("a%d", i+1), spec(nil))
			b.put("0", "b", fmt.Sprintf("b%d", i+1), spec(nil))
		}
		synctest.Wait()
		if got := r.received(); strings.Join(got, " ") != "b1 b2 b3" {
			t.Errorf("before the retry: %v, want the other key's", got)
		}
		sleep(time.Hour)
		if got := r.received(); strings.Join(got[3:], " ") != "a1 a2 a3" {
			t.Errorf("after the retries: %v", got)
		}
		if b.in.pending != 0 || b.endpoints["0"].indexed != 0 || len(b.endpoints["0"].lanes) != 0 {
			t.Errorf("%d pending in %d lanes", b.in.pending, len(b.endpoints["0"].lanes))
		}
	})
}

// A dead endpoint takes no more than its own share of attempts, and delays no
// other.
func TestOutboxBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, good := &receiver{takes: time.Minute}, &receiver{}
		b := newBox(t, 1000, 3, slow, good)
		for i := range 100 {
			key := fmt.Sprint(i)
			b.put("0", key, "s"+key, spec(func(a *Policy) { a.Timeout = time.Hour }))
			b.put("1", key, "g"+key, spec(nil))
		}
		synctest.Wait()
		if n := len(good.received()); n != 100 {
			t.Errorf("%d of 100 arrived at the good endpoint", n)
		}
		if slow.most != 3 {
			t.Errorf("%d attempts at once at the slow endpoint, want 3", slow.most)
		}
		b.end()
	})
}

// With order = "none" and one worker, firings go in the order of the stream.
// What one firing opens and another closes is told in that order, whatever their
// keys: of a value that never came there is no key, and another key may be what
// comes back. Other values do not wait for it.
func TestOutboxOrderByValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{do: func(f *actions.Firing) error {
			if f.ID == "open" && f.Attempt < 3 {
				return errDown
			}
			return nil
		}}
		b := newBox(t, 100, 4, r)
		p := spec(func(p *Policy) { p.ByValue = true })
		b.policies.Store(&map[PolicyKey]*Policy{{"r0", "a"}: p})
		put := func(id, by string, key []byte) {
			b.take("0", p, &actions.Firing{ID: firing.ID(id), Rule: "r0", Action: "a", Event: &event.Event{Key: key}, Timing: event.Timing{By: by}})
			b.Submit(Commit{Stream: "s", Whole: true})
		}
		put("open", "b", nil)
		put("other", "c", nil)
		put("close", "b", []byte("hb:b"))
		put("open-again", "b", []byte("hb:b:2"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := strings.Join(r.received(), " "); got != "other open close open-again" {
			t.Errorf("received %s", got)
		}
	})
}

func TestOutboxNoLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		b := newBox(t, 1000, 1, r)
		var want []string
		for i := range 200 {
			id := fmt.Sprint(i)
			want = append(want, id)
			b.put("0", fmt.Sprint(i%7), id, spec(func(a *Policy) { a.Order = "none" }))
		}
		synctest.Wait()
		if got := r.received(); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("order %v", got)
		}
	})
}

func TestOutboxGivesUp(t *testing.T) {
	tests := []struct {
		name     string
		err      error
		change   func(*Policy)
		attempts int
	}{
		{"after max_attempts", errDown, nil, 4},
		{"at once, if it is permanent", actions.Permanent(errDown), nil, 1},
		{"after max_age", actions.RetryAfter(40*time.Minute, errDown), nil, 2},
		{"never later than asked", actions.RetryAfter(2*time.Hour, errDown), func(a *Policy) { a.Retry.MaxAge = 0 }, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{do: func(f *actions.Firing) error {
					if f.ID == "bad" {
						return tt.err
					}
					return nil
				}}
				b := newBox(t, 100, 4, r)
				b.put("0", "k", "bad", spec(tt.change))
				b.put("0", "k", "next", spec(tt.change))
				sleep(10 * time.Hour)
				if n := len(r.attempts) - 1; n != tt.attempts {
					t.Errorf("%d attempts, want %d: %v", n, tt.attempts, r.attempts)
				}
				if got := r.received(); len(got) != 1 || got[0] != "next" {
					t.Errorf("received %v: the lane did not go on", got)
				}
				s := b.Stats()
				if s.GivenUp != 1 || s.Delivered != 1 || s.Pending != 0 || s.Failed != int64(tt.attempts) {
					t.Errorf("stats %+v", s)
				}
				if !strings.Contains(b.log.String(), `msg="delivery given up" rule=r0 action=a firing=bad`) {
					t.Errorf("log:\n%s", b.log)
				}
				letters := 0
				for d, err := range b.store.Dead(0) {
					if letters++; err != nil || d.ID != "bad" || d.Attempts != tt.attempts || d.Error != "down" {
						t.Errorf("dead letter %+v, %v", d, err)
					}
				}
				if letters != 1 {
					t.Errorf("%d dead letters", letters)
				}
			})
		})
	}
}

// Backoff doubles, is drawn between 0 and its limit, and is never less than the
// receiver asked for.
func TestRetryPause(t *testing.T) {
	for attempt, limit := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 40: time.Minute, 1000: time.Minute} {
		seen := time.Duration(0)
		for range 1000 {
			sp, j := spec(func(a *Policy) { a.Retry.MaxAttempts = 2000 }), &job{attempts: int32(attempt), born: momentOf(time.Now())}
			what, _, pause := outcomeOfFailure(sp, j, errDown)
			if what != Retried || pause < 0 || pause > limit {
				t.Fatalf("attempt %d: pause %v, %v, limit %v", attempt, pause, what, limit)
			}
			seen = max(seen, pause)
			if _, _, pause := outcomeOfFailure(sp, j, actions.RetryAfter(10*time.Minute, errDown)); pause != 10*time.Minute {
				t.Fatalf("attempt %d: pause %v though the receiver asked for 10m", attempt, pause)
			}
		}
		if seen < limit/2 {
			t.Errorf("attempt %d: longest of 1000 pauses is %v, of %v", attempt, seen, limit)
		}
	}
}

// What is over the bound is dropped: counted, told, and not waited for.
func TestOutboxFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: time.Minute}
		b := newBox(t, 10, 1, r)
		for i := range 25 {
			b.put("0", "k", fmt.Sprint(i), spec(func(a *Policy) { a.Timeout = time.Hour }))
		}
		s := b.Stats()
		if s.Dropped != 15 || s.Pending != 10 || s.Firings != 25 {
			t.Errorf("stats %+v", s)
		}
		synctest.Wait() // the keeper tells
		if n := strings.Count(b.log.String(), `msg="firings are dropped"`); n != 1 {
			t.Errorf("told %d times:\n%s", n, b.log)
		}
		sleep(time.Hour)
		if n := len(r.received()); n != 10 {
			t.Errorf("%d delivered, want 10", n)
		}
		b.put("0", "k", "later", spec(nil))
		s = b.Stats()
		if s.Dropped != 15 {
			t.Error("dropped though there is room again")
		}
		b.end()
	})
}

// An attempt that takes too long is ended by its timeout and made again.
func TestOutboxTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: time.Hour}
		b := newBox(t, 10, 1, r)
		b.put("0", "k", "x", spec(func(a *Policy) { a.Timeout = 5 * time.Second }))
		sleep(5*time.Second + time.Minute)
		if len(r.attempts) < 2 || !strings.Contains(b.log.String(), "attempt took longer than its timeout of 5s") {
			t.Errorf("attempts %v, log:\n%s", r.attempts, b.log)
		}
		b.end()
	})
}

// Stopping with drain delivers what can be delivered at once, and leaves what
// would have to be retried; without, it waits only for what is under way.
func TestOutboxStop(t *testing.T) {
	for _, drain := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{takes: 100 * time.Millisecond, do: func(f *actions.Firing) error {
				if strings.HasPrefix(f.ID.String(), "bad") {
					return errDown
				}
				return nil
			}}
			b := newBox(t, 1000, 2, r)
			slow := spec(func(a *Policy) { a.Retry.Backoff, a.Retry.MaxBackoff = time.Hour, time.Hour })
			b.put("0", "x", "bad", slow)
			b.put("0", "x", "behind", slow)
			for i := range 20 {
				b.put("0", fmt.Sprint(i), fmt.Sprintf("good%d", i), slow)
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			left := b.Stop(ctx, drain)
			n := len(r.received())
			if left != 22-n || drain && n != 20 || !drain && n != 1 {
				t.Errorf("drain %v: %d left, %d delivered", drain, left, n)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("drain %v took %v of virtual time", drain, took)
			}
			b.end()
			sleep(2 * time.Hour) // the retry's timer has nothing to wake any more
			if again := len(r.received()); again != n {
				t.Errorf("%d delivered after the end", again-n)
			}
		})
	}
}

func TestOutboxStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{takes: time.Hour}
		b := newBox(t, 1000, 2, r)
		b.put("0", "k", "x", spec(func(a *Policy) { a.Timeout = 2 * time.Hour }))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if left := b.Stop(ctx, true); left != 1 || time.Since(began) != 10*time.Second {
			t.Errorf("%d left after %v", left, time.Since(began))
		}
		b.end()
		if s := b.Stats(); s.Failed != 0 || s.Pending != 1 {
			t.Errorf("an attempt that the stop ended counts as failed: %+v", s)
		}
	})
}

// After a reload firings that wait are delivered with the new action. If there is
// none they wait, a day at most; an endpoint that is gone and empty is forgotten.
func TestOutboxReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := func(*actions.Firing) error { return errDown }
		old0, old1, new0 := &receiver{do: down}, &receiver{do: down}, &receiver{}
		b := newBox(t, 1000, 2, old0, old1)
		b.put("0", "k", "x", spec(nil))
		b.put("1", "k", "y", spec(nil))
		synctest.Wait()
		b.use(2, new0)
		old1.mu.Lock()
		old1.do = nil
		old1.mu.Unlock()
		if !old0.closed || !old1.closed {
			t.Errorf("closed: replaced %v, gone %v", old0.closed, old1.closed)
		}
		sleep(time.Hour)
		if len(new0.received()) != 1 || len(old1.received()) != 0 || len(old0.received()) != 0 {
			t.Errorf("received: new %v, gone %v, replaced %v", new0.received(), old1.received(), old0.received())
		}
		b.use(2, new0)
		if _, there := b.endpoints["1"]; !there {
			t.Error("the endpoint for which a firing waits is gone")
		}
		sleep(24 * time.Hour)
		b.use(2, new0)
		if _, there := b.endpoints["1"]; there {
			t.Error("the endpoint that is gone is still there")
		}
	})
}
