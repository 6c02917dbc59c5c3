package spool

import (
	"fmt"
	"iter"
	"math"
)

// Address is a place in a log: one more for each byte and each mark before it.
// The zero Address is the beginning of a log that was never used.
type Address int64

// maxAddress leaves room to count on.
const maxAddress = 1 << 62

// Place is an offset in a history of a server.
type Place struct {
	ReplID string // replication ID, at most 64 bytes; "": no place
	Offset int64
	DB     int // database that is selected there; -1: not known
}

// IsZero reports whether p is no place.
func (p Place) IsZero() bool { return p.ReplID == "" }

func (p Place) check() error {
	if p.ReplID == "" || len(p.ReplID) > maxReplID || p.Offset < 0 || p.Offset > maxAddress || p.DB < -1 {
		return fmt.Errorf("not a place in a history: %.100q", fmt.Sprint(p))
	}
	return nil
}

// MarkKind tells what a Mark is.
type MarkKind uint8

// The kinds of marks.
const (
	Attached MarkKind = iota + 1 // the bytes behind it come from Mark.Place on
	Detached                     // the link is lost
	Renamed                      // the history goes on under another name, from Mark.Place on
)

// Mark is what stands between the bytes of a log.
type Mark struct {
	Kind  MarkKind
	Place Place // Attached, Renamed: of the first byte behind it
	Full  bool  // Attached: a snapshot came before the bytes, which the log does not have
	Back  bool  // Attached: the history went back to Place: the bytes before the mark and behind Place are no part of it any more
}

// run is a piece of the log whose bytes are those of one history.
type run struct {
	from    Address // of its first byte
	end     Address // behind its last byte; of the last run that of the log
	place   Place   // of its first byte
	follows bool    // it goes on exactly where the run before it ends, perhaps under another name
	full    bool    // a snapshot came before it
	back    bool    // the history went back to where it begins
	open    bool    // no mark has ended it
}

func (r *run) offsetEnd() int64 { return r.place.Offset + int64(r.end-r.from) }

// runs are those of a log, in order.
type runs []run

// begin adds a run behind a mark at an address.
func (rs *runs) begin(at Address, m *Mark) {
	rs.close(at)
	r := run{from: at + 1, end: at + 1, place: m.Place, full: m.Full, back: m.Back, open: true}
	if n := len(*rs); n > 0 && !m.Full && !m.Back {
		r.follows = (*rs)[n-1].offsetEnd() == m.Place.Offset
	}
	*rs = append(*rs, r)
}

// close ends the last run before a mark at an address.
func (rs runs) close(at Address) {
	if n := len(rs); n > 0 && rs[n-1].open {
		rs[n-1].end, rs[n-1].open = at, false
	}
}

// grow moves the end of the last run.
func (rs runs) grow(end Address) {
	if n := len(rs); n > 0 && rs[n-1].open {
		rs[n-1].end = end
	}
}

// trim drops the runs that end before an address, but the last.
func (rs *runs) trim(at Address) {
	for len(*rs) > 1 && (*rs)[0].end < at {
		*rs = (*rs)[1:]
	}
}

// find returns the address of a place; the newest if there are several. A place
// before a rename may have the name of after it.
func (rs runs) find(p Place) (Address, bool) {
	for i := len(rs) - 1; i >= 0; i-- {
		if rs[i].place.ReplID != p.ReplID {
			continue
		}
		if at, ok := rs[:i+1].findInLine(p.Offset); ok {
			return at, true
		}
	}
	return 0, false
}

// findInLine returns the address of an offset in the history of the last run, or
// in those that it came from.
func (rs runs) findInLine(offset int64) (Address, bool) {
	for r := range rs.line() {
		if offset >= r.place.Offset && offset <= r.end {
			return r.from + Address(offset-r.place.Offset), true
		}
	}
	return 0, false
}

// lineRun is a run of a line, as far as the line has it.
type lineRun struct {
	*run
	end int64 // the offset at which the line leaves it
}

// line returns the last run, and those before it that it goes on from, the newest
// first. What the history went back over is left out.
func (rs runs) line() iter.Seq[lineRun] {
	return func(yield func(lineRun) bool) {
		end := int64(math.MaxInt64)
		for i := len(rs) - 1; i >= 0; i-- {
			r := &rs[i]
			if r.place.Offset <= end && !yield(lineRun{r, min(end, r.offsetEnd())}) {
				return
			}
			if !r.follows && !r.back {
				return
			}
			end = min(end, r.place.Offset)
		}
	}
}

// lineage returns the names that the history of the last run has had, the newest
// first, each with the offset up to which it had it.
func (rs runs) lineage() (names []Place) {
	for r := range rs.line() {
		if n := len(names); n > 0 && names[n-1].ReplID == r.place.ReplID {
			continue
		}
		names = append(names, Place{ReplID: r.place.ReplID, Offset: r.end, DB: -1})
	}
	return names
}

// Dead is a part of a log that its history went back over.
type Dead struct {
	From Address // before its first byte
	Mark Address // of the mark that says so: its end
}

// dead returns the first such part that a reader at an address comes to, which
// the marks before a limit tell of.
func (rs runs) dead(at, limit Address) (d Dead, ok bool) {
	for i := range rs {
		r := &rs[i]
		if mark := r.from - 1; r.back && mark >= at && mark < limit {
			from, found := rs[:i].findInLine(r.place.Offset)
			if !found {
				from = 0 // it is gone: all that is left is behind it
			}
			if !ok || from <= d.From {
				d, ok = Dead{from, mark}, true
			}
		}
	}
	return d, ok
}

// at returns the place of an address, and whether there was a link.
func (rs runs) at(a Address) (p Place, attached bool) {
	for i := len(rs) - 1; i >= 0; i-- {
		r := &rs[i]
		if a < r.from {
			continue
		}
		p = r.place
		if n := min(a, r.end) - r.from; n > 0 {
			p.Offset, p.DB = p.Offset+int64(n), -1
		}
		return p, r.open || a <= r.end
	}
	return Place{}, false
}
