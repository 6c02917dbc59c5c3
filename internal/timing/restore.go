package timing

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// restored is what Restore has gathered until endRestore.
type restored struct {
	fates []StateReport
	items map[batchKey][]queued
}

type batchKey struct {
	s  *State
	by string
}

var (
	errDamaged = errors.New("damaged")
	// ErrNewer is wrapped by the error of Restore for an entry that a later
	// version has written.
	ErrNewer = errors.New("written by a later version")
)

// Restore takes an entry that Changes of an earlier machine has put. It is
// called for all entries, in any order, after SetRules and before anything
// else. It keeps neither key nor value.
//
// An entry of a rule that is gone, or has another shape, is not taken. Changes
// deletes it, and Restored reports it. An error means that the entry is
// damaged, or written by a later version. It is not taken and not deleted.
func (m *Machine) Restore(key, value []byte) error {
	if m.restoreDone || !m.rulesSet {
		return errors.New("restore a time rule's entry: only after SetRules, and before anything else")
	}
	k, err := parseKey(key)
	if err == nil {
		err = m.restore(k, key, value)
	}
	if err != nil {
		return fmt.Errorf("entry %q of a time rule: %w", key, err)
	}
	return nil
}

type entryKey struct {
	rule, by string
	stage    stage
	number   uint64
}

func parseKey(b []byte) (k entryKey, err error) {
	in := newEntryReader(b)
	k.rule, k.stage, k.by = in.Text(), stage(in.Byte()), in.Text()
	if k.stage.numbered() {
		k.number = in.Uint64()
	}
	if in.End() != nil || k.stage == 0 || k.stage >= stages || k.number > maxClock || !bytes.Equal(k.append(nil), b) {
		return k, errDamaged
	}
	return k, nil
}

// append appends the key in its only valid form.
func (k entryKey) append(dst []byte) []byte {
	if k.stage.numbered() {
		return appendNumberedKey(dst, k.rule, k.stage, k.by, k.number)
	}
	return appendKey(dst, k.rule, k.stage, k.by)
}

func (m *Machine) restore(k entryKey, key, value []byte) error {
	in := newEntryReader(value)
	version := in.Byte()
	if version > durableVersion {
		return ErrNewer
	}
	shape, changed := in.Uint64(), in.Uvarint()
	if in.Err() != nil || version != durableVersion || changed > maxClock {
		return errDamaged
	}
	s := m.states[k.rule]
	if s == nil || s.shape != shape {
		m.delete(slices.Clone(key))
		report := m.restored.countEntry(k, false)
		if m.restoreEnded(k, &in) {
			report.Open++
		}
		return nil
	}
	m.changeCount = max(m.changeCount, changed)
	if !s.restore(k, changed, &in) {
		return errDamaged
	}
	m.restored.countEntry(k, true)
	return nil
}

// countEntry counts an entry in the report of its rule, which it returns.
func (r *restored) countEntry(k entryKey, kept bool) *StateReport {
	i := slices.IndexFunc(r.fates, func(f StateReport) bool { return f.Rule == k.rule && f.Kept == kept })
	if i < 0 {
		i = len(r.fates)
		r.fates = append(r.fates, StateReport{Rule: k.rule, Kept: kept})
	}
	f := &r.fates[i]
	if k.stage.hasKeys() {
		f.States++
	}
	if k.stage.numbered() || k.stage == stageDebounce {
		f.Waiting++
	}
	return f
}

// Restored reports, for each rule of which there were entries, what was kept
// and what was dropped.
func (m *Machine) Restored() []StateReport {
	return slices.DeleteFunc(slices.Clone(m.restored.fates), func(f StateReport) bool { return f.States+f.Waiting == 0 })
}

// hasEntries reports whether the rule may have entries of a stage.
func (s *State) hasEntries(st stage) bool {
	switch st {
	case stageItem:
		return s.tables.batch != nil
	case stageExpected:
		return len(s.rule.Absent.Expect) > 0
	case stageLine:
		return true
	}
	return s.tables.of(st) != nil
}

// restore takes an entry of the rule, and reports whether it is valid.
func (s *State) restore(k entryKey, changed uint64, in *entryReader) bool {
	if !s.hasEntries(k.stage) || len(k.by) > maxKey+1 || k.by != "" && k.stage.single() {
		return false
	}
	switch k.stage {
	case stageExpected:
		s.expectedArmed = true
		return true
	case stageLine:
		return s.restoreLine(k.by, in)
	case stageItem, stageHeld:
		f, ok := parseCandidate(in.Rest())
		if ok {
			s.restoreWaiting(k, f.at, in.Rest())
		}
		return ok
	}
	t := s.tables.of(k.stage)
	if _, ok := t.find(k.by); ok {
		return false
	}
	slot := t.add(k.by)
	n := t.node(slot)
	n.lastChange = changed
	if s.expected[k.by] && k.stage == stageAbsent {
		n.flags |= expected
		t.fixed++
	}
	if t.family.parseState(in, slot, n); in.Err() != nil {
		t.forget(slot)
		return false
	}
	n.flags |= durable
	return true
}

func (s *State) restoreLine(rule string, in *entryReader) bool {
	i := slices.IndexFunc(s.lines, func(l *summaryLine) bool { return l.rule == rule })
	if i < 0 {
		return false
	}
	read := summaryLine{owner: s, rule: rule, durable: true}
	read.count, read.suppressed = in.count(), in.count()
	read.first, read.last = in.Varint(), in.Varint()
	read.data = slices.Clone(in.Rest())
	if in.Err() != nil {
		return false
	}
	*s.lines[i] = read
	return true
}

// restoreWaiting takes a candidate that waits in a batch or for the windows.
func (s *State) restoreWaiting(k entryKey, at int64, blob []byte) {
	item := queued{k.number, at, slices.Clone(blob)}
	if k.stage == stageHeld {
		s.queue.items = append(s.queue.items, item)
		s.queue.bytes += len(blob)
		return
	}
	r := &s.m.restored
	if r.items == nil {
		r.items = map[batchKey][]queued{}
	}
	key := batchKey{s, k.by}
	r.items[key] = append(r.items[key], item)
}

// orderRestored sorts what was restored, since entries come in any order.
func (m *Machine) orderRestored() {
	for _, s := range m.order {
		s.finishQueue()
	}
	for key, items := range m.restored.items {
		key.s.finishBatch(key.by, items)
	}
	m.restored.items = nil
	for _, s := range m.order {
		s.dropEmptyBatches()
	}
}

func byNumber(a, b queued) int { return cmp.Compare(a.number, b.number) }

func (s *State) finishQueue() {
	q := &s.queue
	if len(q.items) > 0 {
		slices.SortFunc(q.items, byNumber)
		q.nextNumber = q.items[len(q.items)-1].number + 1
		q.savedBefore = q.nextNumber
	}
}

// finishBatch gives a batch its items. If some of its entries are missing, the
// others are written again under new numbers. If the state is missing, the
// batch is due at once.
func (s *State) finishBatch(by string, items []queued) {
	slices.SortFunc(items, byNumber)
	t := s.tables.batch
	slot, ok := t.find(by)
	if !ok {
		slot = t.add(by)
		t.arm(slot, s.m.now)
		t.touch(slot)
	}
	b := t.batches.at(slot)
	for _, i := range items {
		b.items = append(b.items, i.blob)
		b.bytes += uint32(len(i.blob))
	}
	if b.saved = uint32(len(items)); items[b.saved-1].number == uint64(b.saved-1) {
		return
	}
	for _, i := range items {
		s.m.delete(appendNumberedKey(nil, s.rule.Name, stageItem, by, i.number))
	}
	b.saved = 0
	s.m.unsaved += len(items)
	t.touch(slot)
}

// dropEmptyBatches deletes batches of which no item was restored.
func (s *State) dropEmptyBatches() {
	t := s.tables.batch
	if t == nil {
		return
	}
	t.forgetAll(func(slot uint32) bool { return len(t.batches.at(slot).items) == 0 })
}

// parse reads what append has written.
func (s sliding) parse(in *entryReader, row []uint32, n *uint8) {
	end := in.Varint()
	setNewest(row, end)
	if s.times != 0 {
		for left := s.span; in.Len() > 0; *n++ {
			d := in.distance(left)
			if int(*n) == s.times || in.Err() != nil {
				in.Reject()
				return
			}
			row[firstCell+int(*n)] = uint32(end - d)
			left = d + 1
		}
		return
	}
	for in.Len() > 0 {
		d, c := in.distance(s.span), in.Uvarint()
		row[firstCell+s.slice(end-d)] = uint32(min(c, 1<<32-1))
		*n = 1
	}
}
