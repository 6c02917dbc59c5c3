package keyspace

// epoch tells whether a key has changed since the last cut, or is to be told by
// it. No more than two epochs are in use at once, so three are enough.
type epoch uint8

const (
	noEpoch    epoch = iota // all of the key was told
	firstEpoch              // and then 2 and 3, and this one again
	lastEpoch  epoch = 3
)

func (e epoch) next() epoch {
	if e == lastEpoch {
		return firstEpoch
	}
	return e + 1
}

// mark is a key that has changed. Its name is in the block of the mark, behind
// that of the mark before.
type mark struct {
	s        *keyState
	database uint32 // its ID
	end      uint32 // of the name
}

// markBlock is some marks, with their names in one piece: a mark costs 16 bytes
// and its name, and no allocation.
type markBlock struct {
	marks []mark
	names []byte
}

const (
	marksInBlock = 1024
	namesInBlock = 1 << 20 // bytes, or one name
)

// name returns the name of a mark.
func (b *markBlock) name(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = b.marks[i-1].end
	}
	return b.names[from:b.marks[i].end]
}

// markList is the marks of one epoch. A mark whose key has another epoch is stale:
// the key went.
type markList struct {
	blocks []*markBlock
	count  int // of marks
	live   int // of these, not stale
	spare  []*markBlock
}

// add adds a mark of a key whose epoch is that of the list.
func (l *markList) add(m mark, name []byte, e epoch) {
	const few = 4 * marksInBlock
	if l.count >= few && l.count > 2*l.live {
		l.dropStale(e)
	}
	l.append(m, name)
}

func (l *markList) append(m mark, name []byte) {
	var b *markBlock
	if n := len(l.blocks); n > 0 {
		b = l.blocks[n-1]
	}
	if b == nil || len(b.marks) == marksInBlock || len(b.names)+len(name) > namesInBlock && len(b.marks) > 0 {
		b = l.newBlock()
		l.blocks = append(l.blocks, b)
	}
	b.names = append(b.names, name...)
	m.end = uint32(len(b.names))
	b.marks = append(b.marks, m)
	l.count++
	l.live++
}

// newBlock returns an empty block.
func (l *markList) newBlock() *markBlock {
	if n := len(l.spare); n > 0 {
		b := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return b
	}
	return &markBlock{marks: make([]mark, 0, marksInBlock)}
}

// release takes a block back that is of use no more.
func (l *markList) release(b *markBlock) {
	const keep = 8
	if len(l.spare) < keep && cap(b.names) <= 64*marksInBlock {
		clear(b.marks) // which hold keys that went
		b.marks, b.names = b.marks[:0], b.names[:0]
		l.spare = append(l.spare, b)
	}
}

// dropStale takes out stale marks, so that a key that comes and goes for ever
// costs no memory.
func (l *markList) dropStale(e epoch) {
	old := l.blocks
	l.blocks, l.count, l.live = nil, 0, 0
	for _, b := range old {
		for i, m := range b.marks {
			if m.s.marks.epoch == e {
				l.append(m, b.name(i))
			}
		}
		l.release(b)
	}
}
