package source

import (
	"context"
	"iter"
	"time"

	"triggerd/internal/spool"
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
	Heartbeat                     // no command, but a new position: a later offset, or another replication ID after a failover
	Attached                      // commands follow: first those that the server ran while there was no link
	Detached                      // the link is lost, or could not be made
	Rewound                       // reading goes on before what was handed out last: that is no part of the history any more, see Record.Dead
	Woken                         // made by the source itself: Consumer.NextWake has come, or Consumer.Changed has received, and nothing else is there
)

// Record is one thing that a source delivers. It is borrowed: it and its bytes
// are valid until the next one is asked for.
type Record struct {
	Kind Kind

	Args   [][]byte // Command: its words, the name first, in the case it was sent
	DB     int      // Command: the database it was made in
	ReplID string   // the history that Offset belongs to
	Offset int64    // Command: replication offset just after its own bytes; other kinds: the current offset
	Bytes  int      // Command: how many bytes it took
	Tx     Tx       // Command: the transaction it is part of
	Time   time.Time

	Entry *rdb.Entry // Key: name, database, type and expiry
	// RDB reads the value of a Key; it must be read before the next record is
	// asked for. For SnapshotBegin and SnapshotEnd, RDB.Aux has what the
	// snapshot says of its server; RDB may be nil there.
	RDB *rdb.Reader

	Idle       bool // Woken: the server has sent nothing for a moment, so all that it had to send is read
	Side       bool // SnapshotBegin, Key, SnapshotEnd: of a snapshot fetched on a second connection, see Consumer.LacksKeys; there was no resync
	Incomplete bool // SnapshotEnd: the snapshot had more keys than were handed out
	Aborted    bool // Detached: what was handed out of a snapshot, or of a transaction, breaks off; it comes again from its beginning, or never

	From Position // SnapshotBegin, SnapshotEnd: the position before the resync; zero at the first one. Rewound: the last one that was handed out
	Dead []Span   // Rewound: what was handed out and is no part of the history any more, the oldest first
	Gap  bool     // SnapshotBegin, SnapshotEnd: the commands between From and Pos were missed

	// Pos is where to resume once this record and all before it are dealt with.
	// It is zero where reading cannot resume: inside a transaction, inside a
	// snapshot, and on a server that has only SYNC.
	Pos Position
}

// Span is a part of a history: the commands that end behind the offset After, and
// not behind To.
type Span struct {
	ReplID    string
	After, To int64
}

// Tx tells which command of a transaction a record is. The zero Tx: it is in no
// transaction.
type Tx struct {
	ID    string // "replid:offset" of the transaction's first byte
	Index int    // 1 for its first command
	Size  int    // number of its commands; 0 if the transaction was too large to be held
}

// Source is a resumable stream of records.
type Source interface {
	// Records returns the records after from. If from is zero it begins with a
	// full resync. Only one iteration may run at a time. There is at most one
	// error, it is the last, and retrying cannot mend it. The source asks c
	// what it wants; a nil Consumer wants commands only.
	Records(ctx context.Context, from Position, c Consumer) iter.Seq2[*Record, error]
	// Ack says that everything up to p is safe. Any goroutine may call it.
	Ack(p Position)
	// Status returns the state of the source. Any goroutine may call it.
	Status() Status
}

// Consumer reads the records of a source, and tells the source what it wants
// beside commands. NextWake is called between records, by the goroutine that
// runs Records; the others by any.
type Consumer interface {
	// WantsKeys reports whether the keys of a snapshot are to be handed out. It
	// is asked at each attempt to attach. If it returns false the server is
	// asked to leave the keys out. The answer holds for the snapshot that comes
	// of that attempt, if one does, whatever is answered meanwhile.
	WantsKeys() bool
	// LacksKeys reports whether the consumer needs all keys and has not been
	// handed them. If it does, and what was received is nearly read, the source
	// fetches a snapshot on a second connection. It hands out these keys when
	// the stream reaches the snapshot's offset, marked with Record.Side.
	LacksKeys() bool
	// NextWake returns the time at which the consumer wants a record at the
	// latest. If nothing else has come by then it gets a Woken. The zero time
	// means never. It is asked when all that was received is read.
	NextWake() time.Time
	// Changed returns a channel that receives when one of the answers above may
	// have changed. It is the same channel each time.
	Changed() <-chan struct{}
}

// Preparer is what a Consumer may be too. It is told of some commands that come
// next, which were received already, and of the database that they are made in, so
// that it can fetch memory for all of them at once. It is a hint: those of a
// transaction come when that has ended, perhaps behind others, or never, if the link
// is lost within it.
type Preparer interface {
	// Prepare is called by the goroutine that runs Records, between records. The
	// commands are borrowed until it returns.
	Prepare(db int, commands [][][]byte)
}

// commandsOnly is the Consumer that stands in for nil.
type commandsOnly struct{}

func (commandsOnly) WantsKeys() bool          { return false }
func (commandsOnly) LacksKeys() bool          { return false }
func (commandsOnly) NextWake() time.Time      { return time.Time{} }
func (commandsOnly) Changed() <-chan struct{} { return nil }

// State says what a source is doing.
type State string

// The states of a source.
const (
	Connecting State = "connecting"
	Syncing    State = "syncing"   // waiting for, or reading, a snapshot
	Streaming  State = "streaming" // reading commands
	Waiting    State = "waiting"   // pausing before the next attempt to connect
	Stopped    State = "stopped"
)

// Status describes a source at one moment.
type Status struct {
	State          State
	Since          time.Time // when State began
	Addr           string    // the server, or the Sentinels that know it, as configured, without credentials
	Server         string    // the server that Sentinels have named last; "": none, or there are no Sentinels
	ReplID         string
	Received       int64     // offset behind the last byte received
	HandedOut      int64     // offset behind the last record that was handed out
	Starved        bool      // all that was received is read, and handed out but for the beginning of a command
	BehindSince    time.Time // when the oldest bytes came that are not handed out; zero: all are
	LastError      string    // why the last connection ended; "" if none has
	Connects       int64     // times that the source attached
	FullResyncs    int64
	PartialResyncs int64
	Rewinds        int64     // partial resyncs that went back, before bytes that the new primary does not have
	RewoundBytes   int64     // how many bytes
	Foreign        int64     // times that a server with another history was waited out
	Gaps           int64     // full resyncs that missed commands
	ProtocolErrors int64     // connections that were closed because the stream could not be parsed
	SnapshotErrors int64     // snapshots that could not be parsed to their end
	LastData       time.Time // when bytes last arrived
	Backlog        Backlog   // the server's last answer; see Config.BacklogInterval
	Spool          spool.Stats
}
