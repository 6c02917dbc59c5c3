package source

import (
	"context"
	"iter"
	"time"

	"triggerd/rdb"
)

// Kind tells what a Record is.
type Kind uint8

// The kinds of records.
const (
	Command       Kind = iota + 1 // a replicated command
	SnapshotBegin                 // a full resync begins
	Key                           // a key of the snapshot
	SnapshotEnd                   // the full resync is complete
	Heartbeat                     // nothing happened, but the position moved on, or has another ReplID since a failover
	Attached                      // commands follow: first those that were made while there was no link
	Detached                      // the link is lost, or could not be made
	Woken                         // the time that Consumer.NextWake named has come, or Consumer.Changed was heard; not a word of the server
)

// Record is one thing that a source delivers. It is borrowed: it and its bytes
// are valid until the next one is asked for.
type Record struct {
	Kind Kind

	Args   [][]byte // Command: its words, the name first, in the case it was sent
	DB     int      // Command: the database it was made in
	ReplID string   // the history that Offset belongs to
	Offset int64    // Command: replication offset just after its own bytes; else the current one
	Bytes  int      // Command: how many bytes it took
	Tx     Tx       // Command: the transaction it is part of
	Time   time.Time

	Entry *rdb.Entry // Key: name, database, type and expiry
	// RDB is what the value of a Key can be read from, before the next record.
	// With SnapshotBegin and SnapshotEnd it tells, where it is not nil, what the
	// snapshot says of its server: its Aux.
	RDB *rdb.Reader

	Idle   bool // Woken: the server has sent nothing for a moment, so that all it had is read
	Side   bool // SnapshotBegin, Key, SnapshotEnd: read beside the stream, see Consumer.LacksKeys; no resync took place
	Broken bool // SnapshotEnd: there were more keys than were handed out

	From Position // SnapshotBegin, SnapshotEnd: where reading stood before; zero at the first
	Gap  bool     // SnapshotBegin, SnapshotEnd: what lies between From and Pos was missed

	// Pos is where to resume once this record and all before it are dealt
	// with. It is zero where that is not possible: inside a transaction, inside
	// a snapshot, and behind one from a server that has only SYNC.
	Pos Position
}

// Tx numbers a command within its transaction. The zero Tx means: in none.
type Tx struct {
	ID    string // "replid:offset" of the transaction's first byte
	Index int    // 1 for its first command
	Size  int    // number of its commands; 0 if it was too large to be held
}

// Source is a resumable stream of records.
type Source interface {
	// Records returns the records that follow from, or, if from is zero, those
	// that follow a fresh start. It is single-use at a time. There is at most
	// one error, the last, and only if retrying cannot mend it. The source asks
	// c what it wants; a nil Consumer wants commands only.
	Records(ctx context.Context, from Position, c Consumer) iter.Seq2[*Record, error]
	// Ack tells that everything up to p is safe. It may be called from any
	// goroutine.
	Ack(p Position)
	// Status tells how the source is doing. It may be called from any
	// goroutine.
	Status() Status
}

// Consumer is who reads the records of a source. The source asks it what it
// wants beside commands. WantsKeys and NextWake are called by the goroutine that
// runs Records, between records.
type Consumer interface {
	// WantsKeys reports whether the keys of a snapshot are wanted, should there
	// be one. It is asked at each attempt to attach. Where they are not wanted,
	// the server is asked to leave them out.
	WantsKeys() bool
	// LacksKeys reports whether the consumer needs to know all keys as they are
	// and has not been handed them. While it does, a snapshot is fetched beside
	// the stream where that is resumed, and handed out at its place in it, with
	// Record.Side. Any goroutine may call it.
	LacksKeys() bool
	// NextWake returns when the consumer wants a record at the latest: a Woken
	// if nothing else. The zero time is never. No Woken comes while a
	// connection is being made.
	NextWake() time.Time
	// Changed returns a channel that receives when an answer to the questions
	// above may have changed while no record came. The same channel each time.
	Changed() <-chan struct{}
}

// nobody is a Consumer that wants commands only.
type nobody struct{}

func (nobody) WantsKeys() bool          { return false }
func (nobody) LacksKeys() bool          { return false }
func (nobody) NextWake() time.Time      { return time.Time{} }
func (nobody) Changed() <-chan struct{} { return nil }

// State is what a source is busy with.
type State string

// The states of a source.
const (
	Connecting State = "connecting"
	Syncing    State = "syncing"   // waiting for, or reading, a snapshot
	Streaming  State = "streaming" // reading commands
	Waiting    State = "waiting"   // until the next attempt to connect
	Stopped    State = "stopped"
)

// Status is a source's condition at one moment.
type Status struct {
	State          State
	Since          time.Time // when State began
	Addr           string    // the server, without credentials
	ReplID         string
	Offset         int64  // last byte received
	LastError      string // why the last connection ended; "" if it has not
	Connects       int64  // connections that were attached to
	FullResyncs    int64
	PartialResyncs int64
	Gaps           int64     // full resyncs that left commands unseen
	ProtocolErrors int64     // streams that were cut because they could not be parsed
	SnapshotErrors int64     // snapshots that were drained because they could not be parsed
	LastData       time.Time // when bytes came last
	Backlog        Backlog   // as the server told last; see Config.BacklogInterval
}
