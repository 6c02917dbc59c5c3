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

// AckPolicy says what a Replica acknowledges to the server. The server's WAIT
// and WAITAOF count triggerd by that.
type AckPolicy string

// The policies. All of them keep the link alive. docs/replication.md says what
// each does to a server.
const (
	AckNone     AckPolicy = "none"     // no data: WAIT never counts triggerd
	AckReceived AckPolicy = "received" // what was read from the socket
	AckDurable  AckPolicy = "durable"  // what Ack was called for, also as WAITAOF's offset
)

// Config configures a Replica. Only URL has to be set.
type Config struct {
	URL           string    // see CheckURL
	Ack           AckPolicy // default AckNone
	PsyncCommand  string    // the server's name for PSYNC, if it is renamed; default PSYNC
	ListeningPort int       // announced to the server; 0: none
	// BacklogInterval is how often the server is asked for the size of its
	// backlog, on a connection beside the stream's. 0: never.
	BacklogInterval time.Duration

	// FailFirst ends Records with an error if the first attempt to attach
	// fails. A server that is loading, busy, or a replica without its primary
	// is still waited for.
	FailFirst bool

	DialTimeout    time.Duration // for connecting, with TLS; default 5 s
	Timeout        time.Duration // a link on which nothing arrives for so long is dead; default 60 s
	MinBackoff     time.Duration // the longest pause before the first reconnect; default 100 ms
	MaxBackoff     time.Duration // the longest pause before any reconnect; default 15 s
	MaxTransaction int           // bytes of memory for a transaction held until EXEC; default 256 MiB

	Secrets *secret.Masker // masked in errors, as is the password of the URL; nil: nothing else
	Logger  *slog.Logger   // nil: none
}

func (c Config) withDefaults() Config {
	setDefault(&c.Ack, AckNone)
	setDefault(&c.PsyncCommand, "PSYNC")
	setDefault(&c.DialTimeout, 5*time.Second)
	setDefault(&c.Timeout, time.Minute)
	setDefault(&c.MinBackoff, 100*time.Millisecond)
	setDefault(&c.MaxBackoff, 15*time.Second)
	setDefault(&c.MaxTransaction, 256<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Replica is a Source that attaches to a server as a replica.
type Replica struct {
	cfg  Config
	addr *address
	acks ackSender

	lastArrival atomic.Int64 // when bytes last arrived, in nanoseconds since 1970; 0: none have

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
	r.acks.sendNow, r.acks.requests = make(chan struct{}, 1), make(chan struct{}, 1)
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
	if ns := s.lastArrival.Load(); ns != 0 {
		st.LastData = time.Unix(0, ns)
	}
	return st
}

// wakeOnChange wakes the reading goroutine whenever c.Changed receives, until
// ctx is done.
func (s *Replica) wakeOnChange(ctx context.Context, c Consumer) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.Changed():
			s.current.with((*link).wakeRead)
		}
	}
}

// currentLink is the link that the stream is read from. Other goroutines wake
// or close it through this.
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

func (c *currentLink) with(f func(*link)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.l != nil {
		f(c.l)
	}
}

func (s *Replica) updateStatus(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

func (s *Replica) setState(state State) {
	s.updateStatus(func(st *Status) { st.State, st.Since = state, time.Now() })
}

// errStop ends a session because the caller wants no more records.
var errStop = errors.New("stopped by the caller")

// errLacksKeys ends a link because the consumer needs all keys now. The next
// attempt begins with a side snapshot of them.
var errLacksKeys = errors.New("the values of more keys are needed")

// maxUnreadable is how many times in a row the stream may be unreadable at the
// same offset. After that a full resync is asked for. Otherwise one wrong byte
// in the server's backlog would stop triggerd for good.
const maxUnreadable = 5

// Records implements Source. Everything before from counts as safe, as if Ack
// had been called for it. It reconnects until ctx is done or the caller stops.
// Its one error is that of Config.FailFirst.
func (s *Replica) Records(ctx context.Context, from Position, c Consumer) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		defer s.setState(Stopped)
		from.Events = 0 // the consumer skips these
		s.acks.reset(from)
		s.acks.setDurable(from)
		run := session{replica: s, pos: from, consumer: c, yield: func(r *Record) bool { return yield(r, nil) }}
		if c == nil {
			run.consumer = commandsOnly{}
		}
		wakeCtx, stop := context.WithCancel(ctx)
		var side sync.WaitGroup
		side.Go(func() { s.wakeOnChange(wakeCtx, run.consumer) })
		defer side.Wait()
		defer stop()
		tries, unreadable := 0, 0
		for {
			before := run.pos
			err := masked(s.cfg.Secrets, run.attach(ctx))
			if ctx.Err() != nil || errors.Is(err, errStop) {
				return
			}
			if run.pos != before {
				unreadable = 0
			}
			if run.resetsBackoff() {
				tries = 0
			}
			if s.cfg.FailFirst && s.Status().Connects == 0 && !isTemporary(err) {
				yield(nil, err)
				return
			}
			var pe *resp.ProtocolError
			if errors.As(err, &pe) || errors.Is(err, errInStream) {
				s.updateStatus(func(st *Status) { st.ProtocolErrors++ })
				unreadable++
			}
			if unreadable >= maxUnreadable {
				s.cfg.Logger.Error("stream is unreadable at the same place again and again, starting over with a full resync", "position", run.pos.String(), "err", err)
				run.forceFull, unreadable = true, 0
			}
			if !run.waitToReconnect(ctx, err, tries) {
				return
			}
			tries++
		}
	}
}

// waitToReconnect pauses before the next attempt, and reports whether to make
// it. The pause is random, up to a limit that doubles with each try, so that
// many triggerds do not come back at once. Meanwhile the consumer is still
// woken.
func (n *session) waitToReconnect(ctx context.Context, err error, tries int) bool {
	cfg := &n.replica.cfg
	limit := cfg.MaxBackoff
	if tries < 16 {
		limit = min(limit, cfg.MinBackoff<<tries)
	}
	pause := max(time.Duration(rand.Int64N(int64(limit)+1)), 10*time.Millisecond)
	n.replica.logLost(err, pause)
	kind := Detached
	for end := time.Now().Add(pause); ; kind = Woken {
		if !n.yieldLinkState(kind, time.Now()) {
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

// yieldLinkState hands out a record about the link, unless the consumer wants
// commands only.
func (n *session) yieldLinkState(kind Kind, at time.Time) bool {
	if n.consumer == (commandsOnly{}) {
		return true
	}
	return n.yield(&Record{Kind: kind, DB: n.pos.DB, ReplID: n.pos.ReplID, Offset: n.pos.Offset, Time: at})
}

// logLost logs why the link was lost. The same reason several times in a row is
// logged once.
func (s *Replica) logLost(err error, pause time.Duration) {
	level := slog.LevelWarn
	var refused *ServerError
	switch {
	case errors.Is(err, errLacksKeys):
		level = slog.LevelInfo
	case errors.As(err, &refused) && !isTemporary(err):
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

func isTemporary(err error) bool {
	var refused *ServerError
	return errors.As(err, &refused) && refused.temporary()
}

// session is one run of Records, over any number of connections.
type session struct {
	replica   *Replica
	pos       Position // where to resume
	forceFull bool     // the server cannot go on at pos: ask for a full resync

	consumer Consumer
	yield    func(*Record) bool

	streamSince  time.Time // when the stream of the last connection began; zero: it did not
	fullResynced bool      // the last connection began with a full resync
	received     bool      // the last connection brought at least one record
	forShutdown  bool      // the last connection was closed so that the server can shut down
}

// resetsBackoff reports whether the last connection worked, so that the next
// attempt is made without a long pause. A full resync costs the server a fork.
// So a connection that ends soon after one does not count as working.
func (n *session) resetsBackoff() bool {
	return n.received && (!n.fullResynced || time.Since(n.streamSince) > n.replica.cfg.MaxBackoff)
}

// attach connects, and hands out records until the link is lost.
func (n *session) attach(ctx context.Context) error {
	s := n.replica
	n.streamSince, n.fullResynced, n.received = time.Time{}, false, false
	s.setState(Connecting)
	if n.forShutdown && s.stillShuttingDown(ctx) {
		return errShuttingDown
	}
	n.forShutdown = false
	side, err := n.openSideSnapshot(ctx)
	if err != nil {
		return err
	}
	defer side.close()
	conn, err := s.addr.dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	l := newLink(conn, s.addr, s.cfg.Timeout, &s.lastArrival)
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()

	wantKeys := n.consumer.WantsKeys()
	if err := l.handshake(&s.cfg, wantKeys); err != nil {
		return err
	}
	return n.syncAndStream(ctx, l, wantKeys, side)
}

// openSideSnapshot returns a side snapshot if the session resumes and the
// consumer lacks keys, and otherwise nil.
func (n *session) openSideSnapshot(ctx context.Context) (*sideSnapshot, error) {
	if n.pos.IsZero() || n.forceFull || !n.consumer.LacksKeys() {
		return nil, nil
	}
	n.replica.setState(Syncing)
	return n.dialSideSnapshot(ctx)
}

// syncAndStream asks for the stream with PSYNC, does the full or partial resync
// that the server answers with, and hands out records until the link is lost.
func (n *session) syncAndStream(ctx context.Context, l *link, wantKeys bool, side *sideSnapshot) error {
	s := n.replica
	s.setState(Syncing)
	resume := n.pos
	if n.forceFull {
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
		if err := n.fullResync(ctx, l, &a, wantKeys); err != nil {
			return err
		}
	} else if err := n.partialResync(l, a); err != nil {
		return err
	}
	n.streamSince = time.Now()
	s.updateStatus(func(st *Status) {
		st.State, st.Since, st.LastError, st.ReplID = Streaming, time.Now(), "", a.pos.ReplID
		st.Connects++
	})
	if s.cfg.BacklogInterval > 0 || s.cfg.Ack == AckNone {
		defer s.startInquirer()()
	}
	next, err := n.streamCommands(ctx, l, a, side)
	if next == nil {
		return err
	}
	l.close()
	defer next.close()
	defer context.AfterFunc(ctx, next.close)()
	_, err = n.streamCommands(ctx, next, psyncReply{pos: n.pos, replacesLink: true}, nil)
	return err
}

// partialResync goes on at the position. If a failover has given the history a
// new replication ID, the caller gets that at once, in a Heartbeat: a server
// remembers only one earlier ID.
func (n *session) partialResync(l *link, a psyncReply) error {
	s, renamed := n.replica, n.pos.ReplID != a.pos.ReplID
	n.pos = a.pos
	s.acks.reset(a.pos)
	s.updateStatus(func(st *Status) { st.PartialResyncs++ })
	s.cfg.Logger.Info("attached, resuming", "server", s.addr.text, "position", a.pos.String())
	rec := Record{Kind: Heartbeat, DB: a.pos.DB, ReplID: a.pos.ReplID, Offset: a.pos.Offset, Time: l.lastArrival, Pos: a.pos}
	if renamed && !n.yield(&rec) {
		return errStop
	}
	return nil
}

// fullResync reads the snapshot, hands out its keys if they are wanted, and
// sets the position after it.
func (n *session) fullResync(ctx context.Context, l *link, a *psyncReply, wantKeys bool) error {
	s, began := n.replica, time.Now()
	asked := "PSYNC"
	if a.legacy {
		asked = "SYNC"
	}
	p, err := newSnapshotReader(l, asked)
	if err != nil {
		return err
	}
	a.eofMarked = p.mark != nil
	rd := rdb.NewReader(p)
	rd.Stop = ctx.Err
	rd.Strict = true
	rd.NewerVersions = true // a value that cannot be read is no reason to refuse the snapshot: the rest is dropped, and the stream goes on
	first, err := n.readHeader(rd, a)
	if err != nil && p.err != nil && p.err != io.EOF {
		return p.drain()
	}
	// A server that lost its backlog but not its history may have nothing new.
	gap := !n.pos.IsZero() && (n.pos.ReplID != a.pos.ReplID || n.pos.Offset != a.pos.Offset)
	mark := Record{Kind: SnapshotBegin, ReplID: a.pos.ReplID, Offset: a.pos.Offset, From: n.pos, Gap: gap, Time: l.lastArrival, RDB: rd}
	if !n.yield(&mark) {
		return errStop
	}
	keys := 0
	if wantKeys {
		var stopped error
		keys, err, stopped = n.yieldKeys(rd, Record{Kind: Key, ReplID: a.pos.ReplID, Offset: a.pos.Offset, RDB: rd, Time: began}, first, err)
		if stopped != nil {
			return stopped
		}
	}
	parsed := err
	if err := p.drain(); err != nil {
		return err
	}
	n.reportUnreadable(keys, parsed)
	from := n.pos
	n.pos, n.fullResynced, n.forceFull = a.pos, true, false
	s.acks.reset(a.pos)
	s.updateStatus(func(st *Status) {
		st.FullResyncs++
		if gap {
			st.Gaps++
		}
	})
	s.cfg.Logger.Info("attached, full resync", "server", s.addr.text, "position", a.pos.String(), "keys", keys, "bytes", p.total, "took", time.Since(began).Round(time.Millisecond))
	if a.legacy {
		s.cfg.Logger.Warn("the server has no PSYNC, only SYNC: each time the link is lost, changes will be missed", "server", s.addr.text)
	}
	if gap {
		s.cfg.Logger.Error("the server no longer had what came after the last position: changes were missed", "from", from.String(), "to", a.pos.String())
	}
	mark.Kind, mark.Pos, mark.Time = SnapshotEnd, a.pos, time.Now()
	mark.Incomplete = !wantKeys || parsed != io.EOF
	if !n.yield(&mark) {
		return errStop
	}
	return nil
}

// readHeader reads up to the first key, which it returns. From the fields
// before it, it takes the selected database and, for SYNC, the replication ID
// and offset.
func (n *session) readHeader(rd *rdb.Reader, a *psyncReply) (*rdb.Entry, error) {
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

// streamCommands hands out commands until the link is lost, or until another
// link is attached in its place. It returns the new link in the second case.
func (n *session) streamCommands(ctx context.Context, l *link, a psyncReply, side *sideSnapshot) (next *link, err error) {
	s := n.replica
	d := newDecoder(l.r, a.pos, s.cfg.MaxTransaction, func() time.Time { return l.lastArrival })
	if !a.legacy || a.eofMarked {
		d.getAck = s.acks.onGetAck
		s.acks.noneOffset = ackNoneOffset(a)
		stop := s.acks.start(l, s.cfg.Ack)
		defer stop()
	}
	defer s.current.set(l)()
	l.nextWake = func() time.Time { return n.nextWake(l) }
	if !a.replacesLink && !n.yieldLinkState(Attached, time.Now()) {
		return nil, errStop
	}
	if side == nil && n.consumer.LacksKeys() { // it has come to lack them since the snapshot began, or there was no snapshot
		return nil, errLacksKeys
	}
	for {
		if due, err := side.reached(n.pos); err != nil {
			return nil, err
		} else if due {
			if err := n.yieldSideSnapshot(ctx, side); err != nil {
				return nil, err
			}
			side.close()
			side = nil
		}
		if n.canRenew(l, d, side) {
			if next := n.renewLink(ctx, l); next != nil {
				return next, nil
			}
		}
		rec, err := d.next()
		if err == errWoken {
			if n.consumer != (commandsOnly{}) && !n.yield(&Record{Kind: Woken, DB: d.db, ReplID: n.pos.ReplID, Offset: d.offset(), Time: time.Now(), Idle: l.idle}) {
				return nil, errStop
			}
			if side == nil && n.consumer.LacksKeys() {
				return nil, errLacksKeys
			}
			continue
		}
		switch {
		case err == nil:
		case l.forShutdown.Load():
			n.forShutdown = true
			return nil, errShuttingDown
		case err == io.EOF:
			return nil, errors.New("read the stream: server closed the connection")
		default:
			return nil, fmt.Errorf("read the stream: %w", err)
		}
		s.acks.received.Store(d.offset())
		n.received = true
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
