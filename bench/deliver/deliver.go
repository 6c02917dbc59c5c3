package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-resty/resty/v2"
)

// sink is a server that checks that what arrives for a key is in order.
type sink struct {
	url    string
	slow   time.Duration // of /slow
	got    atomic.Int64  // at /good, without those that came twice
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
// one, and resty alone with the same number of connections.
func deliver(dir string) error {
	const n = 150_000
	rates, floors := []float64{}, []float64{}
	for round := range 3 {
		rate, err := deliverOnce(fmt.Sprint(data(dir), round), n)
		if err != nil {
			return err
		}
		floor, err := restyAlone(n / 3)
		if err != nil {
			return err
		}
		rates, floors = append(rates, rate), append(floors, floor)
	}
	slices.Sort(rates)
	slices.Sort(floors)
	atLeast("delivered in order, beside a dead and a slow endpoint", rates[1], 15_000, "webhooks/s")
	report("resty alone, the same requests", floors[1], "requests/s")
	atLeast("ratio", rates[1]/floors[1], 0.8, "")
	return nil
}

func deliverOnce(dir string, n int) (rate float64, err error) {
	hook, err := newSink(int64(n))
	if err != nil {
		return 0, err
	}
	rules := target("dead", hook.url+"/dead") + target("slow", hook.url+"/slow")
	for i := range healthy {
		rules += target(fmt.Sprint("good", i), hook.url+"/good")
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
	began := time.Now()
	r, err := run(dir, src, rules)
	if err != nil {
		return 0, err
	}
	select {
	case <-hook.done:
	case err := <-r.ended:
		return 0, fmt.Errorf("the engine has ended: %w", err)
	case <-time.After(2 * time.Minute):
		return 0, fmt.Errorf("%d of %d delivered after two minutes: %+v", hook.got.Load(), n, r.Stats())
	}
	rate = float64(n) / time.Since(began).Seconds()
	if wrong, twice := hook.wrong.Load(), hook.twice.Load(); wrong+twice > 0 {
		return 0, fmt.Errorf("%d out of order, %d twice", wrong, twice)
	}
	return rate, r.close()
}

// restyAlone sends requests of the same size with as many connections and the
// same settings as the healthy endpoints have.
func restyAlone(n int) (rate float64, err error) {
	hook, err := newSink(0)
	if err != nil {
		return 0, err
	}
	const workers = 16 * healthy
	client := resty.NewWithClient(&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			MaxIdleConns: workers, MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers,
			IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		},
	}).SetDoNotParseResponse(true)
	began := time.Now()
	var wg sync.WaitGroup
	var next, failed atomic.Int64
	for range workers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				body := fmt.Appendf(nil, `{"specversion":"1.0","id":"%s:%d/0:good0/good0","type":"redis.set","source":"redis://bench","time":"2026-01-01T00:00:00.000000Z","datacontenttype":"application/json","data":{"rule":"good0","event":"set","db":0,"key":"k%d","command":"SET","args":["k","%s","%d"],"replid":"%s","offset":%d,"origin":"stream","attempt":1}}`, replID, i, i, value, i, replID, i)
				res, err := client.R().SetContext(context.Background()).
					SetHeader("Content-Type", "application/cloudevents+json").SetHeader("Webhook-Id", strconv.FormatInt(i, 10)).
					SetBody(body).Post(hook.url + "/good")
				if err != nil || res.StatusCode() != http.StatusOK {
					failed.Add(1)
					continue
				}
				io.Copy(io.Discard, io.LimitReader(res.RawBody(), 64<<10))
				res.RawBody().Close()
			}
		})
	}
	wg.Wait()
	if f := failed.Load(); f > 0 {
		return 0, fmt.Errorf("%d requests of resty alone failed", f)
	}
	return float64(n) / time.Since(began).Seconds(), nil
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
