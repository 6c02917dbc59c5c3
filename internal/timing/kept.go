package timing

import (
	"encoding/binary"
)

// The bounds of what is kept to fire later.
const (
	maxBatchBytes = 1 << 20  // of data in a batch, where it is more than one
	maxQueued     = 10_000   // firings of a rule that wait for its windows to open
	maxQueueBytes = 64 << 20 // of these
)

// keep has a state keep a match with what the stages behind want of it, in the
// place of the one it has:
//
//	once throttle batch data
//
// Each text is its length as a uvarint and its bytes, the data all the rest.
func (t *table) keep(slot uint32, x *Match) {
	b := appendKeys(t.m.blob[:0], x.Keys)
	if t.stage == stageAbsent {
		b = x.Data.AppendSlim(b)
	} else {
		b = x.Data.Append(b)
	}
	t.m.blob = shrunk(b)
	t.set(slot, b)
}

// maxRow is up to what length what an Absent keeps has a place of its own. That
// it can be written before the state is read is a good part of what it costs to
// arm one of a million timers.
const maxRow = 512

// set has a state keep a copy of b.
func (t *table) set(slot uint32, b []byte) {
	w := t.waits.at(slot)
	if t.rows.width == 0 && t.stage == stageAbsent {
		t.rows.width = min((len(b)+len(b)/4+63)/64*64, maxRow) // the next may be longer
	}
	if len(b) <= t.rows.width {
		t.drop(slot)
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

// blob returns what a state has kept: nil, if there is nothing. It is the
// table's.
func (t *table) blob(slot uint32) []byte {
	switch n := int(t.waits.at(slot).size); {
	case n == 0:
		return nil
	case n <= t.rows.width:
		return t.rows.row(slot)[:n]
	}
	return *t.kept.at(slot)
}

// take gives away what a state has kept: it is the caller's.
func (t *table) take(slot uint32) []byte {
	b := t.blob(slot)
	if len(b) <= t.rows.width {
		b = append([]byte(nil), b...)
	}
	t.drop(slot)
	return b
}

// drop has a state keep nothing.
func (t *table) drop(slot uint32) {
	w := t.waits.at(slot)
	if int(w.size) > t.rows.width {
		*t.kept.at(slot) = nil
	}
	w.size = 0
}

// shrunk is a buffer to use again: none, if it is large.
func shrunk(b []byte) []byte {
	if cap(b) > 64<<10 {
		return nil
	}
	return b
}

func appendKeys(dst []byte, k Keys) []byte {
	dst = appendText(dst, short(k.Once))
	dst = appendText(dst, short(k.Throttle))
	return appendText(dst, short(k.Batch))
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// recall fills in what keep has kept. The data is not copied.
func (f *firing) recall(blob []byte) {
	in := fields{b: blob}
	f.keys, f.data = in.keys(), in.b
}

// append appends the firing as it waits in a batch or for the windows to open:
//
//	kind by at first last count suppressed tag once throttle batch empty data
//
// Texts are as those of keep, numbers varints, kind and empty a byte.
func (f *firing) append(dst []byte) []byte {
	dst = append(dst, byte(f.kind))
	dst = appendText(dst, f.by)
	for _, n := range [...]int64{f.at, f.first, f.last, int64(f.count), int64(f.suppressed), f.tag} {
		dst = binary.AppendVarint(dst, n)
	}
	dst = appendKeys(dst, f.keys)
	switch {
	case f.empty:
		return append(dst, 1)
	case f.match != nil:
		return f.match.Data.Append(append(dst, 0))
	}
	return append(append(dst, 0), f.data...)
}

// parseFiring reads what append has written. The data is not copied.
func parseFiring(b []byte) (f firing, ok bool) {
	in := fields{b: b}
	f.kind = Kind(in.byte())
	f.by = in.text()
	f.at, f.first, f.last = in.varint(), in.varint(), in.varint()
	f.count, f.suppressed = in.count(), in.count()
	f.tag = in.varint()
	f.keys = in.keys()
	f.empty = in.byte() != 0
	f.data = in.b
	return f, !in.bad && f.kind >= Passed && f.kind < Batched
}

func (f *firing) item() Item {
	i := Item{Kind: f.kind, By: f.by, Tag: f.tag}
	if !f.empty {
		i.At, i.Data = timeOf(f.last), f.data[:len(f.data):len(f.data)]
	}
	return i
}

// pack returns the firing as it waits, in memory of its own.
func (m *Machine) pack(f *firing) []byte {
	b := f.append(m.blob[:0])
	m.blob = shrunk(b)
	return append(make([]byte, 0, len(b)), b...)
}

// batch is what a state of Batch has.
type batch struct {
	items [][]byte // see firing.append
	bytes uint32
	saved uint32 // items that have been written
}

// gather adds a firing to its batch, and fires that if it is full.
func (s *State) gather(dst []Firing, f *firing) []Firing {
	key := f.keys.Batch
	f.keys = Keys{}
	item := s.m.pack(f)
	dst, t, slot, made := s.state(dst, stageBatch, key, f.at)
	if !made && int(t.batches.at(slot).bytes)+len(item) > maxBatchBytes {
		dst = s.closeBatch(dst, slot, f.at)
		dst, t, slot, made = s.state(dst, stageBatch, key, f.at)
	}
	if made {
		t.arm(slot, after(f.at, s.batchWait))
	}
	t.touch(slot)
	b := t.batches.at(slot)
	b.items = append(b.items, item)
	b.bytes += uint32(len(item))
	s.m.unsaved++
	if len(b.items) >= s.rule.Batch.Max || b.bytes >= maxBatchBytes {
		return s.closeBatch(dst, slot, f.at)
	}
	return dst
}

// closeBatch fires a batch.
func (s *State) closeBatch(dst []Firing, slot uint32, at int64) []Firing {
	t := s.tables[stageBatch]
	b := t.batches.at(slot)
	out := Firing{Rule: s.rule, Kind: Batched, By: t.key(slot), At: timeOf(at), Items: make([]Item, 0, len(b.items))}
	for _, item := range b.items {
		f, _ := parseFiring(item)
		i := f.item()
		out.Items = append(out.Items, i)
		out.Tag = i.Tag
		out.Count += f.count
		out.Suppressed += f.suppressed
		if f.empty {
			continue
		}
		if first := timeOf(f.first); out.First.IsZero() || first.Before(out.First) {
			out.First = first
		}
		if last := timeOf(f.last); last.After(out.Last) {
			out.Last = last
		}
	}
	t.forget(slot)
	return append(dst, out)
}

// queue is what waits for a rule's windows to open, the oldest first.
type queue struct {
	items  []queued
	bytes  int
	next   uint64 // number of the next
	saved  uint64 // those below are written
	listed bool   // in Machine.dirtyHeld
}

type queued struct {
	number uint64
	at     int64
	blob   []byte // see firing.append
}

// enqueue has a firing wait until the windows open. The oldest are dropped if
// it is too much.
func (s *State) enqueue(f *firing) {
	if f.kind == Passed {
		f.kind = Late
	}
	q := &s.queue
	q.items = append(q.items, queued{q.next, f.at, s.m.pack(f)})
	q.bytes += len(q.items[len(q.items)-1].blob)
	q.next++
	s.m.unsaved++
	if !q.listed {
		q.listed = true
		s.m.dirtyHeld = append(s.m.dirtyHeld, s)
	}
	for len(q.items) > maxQueued || q.bytes > maxQueueBytes {
		s.unqueue()
		s.suppressed.Dropped++
	}
	s.armQueue()
}

// unqueue takes the oldest out.
func (s *State) unqueue() []byte {
	q := &s.queue
	i := q.items[0]
	q.items[0] = queued{}
	q.items = q.items[1:]
	q.bytes -= len(i.blob)
	if i.number < q.saved {
		s.m.delete(appendNumberedKey(nil, s.rule.Name, stageHeld, "", i.number))
	} else {
		s.m.unsaved--
	}
	return i.blob
}

// armQueue has the queue wait until the windows open after the oldest in it.
func (s *State) armQueue() {
	t := s.table(stageHeld)
	slot, ok := t.find("")
	if !ok {
		slot = t.add("")
	}
	if len(s.queue.items) == 0 {
		t.disarm(slot)
		return
	}
	at := s.queue.items[0].at
	switch opens, open := s.opening(at + s.m.wall); {
	case open: // the clock on the wall was set
		t.armAs(slot, at, s.index)
	case opens == never:
		t.disarm(slot)
	default:
		t.armAs(slot, opens-s.m.wall, s.index)
	}
}

// release lets through what has waited for the windows to open, at a time by
// the Machine.
func (s *State) release(dst []Firing, at int64) []Firing {
	for len(s.queue.items) > 0 && s.queue.items[0].at <= at {
		f, _ := parseFiring(s.unqueue())
		f.at = at
		dst, _ = s.pass(dst, &f)
	}
	s.armQueue()
	return dst
}

// opening reports whether the windows are open at a time by the wall, and else
// when they will be.
func (s *State) opening(wall int64) (opens int64, open bool) {
	if len(s.rule.Active)+len(s.rule.Mute) == 0 {
		return 0, true
	}
	if s.closed <= wall && wall < s.opens {
		return s.opens, false
	}
	t := timeOf(wall)
	if s.rule.Allows(t) {
		return 0, true
	}
	s.closed, s.opens = wall, never
	if t, ok := s.rule.Opens(t); ok {
		s.opens = t.UnixMilli()
	}
	return s.opens, false
}

// line counts what became of a rule since the last run of another.
type line struct {
	s    *State // of the rule with the schedule
	rule string

	count, suppressed int
	first, last       int64
	data              []byte

	dirty, durable, gone bool
}

// add counts a firing.
func (l *line) add(f *firing) {
	if l.count == 0 {
		l.first, l.last = f.first, f.last
	}
	l.count++
	l.first, l.last = min(l.first, f.first), max(l.last, f.last)
	l.data = l.data[:0]
	if f.match != nil {
		l.data = f.match.Data.AppendSlim(l.data)
	} else {
		l.data = append(l.data, f.data...)
	}
	l.change()
}

func (l *line) change() {
	if !l.dirty {
		l.dirty = true
		l.s.m.dirtyLines = append(l.s.m.dirtyLines, l)
		l.s.m.unsaved++
	}
}

// take returns the line, which begins anew.
func (l *line) take() Line {
	out := Line{Rule: l.rule, Count: l.count, Suppressed: l.suppressed}
	if l.count > 0 {
		out.First, out.Last, out.Data = timeOf(l.first), timeOf(l.last), l.data
		l.count, l.suppressed, l.data = 0, 0, nil
		l.change()
	}
	return out
}

func (l *line) forget() {
	l.gone = true
	if l.durable {
		l.s.m.delete(appendKey(nil, l.s.rule.Name, stageLine, l.rule))
	}
}

// fields reads the durable form. What is not there is 0, and bad is set.
type fields struct {
	b   []byte
	bad bool
}

func (in *fields) byte() byte {
	if len(in.b) == 0 {
		in.bad = true
		return 0
	}
	c := in.b[0]
	in.b = in.b[1:]
	return c
}

func (in *fields) uvarint() uint64 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.bad = true
		in.b = nil
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *fields) varint() int64 {
	v, n := binary.Varint(in.b)
	if n <= 0 {
		in.bad = true
		in.b = nil
		return 0
	}
	in.b = in.b[n:]
	return v
}

// count reads a varint that counts something.
func (in *fields) count() int {
	n := in.varint()
	if n < 0 || n > 1<<53 {
		in.bad = true
		return 0
	}
	return int(n)
}

// text reads a text of at most maxKey bytes, or a shortened key.
func (in *fields) text() string {
	n := in.uvarint()
	if n > uint64(len(in.b)) || n > maxKey+1 {
		in.bad = true
		return ""
	}
	text := string(in.b[:n])
	in.b = in.b[n:]
	return text
}

func (in *fields) keys() Keys {
	return Keys{Once: in.text(), Throttle: in.text(), Batch: in.text()}
}
