package source

import "strconv"

// transaction holds the commands between MULTI and EXEC. Its memory is
// proportional to their bytes.
type transaction struct {
	open      bool // MULTI was seen, EXEC was not
	spilled   bool // it is larger than the limit: its commands are handed out before EXEC
	id        string
	size      int // number of its commands, once EXEC was seen
	handedOut int // commands handed out so far
	bytes     int // memory that it holds, estimated

	data    []byte
	ends    []int // where each argument ends in data
	cmds    []heldCommand
	nextCmd int // index in cmds of the next command to hand out
	nextArg int // index in ends of that command's first argument
	args    [][]byte
}

type heldCommand struct {
	args   int // number of arguments
	db     int
	size   int
	offset int64
}

// txCommand is a command handed out by a transaction. Its arguments are valid
// until release.
type txCommand struct {
	args   [][]byte
	db     int
	offset int64
	size   int
	tx     Tx
	last   bool
}

// release forgets the commands if all are handed out. Their arguments are no
// longer valid.
func (t *transaction) release() {
	if t.nextCmd > 0 && t.nextCmd == len(t.cmds) {
		t.reset()
	}
}

// heldSize estimates the memory of a held command that took size bytes on the
// wire. The fixed part counts since few bytes may hold many commands.
func heldSize(args [][]byte, size int) int { return size + 8*len(args) + 32 }

const maxKeptTx = 8 << 20 // memory above this is freed after a transaction

func (t *transaction) begin(replID string, offset int64) {
	t.reset()
	t.open = true
	t.id = replID + ":" + strconv.FormatInt(offset, 10)
	t.handedOut, t.size, t.spilled = 0, 0, false
}

func (t *transaction) reset() {
	if cap(t.data)+8*cap(t.ends)+32*cap(t.cmds) > maxKeptTx {
		t.data, t.ends, t.cmds, t.args = nil, nil, nil, nil
	}
	t.data, t.ends, t.cmds = t.data[:0], t.ends[:0], t.cmds[:0]
	t.nextCmd, t.nextArg, t.bytes = 0, 0, 0
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

// hasNext reports whether there is a command to hand out.
func (t *transaction) hasNext() bool {
	return t.nextCmd < len(t.cmds) && (t.spilled || !t.open)
}

func (t *transaction) nextCommand() txCommand {
	c := t.cmds[t.nextCmd]
	t.nextCmd++
	t.handedOut++
	t.args = t.args[:0]
	from := 0
	if t.nextArg > 0 {
		from = t.ends[t.nextArg-1]
	}
	for _, end := range t.ends[t.nextArg : t.nextArg+c.args] {
		t.args = append(t.args, t.data[from:end:end])
		from = end
	}
	t.nextArg += c.args
	return txCommand{
		args: t.args, db: c.db, offset: c.offset, size: c.size,
		tx:   Tx{ID: t.id, Index: t.handedOut, Size: t.size},
		last: !t.open && t.nextCmd == len(t.cmds),
	}
}
