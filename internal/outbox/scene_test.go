package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
	"triggerd/internal/store"
)

// Errors of the three ways in which an endpoint fails.
var (
	errRefused = actions.Unreached(errors.New("connection refused"))
	err500     = errors.New("500 Internal Server Error")
)

// scene is an endpoint "0" that is played by a function, and what came of it.
type scene struct {
	*box
	began time.Time

	mu      sync.Mutex
	play    func(s *scene, f *actions.Firing) (takes time.Duration, err error) // takes < 0: no answer
	planned map[string]time.Time
	took    map[string]time.Duration // of those delivered
	failed  []time.Duration          // when attempts failed, since the beginning
	now     int
	most    []int // attempts at once, by minute
	rnd     *rand.Rand
	how     *Policy
}

func newScene(t *testing.T, concurrency int, timeout time.Duration, play func(s *scene, f *actions.Firing) (time.Duration, error)) *scene {
	t.Helper()
	s := &scene{began: time.Now(), play: play, planned: map[string]time.Time{}, took: map[string]time.Duration{}, rnd: rand.New(rand.NewPCG(1, 2))}
	s.box, s.how = newBox(t, 2_000_000, 1), sceneSpec(timeout)
	s.SetActions(map[string]*Action{"0": {Action: s, Concurrency: concurrency, Policy: s.how}}, nil)
	return s
}

var sceneRetry = Retry{MaxAttempts: 12, Backoff: time.Second, MaxBackoff: 10 * time.Minute, MaxAge: 24 * time.Hour}

func sceneSpec(timeout time.Duration) *Policy {
	return spec(func(a *Policy) { a.Timeout, a.Retry = timeout, sceneRetry })
}

func (s *scene) Do(ctx context.Context, f *actions.Firing) (actions.Result, error) {
	s.mu.Lock()
	minute := int(time.Since(s.began) / time.Minute)
	for len(s.most) <= minute {
		s.most = append(s.most, s.now)
	}
	s.now++
	s.most[minute] = max(s.most[minute], s.now)
	takes, err := s.play(s, f)
	s.mu.Unlock()
	if takes < 0 {
		<-ctx.Done()
		err = ctx.Err()
	}
	time.Sleep(max(takes, 0))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	if err != nil {
		s.failed = append(s.failed, time.Since(s.began))
		return actions.Result{}, err
	}
	s.took[f.ID.String()] = time.Since(s.planned[f.ID.String()])
	return actions.Result{}, nil
}

// fire plans a firing of a key.
func (s *scene) fire(key string) {
	s.mu.Lock()
	id := fmt.Sprintf("%s-%d", key, len(s.planned))
	s.planned[id] = time.Now()
	s.mu.Unlock()
	s.put("0", key, id, s.how)
}

// every fires n firings of keys, one each pause.
func (s *scene) every(pause time.Duration, n int, key func(i int) string) {
	for i := range n {
		s.fire(key(i))
		sleep(pause)
	}
}

// latency returns how many of the firings whose key begins so were delivered, of
// how many, and the given part of them how fast; those that were not count as
// never.
func (s *scene) latency(key string, part float64) (delivered, of int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []time.Duration
	for id, at := range s.planned {
		if !strings.HasPrefix(id, key) {
			continue
		}
		d, ok := s.took[id]
		if ok {
			delivered++
		} else {
			d = time.Since(at) + time.Hour
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return delivered, len(all), all[min(int(part*float64(len(all))), len(all)-1)]
}

// failures returns how many attempts failed.
func (s *scene) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failed)
}

// failedBetween counts failed attempts.
func (s *scene) failedBetween(from, to time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.failed {
		if at >= from && at < to {
			n++
		}
	}
	return n
}

func (s *scene) deadLetters() (n int) {
	for range s.store.Dead(0) {
		n++
	}
	return n
}

func keys(prefix string) func(int) string {
	return func(i int) string { return prefix + fmt.Sprint(i) }
}

func bad(f *actions.Firing) bool { return strings.HasPrefix(f.ID.String(), "bad") }

// A thousand keys that always fail, in whichever way, are no reason for another
// key to wait.
func TestSceneFailingLanes(t *testing.T) {
	for name, tt := range map[string]struct {
		concurrency int
		timeout     time.Duration
		takes       time.Duration
		err         error
		bad         int
		hours       float64
	}{
		"500":                   {16, 10 * time.Second, 20 * time.Millisecond, err500, 1000, 0.5},
		"no answer":             {16, 10 * time.Second, -1, nil, 1000, 1}, // what comes in the first ten seconds waits for the first to time out
		"exec that exits 1":     {2, 10 * time.Second, 200 * time.Millisecond, errors.New("exit 1"), 1000, 0.5},
		"asked for an hour":     {16, 10 * time.Second, 20 * time.Millisecond, actions.RetryAfter(time.Hour, err500), 20, 0.5},
		"500 for only 20":       {16, 10 * time.Second, 20 * time.Millisecond, err500, 20, 0.2},
		"refused for good":      {16, 10 * time.Second, 20 * time.Millisecond, actions.Permanent(err500), 1000, 0.1},
		"cannot be rendered":    {16, 10 * time.Second, 0, actions.Unsent(err500), 1000, 0.1},
		"broken after the sent": {16, 10 * time.Second, 20 * time.Millisecond, actions.Unanswered(err500), 1000, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, tt.concurrency, tt.timeout, func(_ *scene, f *actions.Firing) (time.Duration, error) {
					if bad(f) {
						return tt.takes, tt.err
					}
					return 20 * time.Millisecond, nil
				})
				for i := range tt.bad {
					s.fire(fmt.Sprint("bad", i))
				}
				healthy := int(tt.hours * 3600)
				s.every(time.Second, healthy, func(i int) string { return fmt.Sprint("good", i%10) })
				sleep(time.Minute)
				n, of, p99 := s.latency("good", 0.99)
				t.Logf("%d of %d, p99 %v, %d attempts failed", n, of, p99, s.failures())
				if n != of || p99 >= time.Second {
					t.Errorf("%d of %d healthy firings delivered, p99 %v", n, of, p99)
				}
			})
		})
	}
}

// Keys that never were there before and fail, many a second, are no reason
// either.
func TestSceneNewFailingLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 16, 10*time.Second, func(_ *scene, f *actions.Firing) (time.Duration, error) {
			if bad(f) {
				return 20 * time.Millisecond, err500
			}
			return 20 * time.Millisecond, nil
		})
		for i := range 240 * 50 { // four minutes
			s.fire(fmt.Sprint("bad", i))
			if i%50 == 0 {
				s.fire("good")
			}
			sleep(20 * time.Millisecond)
		}
		n, of, p99 := s.latency("good", 0.99)
		t.Logf("%d of %d, p99 %v", n, of, p99)
		if n < of-1 || p99 >= time.Second {
			t.Errorf("%d of %d healthy firings delivered, p99 %v", n, of, p99)
		}
	})
}

// A dead endpoint gets about one attempt at a time, however it is dead and
// however much waits; of what it does not reach nothing is given up, of the rest
// no more than its few retries, and it is noticed soon that it is back.
func TestSceneOutage(t *testing.T) {
	const outage = 6 * time.Hour
	for name, tt := range map[string]struct {
		takes   time.Duration
		err     error
		pending int
		minutes int // failed attempts a minute, at most
		dead    int
		back    time.Duration // where only keys are left that have failed, these are attempted once a minute
	}{
		"refused":        {0, errRefused, 20_000, 60, 0, 31 * time.Second},
		"503":            {20 * time.Millisecond, err500, 20_000, 60, 5, 31 * time.Second},
		"no answer":      {-1, nil, 20_000, 60, 5, 31 * time.Second},
		"refused, 20":    {0, errRefused, 20, 60, 0, 31 * time.Second},
		"503, 20":        {20 * time.Millisecond, err500, 20, 60, 30, 75 * time.Second},
		"no answer, few": {-1, nil, 3, 60, 30, 75 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 16, 10*time.Second, func(s *scene, f *actions.Firing) (time.Duration, error) {
					if time.Since(s.began) < outage {
						return tt.takes, tt.err
					}
					return 20 * time.Millisecond, nil
				})
				for i := range tt.pending {
					s.fire(fmt.Sprint("k", i))
				}
				s.every(time.Minute, 6*60-1, func(i int) string { return fmt.Sprint("k", i%20) })
				sleep(outage - time.Since(s.began))
				first := s.failedBetween(0, time.Minute)
				for m := 10; m < 6*60; m++ {
					from := time.Duration(m) * time.Minute
					if n := s.failedBetween(from, from+time.Minute); n > tt.minutes {
						t.Errorf("%d attempts in minute %d", n, m)
						break
					}
				}
				s.mu.Lock()
				if most := slices.Max(s.most[10:]); most > 1 {
					t.Errorf("%d attempts at once", most)
				}
				delivered := len(s.took)
				s.mu.Unlock()
				last := s.failedBetween(outage-time.Hour, outage)
				dead := s.deadLetters()
				back := time.Duration(0)
				for ; back < time.Hour; back += 100 * time.Millisecond {
					sleep(100 * time.Millisecond)
					s.mu.Lock()
					some := len(s.took) > delivered
					s.mu.Unlock()
					if some {
						break
					}
				}
				sleep(30 * time.Minute)
				left := s.total().Pending
				t.Logf("failed %d in the first minute, %d in the last hour; %d dead letters; back after %v, %d left", first, last, dead, back, left)
				if dead > tt.dead || back > tt.back || left > 0 {
					t.Errorf("%d dead letters, back after %v, %d left", dead, back, left)
				}
			})
		})
	}
}

// An endpoint that is asked for more than it can do gets as much as it can do.
func TestSceneOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slots := make(chan struct{}, 4)
		r := actionFunc(func(ctx context.Context, f *actions.Firing) error {
			select { // it does the work, whoever still waits for it
			case slots <- struct{}{}:
			case <-ctx.Done():
				go func() {
					slots <- struct{}{}
					time.Sleep(3 * time.Second)
					<-slots
				}()
				return ctx.Err()
			}
			done := make(chan struct{})
			go func() {
				time.Sleep(3 * time.Second)
				<-slots
				close(done)
			}()
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		b := newBox(t, 1_000_000, 1)
		sp := sceneSpec(10 * time.Second)
		b.SetActions(map[string]*Action{"0": {Action: r, Concurrency: 16, Policy: sp}}, map[PolicyKey]*Policy{{"r0", "a"}: sp})
		for i := range 4000 {
			b.put("0", fmt.Sprint(i), fmt.Sprint(i), sp)
		}
		sleep(30 * time.Minute)
		t.Logf("%d a minute", b.total().Delivered/30)
		if n := b.total().Delivered / 30; n < 60 {
			t.Errorf("%d delivered a minute, of 80", n)
		}
		b.end()
		sleep(time.Hour) // what it was asked for it still does
	})
}

type actionFunc func(ctx context.Context, f *actions.Firing) error

func (do actionFunc) Do(ctx context.Context, f *actions.Firing) (actions.Result, error) {
	return actions.Result{}, do(ctx, f)
}

// One that is there every other half minute is made use of.
func TestSceneFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 16, 10*time.Second, func(s *scene, f *actions.Firing) (time.Duration, error) {
			if time.Since(s.began)%time.Minute >= 30*time.Second {
				return 0, errRefused
			}
			return 20 * time.Millisecond, nil
		})
		s.every(100*time.Millisecond, 30*600, func(i int) string { return fmt.Sprint("k", i%500) })
		sleep(time.Minute)
		n, of, p99 := s.latency("k", 0.99)
		failed := s.failures() / 30
		t.Logf("%d of %d, p99 %v, %d failed a minute", n, of, p99, failed)
		if n != of || p99 > 40*time.Second || failed > 60 {
			t.Errorf("%d of %d delivered, p99 %v, %d failed a minute", n, of, p99, failed)
		}
	})
}

// One with a limit of its own, which it tells with 429, is used up to that.
func TestSceneLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, at := 50.0, time.Now()
		s := newScene(t, 16, 10*time.Second, func(*scene, *actions.Firing) (time.Duration, error) {
			now := time.Now()
			tokens, at = min(50, tokens+50*now.Sub(at).Seconds()), now
			if tokens < 1 {
				return 20 * time.Millisecond, actions.RetryAfter(time.Second, errors.New("429"))
			}
			tokens--
			return 20 * time.Millisecond, nil
		})
		for i := range 20_000 {
			s.fire(fmt.Sprint(i))
		}
		sleep(5 * time.Minute)
		n := float64(s.total().Delivered) / 300
		t.Logf("%.1f a second, %.2f of 429 each", n, float64(s.failures())/float64(s.total().Delivered))
		if n < 45 {
			t.Errorf("%.1f delivered a second, of 50", n)
		}
	})
}

// One that fails at random is attempted as fast as it goes.
func TestSceneRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 16, 10*time.Second, func(s *scene, f *actions.Firing) (time.Duration, error) {
			if s.rnd.Float64() < 0.3 {
				return 20 * time.Millisecond, err500
			}
			return 20 * time.Millisecond, nil
		})
		for i := range 40_000 {
			s.fire(fmt.Sprint(i))
		}
		sleep(time.Minute)
		n := float64(s.total().Delivered) / 60
		t.Logf("%.0f a second", n)
		if n < 0.95*551 { // of 16/20ms*0.7 = 560
			t.Errorf("%.0f delivered a second", n)
		}
	})
}

// Keys that have little to say do not wait for those of which much waits.
func TestSceneBacklog(t *testing.T) {
	for name, distinct := range map[string]int{"a backlog of few keys": 2000, "a backlog of a key each": 40_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 16, 10*time.Second, func(*scene, *actions.Firing) (time.Duration, error) {
					return 20 * time.Millisecond, nil
				})
				for i := range 40_000 { // fifty seconds
					s.fire(fmt.Sprint("big", i%distinct))
				}
				s.every(200*time.Millisecond, 200, keys("idle"))
				sleep(time.Minute)
				n, of, p99 := s.latency("idle", 0.99)
				t.Logf("%d of %d, p99 %v", n, of, p99)
				if n != of || p99 >= time.Second {
					t.Errorf("%d of %d delivered, p99 %v", n, of, p99)
				}
			})
		})
	}
}

// After a restart in any state what waits is delivered, and a long hold holds.
func TestSceneRestart(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		wait time.Duration // that the restart adds to what was asked for
	}{
		"down": {errRefused, 0}, "suspect": {err500, 0}, "held": {actions.RetryAfter(time.Hour, err500), 50 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, err := store.OpenInMemory()
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				first := &receiver{do: func(*actions.Firing) error { return tt.err }}
				b := openBox(t, st, 1000, 4, first)
				sp := sceneSpec(time.Second)
				for i := range 50 {
					b.put("0", fmt.Sprint(i), fmt.Sprint(i), sp)
				}
				sleep(9 * time.Minute)
				if b.condition("0") == up {
					t.Fatal("the endpoint is up")
				}
				b.end()
				r := &receiver{}
				b = openBox(t, st, 1000, 4, r)
				sleep(time.Second)
				if n := len(r.received()); tt.wait > 0 && n > 0 {
					t.Errorf("%d delivered though it asked to be left alone for an hour", n)
				}
				sleep(tt.wait + 10*time.Minute)
				if n := len(r.received()); n != 50 {
					t.Errorf("%d of 50 delivered", n)
				}
				b.end()
			})
		})
	}
}
