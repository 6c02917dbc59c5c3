package event

import (
	"bytes"
	"slices"
	"time"
	"unicode/utf8"
)

// Names of events that no server announces; all other names are the server's
// own, as its keyspace notifications spell them ("set", "expired", "hset").
const (
	FlushDB  = "flushdb"
	FlushAll = "flushall"
	SwapDB   = "swapdb"
	Publish  = "publish"
	SPublish = "spublish"
	Function = "function"
	Snapshot = "snapshot" // a key of the snapshot that a full resync brought
	Resync   = "resync"   // a full resync took place
	Gap      = "gap"      // commands between two offsets were never seen
	Rewound  = "rewound"  // commands between two offsets are no part of the history any more
	Schedule = "schedule" // a rule's clock
	Absent   = "absent"   // what a rule expects from its start has not come; its Origin is FromClock
	Resolved = "resolved" // what was open of a rule has ended, by no event of its key; its Origin is FromClock

	// Changed is the net change of a key between what was known of it and the
	// snapshot of a full resync that left a gap: it is new, or has another
	// value or deadline. One that is gone is "del", or "expired" if its
	// deadline had passed. All have the origin FromResync.
	Changed = "changed"
)

// Origin tells where an event comes from.
type Origin string

// The origins. The zero value is not an origin.
const (
	FromStream   Origin = "stream"   // a replicated command
	FromSnapshot Origin = "snapshot" // a key of an RDB snapshot
	FromResync   Origin = "resync"   // what a full resync revealed
	FromReplay   Origin = "replay"   // a file
	FromClock    Origin = "clock"    // a rule's schedule
)

// Cause tells why a key changed, as far as the stream can tell.
type Cause string

// The causes. A DEL in the stream may be a client's, an expiry or an eviction;
// CauseUnknown is the honest word where nothing decides.
const (
	CauseCommand Cause = "command"
	CauseExpired Cause = "expired" // its deadline had passed
	CauseDeleted Cause = "deleted" // by a client, or evicted: no stream tells these two apart
	CauseTrimmed Cause = "trimmed" // the node gave its slot away, or emptied it
	CauseUnknown Cause = "unknown"

	// Why there is an event Resolved.
	CauseFlushed Cause = "flushed"  // the database was emptied, or swapped
	CauseResync  Cause = "resync"   // the key is not in the snapshot of a resync
	CauseReload  Cause = "reload"   // the rule is gone, disabled or another one
	CauseMaxKeys Cause = "max_keys" // too many were open
)

// Values of Event.TTL that are not a time.
const (
	TTLUnknown int64 = 0  // not known
	TTLNone    int64 = -1 // the key has no deadline
	TTLGone    int64 = -2 // the key is not there
)

// Tx places a command inside the transaction (MULTI/EXEC, script or function)
// that it was replicated in. The zero Tx means: not in one.
type Tx struct {
	ID    string // "replid:offset" where the transaction begins; the same for all its commands
	Index int    // 1-based place among the transaction's commands
	Size  int    // number of commands in the transaction; 0 if it was too large to be held
}

// Part places an event's key among those of a command that does the same to
// each of its keys: DEL, UNLINK, MSET, MSETNX, MSETEX, and EVAL as an old server
// sends it. The zero Part means: the command is not one of these, or names one
// key.
type Part struct {
	Index int // 1-based place of the key among the command's keys
	Size  int // number of these keys
}

// Event is one change of one key, or one thing that happened to the whole
// keyspace (Key is nil then: flushall, gap, schedule).
//
// An Event that is handed out by a reader or matched by rules is borrowed: its
// byte slices are valid only until the call that lent it returns. Clone makes
// an owned copy. An Event is not changed after it was made, so an owned one
// may be read from many goroutines.
type Event struct {
	Name   string // the server's own event name; see the constants for the rest
	Origin Origin
	Cause  Cause

	DB      int
	Key     []byte   // nil where the event concerns no key; else may be empty
	Type    string   // the key's type after the change (string, hash, none, ...); "" if not known
	Command string   // upper case, with its subcommand where it has one ("XGROUP CREATE"); "" where no command was seen
	Args    [][]byte // what follows the command's name: Args[0] is its first argument; if Part is set only what is about Key
	Part    Part

	Time   time.Time // when it happened, as well as it is known: arrival for the stream
	Bytes  int       // length of the command on the wire; 0 where there was none
	ReplID string    // replication ID the offset belongs to; "" outside replication
	Offset int64     // replication offset just after the command's own bytes
	Index  int       // 0-based number of this event among those of its command
	Tx     Tx

	Source string // "redis://host:port", without user, password or database

	// Before and After are the key's value on either side of the command,
	// which all events of one command and key share: an RPUSH's, and the del
	// of a list that an LPOP has emptied. nil: not known, or not kept because
	// nobody needs it; None: the key was, is not there.
	Before, After Value
	// Changed are the hash fields, or the members of a set or zset, that the
	// command named, in its order; they may have had the same value before.
	Changed [][]byte
	// TTL is for how many milliseconds the key has to live after the change,
	// at Time: at least 1 as long as the server has not removed it.
	TTL int64
	// Cut says that Args or Changed lack what was too long for a copy.
	Cut bool
}

// Clone returns a copy that owns its bytes, with at most DefaultMaxValue bytes
// of Before, After, Args and Changed each.
func (e *Event) Clone() *Event { return e.CloneCut(DefaultMaxValue) }

// CloneKeeping is Clone with the elements of these names in Before and After: see
// the function CloneKeeping.
func (e *Event) CloneKeeping(names []string) *Event {
	return e.clone(DefaultMaxValue, names)
}

// CloneCut returns a copy that owns its bytes, with at most maxValue bytes of
// Before and of After each, see CloneValue, and of Args and of Changed, see
// Shorten.
func (e *Event) CloneCut(maxValue int) *Event { return e.clone(maxValue, nil) }

func (e *Event) clone(maxValue int, names []string) *Event {
	c := e.Shorten(maxValue, names)
	c.Key = bytes.Clone(e.Key)
	c.Args = cloneAll(c.Args)
	c.Changed = cloneAll(c.Changed)
	return &c
}

// Shorten returns a copy that borrows the event's bytes, but those of Before and
// of After, which are as the function CloneKeeping makes them. Of Args and of Changed it has at
// most maxValue bytes each, and 16 more for each text: as many whole texts as
// fit, and the beginning of the next.
func (e *Event) Shorten(maxValue int, names []string) Event {
	c := *e
	var args, changed bool
	c.Args, args = cutTexts(e.Args, maxValue)
	c.Changed, changed = cutTexts(e.Changed, maxValue)
	c.Cut = e.Cut || args || changed
	c.Before = CloneKeeping(e.Before, maxValue, names)
	c.After = CloneKeeping(e.After, maxValue, names)
	return c
}

// cutTexts returns as many of list as limit allows, and whether that is less. The
// last one may be cut, before a character rather than within it.
func cutTexts(list [][]byte, limit int) (kept [][]byte, cut bool) {
	for i, text := range list {
		if size := textCost + len(text); size <= limit {
			limit -= size
			continue
		}
		kept = slices.Clip(list[:i])
		if n := runeStart(text, max(limit-textCost, 0)); n > 0 {
			kept = append(kept, text[:n:n])
		}
		return kept, true
	}
	return list, false
}

// runeStart returns the index at or just before n at which a character of text
// begins; n if none does.
func runeStart(text []byte, n int) int {
	for i := n; n > 0 && i >= 0 && i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			return i
		}
	}
	return n
}

// textCost is what a text counts beside its bytes where texts are cut.
const textCost = 16

// cloneAll copies slices into one buffer.
func cloneAll(from [][]byte) [][]byte {
	if from == nil {
		return nil
	}
	n := 0
	for _, a := range from {
		n += len(a)
	}
	buf := make([]byte, 0, n)
	to := slices.Clone(from)
	for i, a := range from {
		buf = append(buf, a...)
		to[i] = buf[len(buf)-len(a) : len(buf) : len(buf)]
	}
	return to
}

// Delivery is what a rule adds to an event when it is delivered.
type Delivery struct {
	ID      string            // the firing's ID, the receiver's idempotency key
	Rule    string            // name of the rule that fired
	Params  map[string]string // captures of the rule's key pattern; raw bytes
	Attempt int               // 1 for the first
	Rewound bool              // the event was lost in a failover since it fired: no server has it

	Redelivered bool // it was delivered before, and somebody has it delivered again
	Timing
}

// The values of Timing.Status.
const (
	StatusFiring   = "firing"
	StatusResolved = "resolved"
)

// Timing is what a rule with time fields adds to a firing. The zero value adds
// nothing.
type Timing struct {
	// Status is "firing" for what has an end that is told too, and "resolved" for
	// that end; "" for all else. Since is when it began, and Duration, of what is
	// resolved, for how long it was so; a zero Since is not known, or not told.
	Status   string
	Since    time.Time
	Duration time.Duration

	By          string    // the value the rule counts by; raw bytes
	Count       int       // matches folded into the firing; 0: one, which is not told
	First, Last time.Time // of them; zero: not told
	Suppressed  int       // matches or firings held back since the last firing that was not
	Batch       []Item    // all of a batch, in order; the firing's own event is the last one's
	Summary     []Line    // what a schedule sums up
}

// Item is one firing of a batch.
type Item struct {
	Event  *Event
	ID     string // what the firing's ID would be by itself
	Params map[string]string

	Status   string // these are as in Timing
	Since    time.Time
	Duration time.Duration
}

// Line is what happened to one rule since a schedule's last run.
type Line struct {
	Rule        string
	Count       int       // firings
	Suppressed  int       // those of them that were held back
	First, Last time.Time // zero where Count is 0
	Event       *Event    // the last one's; nil: not known
	Params      map[string]string
}
