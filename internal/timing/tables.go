package timing

import (
	"encoding/binary"
	"math"
)

// stageTables are the tables of a rule: one for each stage that the rule has,
// nil for any other.
type stageTables struct {
	dedupe   *windowTable
	count    *windowTable
	absent   *timerTable
	debounce *timerTable
	holding  *timerTable // of For
	episodes *episodeTable
	once     *stateTable
	throttle *windowTable
	batch    *batchTable
	queue    *timerTable // one state: its timer is due when the windows open
	run      *timerTable // one state: its timer is due at the next run of the schedule

	all   []*stateTable // those that are not nil, in the order of the stages
	timed []*timerTable // of these, those with timers
	holds []*stateTable // of these, those whose keys are keys of the server: of For and Episode
}

// newTables makes the tables of a rule.
func (s *State) newTables() {
	r, all := s.rule, &s.tables
	if r.Dedupe > 0 {
		all.dedupe = s.newWindowTable(stageDedupe, sliding{}, newestCells)
	}
	if r.Count.Within > 0 {
		w := newSliding(r.Count.Over+1, millis(r.Count.Within))
		all.count = s.newWindowTable(stageCount, w, w.cells())
	}
	if r.Absent.For > 0 {
		all.absent = s.newTimerTable(stageAbsent)
	}
	if r.Debounce.Wait > 0 {
		all.debounce = s.newTimerTable(stageDebounce)
	}
	if r.For > 0 {
		all.holding = s.newTimerTable(stageFor)
		all.holds = append(all.holds, &all.holding.stateTable)
	}
	if r.Episode.On {
		all.episodes = s.newEpisodeTable()
		all.holds = append(all.holds, &all.episodes.stateTable)
	}
	if r.Once {
		all.once = &stateTable{family: keysOnly{}}
		s.addTable(all.once, stageOnce)
	}
	if r.Throttle.Max > 0 {
		w := newSliding(r.Throttle.Max, millis(r.Throttle.Per))
		all.throttle = s.newWindowTable(stageThrottle, w, w.cells())
	}
	if r.Batch.Max > 0 {
		all.batch = s.newBatchTable()
	}
	if r.Hold {
		all.queue = s.newTimerTable(stageHeld)
	}
	if r.Schedule != nil {
		all.run = s.newTimerTable(stageRun)
	}
}

// addTable makes t the table of a stage.
func (s *State) addTable(t *stateTable, st stage) {
	t.m, t.s, t.stage = s.m, s, st
	s.tables.all = append(s.tables.all, t)
}

// of returns the table of a stage, nil if the rule does not have the stage.
func (all *stageTables) of(st stage) *stateTable {
	for _, t := range all.all {
		if t.stage == st {
			return t
		}
	}
	return nil
}

// family is what sets the tables of some stages apart: what they keep of a state
// beside its node.
type family interface {
	// grow makes room for a slot.
	grow(slot int)
	// clear drops what is kept of a state, and its timer.
	clear(slot uint32)
	// isSpent reports whether a state no longer has an effect.
	isSpent(slot uint32) bool
	// appendState appends the fields of a state to its entry.
	appendState(dst []byte, slot uint32, n *node) []byte
	// parseState reads what appendState has written.
	parseState(in *entryReader, slot uint32, n *node)
}

// keysOnly is the family of Once: of a value it is only known that it came.
type keysOnly struct{}

func (keysOnly) grow(int)                                         {}
func (keysOnly) clear(uint32)                                     {}
func (keysOnly) isSpent(uint32) bool                              { return false }
func (keysOnly) appendState(dst []byte, _ uint32, _ *node) []byte { return dst }
func (keysOnly) parseState(*entryReader, uint32, *node)           {}

// windowTable is the table of Count or Throttle, each of whose states has a
// sliding window, or of Dedupe, each of whose states has the time at which its
// ttl ends.
type windowTable struct {
	stateTable
	window sliding
	cells  slab[uint32] // a row for each state, see sliding; of Dedupe only the newest time
}

func (s *State) newWindowTable(st stage, window sliding, cells int) *windowTable {
	t := &windowTable{window: window, cells: slab[uint32]{width: cells}}
	t.family = t
	s.addTable(&t.stateTable, st)
	return t
}

func (t *windowTable) grow(slot int)     { t.cells.grow(slot) }
func (t *windowTable) clear(slot uint32) { clear(t.cells.row(slot)) }

func (t *windowTable) isSpent(slot uint32) bool {
	row := t.cells.row(slot)
	switch t.stage {
	case stageDedupe:
		return newest(row) <= t.m.now
	case stageThrottle:
		return t.window.isOutside(row, t.m.now) && row[countCell] == 0
	}
	return t.window.isOutside(row, t.m.now)
}

// appendState implements family.
//
//	Dedupe    until
//	Count     flags window
//	Throttle  suppressed window
func (t *windowTable) appendState(dst []byte, slot uint32, n *node) []byte {
	row := t.cells.row(slot)
	switch t.stage {
	case stageDedupe:
		return binary.AppendVarint(dst, newest(row))
	case stageThrottle:
		dst = binary.AppendUvarint(dst, uint64(row[countCell]))
	default:
		dst = append(dst, n.flags&written)
	}
	return t.window.append(dst, row, n.times)
}

func (t *windowTable) parseState(in *entryReader, slot uint32, n *node) {
	row := t.cells.row(slot)
	switch t.stage {
	case stageDedupe:
		setNewest(row, in.Varint())
		return
	case stageThrottle:
		row[countCell] = uint32(min(in.Uvarint(), math.MaxUint32))
	default:
		n.flags |= in.Byte() & written
	}
	t.window.parse(in, row, &n.times)
}

// timerTable is a table whose states have timers, and may each keep a match:
// that of Absent, Debounce, For, the queue, or the schedule.
type timerTable struct {
	stateTable
	id    uint32 // in Machine.tables
	armed int    // states whose timer is armed

	rows slab[byte]   // the matches of an Absent, those that fit
	kept slab[[]byte] // any other match
}

func (s *State) newTimerTable(st stage) *timerTable {
	t := &timerTable{}
	t.family = t
	s.addTimerTable(t, st)
	return t
}

func (s *State) addTimerTable(t *timerTable, st stage) {
	t.timed = true
	s.addTable(&t.stateTable, st)
	s.tables.timed = append(s.tables.timed, t)
	m := s.m
	if n := len(m.freeTables); n > 0 {
		t.id, m.freeTables = m.freeTables[n-1], m.freeTables[:n-1]
		m.tables[t.id] = t
	} else {
		t.id = uint32(len(m.tables))
		m.tables = append(m.tables, t)
	}
}

func (t *timerTable) grow(int) {}

func (t *timerTable) clear(slot uint32) {
	t.disarm(slot)
	t.dropKept(slot)
}

func (t *timerTable) isSpent(uint32) bool { return false }

// flagArmed is, in what is written, that the timer is armed.
const flagArmed = used

// appendState implements family.
//
//	flags deadline armed first last count kept…
func (t *timerTable) appendState(dst []byte, slot uint32, n *node) []byte {
	w, flags := t.waits.at(slot), n.flags&written
	if w.timer != 0 {
		flags |= flagArmed
	}
	dst = binary.AppendVarint(append(dst, flags), w.deadline)
	dst = binary.AppendUvarint(dst, w.armed)
	dst = binary.AppendVarint(dst, w.first)
	dst = binary.AppendVarint(dst, w.last)
	dst = binary.AppendUvarint(dst, uint64(w.count))
	return append(dst, t.keptData(slot)...)
}

func (t *timerTable) parseState(in *entryReader, slot uint32, n *node) {
	w := t.waits.at(slot)
	flags := in.Byte()
	n.flags |= flags & written
	w.deadline, w.armed = in.Varint(), in.Uvarint()
	w.first, w.last = in.Varint(), in.Varint()
	w.count = uint32(min(in.Uvarint(), math.MaxUint32))
	if data := in.Rest(); len(data) > 0 {
		t.setKept(slot, data)
		if in.keys(); t.keepsHeld() {
			in.Uint64()
			in.Bytes()
		}
	} else if t.stage == stageDebounce || t.stage == stageFor && flags&fired == 0 {
		in.Reject()
	}
	if t.stage == stageRun {
		return // the schedule arms it
	}
	if w.armed > maxClock {
		in.Reject()
	}
	if in.Err() != nil {
		return
	}
	t.m.changeCount = max(t.m.changeCount, w.armed)
	if flags&flagArmed != 0 {
		t.startTimer(slot)
	}
}

// timers returns the timers of the machine that the table's belong to. Those of
// Absent are kept apart, since they also wait for the stream to be read.
func (t *timerTable) timers() *timers {
	if t.stage == stageAbsent {
		return &t.m.absent
	}
	return &t.m.timers
}

// arm sets the timer of a state.
func (t *timerTable) arm(slot uint32, deadline int64) {
	t.armAs(slot, deadline, t.m.tick())
}

// armAs does what arm does. armed is the timer's place among those with the same
// deadline.
func (t *timerTable) armAs(slot uint32, deadline int64, armed uint64) {
	w := t.waits.at(slot)
	later := w.timer != 0 && (w.deadline < deadline || w.deadline == deadline && w.armed <= armed)
	w.deadline, w.armed = deadline, armed
	if !later { // a later one is moved when its old deadline comes
		t.startTimer(slot)
	}
}

// startTimer adds the timer to the others, or moves it, by the state's deadline.
func (t *timerTable) startTimer(slot uint32) {
	w := t.waits.at(slot)
	if w.timer == 0 {
		t.armed++
		w.timer = t.timers().add(w.deadline, w.armed, stateRef{t.id, slot}) + 1
	} else {
		t.timers().moveSooner(w.timer-1, w.deadline, w.armed)
	}
}

// disarm removes the timer of a state, if it is armed.
func (t *timerTable) disarm(slot uint32) {
	if w := t.waits.at(slot); w.timer != 0 {
		t.timers().remove(w.timer - 1)
		w.timer = 0
		t.armed--
	}
}

// batchTable is the table of Batch: each of its states has a timer and a batch.
type batchTable struct {
	timerTable
	batches slab[batch]
}

func (s *State) newBatchTable() *batchTable {
	t := &batchTable{}
	t.family = t
	s.addTimerTable(&t.timerTable, stageBatch)
	return t
}

func (t *batchTable) grow(slot int) { t.batches.grow(slot) }

func (t *batchTable) clear(slot uint32) {
	t.deleteItems(slot)
	t.timerTable.clear(slot)
}

// deleteItems deletes the entries of a batch's items.
func (t *batchTable) deleteItems(slot uint32) {
	b, key := t.batches.at(slot), t.key(slot)
	for i := range b.saved {
		t.m.delete(appendNumberedKey(nil, t.s.rule.Name, stageItem, key, uint64(i)))
	}
	t.m.unsaved -= len(b.items) - int(b.saved)
	*b = batch{}
}

// saveItems writes the items of a batch that are not written yet.
func (t *batchTable) saveItems(put func(key, value []byte), slot uint32, key string) {
	m, b := t.m, t.batches.at(slot)
	for ; int(b.saved) < len(b.items); b.saved++ {
		m.key = appendNumberedKey(m.key[:0], t.s.rule.Name, stageItem, key, uint64(b.saved))
		m.value = append(t.s.appendHeader(m.value[:0], 0), b.items[b.saved]...)
		put(m.key, m.value)
	}
}
