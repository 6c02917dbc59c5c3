package timing

import "math"

const (
	maxExactTimes   = 33 // how many times a window keeps; for more it counts them in slices
	slicesPerWindow = 32 // slices to a window
)

// sliding is the kind of sliding window that a stage has. A window tells how
// many times lie within a span before the newest of them.
//
// The state of a window is a row of cells. First comes the newest time, in two
// cells. Then comes a count that the stage uses as it likes. Then come the
// times themselves, oldest first, of which the low half is enough. A window
// with slices has in their place how many times lie in each slice; the cell of
// a slice is its number modulo their number. A slice counts until all of it is
// outside.
type sliding struct {
	unit  int64 // milliseconds
	span  int64 // in units; a time counts for at least so long, and for less than a unit longer
	times int   // how many are kept; 0: the window has slices
}

const (
	newestCell  = 0
	newestCells = 2
	countCell   = 2
	firstCell   = 3
)

// newSliding returns a window of within milliseconds that can tell whether
// limit times are in it.
func newSliding(limit int, within int64) sliding {
	if limit > maxExactTimes {
		unit := (within + slicesPerWindow - 1) / slicesPerWindow
		return sliding{unit: unit, span: (within+unit-1)/unit + 1}
	}
	unit := int64(1)
	for (within+unit-1)/unit > math.MaxInt32 {
		unit *= 2
	}
	return sliding{unit: unit, span: (within + unit - 1) / unit, times: limit}
}

func (s sliding) cells() int {
	if s.times == 0 {
		return firstCell + int(s.span)
	}
	return firstCell + s.times
}

// unitOf returns the unit in which a time lies.
func (s sliding) unitOf(at int64) int64 {
	q := at / s.unit
	if at%s.unit < 0 {
		q--
	}
	return q
}

// isOutside reports whether at now all times of a window are outside of it.
func (s sliding) isOutside(row []uint32, now int64) bool {
	return s.unitOf(now)-newest(row) >= s.span
}

func newest(row []uint32) int64 {
	return int64(uint64(row[newestCell]) | uint64(row[newestCell+1])<<32)
}

func setNewest(row []uint32, q int64) {
	row[newestCell], row[newestCell+1] = uint32(q), uint32(uint64(q)>>32)
}

// age returns how many units a time in a cell is older than q, which must not
// be older than it.
func age(cell uint32, q int64) int64 { return int64(uint32(q) - cell) }

// moveTo moves the end of the window to q, and drops the times that are outside
// then. *n is how many times the row has. It returns how many are inside, as
// far as they are kept. If q is older than the newest time the window does not
// move.
func (s sliding) moveTo(row []uint32, n *uint8, q int64) int {
	if *n == 0 {
		setNewest(row, q)
		clear(row[firstCell:])
		return 0
	}
	old := newest(row)
	if q < old {
		q = old
	}
	setNewest(row, q)
	if s.times == 0 {
		return s.moveSlicesTo(row, n, old, q)
	}
	times := row[firstCell : firstCell+int(*n)]
	gone := 0
	if q-old >= s.span {
		gone = len(times)
	}
	for gone < len(times) && age(times[gone], q) >= s.span {
		gone++
	}
	if gone > 0 {
		copy(times, times[gone:])
		*n -= uint8(gone)
	}
	return int(*n)
}

// moveSlicesTo clears the slices between old and q. *n is 0 only if all slices
// are 0.
func (s sliding) moveSlicesTo(row []uint32, n *uint8, old, q int64) (sum int) {
	counts := row[firstCell:]
	if q-old >= s.span || q-old < 0 {
		clear(counts)
	} else {
		for i := old + 1; i <= q; i++ {
			counts[s.slice(i)] = 0
		}
	}
	for _, c := range counts {
		sum += int(c)
	}
	if sum == 0 {
		*n = 0
	}
	return sum
}

// slice returns which cell counts slice number q.
func (s sliding) slice(q int64) int {
	i := q % s.span
	if i < 0 {
		i += s.span
	}
	return int(i)
}

// add counts a time, and reports whether it is inside the window. moveTo has
// been called before.
func (s sliding) add(row []uint32, n *uint8, q int64) bool {
	end := newest(row)
	if end-q >= s.span || end-q < 0 {
		return false
	}
	if s.times == 0 {
		*n = 1
		if c := &row[firstCell+s.slice(q)]; *c < math.MaxUint32 {
			*c++
		}
		return true
	}
	times := row[firstCell : firstCell+s.times]
	i := int(*n)
	for i > 0 && age(times[i-1], end) < end-q {
		i-- // those after it are newer
	}
	switch {
	case int(*n) < s.times:
		copy(times[i+1:int(*n)+1], times[i:int(*n)])
		times[i] = uint32(q)
		*n++
	case i > 0: // the oldest is not needed
		copy(times[:i-1], times[1:i])
		times[i-1] = uint32(q)
	}
	return true
}

// oldest returns the oldest time that counts, in milliseconds.
func (s sliding) oldest(row []uint32) int64 {
	end := newest(row)
	if s.times != 0 {
		return (end - age(row[firstCell], end)) * s.unit
	}
	for q := end - s.span + 1; q < end; q++ {
		if row[firstCell+s.slice(q)] != 0 {
			return q * s.unit
		}
	}
	return end * s.unit
}

// count returns how many times are inside a window that ends at q. It changes
// nothing.
func (s sliding) count(row []uint32, n uint8, q int64) (sum int) {
	if n == 0 {
		return 0
	}
	end := newest(row)
	q = max(q, end)
	if s.times != 0 {
		for _, c := range row[firstCell : firstCell+int(n)] {
			if q-end+age(c, end) < s.span {
				sum++
			}
		}
		return sum
	}
	for i := q - s.span + 1; i <= end; i++ {
		sum += int(row[firstCell+s.slice(i)])
	}
	return sum
}
