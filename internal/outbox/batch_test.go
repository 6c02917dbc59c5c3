package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
)

// batcher is a receiver that takes several firings at once.
type batcher struct{ *receiver }

func (b batcher) Batch(ctx context.Context, fs []*actions.Firing) []error {
	errs := make([]error, len(fs))
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() { _, errs[i] = b.Do(ctx, f) })
	}
	wg.Wait()
	return errs
}

// calls is a Batcher whose batches a function answers. It keeps of each call the
// IDs and attempts, those of a batch in brackets.
type calls struct {
	mu    sync.Mutex
	list  []string
	batch func(ctx context.Context, fs []*actions.Firing) []error
}

func (c *calls) note(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, call)
}

func (c *calls) take() (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, c.list = c.list, nil
	return list
}

func named(f *actions.Firing) string { return fmt.Sprintf("%s#%d", f.ID, f.Attempt) }

func (c *calls) Do(_ context.Context, f *actions.Firing) (actions.Result, error) {
	c.note(named(f))
	return actions.Result{}, nil
}

func (c *calls) Batch(ctx context.Context, fs []*actions.Firing) []error {
	var names []string
	for _, f := range fs {
		names = append(names, named(f))
	}
	slices.Sort(names)
	c.note("[" + strings.Join(names, " ") + "]")
	if c.batch == nil {
		return make([]error, len(fs))
	}
	return c.batch(ctx, fs)
}

// openCalls returns an outbox with an endpoint "0" that is held until
// SetPaused("0", false).
func openCalls(t *testing.T, c *calls, rate Rate) *box {
	b := newBox(t, 10_000, 1)
	b.SetPaused("0", true)
	b.SetActions(map[string]*Action{"0": {Action: c, Concurrency: 1, Policy: spec(nil), Rate: rate}}, nil)
	return b
}

func (b *box) expectCalls(c *calls, want ...string) {
	b.t.Helper()
	if got := c.take(); !slices.Equal(got, want) {
		b.t.Errorf("called with %v, want %v", got, want)
	}
}

// What is ready of several lanes is delivered in one batch, of each lane one
// firing. One that fails is tried again by itself, before the others of its lane.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &calls{batch: func(_ context.Context, fs []*actions.Firing) []error {
			errs := make([]error, len(fs))
			for i, f := range fs {
				switch {
				case f.ID == "y1":
					errs[i] = err500
				case f.ID == "z1":
					errs[i] = actions.Permanent(err500)
				}
			}
			return errs
		}}
		b := openCalls(t, c, Rate{})
		for _, id := range []string{"x1", "x2", "y1", "y2", "z1", "z2"} {
			b.put("0", id[:1], id, spec(nil))
		}
		synctest.Wait()
		b.SetPaused("0", false)
		sleep(time.Minute)
		b.expectCalls(c, "[x1#1 y1#1 z1#1]", "[x2#1 z2#1]", "y1#2", "y2#1")
		if s := b.total(); s.Delivered != 5 || s.GivenUp != 1 || s.Failed != 2 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
		if ep := b.endpoints["0"]; ep.gate.busy != 0 || ep.running != 0 || ep.failing != 0 {
			t.Errorf("at the end %d busy, %d workers, %d failing", ep.gate.busy, ep.running, ep.failing)
		}
	})
}

// A batch is no larger than its limit, and the rate counts its firings.
func TestBatchLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		rate  Rate
		sizes []int
	}{
		"no rate": {Rate{}, []int{actions.BatchLimit, actions.BatchLimit, 88}},
		"rate":    {Rate{Max: 200, Per: time.Hour}, []int{200}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &calls{}
				b := openCalls(t, c, tt.rate)
				for i := range 600 {
					b.put("0", fmt.Sprint(i), fmt.Sprint(i), spec(nil))
				}
				synctest.Wait()
				b.SetPaused("0", false)
				sleep(time.Second)
				var sizes []int
				for _, call := range c.take() {
					sizes = append(sizes, strings.Count(call, "#"))
				}
				if !slices.Equal(sizes, tt.sizes) {
					t.Errorf("batches of %v, want %v", sizes, tt.sizes)
				}
			})
		})
	}
}

// An endpoint that is not up gets its firings one by one.
func TestBatchOnlyWhileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := false
		c := &calls{batch: func(_ context.Context, fs []*actions.Firing) []error {
			if failed {
				return make([]error, len(fs))
			}
			failed = true
			return slices.Repeat([]error{err500}, len(fs))
		}}
		b := openCalls(t, c, Rate{})
		for i := range 300 {
			b.put("0", fmt.Sprint(i), fmt.Sprint(i), spec(nil))
		}
		synctest.Wait()
		b.SetPaused("0", false)
		sleep(time.Hour)
		if got := c.take(); len(got) < 2 || strings.Count(got[0], "#") != actions.BatchLimit || strings.Contains(got[1], " ") {
			t.Errorf("%d calls, the first two are %.2000q", len(got), got[:min(len(got), 2)])
		}
		if s := b.total(); s.Delivered != 300 || s.Failed != actions.BatchLimit {
			t.Errorf("%+v", s)
		}
	})
}

// Where the errors are not as many as the firings it is not known which of these
// were delivered: all are made again.
func TestBatchWrongErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &calls{batch: func(context.Context, []*actions.Firing) []error { return []error{nil} }}
		b := openCalls(t, c, Rate{})
		b.put("0", "x", "x1", spec(nil))
		b.put("0", "y", "y1", spec(nil))
		synctest.Wait()
		b.SetPaused("0", false)
		sleep(time.Minute)
		got := c.take()
		slices.Sort(got)
		if want := []string{"[x1#1 y1#1]", "x1#2", "y1#2"}; !slices.Equal(got, want) {
			t.Errorf("called with %v, want %v", got, want)
		}
		if s := b.total(); s.Delivered != 2 || s.Failed != 2 {
			t.Errorf("%+v", s)
		}
		if !strings.Contains(b.log.String(), "1 errors for a batch of 2 firings") {
			t.Errorf("log:\n%s", b.log)
		}
	})
}

// A batch has the shortest of its firings' timeouts. One that heeds it fails,
// and one that does not is abandoned, as a whole.
func TestBatchTimeout(t *testing.T) {
	for name, deaf := range map[string]bool{"heeded": false, "deaf": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				c := &calls{batch: func(ctx context.Context, fs []*actions.Firing) []error {
					<-ctx.Done()
					if deaf {
						<-end
						return make([]error, len(fs)) // too late to count
					}
					return slices.Repeat([]error{ctx.Err()}, len(fs))
				}}
				b := openCalls(t, c, Rate{})
				b.put("0", "x", "x1", spec(nil))
				b.put("0", "y", "y1", spec(nil))
				synctest.Wait()
				short := spec(func(p *Policy) { p.Timeout = 100 * time.Millisecond })
				b.policies.Store(&map[PolicyKey]*Policy{{"r0", "a"}: short})
				b.SetPaused("0", false)
				sleep(101 * time.Millisecond)
				want := 0
				if deaf {
					sleep(abandonAfter)
					want = 2
				}
				if s := b.Endpoints()[0]; s.Retried != 2 || s.Abandoned != int64(want) || s.Classes["timeout"] != 2 || !strings.Contains(s.LastError, "timeout of 100ms") {
					t.Errorf("status %+v", s)
				}
				sleep(time.Minute)
				close(end)
				sleep(time.Minute)
				if s := b.total(); s.Delivered != 2 || s.Failed != 2 || s.Pending != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A batch that does not reach its endpoint is one attempt that did not.
func TestBatchUnreached(t *testing.T) {
	g := newGate(16)
	now := time.Unix(1, 0)
	var under []attempt
	under = append(under, g.begin(now, attempt{turn: oldestFresh}))
	for range 100 {
		under = append(under, g.begin(now, g.nextInBatch(now, waiting{fresh: 1})))
	}
	if g.busy != 1 {
		t.Errorf("%d slots taken by one batch", g.busy)
	}
	for _, a := range under {
		g.end(now, a, &laneRecord{}, notReached, 0)
	}
	if c := g.condition(now); g.unreached != 1 || g.busy != 0 || int(g.window) != g.slots || c == down {
		t.Errorf("unreached %d, busy %d, window %v, %s", g.unreached, g.busy, g.window, c)
	}
	if a := g.nextInBatch(now, waiting{fresh: 1}); a.turn != noTurn {
		t.Errorf("%+v joins an endpoint that is %s", a, g.condition(now))
	}
}
