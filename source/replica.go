package source

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/secret"
	"triggerd/internal/sentinel"
	"triggerd/internal/spool"
)

// AckPolicy says what a Replica acknowledges to the server. The server's WAIT
// and WAITAOF count triggerd by that.
type AckPolicy string

// The policies. All of them keep the link alive. docs/replication.md says what
// each does to a server.
const (
	AckNone     AckPolicy = "none"     // no data: WAIT never counts triggerd
	AckReceived AckPolicy = "received" // what was read from the socket
	AckSpooled  AckPolicy = "spooled"  // what is in the spool's files and synced, also as WAITAOF's offset
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

	DialTimeout time.Duration // for connecting, with TLS; default 5 s
	Timeout     time.Duration // a link on which nothing arrives for so long is dead; default 60 s
	MinBackoff  time.Duration // the longest pause before the first reconnect; default 100 ms
	MaxBackoff  time.Duration // the longest pause before any reconnect; default 15 s
	// ForeignWait is how long a server is not believed whose history is neither
	// that of what was received nor one that came of it: a primary that was killed
	// may come back empty for some seconds. After that a gap is told, and its
	// history is followed. 0: it is believed at once.
	ForeignWait    time.Duration
	MaxTransaction int // bytes of memory for a transaction held until EXEC; default 256 MiB

	// Spool is where what the server sends waits until it is read, and from where
	// it is read again by the next process. nil: in memory. It is the source's
	// until Records has returned.
	Spool *spool.Log

	// SentinelUser and SentinelPassword are for Sentinels, to which the URL's are not
	// told.
	SentinelUser, SentinelPassword string
	Prefer                         Prefer // default PreferPrimary
	// Announce is host:port under which Sentinels reach this process, which answers
	// them there as a replica that is never promoted. "": it does not, and they list
	// it as a replica that is down.
	Announce string
	// SentinelHello hands out what Sentinels publish to each other every two seconds.
	// Without, it is left out.
	SentinelHello bool

	Secrets *secret.Masker // masked in errors, as is the password of the URL; nil: nothing else
	Logger  *slog.Logger   // nil: none
}

func (c Config) withDefaults() Config {
	setDefault(&c.Ack, AckNone)
	setDefault(&c.PsyncCommand, "PSYNC")
	setDefault(&c.Prefer, PreferPrimary)
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
	addr *address // as it is configured

	group   *sentinel.Group         // nil: the address is that of the server
	found   atomic.Pointer[address] // the server that was found last; nil: none
	attempt attempt
	avoided avoided

	acks ackSender

	spool *spool.Log

	lastArrival atomic.Int64 // when bytes last arrived, in nanoseconds since 1970; 0: none have
	handedOut   atomic.Int64 // offset of the last record
	recordTime  atomic.Int64 // its time, in nanoseconds since 1970; 0: there is none
	starved     atomic.Bool  // the reading goroutine waits for bytes

	syncingAside atomic.Bool // a side snapshot is asked for, or waited for

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
	r.cfg.Secrets = cfg.Secrets.With(addr.password).With(cfg.SentinelPassword)
	addr.secrets = r.cfg.Secrets
	if r.cfg.Prefer != PreferPrimary && r.cfg.Prefer != PreferReplica {
		return nil, fmt.Errorf("preference %q (primary or replica)", cfg.Prefer)
	}
	if err := r.cfg.checkAnnounce(addr); err != nil {
		return nil, err
	}
	r.group = newGroup(&r.cfg, addr)
	switch r.cfg.Ack {
	case AckNone, AckReceived, AckSpooled, AckDurable:
	default:
		return nil, fmt.Errorf("ack policy %q (none, received, spooled or durable)", cfg.Ack)
	}
	if r.spool = cfg.Spool; r.spool == nil {
		if r.spool, err = spool.Open(spool.Options{Logger: r.cfg.Logger}); err != nil {
			return nil, err
		}
	}
	if r.cfg.Ack == AckSpooled && !r.spool.InFiles() {
		return nil, fmt.Errorf("ack policy %q needs a spool in files", cfg.Ack)
	}
	if cfg.ListeningPort < 0 || cfg.ListeningPort > 65535 {
		return nil, fmt.Errorf("listening port %d (0 to 65535)", cfg.ListeningPort)
	}
	r.status.Addr = addr.text
	r.acks.sendNow, r.acks.requests, r.acks.syncNow = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	return r, nil
}

// Ack implements Source.
func (s *Replica) Ack(p Position) { s.acks.setDurable(p) }

// Status implements Source.
func (s *Replica) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Received, st.HandedOut = s.acks.received.Load(), s.handedOut.Load()
	if ns := s.lastArrival.Load(); ns != 0 {
		st.LastData = time.Unix(0, ns)
	}
	if st.State == Streaming && s.syncingAside.Load() {
		st.State = Syncing
	}
	st.Spool = s.spool.Stats()
	st.Starved = s.starved.Load()
	switch at := s.recordTime.Load(); {
	case st.Received <= st.HandedOut:
	case st.Starved:
		st.BehindSince = st.Spool.Since
	case at != 0:
		st.BehindSince = time.Unix(0, at)
	}
	return st
}

func placeOf(p Position) spool.Place {
	return spool.Place{ReplID: p.ReplID, Offset: p.Offset, DB: p.DB}
}

// currentLink is the link that bytes are received from. Other goroutines close
// it through this.
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

// Records implements Source. Everything before from counts as safe, as if Ack
// had been called for it. What the spool has behind from is handed out first,
// and the server is asked for what comes behind that. It reconnects until ctx
// is done or the caller stops. Its one error is that of Config.FailFirst, or of
// the spool's disk.
func (s *Replica) Records(ctx context.Context, from Position, c Consumer) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		defer s.setState(Stopped)
		n, err := s.newSession(from, c)
		if err == nil {
			n.yield = func(r *Record) bool { return yield(r, nil) }
			err = n.run(ctx)
		}
		if err != errStop {
			yield(nil, err)
		}
	}
}

func isTemporary(err error) bool {
	var refused *ServerError
	return errors.As(err, &refused) && refused.temporary()
}
