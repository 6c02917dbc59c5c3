package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-resty/resty/v2"
)

// sink is a server that checks that what arrives for a key is in order.
type sink struct {
	url    string
	slow   time.Duration // of /slow
	got    atomic.Int64  // at /good, without those that came twice
	bytes  atomic.Int64  // of the bodies of these
	twice  atomic.Int64
	wrong  atomic.Int64
	target int64
	done   chan struct{} // closed when got has reached target

	mu   sync.Mutex // guards what follows
	last map[string]int64
}

func newSink(target int64) (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{url: "http://" + l.Addr().String(), slow: 200 * time.Millisecond, target: target, done: make(chan struct{}), last: map[string]int64{}}
	go http.Serve(l, s)
	return s, nil
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil || r.URL.Path == "/dead":
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	case r.URL.Path == "/slow":
		time.Sleep(s.slow)
		return
	}
	key, offset := between(body, `"key":"`, '"'), between(body, `"offset":`, ',')
	n, err := strconv.ParseInt(string(offset), 10, 64)
	if err != nil {
		s.wrong.Add(1)
		return
	}
	s.mu.Lock()
	last := s.last[string(key)]
	if n > last {
		s.last[string(key)] = n
	}
	s.mu.Unlock()
	switch {
	case n == last:
		s.twice.Add(1)
	case n < last:
		s.wrong.Add(1)
	default:
		s.bytes.Add(int64(len(body)))
		if s.got.Add(1) == s.target {
			close(s.done)
		}
	}
}

func between(b []byte, from string, to byte) []byte {
	_, rest, _ := bytes.Cut(b, []byte(from))
	end := bytes.IndexByte(rest, to)
	return rest[:max(end, 0)]
}

const healthy = 8

// deliver measures deliveries to healthy endpoints beside a dead and a slow
// one: of firings that wait, and of firings while they are taken in, which has
// the whole of the work in it. Beside them, in turn, resty alone.
func deliver(dir string) error {
	const n = 150_000
	var waiting, together, floor []rate
	for round := range *rounds {
		for _, part := range []struct {
			rates *[]rate
			run   func() (rate, error)
		}{
			{&waiting, func() (rate, error) { return deliverOnce(fmt.Sprint(data(dir), "waiting", round), n, true) }},
			{&floor, func() (rate, error) { return restyAlone(n) }},
			{&together, func() (rate, error) { return deliverOnce(fmt.Sprint(data(dir), "together", round), n, false) }},
		} {
			r, err := part.run()
			if err != nil {
				return err
			}
			*part.rates = append(*part.rates, r)
		}
	}
	alone := median(floor)
	if size := median(waiting).size; math.Abs(alone.size-size) > 8 {
		return fmt.Errorf("the bodies of resty alone have %.0f bytes, those delivered %.0f: these are not the same requests", alone.size, size)
	}
	report("resty alone, the same requests", alone.perSecond, "requests/s")
	report("  processor time of each", alone.cpu, "µs")
	for _, part := range []struct {
		name  string
		rates []rate
		ratio float64
	}{{"delivered in order, beside a dead and a slow endpoint", waiting, 0.8}, {"taken in, and delivered so", together, 0}} {
		r := median(part.rates)
		atLeast(part.name, r.perSecond, 15_000, "webhooks/s")
		report("  processor time of each", r.cpu, "µs")
		atLeast("  ratio to resty alone, of the same round", medianRatio(part.rates, floor), part.ratio, "")
	}
	return nil
}

// kept measures what it costs to keep deliveries whole: the same deliveries with
// and without, in turn. What else the machine is busy with changes processor
// time by more than that, so it is many short pairs of which the median counts:
// four in a round.
func kept(dir string) error {
	const n = 40_000
	var with, without []rate
	limit := *keep
	defer func() { *keep = limit }()
	for pair := range 4 * *rounds {
		for i := range 2 {
			rates := &with
			if *keep = limit; (i+pair)%2 == 1 {
				*keep, rates = 0, &without
			}
			path := fmt.Sprint(data(dir), "kept", pair, i)
			r, err := deliverOnce(path, n, true)
			if err == nil {
				err = os.RemoveAll(path)
			}
			if err != nil {
				return err
			}
			*rates = append(*rates, r)
		}
		log.Printf("pair %d: %.1f µs of processor time kept, %.1f µs not kept: %.3f; of time %.3f", pair+1,
			with[pair].cpu, without[pair].cpu, with[pair].cpu/without[pair].cpu, without[pair].perSecond/with[pair].perSecond)
	}
	for _, part := range []struct {
		name, unit string
		of         func(rate) float64
	}{
		{"processor time of a delivery", "µs", func(r rate) float64 { return r.cpu }},
		{"time of a delivery", "µs", func(r rate) float64 { return 1e6 / r.perSecond }},
	} {
		ratios := make([]float64, len(with))
		for i := range with {
			ratios[i] = part.of(with[i]) / part.of(without[i])
		}
		report(part.name+", kept", medianOf(with, part.of), part.unit)
		report("  not kept", medianOf(without, part.of), part.unit)
		slices.Sort(ratios)
		atMost("  ratio, median of the pairs", ratios[len(ratios)/2], 1.05, "")
	}
	return nil
}

// rate is how fast n of something were done.
type rate struct {
	perSecond float64
	cpu       float64 // µs of processor time for each, of this process: the server's too
	size      float64 // bytes of a body
}

// medianRatio is the median of the rounds' ratios: what else the machine is busy
// with changes from round to round.
func medianRatio(list, floor []rate) float64 {
	ratios := make([]float64, len(list))
	for i := range list {
		ratios[i] = list[i].perSecond / floor[i].perSecond
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func median(list []rate) rate {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b rate) int { return cmp.Compare(a.perSecond, b.perSecond) })
	return list[len(list)/2]
}

// medianOf is the median of one of the figures.
func medianOf(list []rate, of func(rate) float64) float64 {
	all := make([]float64, len(list))
	for i := range list {
		all[i] = of(list[i])
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// timer measures a rate from its making on.
type timer struct {
	began time.Time
	cpu   time.Duration
}

func newTimer() timer { return timer{time.Now(), cpuTime()} }

func (t timer) rate(n int, hook *sink) rate {
	return rate{
		float64(n) / time.Since(t.began).Seconds(), float64((cpuTime() - t.cpu).Microseconds()) / float64(n),
		float64(hook.bytes.Load()) / float64(n),
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// deliverOnce measures deliveries of firings that all were taken in before, if
// they are to wait, or else from the first that is taken in.
func deliverOnce(dir string, n int, wait bool) (rate, error) {
	hook, err := newSink(int64(n))
	if err != nil {
		return rate{}, err
	}
	rules := target("dead", hook.url+"/dead") + target("slow", hook.url+"/slow")
	targets := []string{"target/dead", "target/slow"}
	for i := range healthy {
		rules += target(fmt.Sprint("good", i), hook.url+"/good")
		targets = append(targets, fmt.Sprint("target/good", i))
	}
	if !wait {
		targets = nil
	}
	// Two of ten writes are for the endpoints that are not well.
	all := n * (healthy + 2) / healthy
	src := newCommands(all, 0, func(i int) string {
		switch k := i % (healthy + 2); k {
		case healthy:
			return fmt.Sprint("dead:", i%5000)
		case healthy + 1:
			return fmt.Sprint("slow:", i%5000)
		default:
			return fmt.Sprintf("good%d:%d", k, i%25_000)
		}
	})
	t := newTimer()
	r, err := run(dir, src, rules, targets...)
	if err != nil {
		return rate{}, err
	}
	if wait {
		<-src.done
		runtime.GC() // what was left by what ran before is none of its cost
		t = newTimer()
		for _, name := range targets {
			if _, err := r.Resume(name); err != nil {
				return rate{}, err
			}
		}
	}
	select {
	case <-hook.done:
	case err := <-r.ended:
		return rate{}, fmt.Errorf("the engine has ended: %w", err)
	case <-time.After(2 * time.Minute):
		return rate{}, fmt.Errorf("%d of %d delivered after two minutes: %+v", hook.got.Load(), n, r.Stats())
	}
	got := t.rate(n, hook)
	if wrong, twice := hook.wrong.Load(), hook.twice.Load(); wrong+twice > 0 {
		return rate{}, fmt.Errorf("%d out of order, %d twice", wrong, twice)
	}
	return got, r.close()
}

// sameBody is the body of a firing, as triggerd writes it.
const sameBody = `{"specversion":"1.0","id":"%s:%d/0:good0/good0","type":"redis.key.changed","source":"redis://bench/0","subject":"good0:%d","time":"%s","datacontenttype":"application/json","data":{"rule":"good0","event":"set","cause":"command","command":"SET","args":["good0:%d","%s","%d"],"db":0,"key":"good0:%d","key_type":"string","before":null,"after":null,"unknown":["before","after"],"changed":[],"ttl_ms":null,"params":{},"tx":null,"origin":"stream","replid":"%s","offset":%d,"attempt":1,"truncated":false}}`

// restyAlone sends the same requests with as many connections and the same
// settings, among them the timeout, as the healthy endpoints have.
func restyAlone(n int) (rate, error) {
	hook, err := newSink(0)
	if err != nil {
		return rate{}, err
	}
	const workers = 16 * healthy
	client := resty.NewWithClient(&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConns: workers, MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers,
			IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		},
	}).SetDoNotParseResponse(true)
	t := newTimer()
	var wg sync.WaitGroup
	var next, failed atomic.Int64
	for range workers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				body := fmt.Appendf(nil, sameBody, replID, i, i%25_000, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), i%25_000, value, i, i%25_000, replID, i)
				ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
				res, err := client.R().SetContext(ctx).
					SetHeader("Content-Type", "application/cloudevents+json").SetHeader("Webhook-Id", fmt.Sprintf("%s:%d/0:good0/good0", replID, i)).
					SetHeader("Webhook-Timestamp", strconv.FormatInt(time.Now().Unix(), 10)).SetHeader("User-Agent", "triggerd").
					SetHeader("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").
					SetBody(body).Post(hook.url + "/good")
				if err == nil {
					io.Copy(io.Discard, io.LimitReader(res.RawBody(), 64<<10))
					res.RawBody().Close()
				}
				cancel()
				if err != nil || res.StatusCode() != http.StatusOK {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if f := failed.Load(); f > 0 {
		return rate{}, fmt.Errorf("%d requests of resty alone failed", f)
	}
	return t.rate(n, hook), nil
}

// waiting measures what a process takes that finds a million firings, and when
// it makes its first delivery.
func waiting(dir string) error {
	for _, step := range []string{"fill", "held", "first"} {
		if err := again(step, dir); err != nil {
			return err
		}
	}
	return nil
}

func pendingChild(step string) {
	if err := pendingStep(step); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func pendingStep(step string) error {
	line := func(name string, got, want float64, atMost bool, unit string) {
		fmt.Printf("%s|%f %f %t %s\n", name, got, want, atMost, unit)
	}
	hook, err := newSink(1)
	if err != nil {
		return err
	}
	n := 0
	if step == "fill" {
		n = *pending
	}
	src := newCommands(n, 0, func(i int) string { return fmt.Sprint("t:", i) })
	url := hook.url + "/good"
	if step == "held" {
		url = hook.url + "/dead"
	}
	began := time.Now()
	paused := []string{"target/t"}
	if step != "fill" {
		paused = nil
	}
	r, err := run(data(*dir), src, target("t", url), paused...)
	if err != nil {
		return err
	}
	switch step {
	case "fill":
		<-src.done
		now, peak := rss()
		line(fmt.Sprintf("memory after %d firings were taken in, target paused", *pending), now, 150, true, "MB")
		line("  at most", peak, 0, true, "MB")
		if _, err := r.Resume("target/t"); err != nil { // for the next steps
			return err
		}
	case "held":
		time.Sleep(5 * time.Second)
		now, peak := rss()
		line(fmt.Sprintf("memory with %d firings found at the start, target dead", *pending), now, 150, true, "MB")
		line("  at most", peak, 0, true, "MB")
	case "first":
		<-hook.done
		line(fmt.Sprintf("start to first delivery with %d pending", *pending), time.Since(began).Seconds(), 2, true, "s")
	}
	return nil // the process ends, and with it the engine
}
