package source

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"triggerd/internal/resp"
)

// decoder turns the commands of a stream into records. It follows SELECT, holds
// transactions, and counts the offset.
type decoder struct {
	r           *resp.Reader
	readerStart int64    // replication offset of r's byte 0
	pos         Position // after the last command or transaction that is complete
	db          int      // selected now
	maxTx       int
	hello       bool // what Sentinels publish to each other is handed out
	tx          transaction
	rec         Record

	now func() time.Time // when the bytes that were read arrived

	prepare func(db int, commands [][][]byte) // see Preparer; nil: nobody is told

	// onAnnotation is called with a line that begins with '#', which
	// append-only files have. It reports whether it understood the line. nil:
	// such a line is an error.
	onAnnotation func(line []byte) bool
}

// newDecoder returns a decoder of what r reads from now on, which is the stream
// after pos.
func newDecoder(r *resp.Reader, pos Position, maxTx int, now func() time.Time) *decoder {
	return &decoder{r: r, readerStart: pos.Offset - r.Offset(), pos: pos, db: pos.DB, maxTx: maxTx, now: now}
}

// errInStream is an error that the server wrote in place of a command. Redis
// 6.0 does so when a replica lacks a permission.
var errInStream = errors.New("error inside the stream")

// rename gives the history another name, which it has got by a failover.
func (d *decoder) rename(replID string) { d.pos.ReplID = replID }

// offset returns the replication offset after the last command that was read.
func (d *decoder) offset() int64 { return d.readerStart + d.r.Offset() }

// next returns the next record, which is borrowed until the following call.
// Bytes that are no command are a *resp.ProtocolError with their offset in the
// stream.
func (d *decoder) next() (*Record, error) {
	if d.tx.hasNext() {
		return d.nextHeld(), nil
	}
	d.tx.release()
	for {
		before := d.offset()
		args, err := d.r.ReadCommand()
		if err != nil {
			return nil, d.atStreamOffset(err)
		}
		if d.prepare != nil {
			d.prepareBatch()
		}
		if d.r.Inline() && len(args) > 0 && !startsWithLetter(args[0]) {
			if d.onAnnotation != nil && len(args) == 1 && d.onAnnotation(args[0]) {
				continue
			}
			return nil, notCommand(args, before)
		}
		rec, err := d.handleCommand(args, before)
		if rec != nil || err != nil {
			return rec, err
		}
	}
}

// prepareBatch tells what commands come next, if they were found just now.
func (d *decoder) prepareBatch() {
	commands, db := d.r.Batch(), d.db
	from := 0
	for i, args := range commands {
		if len(args) != 2 || len(args[0]) != len("SELECT") || !equalFold(args[0], "SELECT") {
			continue
		}
		if n, err := strconv.ParseUint(string(args[1]), 10, 31); err == nil {
			if i > from {
				d.prepare(db, commands[from:i])
			}
			db, from = int(n), i+1
		}
	}
	if from < len(commands) {
		d.prepare(db, commands[from:])
	}
}

// startsWithLetter tells an inline command from the rest of another command
// after a wrong byte, such as a length or a piece of an argument. Without this
// check almost any line would be taken for an inline command.
func startsWithLetter(name []byte) bool {
	return len(name) > 0 && 'a' <= name[0]|0x20 && name[0]|0x20 <= 'z'
}

// notCommand returns the error for a line at offset that cannot be a command.
func notCommand(args [][]byte, offset int64) error {
	line := bytes.Join(args, []byte{' '})
	if len(line) > 0 && line[0] == '-' {
		return fmt.Errorf("%w at offset %d: %.200q", errInStream, offset, line)
	}
	return &resp.ProtocolError{Offset: offset, Msg: fmt.Sprintf("line %.60q is no command", line)}
}

// handleCommand makes a record of one command. It returns none for a command
// that is held until EXEC.
func (d *decoder) handleCommand(args [][]byte, before int64) (*Record, error) {
	switch meaningToLink(args) {
	case cmdSelect:
		n, err := strconv.ParseUint(string(args[1]), 10, 31)
		if err != nil {
			return nil, &resp.ProtocolError{Offset: before, Msg: fmt.Sprintf("SELECT of %.40q", args[1])}
		}
		d.db = int(n)
		return d.heartbeat(), nil
	case cmdMulti:
		if d.tx.open {
			return nil, &resp.ProtocolError{Offset: before, Msg: "MULTI inside a transaction"}
		}
		d.tx.begin(d.pos.ReplID, before)
		return nil, nil
	case cmdExec:
		return d.exec(), nil
	case cmdIgnored:
		return d.heartbeat(), nil
	case cmdHello:
		if !d.hello {
			return d.heartbeat(), nil
		}
	}
	if !d.tx.open {
		d.setCommand(args, d.db, d.offset(), int(d.offset()-before))
		d.setPosition()
		return &d.rec, nil
	}
	return d.holdCommand(args, int(d.offset()-before)), nil
}

// setCommand makes d.rec a command, with no position to resume at.
func (d *decoder) setCommand(args [][]byte, db int, offset int64, size int) {
	r := &d.rec // of which no other fields are ever set
	r.Kind, r.Args, r.DB, r.ReplID, r.Offset, r.Bytes, r.Time = Command, args, db, d.pos.ReplID, offset, size, d.now()
	r.Tx, r.Pos = Tx{}, Position{}
}

// setPosition moves the position to the end of what was read, also in d.rec.
func (d *decoder) setPosition() {
	d.pos.Offset, d.pos.DB = d.offset(), d.db
	d.rec.Pos = d.pos
}

func (d *decoder) heartbeat() *Record {
	d.rec = Record{Kind: Heartbeat, DB: d.db, ReplID: d.pos.ReplID, Offset: d.offset(), Time: d.now()}
	if !d.tx.open {
		d.setPosition()
	}
	return &d.rec
}

// holdCommand keeps a command of a transaction until EXEC. If the transaction
// is larger than the limit, so that it could take all memory, it hands out what
// is held, and then each command as it arrives.
func (d *decoder) holdCommand(args [][]byte, size int) *Record {
	if !d.tx.spilled && d.tx.bytes+heldSize(args, size) <= d.maxTx {
		d.tx.add(args, d.db, d.offset(), size)
		return nil
	}
	d.tx.spilled = true
	d.tx.add(args, d.db, d.offset(), size)
	return d.nextHeld()
}

// exec ends a transaction, and returns its first command.
func (d *decoder) exec() *Record {
	if !d.tx.open || d.tx.end() == 0 {
		return d.heartbeat() // there is no MULTI before this EXEC, or no command between them that is not handed out
	}
	return d.nextHeld()
}

// nextHeld returns the next command that the transaction hands out.
func (d *decoder) nextHeld() *Record {
	c := d.tx.nextCommand()
	d.setCommand(c.args, c.db, c.offset, c.size)
	d.rec.Tx = c.tx
	if c.last {
		d.setPosition()
	}
	return &d.rec
}

// atStreamOffset turns the offset of a protocol error into one of the stream.
func (d *decoder) atStreamOffset(err error) error {
	var pe *resp.ProtocolError
	if errors.As(err, &pe) {
		return &resp.ProtocolError{Offset: d.readerStart + pe.Offset, Msg: pe.Msg}
	}
	return err
}

// linkMeaning is what a command means to the link itself.
type linkMeaning int

const (
	cmdOther linkMeaning = iota // nothing: it is for the keyspace
	cmdSelect
	cmdMulti
	cmdExec
	cmdIgnored // keepalives and the like
	cmdHello   // a Sentinel says that it is there
)

// meaningToLink returns what a command means to the link. Names come in any
// case: lower-case "ping" since redis 7.0, and otherwise as a script or client
// wrote them.
func meaningToLink(args [][]byte) linkMeaning {
	if len(args) == 0 {
		return cmdIgnored
	}
	switch name := args[0]; {
	case len(name) == 4 && equalFold(name, "PING"):
		return cmdIgnored
	case len(name) == 4 && equalFold(name, "EXEC"):
		return cmdExec
	case len(name) == 5 && equalFold(name, "MULTI"):
		return cmdMulti
	case len(name) == 6 && len(args) == 2 && equalFold(name, "SELECT"):
		return cmdSelect
	case len(name) == 7 && len(args) == 3 && len(args[1]) == len(helloChannel) && equalFold(name, "PUBLISH") && string(args[1]) == helloChannel:
		return cmdHello
	case len(name) == 8 && equalFold(name, "REPLCONF"): // GETACK was answered as it arrived
		return cmdIgnored
	}
	return cmdOther
}

// helloChannel is where Sentinels publish every two seconds, through each server
// that they watch.
const helloChannel = "__sentinel__:hello"

// equalFold reports whether name equals upper in any case. upper has only
// letters.
func equalFold(name []byte, upper string) bool {
	if len(name) != len(upper) {
		return false
	}
	for i := range name {
		if name[i]&^0x20 != upper[i] {
			return false
		}
	}
	return true
}
