package source

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/resp"
	"triggerd/internal/secret"
	"triggerd/rdb"
)

// AckPolicy is what a Replica acknowledges to the server, and so what the
// server's WAIT and WAITAOF count it for.
type AckPolicy string

// The policies. All of them keep the link alive. What each does to a server is
// told in docs/replication.md.
const (
	AckNone     AckPolicy = "none"     // nothing: WAIT never counts triggerd
	AckReceived AckPolicy = "received" // what was read from the socket
	AckDurable  AckPolicy = "durable"  // what Ack was called for, also as WAITAOF's offset
)

// Config configures a Replica. Only URL has to be set.
type Config struct {
	URL           string    // see CheckURL
	Ack           AckPolicy // default AckNone
	PsyncCommand  string    // for servers that have it under another name; default PSYNC
	ListeningPort int       // announced to the server; 0: none
	// BacklogInterval is how often the server is asked, on a connection beside
	// the stream's, how much of its stream it keeps. 0: never.
	BacklogInterval time.Duration

	// FailFirst makes the first attempt to attach the only one if it fails:
	// Records ends with its error. A server that is still loading, busy, or a
	// replica without its primary, is waited for.
	FailFirst bool

	DialTimeout    time.Duration // for connecting, with TLS; default 5 s
	Timeout        time.Duration // of silence, after which a link is dead; default 60 s
	MinBackoff     time.Duration // before the first reconnect, at most; default 100 ms
	MaxBackoff     time.Duration // default 15 s
	MaxTransaction int           // bytes of memory for a transaction that is held until EXEC; default 256 MiB

	Secrets *secret.Masker // what is masked in errors, beside the password of the URL; nil: nothing
	Logger  *slog.Logger   // nil: none
}

func (c Config) withDefaults() Config {
	def(&c.Ack, AckNone)
	def(&c.PsyncCommand, "PSYNC")
	def(&c.DialTimeout, 5*time.Second)
	def(&c.Timeout, time.Minute)
	def(&c.MinBackoff, 100*time.Millisecond)
	def(&c.MaxBackoff, 15*time.Second)
	def(&c.MaxTransaction, 256<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Replica is a Source that attaches to a server as a replica.
type Replica struct {
	cfg  Config
	addr *address
	acks acks

	heard atomic.Int64 // when bytes came last; 0: none have

	current currentLink

	mu     sync.Mutex // guards status
	status Status
}

// NewReplica returns a Replica, or an error if cfg is wrong. It does not
// connect.
func NewReplica(cfg Config) (*Replica, error) {
	addr, err := parseAddress(cfg.URL)
	if err != nil {
		return nil, masked(cfg.Secrets, err)
	}
	r := &Replica{cfg: cfg.withDefaults(), addr: addr}
	r.cfg.Secrets = cfg.Secrets.With(addr.password)
	addr.secrets = r.cfg.Secrets
	switch r.cfg.Ack {
	case AckNone, AckReceived, AckDurable:
	default:
		return nil, fmt.Errorf("ack policy %q (none, received or durable)", cfg.Ack)
	}
	if cfg.ListeningPort < 0 || cfg.ListeningPort > 65535 {
		return nil, fmt.Errorf("listening port %d (0 to 65535)", cfg.ListeningPort)
	}
	r.status.Addr = addr.text
	r.acks.poke, r.acks.asked = make(chan struct{}, 1), make(chan struct{}, 1)
	return r, nil
}

// Ack implements Source.
func (s *Replica) Ack(p Position) { s.acks.setDurable(p) }

// Status implements Source.
func (s *Replica) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Offset = s.acks.received.Load()
	if ns := s.heard.Load(); ns != 0 {
		st.LastData = time.Unix(0, ns)
	}
	return st
}

// heed wakes the stream whenever the consumer has changed its mind, until ctx
// is done.
func (s *Replica) heed(ctx context.Context, c Consumer) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.Changed():
			s.current.do((*link).poke)
		}
	}
}

// currentLink is the link of the stream, for who wants it woken, or ended.
type currentLink struct {
	mu sync.Mutex
	l  *link // guarded by mu; nil while there is no stream
}

// set makes l the current link until the function it returns is called.
func (c *currentLink) set(l *link) (unset func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.l = l
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.l = nil
	}
}

func (c *currentLink) do(f func(*link)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.l != nil {
		f(c.l)
	}
}

func (s *Replica) update(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

func (s *Replica) enter(state State) {
	s.update(func(st *Status) { st.State, st.Since = state, time.Now() })
}

// errStop ends a session because the caller wants no more records.
var errStop = errors.New("stopped by the caller")

// errLacksKeys ends a link because the consumer has come to need all keys: the
// next begins with a snapshot of them.
var errLacksKeys = errors.New("the values of more keys are needed")

// maxStuck is how many times in a row the stream may be unreadable at the same
// offset before it is given up for a full resync: without that, one wrong byte
// in a server's backlog would keep triggerd from ever going on.
const maxStuck = 5

// Records implements Source. Everything before from counts as safe, as if Ack
// had been called for it. It reconnects until ctx is done or the caller
// stops; its one error is that of Config.FailFirst.
func (s *Replica) Records(ctx context.Context, from Position, c Consumer) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		defer s.enter(Stopped)
		from.Events = 0 // its consumer leaves these out
		s.acks.begin(from)
		s.acks.setDurable(from)
		run := session{s: s, pos: from, consumer: c, yield: func(r *Record) bool { return yield(r, nil) }}
		if c == nil {
			run.consumer = nobody{}
		}
		heeding, stop := context.WithCancel(ctx)
		var side sync.WaitGroup
		side.Go(func() { s.heed(heeding, run.consumer) })
		defer side.Wait()
		defer stop()
		tries, stuck := 0, 0
		for {
			before := run.pos
			err := masked(s.cfg.Secrets, run.attach(ctx))
			if ctx.Err() != nil || errors.Is(err, errStop) {
				return
			}
			if run.pos != before {
				stuck = 0
			}
			if run.worked() {
				tries = 0
			}
			if s.cfg.FailFirst && s.Status().Connects == 0 && !isPassing(err) {
				yield(nil, err)
				return
			}
			var pe *resp.ProtocolError
			if errors.As(err, &pe) || errors.Is(err, errInStream) {
				s.update(func(st *Status) { st.ProtocolErrors++ })
				stuck++
			}
			if stuck >= maxStuck {
				s.cfg.Logger.Error("stream is unreadable at the same place again and again, starting over with a full resync", "position", run.pos.String(), "err", err)
				run.giveUp, stuck = true, 0
			}
			if !run.wait(ctx, err, tries) {
				return
			}
			tries++
		}
	}
}

// wait pauses before the next attempt: a random part of a time that doubles,
// so that many triggerds do not come back at once.
func (n *session) wait(ctx context.Context, err error, tries int) bool {
	cfg := &n.s.cfg
	limit := cfg.MaxBackoff
	if tries < 16 {
		limit = min(limit, cfg.MinBackoff<<tries)
	}
	pause := max(time.Duration(rand.Int64N(int64(limit)+1)), 10*time.Millisecond)
	n.s.report(err, pause)
	kind := Detached
	for end := time.Now().Add(pause); ; kind = Woken {
		if !n.tell(kind, time.Now()) {
			return false
		}
		until := end
		if at := n.consumer.NextWake(); !at.IsZero() && at.Before(end) {
			until = at
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
		if !time.Now().Before(end) {
			return true
		}
	}
}

// tell hands out a record that is about the link, to a consumer that wants more
// than commands.
func (n *session) tell(kind Kind, at time.Time) bool {
	if n.consumer == (nobody{}) {
		return true
	}
	return n.yield(&Record{Kind: kind, DB: n.pos.DB, ReplID: n.pos.ReplID, Offset: n.pos.Offset, Time: at})
}

// report logs why the link was lost, once for each reason in a row.
func (s *Replica) report(err error, pause time.Duration) {
	level := slog.LevelWarn
	var refused *ServerError
	switch {
	case errors.Is(err, errLacksKeys):
		level = slog.LevelInfo
	case errors.As(err, &refused) && !isPassing(err):
		level = slog.LevelError // likely someone has to act
	}
	s.mu.Lock()
	if s.status.LastError == err.Error() {
		level = slog.LevelDebug
	}
	s.status.LastError = err.Error()
	s.status.State, s.status.Since = Waiting, time.Now()
	s.mu.Unlock()
	s.cfg.Logger.Log(context.Background(), level, "not attached to the server, trying again", "server", s.addr.text, "err", err, "pause", pause.Round(time.Millisecond))
}

func isPassing(err error) bool {
	var refused *ServerError
	return errors.As(err, &refused) && refused.passing()
}

// session is one run of Records, over any number of connections.
type session struct {
	s      *Replica
	pos    Position // where to resume
	giveUp bool     // pos cannot be resumed at: ask for a full resync

	consumer Consumer
	yield    func(*Record) bool

	since  time.Time // when the stream of the last connection began; zero: it did not
	full   bool      // after a full resync
	moving bool      // and something came
	left   bool      // it was given up so that the server can end
}

// worked reports whether the last connection was good enough for the next to
// be tried at once. A full resync costs the server a fork, so one that is
// always cut short after it must not be asked for that again and again.
func (n *session) worked() bool {
	return n.moving && (!n.full || time.Since(n.since) > n.s.cfg.MaxBackoff)
}

// attach connects and hands out records until the link is lost.
func (n *session) attach(ctx context.Context) error {
	s := n.s
	n.since, n.full, n.moving = time.Time{}, false, false
	s.enter(Connecting)
	if n.left && s.stillThere(ctx) {
		return errShuttingDown
	}
	n.left = false
	side, err := n.missing(ctx)
	if err != nil {
		return err
	}
	defer side.close()
	conn, err := s.addr.dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	l := newLink(conn, s.addr, s.cfg.Timeout, &s.heard)
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()

	wantKeys := n.consumer.WantsKeys()
	if err := l.greet(&s.cfg, wantKeys); err != nil {
		return err
	}
	return n.follow(ctx, l, wantKeys, side)
}

// missing returns a snapshot for a session that resumes without one, if the
// consumer needs it.
func (n *session) missing(ctx context.Context) (*sideSnapshot, error) {
	if n.pos.IsZero() || n.giveUp || !n.consumer.LacksKeys() {
		return nil, nil
	}
	n.s.enter(Syncing)
	return n.newSideSnapshot(ctx)
}

// follow asks for the stream, and hands out records until the link is lost.
func (n *session) follow(ctx context.Context, l *link, wantKeys bool, side *sideSnapshot) error {
	s := n.s
	s.enter(Syncing)
	resume := n.pos
	if n.giveUp {
		resume = Position{}
	}
	if resume.IsZero() {
		// Someone is waiting for something to happen: say why it does not yet.
		s.cfg.Logger.Info("asking for a full resync, which a server may begin some seconds later (repl-diskless-sync-delay)", "server", s.addr.text)
	}
	a, err := l.psync(&s.cfg, resume)
	if err != nil {
		return err
	}
	if a.full {
		side.close()
		side = nil
		if err := n.fullResync(l, &a, wantKeys); err != nil {
			return err
		}
	} else if err := n.partialResync(l, a); err != nil {
		return err
	}
	n.since = time.Now()
	s.update(func(st *Status) {
		st.State, st.Since, st.LastError, st.ReplID = Streaming, time.Now(), "", a.pos.ReplID
		st.Connects++
	})
	if s.cfg.BacklogInterval > 0 || s.cfg.Ack == AckNone {
		defer s.watch()()
	}
	next, err := n.stream(ctx, l, a, side)
	if next == nil {
		return err
	}
	l.close()
	defer next.close()
	defer context.AfterFunc(ctx, next.close)()
	_, err = n.stream(ctx, next, attachment{pos: n.pos, renewed: true}, nil)
	return err
}

// partialResync goes on at the position. Where that has a new name, which it
// gets by a failover, the caller has to know it soon: a server remembers only
// the last name.
func (n *session) partialResync(l *link, a attachment) error {
	s, renamed := n.s, n.pos.ReplID != a.pos.ReplID
	n.pos = a.pos
	s.acks.begin(a.pos)
	s.update(func(st *Status) { st.PartialResyncs++ })
	s.cfg.Logger.Info("attached, resuming", "server", s.addr.text, "position", a.pos.String())
	rec := Record{Kind: Heartbeat, DB: a.pos.DB, ReplID: a.pos.ReplID, Offset: a.pos.Offset, Time: l.arrived, Pos: a.pos}
	if renamed && !n.yield(&rec) {
		return errStop
	}
	return nil
}

// fullResync takes a snapshot in, and sets the position behind it.
func (n *session) fullResync(l *link, a *attachment, wantKeys bool) error {
	s, began := n.s, time.Now()
	asked := "PSYNC"
	if a.legacy {
		asked = "SYNC"
	}
	p, err := newPayload(l, asked)
	if err != nil {
		return err
	}
	a.marked = p.mark != nil
	rd := rdb.NewReader(p)
	rd.NewerVersions = true // what of it cannot be read is drained, and the stream goes on
	first, err := n.header(rd, a)
	if err != nil && p.err != nil && p.err != io.EOF {
		return p.drain()
	}
	// A server that lost its backlog but not its history may have nothing new.
	gap := !n.pos.IsZero() && (n.pos.ReplID != a.pos.ReplID || n.pos.Offset != a.pos.Offset)
	mark := Record{Kind: SnapshotBegin, ReplID: a.pos.ReplID, Offset: a.pos.Offset, From: n.pos, Gap: gap, Time: l.arrived, RDB: rd}
	if !n.yield(&mark) {
		return errStop
	}
	keys := 0
	if wantKeys {
		var stopped error
		keys, err, stopped = n.keys(rd, Record{Kind: Key, ReplID: a.pos.ReplID, Offset: a.pos.Offset, RDB: rd, Time: began}, first, err)
		if stopped != nil {
			return stopped
		}
	}
	parsed := err
	if err := p.drain(); err != nil {
		return err
	}
	n.spoiled(keys, parsed)
	from := n.pos
	n.pos, n.full, n.giveUp = a.pos, true, false
	s.acks.begin(a.pos)
	s.update(func(st *Status) {
		st.FullResyncs++
		if gap {
			st.Gaps++
		}
	})
	s.cfg.Logger.Info("attached, full resync", "server", s.addr.text, "position", a.pos.String(), "keys", keys, "bytes", p.n, "took", time.Since(began).Round(time.Millisecond))
	if a.legacy {
		s.cfg.Logger.Warn("the server has no PSYNC, only SYNC: each time the link is lost, changes will be missed", "server", s.addr.text)
	}
	if gap {
		s.cfg.Logger.Error("the server no longer had what came after the last position: changes were missed", "from", from.String(), "to", a.pos.String())
	}
	mark.Kind, mark.Pos, mark.Time = SnapshotEnd, a.pos, time.Now()
	mark.Broken = !wantKeys || parsed != io.EOF
	if !n.yield(&mark) {
		return errStop
	}
	return nil
}

// header reads up to the first key, and takes from what stands before it the
// selected database, and for SYNC the rest of the position.
func (n *session) header(rd *rdb.Reader, a *attachment) (*rdb.Entry, error) {
	first, err := rd.Next()
	if db, ok := auxInt(rd, "repl-stream-db"); ok && db > 0 {
		a.pos.DB = int(db)
	}
	if a.legacy {
		a.pos.ReplID = "sync-" + crand.Text() // unless the server says it
		if id, ok := rd.Aux("repl-id"); ok && checkReplID(id) == nil {
			a.pos.ReplID = id
		}
		a.pos.Offset, _ = auxInt(rd, "repl-offset")
	}
	return first, err
}

func auxInt(rd *rdb.Reader, name string) (int64, bool) {
	v, ok := rd.Aux(name)
	if !ok {
		return 0, false
	}
	n, err := parseOffset(v)
	return n, err == nil
}

// stream hands out commands until the link is lost, or another one, which it
// returns, is attached in its place.
func (n *session) stream(ctx context.Context, l *link, a attachment, side *sideSnapshot) (next *link, err error) {
	s := n.s
	d := newDecoder(l.r, a.pos, s.cfg.MaxTransaction, func() time.Time { return l.arrived })
	if !a.legacy || a.marked {
		d.getAck = s.acks.demand
		s.acks.none = noneAt(a)
		stop := s.acks.run(l, s.cfg.Ack)
		defer stop()
	}
	defer s.current.set(l)()
	l.wake = func() time.Time { return n.wake(l) }
	if !a.renewed && !n.tell(Attached, time.Now()) {
		return nil, errStop
	}
	if side == nil && n.consumer.LacksKeys() { // since the snapshot began, or with no snapshot at all
		return nil, errLacksKeys
	}
	for {
		if due, err := side.due(n.pos); err != nil {
			return nil, err
		} else if due {
			if err := n.load(side); err != nil {
				return nil, err
			}
			side.close()
			side = nil
		}
		if n.renewable(l, d, side) {
			if next := n.renew(ctx, l); next != nil {
				return next, nil
			}
		}
		rec, err := d.next()
		if err == errWake {
			if n.consumer != (nobody{}) && !n.yield(&Record{Kind: Woken, DB: d.db, ReplID: n.pos.ReplID, Offset: d.offset(), Time: time.Now(), Idle: l.idle}) {
				return nil, errStop
			}
			if side == nil && n.consumer.LacksKeys() {
				return nil, errLacksKeys
			}
			continue
		}
		switch {
		case err == nil:
		case l.left.Load():
			n.left = true
			return nil, errShuttingDown
		case err == io.EOF:
			return nil, errors.New("read the stream: server closed the connection")
		default:
			return nil, fmt.Errorf("read the stream: %w", err)
		}
		s.acks.received.Store(d.offset())
		n.moving = true
		if !rec.Pos.IsZero() {
			n.pos = rec.Pos
		}
		if a.legacy {
			rec.Pos = Position{} // SYNC cannot resume
		}
		if !n.yield(rec) {
			return nil, errStop
		}
	}
}
