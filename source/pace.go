package source

import "time"

// pacer has a link read in few large pieces while the server sends many small
// ones, one upon the other: each read wakes two goroutines, which costs more than
// a hundred commands. What comes meanwhile is in the system's buffer, as it is
// while a read is on its way. What comes after a pause is read at once.
type pacer struct {
	reads int // in a row that did not have to wait long
}

const (
	shortWait    = time.Millisecond // of a read, for what follows close upon what was read before
	manyReads    = 16               // so many in a row are a busy stream: what comes alone is not, though it may come in pieces
	largeRead    = 64 << 10         // what reads so much need not do it less often
	betweenReads = time.Millisecond // what comes first in that time waits no longer
)

// next returns how long to wait before the next read. The last one has waited
// so long, and read n bytes.
func (p *pacer) next(waited time.Duration, n int) time.Duration {
	switch {
	case waited > shortWait:
		p.reads = 0
	case p.reads < manyReads:
		p.reads++
	case n < largeRead:
		return betweenReads
	}
	return 0
}
