package sentinel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config configures a Group. Name and Sentinels have to be set.
type Config struct {
	Name           string // by which the Sentinels know the primary
	Sentinels      []Sentinel
	User, Password string        // of the Sentinels; "": none
	Timeout        time.Duration // of one question; default 2 s
	AskEvery       time.Duration // default 10 s
	Logger         *slog.Logger  // nil: none
}

// Sentinel is one of a Group.
type Sentinel struct {
	Addr string // host:port
	Dial func(context.Context) (net.Conn, error)
}

// Group is the Sentinels that watch a primary. Any goroutine may call its methods.
type Group struct {
	c       Config
	changed chan struct{} // capacity 1
}

// New returns a Group. It does not connect.
func New(c Config) *Group {
	c.Timeout = cmp.Or(c.Timeout, 2*time.Second)
	c.AskEvery = cmp.Or(c.AskEvery, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Group{c: c, changed: make(chan struct{}, 1)}
}

// Answer is what the best informed Sentinel says.
type Answer struct {
	Primary  string    // host:port
	Replicas []Replica // in the order of their addresses
	// NoReplicas is why Replicas is not known; nil: it is.
	NoReplicas error
	Epoch      int64 // of its configuration; -1: it may not say
	// Differ: another Sentinel of the same epoch, or of none, names another primary.
	Differ bool
}

// Replica is a replica of the primary.
type Replica struct {
	Addr    string // host:port
	Healthy bool   // by what the Sentinel sees of it, and its link to the primary is up
}

// ErrUnknownName: no Sentinel knows the primary's name.
var ErrUnknownName = errors.New("no Sentinel knows the name")

// lateAnswers is how long the others are waited for once one has answered.
const lateAnswers = 200 * time.Millisecond

// Ask asks all Sentinels, and returns what the best informed of those says that
// answer in time. The error says what each said, if none names a primary.
func (g *Group) Ask(ctx context.Context) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, g.c.Timeout)
	defer cancel()
	type told struct {
		from   *Sentinel
		answer Answer
		err    error
	}
	all := make(chan told, len(g.c.Sentinels))
	for i := range g.c.Sentinels {
		s := &g.c.Sentinels[i]
		go func() { // ends with ctx
			a, err := g.askOne(ctx, s)
			all <- told{s, a, err}
		}()
	}
	var best Answer
	var errs noAnswer
	var late <-chan time.Time
	found := false
	for range g.c.Sentinels {
		select {
		case t := <-all:
			switch {
			case t.err != nil:
				errs = append(errs, sentinelError{t.from.Addr, t.err})
			case !found || t.answer.Epoch > best.Epoch:
				best, found = t.answer, true
			case t.answer.Epoch == best.Epoch && t.answer.Primary != best.Primary:
				best.Differ = true
			}
			if found && late == nil {
				timer := time.NewTimer(lateAnswers)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return best, nil
		case <-ctx.Done():
			if found {
				return best, nil
			}
			for i := range g.c.Sentinels {
				if s := &g.c.Sentinels[i]; !slices.ContainsFunc(errs, func(e sentinelError) bool { return e.addr == s.Addr }) {
					errs = append(errs, sentinelError{s.Addr, errSilent})
				}
			}
			return Answer{}, g.explainNone(errs)
		}
	}
	if found {
		return best, nil
	}
	return Answer{}, g.explainNone(errs)
}

// errSilent: a Sentinel has not answered in time.
var errSilent = errors.New("it does not answer")

// sentinelError is why a Sentinel names no primary.
type sentinelError struct {
	addr string
	err  error
}

// noAnswer is why no Sentinel names a primary.
type noAnswer []sentinelError

func (errs noAnswer) Unwrap() []error {
	list := make([]error, len(errs))
	for i := range errs {
		list[i] = errs[i].err
	}
	return list
}

// Error tells each reason once, with whose it is. What most say comes first.
func (errs noAnswer) Error() string {
	by := map[string][]string{} // addresses by reason
	for _, e := range errs {
		text := e.err.Error()
		by[text] = append(by[text], e.addr)
	}
	texts := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(len(by[b])-len(by[a]), strings.Compare(a, b))
	})
	var reasons []string
	for _, text := range texts {
		addrs := by[text]
		slices.Sort(addrs)
		who := "Sentinel " + addrs[0]
		if len(addrs) > 1 {
			who = "Sentinels " + strings.Join(addrs, ", ")
		}
		reasons = append(reasons, who+": "+text)
	}
	if len(reasons) > 3 {
		reasons = append(reasons[:3:3], fmt.Sprintf("and %d more", len(reasons)-3))
	}
	return strings.Join(reasons, "; ")
}

// NeedsChange reports whether an error of Ask is one that time alone does not mend:
// a Sentinel has refused to answer, or none knows the name.
func NeedsChange(err error) bool {
	var refused ReplyError
	return errors.As(err, &refused) || errors.Is(err, ErrUnknownName)
}

// explainNone makes one error of those of all Sentinels.
func (g *Group) explainNone(errs noAnswer) error {
	unknown := slices.IndexFunc(errs, func(e sentinelError) bool { return !errors.Is(e.err, ErrUnknownName) }) < 0
	if unknown && len(errs) > 0 {
		var names unknownName
		errors.As(errs[0].err, &names)
		err := fmt.Errorf("%w %q", ErrUnknownName, g.c.Name)
		if len(names) > 0 {
			return fmt.Errorf("%w: they know %s; the name is behind the last / of the URL", err, strings.Join(names, ", "))
		}
		return fmt.Errorf("%w, nor any other: SENTINEL MONITOR has them watch a primary", err)
	}
	return fmt.Errorf("no Sentinel says where %q is: %w", g.c.Name, errs)
}

// unknownName is the error of a Sentinel that knows other names.
type unknownName []string

func (unknownName) Error() string        { return "it does not know the name" }
func (unknownName) Is(target error) bool { return target == ErrUnknownName }

// askOne asks one Sentinel for the primary and its replicas.
func (g *Group) askOne(ctx context.Context, s *Sentinel) (a Answer, err error) {
	c, err := g.connect(ctx, s)
	if err != nil {
		return a, err
	}
	defer c.Close()
	reply, err := c.do(ctx, "SENTINEL", "MASTER", g.c.Name)
	var refused ReplyError
	switch {
	case err == nil:
		f := fields(reply)
		a.Primary, err = hostPort(f["ip"], f["port"])
		if err != nil {
			return a, err
		}
		a.Epoch, _ = strconv.ParseInt(f["config-epoch"], 10, 64)
		// One that leads a failover has the new epoch, and goes on naming the old
		// primary until all replicas follow the new one. Asked for the address it
		// names the new one at once.
		now, err := g.askAddress(ctx, c)
		switch {
		case err == nil:
			a.Primary = now.Primary
		case !errors.As(err, &refused) && !errors.Is(err, ErrUnknownName):
			return a, err
		}
	case errors.As(err, &refused) && strings.HasPrefix(string(refused), "ERR No such master"):
		return a, g.otherNames(ctx, c)
	case errors.As(err, &refused) && refused.code() == "NOPERM":
		if a, err = g.askAddress(ctx, c); err != nil {
			return a, err
		}
	default:
		return a, err
	}
	if reply, err = c.do(ctx, "SENTINEL", "REPLICAS", g.c.Name); err != nil {
		a.NoReplicas = fmt.Errorf("Sentinel %s: %w", s.Addr, err)
		return a, nil // the primary is what counts
	}
	list, _ := reply.([]any)
	for _, one := range list {
		if r, ok := parseReplica(fields(one)); ok {
			a.Replicas = append(a.Replicas, r)
		}
	}
	slices.SortFunc(a.Replicas, func(a, b Replica) int { return strings.Compare(a.Addr, b.Addr) })
	return a, nil
}

// askAddress asks for the primary's address alone.
func (g *Group) askAddress(ctx context.Context, c *conn) (a Answer, err error) {
	a.Epoch = -1
	reply, err := c.do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", g.c.Name)
	if err != nil {
		return a, err
	}
	pair := texts(reply)
	if len(pair) != 2 {
		return a, unknownName(nil)
	}
	a.Primary, err = hostPort(pair[0], pair[1])
	return a, err
}

// otherNames returns the error of a Sentinel that does not know the name, with the
// names that it knows.
func (g *Group) otherNames(ctx context.Context, c *conn) error {
	var names unknownName
	reply, err := c.do(ctx, "SENTINEL", "MASTERS")
	list, _ := reply.([]any)
	for _, one := range list {
		if name := fields(one)["name"]; err == nil && name != "" && len(names) < 10 {
			names = append(names, strconv.Quote(name))
		}
	}
	return names
}

// parseReplica reads a replica as SENTINEL REPLICAS lists it, and reports whether
// it is one that can be attached to: triggerd itself is listed with port 0.
func parseReplica(f map[string]string) (Replica, bool) {
	addr, err := hostPort(f["ip"], f["port"])
	if err != nil {
		return Replica{}, false
	}
	r := Replica{Addr: addr, Healthy: f["master-link-status"] == "ok"}
	for flag := range strings.SplitSeq(f["flags"], ",") {
		switch flag {
		case "s_down", "o_down", "disconnected":
			r.Healthy = false
		}
	}
	return r, true
}

func hostPort(host, port string) (string, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if host == "" || len(host) > 255 || err != nil || n == 0 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("it names %.60q, port %.10q, which is no address", host, port)
	}
	return net.JoinHostPort(host, port), nil
}

// Changed returns a channel that receives when the answer may be another.
func (g *Group) Changed() <-chan struct{} { return g.changed }

func (g *Group) signal() {
	select {
	case g.changed <- struct{}{}:
	default: // a signal waits already
	}
}

// Run subscribes to all Sentinels, until ctx is done. Changed receives at each
// +switch-master, and every AskEvery.
func (g *Group) Run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range g.c.Sentinels {
		all.Go(func() { g.subscribe(ctx, &g.c.Sentinels[i]) })
	}
	tick := time.NewTicker(g.c.AskEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			all.Wait()
			return
		case <-tick.C:
			g.signal()
		}
	}
}

// Pauses between attempts to subscribe.
const (
	leastPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

// subscribe hears from one Sentinel.
func (g *Group) subscribe(ctx context.Context, s *Sentinel) {
	pause := leastPause
	told := false
	for ctx.Err() == nil {
		began := time.Now()
		err := g.listen(ctx, s)
		if time.Since(began) > mostPause {
			pause, told = leastPause, false
		}
		if err != nil && ctx.Err() == nil && !told {
			told = true
			g.c.Logger.Warn("a Sentinel is not heard, it is tried again", "sentinel", s.Addr, "err", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, mostPause)
	}
}

// silence is after how long a Sentinel that says nothing is asked whether it is
// there.
const silence = 20 * time.Second

// listen subscribes to a Sentinel and hears it until the connection ends.
func (g *Group) listen(ctx context.Context, s *Sentinel) error {
	c, err := g.connect(ctx, s)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.do(ctx, "SUBSCRIBE", "+switch-master"); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	g.signal() // what was said before is not heard
	asked := false
	for {
		patience := silence
		if asked {
			patience = c.timeout
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := c.r.r.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) && !asked {
			if err := c.ping(); err != nil {
				return err
			}
			asked = true
			continue
		}
		reply, err := c.r.read()
		if err == io.EOF {
			return errors.New("it closed the connection")
		}
		if err != nil {
			return plain(err)
		}
		asked = false
		if g.concerns(texts(reply)) {
			g.c.Logger.Info("a Sentinel says that the primary has changed", "sentinel", s.Addr, "name", g.c.Name, "message", texts(reply)[2])
			g.signal()
		}
	}
}

// concerns reports whether a message says that the primary of the name is another.
func (g *Group) concerns(message []string) bool {
	if len(message) != 3 || message[0] != "message" || message[1] != "+switch-master" {
		return false
	}
	name, _, _ := strings.Cut(message[2], " ")
	return name == g.c.Name
}
