package timing_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"triggerd/internal/timing"
)

const million = 1_000_000

// slim is about as much as is kept of a match that tells what stopped coming.
type slim struct{ b [80]byte }

func (s *slim) Append(dst []byte) []byte     { return append(dst, s.b[:]...) }
func (s *slim) AppendSlim(dst []byte) []byte { return append(dst, s.b[:]...) }

// nothing is Data of no bytes.
type nothing struct{}

func (nothing) Append(dst []byte) []byte     { return dst }
func (nothing) AppendSlim(dst []byte) []byte { return dst }

// crowd is a machine with one rule, and the values of its by.
type crowd struct {
	m     *timing.Machine
	x     timing.Arrival
	names []string
	n     int
	text  [1000][14]byte
	few   [1000]string
}

func newCrowd(r timing.Rule, n int, data timing.Data) *crowd {
	r.Name, r.MaxKeys = "r", n
	c := &crowd{m: timing.New(), names: make([]string, n)}
	c.m.SetRules([]*timing.Rule{&r}, epoch)
	c.x = timing.Arrival{State: c.m.State("r"), At: epoch, Data: data}
	for i := range c.names {
		c.names[i] = fmt.Sprintf("worker:%07d", i)
	}
	return c
}

func (c *crowd) match(dst []timing.Release, by string) []timing.Release {
	c.x.Keys = timing.Keys{Once: by, Dedupe: by, Gather: by, Throttle: by, Batch: by}
	return c.m.Arrive(dst, &c.x)
}

func (c *crowd) all() {
	var dst []timing.Release
	for _, by := range c.names {
		dst = c.match(dst[:0], by)
	}
}

// some returns names, as a stream has them: written some time before they are
// read, to memory that is written again and again. A million of them have each
// name once, all over the place.
func (c *crowd) some() []string {
	for n := range c.text {
		c.n++
		name, i := c.text[n][:], c.n*617_411%len(c.names)
		copy(name, "worker:")
		for d := len(name) - 1; d >= len("worker:"); d-- {
			name[d] = byte('0' + i%10)
			i /= 10
		}
		c.few[n] = unsafe.String(&name[0], len(name))
	}
	return c.few[:]
}

func (c *crowd) save() {
	c.m.Changes(func(k, v []byte) {}, func(k []byte) {})
}

// benchmark measures a match of one of a million values, all over the place, and
// what time that passes costs with it.
func benchmark(b *testing.B, r timing.Rule) {
	c := newCrowd(r, million, new(slim))
	c.all()
	c.pass(3*million, c.some)
	c.measure(b, c.some)
}

// pass has n matches pass, in as much time as they take.
func (c *crowd) pass(n int, next func() []string) {
	var dst []timing.Release
	for n > 0 {
		for _, name := range next() {
			dst = c.match(dst[:0], name)
			n--
		}
		dst = c.advance(dst)
	}
	c.save()
}

// advance has the time pass in which a thousand beat.
func (c *crowd) advance(dst []timing.Release) []timing.Release {
	c.x.At = c.x.At.Add(30 * time.Millisecond)
	return c.m.Advance(dst[:0], c.x.At, c.x.At)
}

// measure measures matches of the names that next returns, some at a time.
func (c *crowd) measure(b *testing.B, next func() []string) {
	runtime.GC()
	var dst []timing.Release
	few := next()
	b.ReportAllocs()
	began := cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op") }()
	for b.Loop() {
		if len(few) == 0 {
			few = next()
			dst = c.advance(dst)
		}
		dst = c.match(dst[:0], few[0])
		few = few[1:]
	}
}

// cpuTime is what the process has used, which says more than the time that
// passed where others are at work too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBeat is a match that arms anew one of a million timers of 90 seconds,
// of workers that beat every 30: in turn, and all over the place, where nearly all
// of it is waiting for memory. BenchmarkMap is what a map takes for the latter.
func BenchmarkBeat(b *testing.B) {
	rule := timing.Rule{Absent: timing.Absent{For: 90 * time.Second}}
	b.Run("in turn", func(b *testing.B) {
		c := newCrowd(rule, million, new(slim))
		i := 0
		next := func() []string {
			few := c.names[i : i+1000]
			i = (i + 1000) % million
			return few
		}
		c.pass(4*million, next)
		c.measure(b, next)
	})
	b.Run("scattered", func(b *testing.B) { benchmark(b, rule) })
}

func BenchmarkMap(b *testing.B) {
	c := newCrowd(timing.Rule{}, million, nil)
	m := map[string]int{}
	for i, name := range c.names {
		m[name] = i
	}
	few := c.some()
	began := cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op") }()
	for b.Loop() {
		if len(few) == 0 {
			few = c.some()
		}
		m[few[0]]++
		few = few[1:]
	}
}

func BenchmarkDebounce(b *testing.B) {
	benchmark(b, timing.Rule{Debounce: timing.Debounce{Wait: 90 * time.Second}})
}

func BenchmarkCount(b *testing.B) {
	benchmark(b, timing.Rule{Count: timing.Count{Over: 100, Within: 10 * time.Second}})
}

func BenchmarkThrottle(b *testing.B) {
	benchmark(b, timing.Rule{Throttle: timing.Throttle{Max: 5, Per: 10 * time.Second}})
}

func BenchmarkDedupe(b *testing.B) {
	benchmark(b, timing.Rule{Dedupe: 10 * time.Second})
}

// BenchmarkDue is a million timers that are due at one second.
func BenchmarkDue(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := newCrowd(timing.Rule{Absent: timing.Absent{For: 90 * time.Second}}, million, new(slim))
		rnd := rand.New(rand.NewPCG(1, 2))
		rnd.Shuffle(million, func(i, j int) { c.names[i], c.names[j] = c.names[j], c.names[i] })
		for i, by := range c.names {
			c.x.At = epoch.Add(time.Duration(i%1000) * time.Millisecond)
			c.match(nil, by)
		}
		c.save()
		runtime.GC()
		b.StartTimer()
		fired := 0
		var dst []timing.Release
		for now := epoch.Add(91 * time.Second); ; fired += len(dst) {
			if dst = c.m.Advance(dst[:0], now, now); len(dst) == 0 {
				break
			}
		}
		if fired != million {
			b.Fatalf("%d fired", fired)
		}
	}
}

// BenchmarkEvict is a match of a new value where another gives way for it.
func BenchmarkEvict(b *testing.B) {
	c := newCrowd(timing.Rule{Absent: timing.Absent{For: 90 * time.Second}}, million, new(slim))
	c.all()
	c.save()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		c.match(nil, fmt.Sprintf("late:%09d", n))
		n++
	}
}

// A state takes at most 200 bytes, besides the text of its by and what is kept.
func TestMemory(t *testing.T) {
	const n, text = 50_000, 14
	for name, tt := range map[string]struct {
		rule timing.Rule
		kept int // bytes
	}{
		"dedupe":            {timing.Rule{Dedupe: hour}, 0},
		"once":              {timing.Rule{Once: true}, 0},
		"count, exact":      {timing.Rule{Count: timing.Count{Over: 32, Within: hour}}, 0},
		"count, slices":     {timing.Rule{Count: timing.Count{Over: 1000, Within: hour}}, 0},
		"throttle":          {timing.Rule{Throttle: timing.Throttle{Max: 5, Per: hour}}, 0},
		"throttle, slices":  {timing.Rule{Throttle: timing.Throttle{Max: 1000, Per: hour}}, 0},
		"absent":            {timing.Rule{Absent: timing.Absent{For: hour}}, 64},
		"debounce":          {timing.Rule{Debounce: timing.Debounce{Wait: hour}}, 24 + 32},
		"for":               {timing.Rule{For: hour}, 24 + 32},
		"batch, of one yet": {timing.Rule{Batch: timing.Batch{Max: 10, Wait: hour}}, 24 + 32},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(tt.rule, n, nothing{})
			before := heapBytes()
			c.all()
			c.save()
			used := (heapBytes()-before)/n - text - tt.kept
			t.Logf("%d bytes a state", used)
			if used > 200 {
				t.Errorf("%d bytes a state, want at most 200", used)
			}
			runtime.KeepAlive(c)
		})
	}
}

func heapBytes() int {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}
