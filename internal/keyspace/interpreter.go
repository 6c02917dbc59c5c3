package keyspace

import (
	"strings"
	"time"

	"triggerd/internal/event"
	"triggerd/rdb"
)

// Dialect names the server family at the other end. Both announce the same
// command in different orders: of MSETEX with a deadline, Redis 8.6 announces
// "expire" and then "set" of each key, Valkey 9.1 the other way round.
type Dialect uint8

// The dialects. The zero value is Redis.
const (
	Redis Dialect = iota
	Valkey
)

// Config sets an Interpreter up. Its zero value is useful.
type Config struct {
	Dialect Dialect
	// Major is the server's major version, 0 if it is not known: taken for a
	// new one. Before Redis 7 a consumer that reading has made is not announced.
	Major int

	// Need says how much has to be kept of a key, which is borrowed, so that
	// events are exact and have values. It must give the same answer for the
	// same key each time; SetNeed replaces it. nil: nothing is kept.
	Need func(db int, key []byte) Need
	// MaxMirror is how many bytes of memory the mirror may take, as estimated;
	// 0 means DefaultMaxMirror.
	MaxMirror int64
	// SparseMax is the server's hll-sparse-max-bytes, on which the bytes of a
	// HyperLogLog depend. 0 means DefaultSparseMax until a value shows that it is
	// otherwise; see SetSparseMax.
	SparseMax int
	// Classes are further events, of keys that are needed.
	Classes Classes
	// ExpiryGrace is how much earlier than its deadline, by our clock, the
	// removal of a key still counts as its expiry: how far our clock may be
	// behind the primary's. What a client removes in that time is called
	// "expired" too, so it should be small, and shorter than any deadline that
	// matters. Being behind in reading the stream errs in the same way. It is
	// allowed for beyond what is known of the primary's clock, see SetClock.
	ExpiryGrace time.Duration
}

// Command is one replicated command. Everything in it is borrowed: the
// Interpreter keeps nothing of it, and the events it makes point into it.
type Command struct {
	Args   [][]byte // Args[0] is the command's name as it was sent, in any case
	DB     int      // the selected database
	ReplID string
	Offset int64 // replication offset just after the command's own bytes
	Bytes  int   // length on the wire
	Tx     event.Tx
	Time   time.Time    // arrival
	Origin event.Origin // "" means event.FromStream
	Source string       // "redis://host:port"
}

// SnapshotKey is one key of a snapshot.
type SnapshotKey struct {
	Key      []byte // borrowed
	DB       int
	Type     string // as TYPE spells it, "" if not known
	ExpireAt int64  // Unix time in milliseconds, 0 for none
	Bytes    int    // length in the snapshot, 0 if not known
	// Value is the reader that is at this key, its value unread; it is read
	// only if the key is needed. nil: the value is not known.
	Value  *rdb.Reader
	ReplID string
	Offset int64 // the offset that the snapshot belongs to
	Time   time.Time
	Source string
}

// Stats counts what an Interpreter has seen.
type Stats struct {
	Commands     int64 // commands seen, those without events too
	Events       int64 // events made, without those of the snapshot
	SnapshotKeys int64
	Malformed    int64 // commands with too few arguments, or a count or option that is not one
	Unknown      int64 // commands that the table does not know

	MirrorKeys  int64 // that are kept
	MirrorBytes int64 // of memory for them, estimated
	Lost        Losses
}

// Interpreter makes events of commands. One goroutine may use it at a time.
// In steady state it does not allocate.
type Interpreter struct {
	config  Config
	stats   Stats
	unknown map[string]unknownName // names of unknown commands, so that each is made once
	mirror  *mirror                // nil: nothing is needed
	journal *journal               // nil: it is off
	clock   clock
	maker   maker // of the command that the mirror follows
}

// unknownName is how a command that the table does not know is spelt in events.
type unknownName struct{ command, event string }

const (
	maxUnknownNames = 1024 // kept; a stream of ever new names costs an allocation each, not memory
	maxUnknownName  = 128  // bytes of such a name that are shown
)

// New makes an Interpreter.
func New(config Config) *Interpreter {
	in := &Interpreter{config: config, unknown: map[string]unknownName{}}
	if config.Need != nil {
		in.mirror = newMirror(in)
	}
	return in
}

// SetNeed replaces Config.Need and Config.Classes. Keys that are needed no more are forgotten; of
// those that are needed from now on nothing is known until a command sets them
// whole, or the next snapshot.
func (in *Interpreter) SetNeed(need func(db int, key []byte) Need, classes Classes) {
	in.config.Need, in.config.Classes = need, classes
	switch mi := in.mirror; {
	case need == nil:
		in.mirror = nil
		if in.journal != nil {
			in.journal.reset()
		}
	case mi == nil:
		in.mirror = newMirror(in)
		in.mirror.journal = in.journal
	default:
		mi.need, mi.classes = need, classes
		mi.generation++
		mi.flushed = false
		for db, d := range mi.dbs {
			mi.review(d, db)
		}
	}
}

// SetServer replaces Config.Dialect and Config.Major by what the server says of
// itself.
func (in *Interpreter) SetServer(d Dialect, major int) {
	in.config.Dialect, in.config.Major = d, major
}

// SetSparseMax replaces Config.SparseMax by what the server says it is, which
// may be 0.
func (in *Interpreter) SetSparseMax(bytes int) {
	in.config.SparseMax = max(bytes, 1) // not even an empty one is so short
	if in.mirror != nil {
		in.mirror.sparseMax = in.config.SparseMax
	}
}

// Stats returns the counts so far. It belongs to the goroutine that uses the
// Interpreter.
func (in *Interpreter) Stats() Stats {
	s := in.stats
	if mi := in.mirror; mi != nil {
		s.MirrorKeys, s.MirrorBytes, s.Lost = mi.keys, mi.size, mi.losses
	}
	return s
}

// Command appends the events of a command to dst, in the order in which the
// server announces them. They borrow the command's bytes. A command with too
// few arguments gives what is known of it and is counted. Rest gives those of
// which there are too many at once.
func (in *Interpreter) Command(dst []event.Event, c *Command) []event.Event {
	if in.mirror != nil && in.mirror.trim != nil {
		in.abandonRest()
	}
	in.stats.Commands++
	if len(c.Args) == 0 || len(c.Args[0]) == 0 { // no server sends it, and no event would have a name
		in.stats.Malformed++
		return dst
	}
	id := lookupArgs(c.Args)
	p := planOf(id)
	if id == cmdXclaim {
		in.clock.seeClaim(c)
	}
	followed := in.mirror != nil && in.mirror.wanted(id, c.Args, c.DB)
	if p.how == silent && !followed {
		return dst
	}
	m := maker{dst: dst, c: c, args: c.Args, base: len(dst), cause: event.CauseCommand, command: commands[id].name, origin: c.Origin}
	if m.origin == "" {
		m.origin = event.FromStream
	}
	if followed {
		in.maker = m
		in.track(&in.maker, id, p)
		m = in.maker
		in.maker = maker{}
	} else {
		in.stateless(&m, id, p)
	}
	if m.malformed {
		in.stats.Malformed++
	}
	in.stats.Events += int64(len(m.dst) - m.base)
	return m.dst
}

// stateless makes the events that the command alone tells of.
func (in *Interpreter) stateless(m *maker, id ID, p plan) {
	switch p.how {
	case onKey:
		m.emit(commands[id].keys[0].begin, p.name, p.typ)
	case onEachKey:
		in.onEachKey(m, &commands[id].keys[0], p)
	case keyless:
		m.emitKey(nil, m.c.DB, p.name, "")
	case generic:
		in.generic(m, id, p)
	case special:
		in.special(m, id)
	}
}

// maker makes the events of one command.
type maker struct {
	dst       []event.Event
	c         *Command
	args      [][]byte
	base      int // events in dst that are not ours
	number    int // of ours that were in an earlier dst
	command   string
	cause     event.Cause
	origin    event.Origin
	malformed bool
}

// emit makes an event on the key that the argument at index is. If there is no
// such argument the event concerns no key.
func (m *maker) emit(index int, name, typ string) {
	m.emitDB(index, m.c.DB, name, typ)
}

func (m *maker) emitDB(index, db int, name, typ string) {
	if index >= len(m.args) {
		m.malformed = true
		m.emitKey(nil, db, name, "")
		return
	}
	m.emitKey(notNil(m.args[index]), db, name, typ)
}

func (m *maker) emitKey(key []byte, db int, name, typ string) {
	c := m.c
	m.dst = append(m.dst, event.Event{
		Name: name, Origin: m.origin, Cause: m.cause,
		DB: db, Key: key, Type: typ, Command: m.command, Args: c.Args[1:len(c.Args):len(c.Args)],
		Time: c.Time, Bytes: c.Bytes, ReplID: c.ReplID, Offset: c.Offset, Index: m.number + len(m.dst) - m.base, Tx: c.Tx,
		Source: c.Source,
	})
}

// notNil keeps an empty key apart from no key.
func notNil(key []byte) []byte {
	if key == nil {
		return []byte{}
	}
	return key
}

// require counts the command as malformed if it has no argument at index.
func (m *maker) require(index int) {
	m.malformed = m.malformed || index >= len(m.args)
}

// arg returns the argument at index, which the command must have; nil if it
// has not.
func (m *maker) arg(index int) []byte {
	m.require(index)
	if index >= len(m.args) {
		return nil
	}
	return m.args[index]
}

// onEachKey makes one event for each key of a specification.
func (in *Interpreter) onEachKey(m *maker, s *keySpec, p plan) {
	r, ok := s.find(m.args)
	if !ok {
		m.emit(len(m.args), p.name, "")
		return
	}
	if (len(m.args)-r.first)%r.step != 0 {
		m.malformed = true
	}
	for i := r.first; i <= r.last; i += r.step {
		m.emit(i, p.name, p.typ)
	}
}

// generic makes an event for each key of a command of which no more is known.
func (in *Interpreter) generic(m *maker, id ID, p plan) {
	if id == 0 {
		in.stats.Unknown++
		name := in.unknownName(m.args[0])
		m.command = name.command
		if len(m.args) == 1 {
			m.emitKey(nil, m.c.DB, name.event, "")
			return
		}
		m.emit(1, name.event, "")
		return
	}
	var buf [maxRanges]keyRange
	ranges := appendRanges(buf[:0], id, m.args)
	for _, r := range ranges {
		for i := r.first; i <= r.last; i += r.step {
			m.emit(i, genericNames[id], p.typ)
		}
	}
	if len(ranges) == 0 {
		m.malformed = len(commands[id].keys) > 0
		m.emitKey(nil, m.c.DB, genericNames[id], "")
	}
}

// genericNames holds, for the commands that generic may meet, the event's
// name: the command's in lower case, "cluster-flushslot" for a subcommand.
var genericNames = func() (names [numIDs]string) {
	for id := ID(1); id < numIDs; id++ {
		if p := planOf(id); p.how == generic {
			names[id] = strings.ReplaceAll(strings.ToLower(commands[id].name), " ", "-")
		}
	}
	return names
}()

// unknownName spells the name of a command that the table does not know.
func (in *Interpreter) unknownName(name []byte) unknownName {
	name = name[:min(len(name), maxUnknownName)]
	if u, ok := in.unknown[string(name)]; ok {
		return u
	}
	u := unknownName{command: asciiMap(name, upper), event: asciiMap(name, lower)}
	if len(in.unknown) < maxUnknownNames {
		in.unknown[string(name)] = u
	}
	return u
}

// asciiMap returns name with f done to each byte. Other than strings.ToUpper it
// leaves bytes that are not ASCII alone.
func asciiMap(name []byte, f func(byte) byte) string {
	b := make([]byte, len(name))
	for i, c := range name {
		b[i] = f(c)
	}
	return string(b)
}
