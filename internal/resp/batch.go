package resp

// Of what is in the buffer so many commands are found at once, of so many
// arguments in all.
const (
	maxBatch     = 32
	maxBatchArgs = 256
)

// batch is commands that are in the buffer whole, in their order: arrays of
// strings, within all limits. All else is left to the readers of one command,
// which tell what is wrong with it.
type batch struct {
	commands [][][]byte
	sizes    []int // on the wire
	args     [][]byte
	next     int // index of the command that is returned next
}

// drop gives up the commands that were not returned: they are found again.
func (b *batch) drop() {
	b.commands, b.sizes, b.args, b.next = b.commands[:0], b.sizes[:0], b.args[:0], 0
}

// Batch returns the command that ReadCommand has just returned, and those behind
// it that it will return next, as they were found together: at most 32. It returns
// them once: nil if the last command was found alone, or is not the first of its
// batch. They are valid until ReadCommand is called after it has returned all of
// them, or any other method is called.
func (r *Reader) Batch() [][][]byte {
	if b := &r.batch; b.next == 1 && len(b.commands) > 1 {
		return b.commands
	}
	return nil
}

// nextOfBatch returns the next command of a batch; nil if there is none.
func (r *Reader) nextOfBatch() [][]byte {
	b := &r.batch
	if b.next == len(b.commands) {
		r.findBatch()
		if len(b.commands) == 0 {
			return nil
		}
	}
	r.wasInl = false
	r.consume(b.sizes[b.next])
	b.next++
	return b.commands[b.next-1]
}

// findBatch finds the next commands in the buffer.
func (r *Reader) findBatch() {
	b := &r.batch
	b.drop()
	if b.args == nil {
		b.args = make([][]byte, 0, maxBatchArgs) // never moved: commands are parts of it
	}
	buf := r.buf[:r.end]
	for at := r.start; len(b.commands) < maxBatch; {
		from := len(b.args)
		next := r.findCommand(buf, at)
		if next == 0 {
			b.args = b.args[:from]
			return
		}
		b.commands = append(b.commands, b.args[from:len(b.args):len(b.args)])
		b.sizes = append(b.sizes, next-at)
		at = next
	}
}

// findCommand appends the arguments of the command at a place of the buffer to
// those of the batch, and returns the place behind it. 0: it does not belong into
// a batch.
func (r *Reader) findCommand(buf []byte, at int) int {
	count, next := shortLength(buf, at, '*')
	if next == 0 || count == 0 || count > r.lim.Args || count > maxBatchArgs-len(r.batch.args) {
		return 0
	}
	args := r.batch.args
	for range count {
		size, from := shortLength(buf, next, '$')
		end := from + size
		next = end + 2
		if from == 0 || size > r.lim.Bulk || next > len(buf) || next-at > r.lim.Command || buf[end] != '\r' || buf[end+1] != '\n' {
			return 0
		}
		args = append(args, buf[from:end:end])
	}
	r.batch.args = args
	return next
}

// shortLength parses the line "<mark><n>\r\n" at a place of b, if n has no sign
// and at most 8 digits, and returns n and the place behind the line. 0: it is
// another line, or is not whole.
func shortLength(b []byte, at int, mark byte) (n, next int) {
	if at >= len(b) || b[at] != mark {
		return 0, 0
	}
	const maxDigits = 8
	for i := at + 1; i < len(b) && i <= at+1+maxDigits; i++ {
		if digit := b[i] - '0'; digit <= 9 {
			n = n*10 + int(digit)
			continue
		}
		if i > at+1 && b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
			return n, i + 2
		}
		break
	}
	return 0, 0
}
