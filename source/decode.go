package source

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"triggerd/internal/resp"
)

// decoder turns the commands of a stream into records: it follows SELECT,
// holds transactions, and keeps count of the offset.
type decoder struct {
	r     *resp.Reader
	base  int64    // offset of the stream at r's byte 0
	pos   Position // behind the last command outside of a transaction
	db    int      // selected now
	maxTx int
	tx    transaction
	rec   Record

	now    func() time.Time // when the bytes at hand arrived
	getAck func()           // called where the server asks for an acknowledgement; may be nil

	// annotate takes a line that begins with '#', which append-only files
	// have; it reports whether it knows it. nil: there are none.
	annotate func(line []byte) bool
}

// newDecoder returns a decoder of what r reads from now on, which is the
// stream behind pos.
func newDecoder(r *resp.Reader, pos Position, maxTx int, now func() time.Time) *decoder {
	return &decoder{r: r, base: pos.Offset - r.Offset(), pos: pos, db: pos.DB, maxTx: maxTx, now: now}
}

// errInStream is an error that the server wrote where a command should be:
// redis 6.0 does so when a replica lacks a permission.
var errInStream = errors.New("error inside the stream")

// offset returns the replication offset behind the last command that was read.
func (d *decoder) offset() int64 { return d.base + d.r.Offset() }

// next returns the next record, borrowed until the call after. The error of a
// command that is not one is a *resp.ProtocolError, with the offset in the
// stream.
func (d *decoder) next() (*Record, error) {
	if d.tx.draining() {
		return d.fromTx(), nil
	}
	d.tx.release()
	for {
		before := d.offset()
		args, err := d.r.ReadCommand()
		if err != nil {
			return nil, d.fail(err)
		}
		if d.r.Inline() && len(args) > 0 && !startsWithLetter(args[0]) {
			if d.annotate != nil && len(args) == 1 && d.annotate(args[0]) {
				continue
			}
			return nil, notCommand(args, before)
		}
		rec, err := d.take(args, before)
		if rec != nil || err != nil {
			return rec, err
		}
	}
}

// startsWithLetter tells an inline command from what is left of another one
// behind a wrong byte: a length, an argument's bytes. Almost any line would do
// for an inline command, and be taken for one.
func startsWithLetter(name []byte) bool {
	return len(name) > 0 && 'a' <= name[0]|0x20 && name[0]|0x20 <= 'z'
}

// notCommand returns the error of a line at offset that cannot be one.
func notCommand(args [][]byte, offset int64) error {
	line := bytes.Join(args, []byte{' '})
	if len(line) > 0 && line[0] == '-' {
		return fmt.Errorf("%w at offset %d: %.200q", errInStream, offset, line)
	}
	return &resp.ProtocolError{Offset: offset, Msg: fmt.Sprintf("line %.60q is no command", line)}
}

// take deals with one command. It returns no record for one that is held.
func (d *decoder) take(args [][]byte, before int64) (*Record, error) {
	switch linkCommand(args) {
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
	case cmdNothing:
		return d.heartbeat(), nil
	case cmdGetAck:
		if d.getAck != nil {
			d.getAck()
		}
		return d.heartbeat(), nil
	}
	if !d.tx.open {
		d.setCommand(args, d.db, d.offset(), int(d.offset()-before))
		d.advance()
		return &d.rec, nil
	}
	return d.hold(args, int(d.offset()-before)), nil
}

// setCommand makes d.rec a command, without a position to resume at.
func (d *decoder) setCommand(args [][]byte, db int, offset int64, size int) {
	d.rec = Record{Kind: Command, Args: args, DB: db, ReplID: d.pos.ReplID, Offset: offset, Bytes: size, Time: d.now()}
}

// advance moves the position behind what was read, and into d.rec.
func (d *decoder) advance() {
	d.pos.Offset, d.pos.DB = d.offset(), d.db
	d.rec.Pos = d.pos
}

func (d *decoder) heartbeat() *Record {
	d.rec = Record{Kind: Heartbeat, DB: d.db, ReplID: d.pos.ReplID, Offset: d.offset(), Time: d.now()}
	if !d.tx.open {
		d.advance()
	}
	return &d.rec
}

// hold keeps a command of a transaction until EXEC. Where the transaction has
// grown over the limit, it hands out what is held, and then each command as it
// comes, so that none can take all memory.
func (d *decoder) hold(args [][]byte, size int) *Record {
	if !d.tx.spilled && d.tx.bytes+heldSize(args, size) <= d.maxTx {
		d.tx.add(args, d.db, d.offset(), size)
		return nil
	}
	d.tx.spilled = true
	d.tx.add(args, d.db, d.offset(), size)
	return d.fromTx()
}

// exec ends a transaction.
func (d *decoder) exec() *Record {
	if !d.tx.open || d.tx.end() == 0 {
		return d.heartbeat() // an EXEC whose MULTI was not seen; or an empty or a spilled one
	}
	return d.fromTx()
}

// fromTx hands out the next command of the transaction.
func (d *decoder) fromTx() *Record {
	c := d.tx.take()
	d.setCommand(c.args, c.db, c.offset, c.size)
	d.rec.Tx = c.tx
	if c.last {
		d.advance()
	}
	return &d.rec
}

// fail puts a protocol error at its place in the stream.
func (d *decoder) fail(err error) error {
	var pe *resp.ProtocolError
	if errors.As(err, &pe) {
		return &resp.ProtocolError{Offset: d.base + pe.Offset, Msg: pe.Msg}
	}
	return err
}

// What a command means to the link itself.
type linkCmd int

const (
	cmdData linkCmd = iota // to the keyspace, not to the link
	cmdSelect
	cmdMulti
	cmdExec
	cmdGetAck
	cmdNothing // keepalives and the like
)

// linkCommand sorts a command. Names come in any case: lower-case "ping" since
// redis 7.0, and as a script or client wrote them.
func linkCommand(args [][]byte) linkCmd {
	if len(args) == 0 {
		return cmdNothing
	}
	switch name := args[0]; {
	case len(name) == 4 && fold(name, "PING"):
		return cmdNothing
	case len(name) == 4 && fold(name, "EXEC"):
		return cmdExec
	case len(name) == 5 && fold(name, "MULTI"):
		return cmdMulti
	case len(name) == 6 && len(args) == 2 && fold(name, "SELECT"):
		return cmdSelect
	case len(name) == 8 && fold(name, "REPLCONF"):
		if len(args) > 1 && fold(args[1], "GETACK") {
			return cmdGetAck
		}
		return cmdNothing
	}
	return cmdData
}

// fold reports whether name is upper, in any case. upper is of letters only.
func fold(name []byte, upper string) bool {
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
