package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"triggerd/internal/sentinel"
)

// Prefer says to which server of several a Replica attaches.
type Prefer string

// The preferences. They matter only where Sentinels say where the servers are.
const (
	PreferPrimary Prefer = "primary"
	PreferReplica Prefer = "replica" // one that Sentinels see as healthy; if there is none the primary
)

// newGroup returns the Sentinels that an address names; nil: none.
func newGroup(cfg *Config, addr *address) *sentinel.Group {
	if addr.group == nil {
		return nil
	}
	c := sentinel.Config{Name: addr.group.name, User: cfg.SentinelUser, Password: cfg.SentinelPassword, Logger: cfg.Logger}
	for _, host := range addr.group.hosts {
		at := addr.at(host)
		c.Sentinels = append(c.Sentinels, sentinel.Sentinel{Addr: host, Dial: func(ctx context.Context) (net.Conn, error) {
			conn, err := at.dial(ctx, cfg.DialTimeout)
			return conn, masked(cfg.Secrets, err)
		}})
	}
	return sentinel.New(c)
}

var (
	// errMoved ends a link because the Sentinels name another server.
	errMoved = errors.New("the Sentinels name another server")
	// errNotPrimary: a server that the Sentinels call the primary says that it is
	// a replica.
	errNotPrimary = errors.New("the Sentinels call it the primary, and it says that it is a replica: they are asked again")
)

// errNotReplica: a server that the Sentinels call a replica says that it is a
// primary: it was killed, and has come back with whatever data it has.
var errNotReplica = errors.New("the Sentinels call it a replica, and it says that it is a primary: another server is asked")

// attempt is what the receiver is attached to, or tries to attach to. Other
// goroutines end it.
type attempt struct {
	mu     sync.Mutex // guards what follows
	host   string     // "": nothing
	cancel context.CancelCauseFunc
}

// begin returns the context of an attempt, and a function that ends it.
func (a *attempt) begin(ctx context.Context, host string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.host, a.cancel = host, cancel
	return ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.host = ""
		cancel(nil)
	}
}

func (a *attempt) current() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.host
}

// leave ends the attempt at a host, if it is under way.
func (a *attempt) leave(host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.host == host && host != "" {
		a.cancel(errMoved)
	}
}

// avoided are replicas that are not attached to for a while.
type avoided struct {
	mu    sync.Mutex
	hosts map[string]avoidance // guarded by mu
}

type avoidance struct {
	until  time.Time
	failed int // attempts in a row
}

// How long a replica is avoided that could not be attached to, the longer the more
// often, since a link to the primary that is well is given up for it; and one that
// has not got the history of the others.
const (
	avoidFailing = 5 * time.Second
	avoidMost    = 5 * time.Minute
	avoidForeign = time.Minute
)

// maxAvoided is how many are known.
const maxAvoided = 1000

func (a *avoided) add(host string, d time.Duration) {
	a.change(host, func(v *avoidance) {
		if at := time.Now().Add(d); at.After(v.until) {
			v.until = at
		}
	})
}

// addFailing notes that a replica could not be attached to.
func (a *avoided) addFailing(host string) {
	a.change(host, func(v *avoidance) {
		d := avoidMost
		if v.failed < 6 {
			d = avoidFailing << v.failed
		}
		v.failed++
		if at := time.Now().Add(d); at.After(v.until) {
			v.until = at
		}
	})
}

func (a *avoided) change(host string, change func(*avoidance)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hosts == nil || len(a.hosts) > maxAvoided {
		a.hosts = map[string]avoidance{}
	}
	v := a.hosts[host]
	change(&v)
	a.hosts[host] = v
}

// remove notes that a replica was attached to.
func (a *avoided) remove(host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.hosts, host)
}

func (a *avoided) has(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.hosts[host].until)
}

// choose returns to which server of an answer to attach, or to stay attached.
func (s *Replica) choose(a *sentinel.Answer, current string) string {
	if s.cfg.Prefer != PreferReplica {
		return a.Primary
	}
	healthy := func(r sentinel.Replica) bool { return r.Healthy && !s.avoided.has(r.Addr) }
	if slices.ContainsFunc(a.Replicas, func(r sentinel.Replica) bool { return r.Addr == current && healthy(r) }) {
		return current
	}
	if i := slices.IndexFunc(a.Replicas, healthy); i >= 0 {
		return a.Replicas[i].Addr
	}
	return a.Primary
}

// locate returns where to attach.
func (v *receiver) locate(ctx context.Context) (*address, error) {
	s := v.n.replica
	if s.group == nil {
		return s.addr, nil
	}
	answer, err := s.group.Ask(ctx)
	if err != nil {
		return nil, err
	}
	if answer.Differ && !v.toldDiffer {
		s.cfg.Logger.Warn("the Sentinels do not agree on the primary: the one is tried that more recent ones name, and all are asked again", "name", s.addr.group.name, "primary", answer.Primary)
	}
	v.toldDiffer = answer.Differ
	host := s.choose(&answer, s.attempt.current())
	v.primary, v.isPrimary = s.addr.at(answer.Primary), host == answer.Primary
	v.logNoReplica(&answer)
	addr := s.addr.at(host)
	s.found.Store(addr)
	s.updateStatus(func(st *Status) { st.Server = addr.text })
	return addr, nil
}

// logNoReplica tells, once until there is one, why it is to be the primary though a
// replica is preferred.
func (v *receiver) logNoReplica(a *sentinel.Answer) {
	s := v.n.replica
	none := s.cfg.Prefer == PreferReplica && v.isPrimary
	switch {
	case !none || v.toldNoReplica:
	case a.NoReplicas != nil:
		s.cfg.Logger.Warn("taking the primary, though a replica is preferred: the Sentinel does not say which there are", "name", s.addr.group.name, "server", a.Primary, "err", masked(s.cfg.Secrets, a.NoReplicas))
	default:
		s.cfg.Logger.Warn("taking the primary, though a replica is preferred: there is none that is well, that is looked for again", "name", s.addr.group.name, "server", a.Primary, "replicas", len(a.Replicas))
	}
	v.toldNoReplica = none
}

// server returns the address of the server that was found last.
func (s *Replica) server() *address {
	if a := s.found.Load(); a != nil {
		return a
	}
	return s.addr
}

// followSentinels ends the link when the Sentinels name another server, and the
// pause before the next attempt when they may, until ctx is done.
func (n *session) followSentinels(ctx context.Context) {
	s := n.replica
	var heard sync.WaitGroup
	heard.Go(func() { s.group.Run(ctx) })
	defer heard.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.group.Changed():
		}
		current := s.attempt.current()
		if current == "" {
			select {
			case n.receiver.wake <- struct{}{}:
			default: // it is awake
			}
			continue
		}
		answer, err := s.group.Ask(ctx)
		if err != nil {
			continue // the link may be good
		}
		if host := s.choose(&answer, current); host != current {
			s.cfg.Logger.Info("leaving the server: the Sentinels name another", "name", s.addr.group.name, "server", current, "next", host)
			s.attempt.leave(current)
		}
	}
}

// maxReached is how many servers are known to have been connected to.
const maxReached = 16

// noteReached notes that a server that Sentinels name could be connected to.
func (v *receiver) noteReached(host string) {
	if !slices.Contains(v.reached, host) {
		v.reached = append(v.reached[max(0, len(v.reached)-maxReached+1):], host)
	}
}

// explainUnreachable adds to an error of connecting to a server that Sentinels
// name what may be the matter, if it never could be.
func (v *receiver) explainUnreachable(err error, host string) error {
	s := v.n.replica
	if s.group == nil || slices.Contains(v.reached, host) {
		return err
	}
	return fmt.Errorf("%w (the Sentinels name this address for %q: if only they can reach it, have the server announce another, with replica-announce-ip and replica-announce-port)", err, s.addr.group.name)
}
