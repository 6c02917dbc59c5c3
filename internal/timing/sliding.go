package timing

import "math"

const (
	maxExactTimes   = 33 // how many times a window keeps, before it counts them in slices
	slicesPerWindow = 32 // slices to a window
)

// sliding is the kind of window that a stage has: how many times lie within a
// span up to the newest. A time counts that is less than the span older.
//
// A window's state is a row of cells: the newest time, in two, and a count that
// the stage uses as it likes; behind them the times, oldest first, of which the
// low half will do; or how many came in each slice of the window, at the
// slice's number modulo their number. A slice counts until all of it is out.
type sliding struct {
	unit  int64 // milliseconds
	span  int64 // in units; a time counts for at least that long, and less than a unit longer
	times int   // how many are kept, the newest; 0: it has slices
}

const (
	newestCell  = 0
	newestCells = 2
	countCell   = 2
	firstCell   = 3
)

// newSliding returns a window of within milliseconds that can tell whether
// there are limit times in it.
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

// age is how many units a kept time is older than q, which is not older than
// it.
func age(cell uint32, q int64) int64 { return int64(uint32(q) - cell) }

// moveTo moves the window on to q, and leaves out what is then outside. *n is how
// many times the row holds. It returns how many are inside, or as many as are
// kept. Where q is older than the newest the window stays.
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

// moveSlicesTo clears the slices between old and q. *n is not 0 as long as one
// has something.
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

// slice returns which cell counts slice q.
func (s sliding) slice(q int64) int {
	i := q % s.span
	if i < 0 {
		i += s.span
	}
	return int(i)
}

// add counts a time, after turn, if it is inside, and reports whether it is.
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
		i-- // those behind are newer
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

// oldest returns the start, in milliseconds, of the oldest time that counts.
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

// count returns how many are inside at q, without changing anything.
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
