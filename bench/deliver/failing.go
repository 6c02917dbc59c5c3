package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/source"
)

// failing measures how long a healthy key waits beside a thousand keys of the
// same target that always fail, answered with 500 or not answered at all, and
// how often an endpoint is attempted that is dead altogether.
func failing(dir string) error {
	for i, part := range []struct{ name, path string }{{"answered with 500", "/500"}, {"not answered", "/hang"}} {
		if err := failingLanes(fmt.Sprint(data(dir), "failing", i), part.name, part.path); err != nil {
			return err
		}
	}
	for i, part := range []struct{ name, path string }{{"503 to all", "/503"}, {"no answer", "/hang"}, {"refused", ""}} {
		if err := deadEndpoint(fmt.Sprint(data(dir), "dead", i), part.name, part.path); err != nil {
			return err
		}
	}
	return nil
}

const (
	failingKeys  = 1000
	failingFor   = 60   // seconds, and healthy firings
	failingTime  = "2s" // timeout of an attempt
	deadPending  = 2000
	deadFor      = 30 * time.Second
	deadAttempts = 150 // in that time, after the first ten seconds
)

// patient is a server that answers healthy keys at once, and others as the path
// says.
type patient struct {
	url      string
	attempts atomic.Int64 // of others
	now      atomic.Int64 // of these, at this moment
	most     atomic.Int64 // of these, at once, since it was last set back

	mu  sync.Mutex // guards what follows
	got map[int64]time.Time
}

func newPatient() (*patient, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &patient{url: "http://" + l.Addr().String(), got: map[int64]time.Time{}}
	go http.Serve(l, p)
	return p, nil
}

func (p *patient) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if strings.HasPrefix(string(between(body, `"key":"`, '"')), "t:good") {
		var offset int64
		fmt.Sscan(string(between(body, `"offset":`, ',')), &offset)
		p.mu.Lock()
		p.got[offset] = time.Now()
		p.mu.Unlock()
		return
	}
	p.attempts.Add(1)
	n := p.now.Add(1)
	defer p.now.Add(-1)
	for most := p.most.Load(); n > most && !p.most.CompareAndSwap(most, n); most = p.most.Load() {
	}
	switch r.URL.Path {
	case "/hang":
		<-r.Context().Done()
	case "/503":
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// paced is a source of writes that come when they do.
type paced struct {
	mu      sync.Mutex // guards what follows
	planned map[int64]time.Time
	first   int // writes that come at once
	more    func(i int) string
	n       int
	ended   chan struct{}
}

func (s *paced) Records(ctx context.Context, _ source.Position, _ source.Consumer) iter.Seq2[*source.Record, error] {
	return func(yield func(*source.Record, error) bool) {
		write := func(i int, key string) bool {
			at := source.Position{ReplID: replID, Offset: int64(i)}
			s.mu.Lock()
			s.planned[at.Offset] = time.Now()
			s.mu.Unlock()
			args := [][]byte{[]byte("SET"), []byte(key), []byte(value)}
			return yield(&source.Record{Kind: source.Command, Args: args, ReplID: replID, Offset: at.Offset, Bytes: 150, Time: time.Now(), Pos: at}, nil)
		}
		for i := 1; i <= s.first; i++ {
			if !write(i, fmt.Sprint("t:bad", i)) {
				return
			}
		}
		for i := range s.n {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
			if !write(s.first+1+i, s.more(i)) {
				return
			}
		}
		close(s.ended)
		<-ctx.Done()
	}
}

func (*paced) Ack(source.Position)   {}
func (*paced) Status() source.Status { return source.Status{Addr: "redis://bench"} }

func patientTarget(url string) string {
	return fmt.Sprintf("[targets.t]\ntype = \"webhook\"\nurl = %q\ntimeout = %q\n[[rule]]\nname = \"t\"\nkey = \"t:*\"\n[[rule.action]]\ntarget = \"t\"\n", url, failingTime)
}

func failingLanes(dir, name, path string) error {
	p, err := newPatient()
	if err != nil {
		return err
	}
	src := &paced{planned: map[int64]time.Time{}, first: failingKeys, n: failingFor, ended: make(chan struct{}), more: func(i int) string { return fmt.Sprint("t:good", i%10) }}
	r, err := run(dir, src, patientTarget(p.url+path))
	if err != nil {
		return err
	}
	<-src.ended
	time.Sleep(2 * time.Second)
	var took []float64
	p.mu.Lock()
	for offset, at := range src.planned {
		if offset <= failingKeys {
			continue
		}
		if got, ok := p.got[offset]; ok {
			took = append(took, got.Sub(at).Seconds())
		}
	}
	p.mu.Unlock()
	slices.Sort(took)
	atLeast(fmt.Sprintf("%d keys %s, a healthy one each second: delivered", failingKeys, name), float64(len(took)), failingFor, "")
	if len(took) > 0 {
		// The first that hang are not known to before their time is up: what comes
		// within it may wait for that.
		report("  slowest", took[len(took)-1], "s")
		atMost("  of ten of which nine are faster", took[len(took)*9/10], 1, "s")
	}
	report("  attempts of the others", float64(p.attempts.Load()), "")
	waiting := 0
	status, err := r.Status()
	if err != nil {
		return err
	}
	for _, a := range status.Actions {
		waiting += a.Pending
	}
	n, _, err := r.RetryNow("target/t", 0)
	if err != nil {
		return err
	}
	if waiting > 0 {
		atLeast("  keys that go on after deliveries retry --action", float64(n), 1, "")
	}
	return r.close()
}

func deadEndpoint(dir, name, path string) error {
	p, err := newPatient()
	if err != nil {
		return err
	}
	url := p.url + path
	if path == "" {
		url = "http://127.0.0.1:1"
	}
	src := &paced{planned: map[int64]time.Time{}, first: deadPending, ended: make(chan struct{})}
	r, err := run(dir, src, patientTarget(url))
	if err != nil {
		return err
	}
	<-src.ended
	time.Sleep(10 * time.Second)
	before := r.Stats().Failed
	p.most.Store(0)
	time.Sleep(deadFor)
	atMost(fmt.Sprintf("dead endpoint, %s: failed attempts in %s, after 10 s", name, deadFor), float64(r.Stats().Failed-before), deadAttempts, "")
	if path != "" {
		atMost("  at once", float64(p.most.Load()), 2, "")
	}
	return r.close()
}
