package keyspace

import (
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
	// Version is the server's, on which it depends too what it sends and announces.
	Version Version

	// Need says how much has to be kept of a key, which is borrowed, so that
	// events are exact and have values. It must give the same answer for the
	// same key each time; SetNeed replaces it. nil: nothing is kept.
	Need func(db int, key []byte) Need
	// Counted returns the predicates that will be asked of a key's value: of a large
	// one they are counted when it is read from a snapshot or restored, and not only
	// when they are asked. SetCounted replaces it. nil: none.
	Counted func(db int, key []byte, typ string) []*event.Predicate
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
	// behind the primary's, beyond what SetClock tells. What a client removes in
	// that time is called "expired" too, so it should be small, and shorter than
	// any deadline that matters. A stream that is read late errs in the same way.
	ExpiryGrace time.Duration

	// Stopped, if not nil, is asked now and then while what is done takes long,
	// since a command, or a value, is very large. If it returns true that is given
	// up: see Interpreter.GaveUp.
	Stopped func() bool
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
	Unknown      int64 // commands that are not known

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
	call    call    // the command that is interpreted
	rest    rest    // of the last command
	views   []*view // of values that went, for events that are no command's
	lookups lookups
	pace    pace
}

// unknownName is how a command that has no entry is spelt in events.
type unknownName struct{ command, event string }

const (
	maxUnknownNames = 1024 // kept; a stream of ever new names costs an allocation each, not memory
	maxUnknownName  = 128  // bytes of such a name that are shown
)

// New makes an Interpreter.
func New(config Config) *Interpreter {
	in := &Interpreter{config: config, unknown: map[string]unknownName{}, pace: pace{stopped: config.Stopped}}
	in.call.in = in
	if config.Need != nil {
		in.mirror = newMirror(in)
	}
	return in
}

// SetNeed replaces Config.Need and Config.Classes. Keys that are needed no more
// are forgotten. Of those that are needed from now on nothing is known until a
// command sets them whole, or the next snapshot.
func (in *Interpreter) SetNeed(need func(db int, key []byte) Need, classes Classes) {
	in.setNeed(need, classes, false)
}

// NarrowNeed is SetNeed for a need that asks of no key for more than the one
// before did, in whatever database it is: of which keys it is known that they
// are not there stays known.
func (in *Interpreter) NarrowNeed(need func(db int, key []byte) Need, classes Classes) {
	in.setNeed(need, classes, true)
}

func (in *Interpreter) setNeed(need func(db int, key []byte) Need, classes Classes, narrows bool) {
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
		if narrows {
			mi.absent, mi.loading = mi.narrowed(mi.absent), mi.narrowed(mi.loading)
		}
		now := mi.coverOf(0)[0]
		mi.absent, mi.loading = mi.extended(mi.absent, now), mi.extended(mi.loading, now)
		for db, d := range mi.dbs {
			if narrows {
				d.cover = mi.narrowed(d.cover)
			}
			mi.askAnew(d, db) // what was not kept is not lost
		}
	}
}

// SetCounted replaces Config.Counted. What is there already is counted when it is
// asked.
func (in *Interpreter) SetCounted(f func(db int, key []byte, typ string) []*event.Predicate) {
	if in.config.Counted = f; in.mirror != nil {
		in.mirror.counted = f
	}
}

// SetServer replaces Config.Dialect and Config.Version by what the server says of
// itself.
func (in *Interpreter) SetServer(d Dialect, v Version) {
	in.config.Dialect, in.config.Version = d, v
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
		s.MirrorKeys, s.MirrorBytes = mi.count, mi.size
	}
	return s
}

// MirrorSize returns the counts of Stats that have to do with memory.
func (in *Interpreter) MirrorSize() (keys, bytes int64) {
	if mi := in.mirror; mi != nil {
		return mi.count, mi.size
	}
	return 0, 0
}

// Command appends the events of a command to dst, in the order in which the
// server announces them. They borrow the command's bytes. A command with too
// few arguments gives what is known of it and is counted. Of a command of very
// many keys Rest gives the events of the others. Args of an event may be the
// Interpreter's own slice: it is valid until the next Command, Rest or Release.
func (in *Interpreter) Command(dst []event.Event, sent *Command) []event.Event {
	if in.hasRest() {
		in.abandonRest()
	}
	in.stats.Commands++
	if len(sent.Args) == 0 || len(sent.Args[0]) == 0 { // no server sends it, and no event would have a name
		in.stats.Malformed++
		return dst
	}
	cmd := commandOf(sent.Args)
	if cmd.tellsTime {
		in.clock.observeClaim(sent)
	}
	mirrored := in.mirror != nil && in.mirror.wants(cmd, sent.Args, sent.DB)
	if cmd.events.make == nil && !mirrored {
		return dst
	}
	c := &in.call
	c.start(cmd, sent, dst)
	if cmd.own != 0 {
		c.findMany()
	}
	c.interpret(mirrored)
	if c.malformed {
		in.stats.Malformed++
	}
	in.stats.Events += int64(len(c.events) - c.base)
	if cmd.own != 0 && c.many.more() {
		in.rest = rest{cmd: cmd, sent: *sent, mirrored: mirrored, made: len(c.events) - c.base}
	}
	return c.end()
}

// GaveUp reports whether something was given up, since Config.Stopped said so: a
// command, a snapshot's key or what else was asked for last. What the Interpreter
// returned of it, and what it knows of keys from then on, means nothing; but for
// GaveUp and Stats it is of no more use.
func (in *Interpreter) GaveUp() bool { return in.pace.gaveUp }

// Release gives up what events still need that were made so far: their Before
// and After are not valid any more. The next command does the same for those of
// a command; but until it comes a value that was removed, however large it is,
// stays in memory.
func (in *Interpreter) Release() {
	in.call.release()
	in.lookups.release()
	for _, v := range in.views {
		*v = view{}
	}
	if cap(in.views) > keepUndone {
		in.views = nil
	}
	in.views = in.views[:0]
}

// lastView makes a view of a value that goes, for an event that is no command's.
func (in *Interpreter) lastView(of *value) event.Value {
	v := &view{}
	in.views = append(in.views, v)
	return of.view(v, nil)
}

// unknownName spells the name of a command that has no entry.
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
