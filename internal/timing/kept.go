package timing

import (
	"encoding/binary"
	"time"

	"triggerd/internal/wire"
)

// keepMatch keeps a match with a state, in place of the one before, together
// with the values that later stages need:
//
//	once throttle batch data
//
// Each text is its length as a uvarint and its bytes. The data is the rest. See
// appendHeld for what may begin an episode.
func (t *timerTable) keepMatch(slot uint32, x *Arrival) {
	b := t.m.blob[:0]
	switch {
	case t.keepsHeld():
		b = t.m.appendHeld(b, x)
	case t.stage == stageAbsent:
		b = x.Data.AppendSlim(appendKeys(b, x.Keys))
	default:
		b = x.Data.Append(appendKeys(b, x.Keys))
	}
	t.m.blob = reusable(b)
	t.setKept(slot, b)
}

// maxRowBytes is the longest match that an Absent keeps in its rows. A row can
// be written before the state is read from memory, which saves much of the cost
// of arming one of a million timers.
const maxRowBytes = 512

// setKept keeps a copy of b with a state.
func (t *timerTable) setKept(slot uint32, b []byte) {
	w := t.waits.at(slot)
	if t.rows.width == 0 && t.stage == stageAbsent {
		t.rows.width = min((len(b)+len(b)/4+63)/64*64, maxRowBytes) // some longer ones are to fit too
	}
	if len(b) <= t.rows.width {
		t.dropKept(slot)
		t.rows.grow(int(slot))
		copy(t.rows.row(slot), b)
	} else {
		t.kept.grow(int(slot))
		kept := t.kept.at(slot)
		if n := len(b); n > cap(*kept) || n < cap(*kept)/4 {
			*kept = make([]byte, 0, n)
		}
		*kept = append((*kept)[:0], b...)
	}
	w.size = uint32(len(b))
}

// keptData returns what is kept with a state, nil if nothing is. The table owns
// it.
func (t *timerTable) keptData(slot uint32) []byte {
	switch n := int(t.waits.at(slot).size); {
	case n == 0:
		return nil
	case n <= t.rows.width:
		return t.rows.row(slot)[:n]
	}
	return *t.kept.at(slot)
}

// takeKept returns what is kept with a state, and keeps it no longer. The
// caller owns it.
func (t *timerTable) takeKept(slot uint32) []byte {
	b := t.keptData(slot)
	if len(b) <= t.rows.width {
		b = append([]byte(nil), b...)
	}
	t.dropKept(slot)
	return b
}

// dropKept drops what is kept with a state.
func (t *timerTable) dropKept(slot uint32) {
	w := t.waits.at(slot)
	if int(w.size) > t.rows.width {
		*t.kept.at(slot) = nil
	}
	w.size = 0
}

// reusable returns a buffer to use again, nil if b is too large to be held on
// to.
func reusable(b []byte) []byte {
	if cap(b) > 64<<10 {
		return nil
	}
	return b
}

func appendKeys(dst []byte, k Keys) []byte {
	dst = wire.AppendText(dst, shortKey(k.Once))
	dst = wire.AppendText(dst, shortKey(k.Throttle))
	return wire.AppendText(dst, shortKey(k.Batch))
}

// decodeKept sets the fields that keepMatch has kept. The data is not copied.
func (f *candidate) decodeKept(blob []byte) {
	in := newEntryReader(blob)
	f.keys, f.data = in.keys(), in.Rest()
}

// append appends the candidate as it waits in a batch or for the windows to
// open:
//
//	kind by at first last count suppressed tag once throttle batch flags [since] [cause] data
//
// Texts are as those of keepMatch. Numbers are varints. kind, flags and cause
// are a byte.
func (f *candidate) append(dst []byte) []byte {
	dst = append(dst, byte(f.kind))
	dst = wire.AppendText(dst, f.by)
	for _, n := range [...]int64{f.at, f.first, f.last, int64(f.count), int64(f.suppressed), f.tag} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = appendKeys(dst, f.keys)
	flags := byte(0)
	if f.empty {
		flags |= candidateEmpty
	}
	if f.since != unknownTime {
		flags |= candidateSince
	}
	if f.cause != ByMatch {
		flags |= candidateCause
	}
	dst = append(dst, flags)
	if flags&candidateSince != 0 {
		dst = binary.AppendVarint(dst, f.since)
	}
	if flags&candidateCause != 0 {
		dst = append(dst, byte(f.cause))
	}
	switch {
	case f.empty:
		return dst
	case f.match != nil:
		return f.match.Data.Append(dst)
	}
	return append(dst, f.data...)
}

const (
	candidateEmpty = 1 << iota // there never was a match
	candidateSince
	candidateCause
)

// unknownTime is the since of a candidate that has none.
const unknownTime = 0

func (f *candidate) sinceTime() time.Time {
	if f.since == unknownTime {
		return time.Time{}
	}
	return timeOf(f.since)
}

// parseCandidate parses what append has written. The data is not copied.
func parseCandidate(b []byte) (f candidate, ok bool) {
	in := newEntryReader(b)
	f.kind = Kind(in.Byte())
	f.by = in.key()
	f.at, f.first, f.last = in.Varint(), in.Varint(), in.Varint()
	f.count, f.suppressed = in.count(), in.count()
	f.tag = in.Varint()
	f.keys = in.keys()
	flags := in.Byte()
	f.empty = flags&candidateEmpty != 0
	if flags&candidateSince != 0 {
		f.since = in.Varint()
	}
	if flags&candidateCause != 0 {
		f.cause = Cause(in.Byte())
	}
	f.data = in.Rest()
	return f, in.Err() == nil && f.kind >= Passed && f.kind < Batched && f.cause < causes
}

func (f *candidate) item() Item {
	i := Item{Kind: f.kind, By: f.by, Tag: f.tag, Since: f.sinceTime(), Cause: f.cause}
	if !f.empty {
		i.At, i.Data = timeOf(f.last), f.data
	}
	return i
}

// packed returns the candidate as it waits, in memory of its own.
func (m *Machine) packed(f *candidate) []byte {
	b := f.append(m.blob[:0])
	m.blob = reusable(b)
	return append(make([]byte, 0, len(b)), b...)
}
