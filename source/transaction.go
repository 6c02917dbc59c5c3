package source

import "strconv"

// transaction holds the commands between MULTI and EXEC, in memory that is
// proportional to their bytes.
type transaction struct {
	open    bool // MULTI was seen, EXEC was not
	spilled bool // it is over the limit: commands are handed out before EXEC
	id      string
	size    int // commands in all, once EXEC was seen
	given   int // commands handed out
	bytes   int // of memory that is held, about

	data []byte
	ends []int // where each argument ends in data
	cmds []heldCommand
	next int // in cmds
	arg  int // in ends
	args [][]byte
}

type heldCommand struct {
	args   int // number of arguments
	db     int
	size   int
	offset int64
}

// takenCommand is a command that left the transaction; its arguments are
// valid until release.
type takenCommand struct {
	args   [][]byte
	db     int
	offset int64
	size   int
	tx     Tx
	last   bool
}

// release frees what was taken. Its arguments are no longer valid.
func (t *transaction) release() {
	if t.next > 0 && t.next == len(t.cmds) {
		t.reset()
	}
}

// heldSize is about what a command of size bytes on the wire takes while it is
// held: there can be many in few bytes.
func heldSize(args [][]byte, size int) int { return size + 8*len(args) + 32 }

const keepTx = 8 << 20 // memory above this is given back after a transaction

func (t *transaction) begin(replID string, offset int64) {
	t.reset()
	t.open = true
	t.id = replID + ":" + strconv.FormatInt(offset, 10)
	t.given, t.size, t.spilled = 0, 0, false
}

func (t *transaction) reset() {
	if cap(t.data)+8*cap(t.ends)+32*cap(t.cmds) > keepTx {
		t.data, t.ends, t.cmds, t.args = nil, nil, nil, nil
	}
	t.data, t.ends, t.cmds = t.data[:0], t.ends[:0], t.cmds[:0]
	t.next, t.arg, t.bytes = 0, 0, 0
}

func (t *transaction) add(args [][]byte, db int, offset int64, size int) {
	for _, a := range args {
		t.data = append(t.data, a...)
		t.ends = append(t.ends, len(t.data))
	}
	t.cmds = append(t.cmds, heldCommand{len(args), db, size, offset})
	t.bytes += heldSize(args, size)
}

// end closes the transaction and returns the number of commands still held.
func (t *transaction) end() int {
	t.open = false
	if t.spilled {
		return 0
	}
	t.size = len(t.cmds)
	return t.size
}

// draining reports whether there are commands to take.
func (t *transaction) draining() bool {
	return t.next < len(t.cmds) && (t.spilled || !t.open)
}

func (t *transaction) take() takenCommand {
	c := t.cmds[t.next]
	t.next++
	t.given++
	t.args = t.args[:0]
	from := 0
	if t.arg > 0 {
		from = t.ends[t.arg-1]
	}
	for _, end := range t.ends[t.arg : t.arg+c.args] {
		t.args = append(t.args, t.data[from:end:end])
		from = end
	}
	t.arg += c.args
	return takenCommand{
		args: t.args, db: c.db, offset: c.offset, size: c.size,
		tx:   Tx{ID: t.id, Index: t.given, Size: t.size},
		last: !t.open && t.next == len(t.cmds),
	}
}
