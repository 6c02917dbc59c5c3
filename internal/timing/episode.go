package timing

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unsafe"

	"triggerd/internal/wire"
)

// episodeTable is the table of Episode: its states are the episodes that have
// not ended.
type episodeTable struct {
	stateTable
	cells slab[episode]
}

// episode is an episode that has not ended.
type episode struct {
	since int64
	hash  uint64 // of the match that began it
	kept  []byte // as keepMatch keeps a match, with its slim form
}

func (s *State) newEpisodeTable() *episodeTable {
	t := &episodeTable{}
	t.family = t
	s.addTable(&t.stateTable, stageEpisode)
	return t
}

func (t *episodeTable) grow(slot int)       { t.cells.grow(slot) }
func (t *episodeTable) clear(slot uint32)   { *t.cells.at(slot) = episode{} }
func (t *episodeTable) isSpent(uint32) bool { return false }

// appendState implements family.
//
//	flags since hash (8) kept…
func (t *episodeTable) appendState(dst []byte, slot uint32, n *node) []byte {
	e := t.cells.at(slot)
	dst = binary.AppendVarint(append(dst, n.flags&written), e.since)
	return append(binary.BigEndian.AppendUint64(dst, e.hash), e.kept...)
}

func (t *episodeTable) parseState(in *entryReader, slot uint32, n *node) {
	e, flags := parseEpisode(in)
	n.flags |= flags
	*t.cells.at(slot) = e
}

func parseEpisode(in *entryReader) (e episode, flags uint8) {
	flags = in.Byte() & written
	e.since, e.hash = in.Varint(), in.Uint64()
	e.kept = slices.Clone(in.Rest())
	in.keys()
	return e, flags
}

// isOpen reports whether there is an episode of a value.
func (s *State) isOpen(by string) bool {
	if s.tables.episodes == nil {
		return false
	}
	_, ok := s.tables.episodes.find(shortKey(by))
	return ok
}

// known returns how many states count towards MaxKeys where t is to have one
// more: those of For and Episode are counted together.
func (s *State) known(t *stateTable) int {
	n := t.n - t.fixed
	switch {
	case s.tables.episodes == nil || s.tables.holding == nil:
	case t.stage == stageFor:
		n += s.tables.episodes.n
	case t.stage == stageEpisode:
		n += s.tables.holding.n
	}
	return n
}

// givesWay returns the table of which a state gives way to a new one of t: what
// For waits for goes before an episode.
func (s *State) givesWay(t *stateTable) *stateTable {
	switch {
	case s.tables.episodes == nil || s.tables.holding == nil || t.stage != stageFor && t.stage != stageEpisode:
		return t
	case s.tables.holding.n > 0:
		return &s.tables.holding.stateTable
	}
	return &s.tables.episodes.stateTable
}

// beginEpisode handles a match of a rule with Episode and without For.
func (s *State) beginEpisode(dst []Release, x *Arrival, at int64) []Release {
	if s.isOpen(x.Keys.Gather) {
		return dst
	}
	kept := x.Data.AppendSlim(appendKeys(nil, x.Keys))
	f := candidate{kind: Passed, by: shortKey(x.Keys.Gather), at: at, first: at, last: at, count: 1, since: at, keys: x.Keys, match: x}
	return s.open(dst, episode{at, x.Hash, kept}, &f)
}

// beginHeld begins the episode of a value for which For has passed. f is the
// candidate, without what was kept.
func (s *State) beginHeld(dst []Release, slot uint32, f *candidate) []Release {
	t := s.tables.holding
	keys, hash, slim, full := parseHeld(t.takeKept(slot))
	t.forget(slot)
	f.keys, f.data, f.since = keys, full, f.at
	return s.open(dst, episode{f.at, hash, append(appendKeys(nil, keys), slim...)}, f)
}

// open adds an episode, and releases the candidate that stands for its begin.
func (s *State) open(dst []Release, e episode, f *candidate) []Release {
	t := s.tables.episodes
	dst, slot, _ := t.findOrAdd(dst, f.by, f.at)
	*t.cells.at(slot) = e
	dst, ok := s.checkWindows(dst, f)
	if ok && s.rule.Episode.Resolved {
		t.node(slot).flags |= released
	}
	t.touch(slot)
	return dst
}

// keepsHeld reports whether the matches of the table may begin episodes.
func (t *timerTable) keepsHeld() bool { return t.stage == stageFor && t.s.rule.Episode.On }

// appendHeld appends a match that For keeps, of a rule with Episode: the values
// that later stages need, and both forms of it.
//
//	once throttle batch hash (8) slim data
//
// slim is its length as a uvarint and its bytes. The data is the rest.
func (m *Machine) appendHeld(dst []byte, x *Arrival) []byte {
	dst = appendKeys(dst, x.Keys)
	dst = binary.BigEndian.AppendUint64(dst, x.Hash)
	m.slim = x.Data.AppendSlim(m.slim[:0])
	dst = wire.AppendText(dst, m.slim)
	return x.Data.Append(dst)
}

// parseHeld parses what appendHeld has written. Nothing is copied.
func parseHeld(b []byte) (keys Keys, hash uint64, slim, full []byte) {
	in := newEntryReader(b)
	return in.keys(), in.Uint64(), in.Bytes(), in.Rest()
}

// endHold handles an Arrival with the role Ends or Lapses.
func (s *State) endHold(dst []Release, x *Arrival, at int64) []Release {
	key := shortKey(x.Keys.Gather)
	if t := s.tables.holding; t != nil {
		if slot, ok := t.find(key); ok {
			t.forget(slot)
		}
	}
	if t := s.tables.episodes; t != nil && x.Role == Ends {
		if slot, ok := t.find(key); ok {
			return s.endEpisode(dst, slot, at, ByMatch, x)
		}
	}
	return dst
}

// endEpisode ends an episode, and releases that. x is the match that ends it, nil
// if there is none.
func (s *State) endEpisode(dst []Release, slot uint32, at int64, cause Cause, x *Arrival) []Release {
	t := s.tables.episodes
	told := t.node(slot).flags&released != 0
	f := t.cells.at(slot).ended(t.key(slot), at, cause)
	t.forget(slot)
	if !told {
		return dst
	}
	f.match = x
	return s.release(dst, &f)
}

// ended returns the candidate for the end of an episode.
func (e *episode) ended(by string, at int64, cause Cause) candidate {
	f := candidate{kind: Resolved, by: by, at: at, first: at, last: at, count: 1, tag: int64(e.hash), since: e.since, cause: cause}
	f.decodeKept(e.kept)
	return f
}

// toResolve returns how many episodes are to be resolved.
func (s *State) toResolve() (n int) {
	if t := s.tables.episodes; t != nil {
		t.each(func(_ uint32, node *node) {
			if node.flags&released != 0 {
				n++
			}
		})
	}
	return n
}

// Open returns how many episodes of the rule have not ended.
func (s *State) Open() int {
	if s.tables.episodes == nil {
		return 0
	}
	return s.tables.episodes.n
}

// appendEnded appends the releases that end the episodes of a rule that is gone,
// and those that wait for its windows or in a batch.
func (s *State) appendEnded(dst []Release) []Release {
	if t := s.tables.episodes; t != nil {
		for _, slot := range t.inOrder(func(slot uint32) bool { return t.node(slot).flags&released != 0 }) {
			f := t.cells.at(slot).ended(t.key(slot), s.m.now, Dropped)
			dst = append(dst, s.newRelease(&f))
		}
	}
	for _, item := range s.queue.items {
		dst = s.appendWaiting(dst, item.blob)
	}
	if t := s.tables.batch; t != nil {
		for _, slot := range t.inOrder(func(uint32) bool { return true }) {
			for _, item := range t.batches.at(slot).items {
				dst = s.appendWaiting(dst, item)
			}
		}
	}
	return dst
}

// appendWaiting appends the release of a candidate that waited, if it is a
// Resolved.
func (s *State) appendWaiting(dst []Release, blob []byte) []Release {
	if f, ok := parseCandidate(blob); ok && f.kind == Resolved {
		f.data = slices.Clone(f.data)
		dst = append(dst, s.newRelease(&f))
	}
	return dst
}

// Ended appends to dst the releases that end the episodes of rules that are gone,
// or have another shape: by SetRules, or in what was restored. The rule of a
// Release is the one that is gone; of what was restored it is the one that has its
// name now, or has nothing but the name. They belong into one atomic write with the
// next Changes.
func (m *Machine) Ended(dst []Release) []Release {
	dst = append(dst, m.ended...)
	m.ended = nil
	return dst
}

// restoreEnded gathers what an entry of a rule that is gone, or has another
// shape, has to be resolved, and reports whether that is so.
func (m *Machine) restoreEnded(k entryKey, in *entryReader) bool {
	var f candidate
	switch k.stage {
	case stageEpisode:
		e, flags := parseEpisode(in)
		if in.Err() != nil || flags&released == 0 {
			return false
		}
		f = e.ended(k.by, m.now, Dropped)
	case stageItem, stageHeld:
		var ok bool
		if f, ok = parseCandidate(in.Rest()); !ok || f.kind != Resolved {
			return false
		}
		f.data = slices.Clone(f.data)
	default:
		return false
	}
	s := m.states[k.rule]
	if s == nil {
		s = &State{rule: &Rule{Name: k.rule}}
	}
	m.ended = append(m.ended, s.newRelease(&f))
	return true
}

// Endings are what ends of For and Episode at once, those that have begun first first.
type Endings struct {
	m     *Machine
	at    int64
	cause Cause
	left  []ending
}

type ending struct {
	s    *State
	slot uint32
}

// Next appends to dst what the next ones release, up to about a thousand, and
// reports whether there are more. Until there are none nothing else is done with
// the machine.
func (e *Endings) Next(dst []Release) (_ []Release, more bool) {
	for full := len(dst) + maxReleases; len(e.left) > 0 && len(dst) < full; e.left = e.left[1:] {
		end := &e.left[0]
		dst = end.s.endEpisode(dst, end.slot, e.at, e.cause, nil)
	}
	return dst, len(e.left) > 0
}

// EndAll does, for each rule with For or Episode, what an Arrival with the role
// Ends does: for all values of Gather that begin with prefix. It is meant for a
// database whose keys are all gone.
func (m *Machine) EndAll(prefix string, at time.Time) *Endings {
	m.endRestore()
	return m.endHolds(at, Flushed, func(t *stateTable, slot uint32) bool { return strings.HasPrefix(t.key(slot), prefix) })
}

// BeginSnapshot says that the keys of a snapshot follow.
func (m *Machine) BeginSnapshot() {
	m.endRestore()
	for _, s := range m.lasting {
		for _, t := range s.tables.holds {
			t.each(func(_ uint32, n *node) { n.flags &^= seen })
		}
	}
}

// SeeKey says that a key, as a value of Gather, is in the snapshot. It is
// borrowed.
func (m *Machine) SeeKey(place []byte) {
	by := shortKey(unsafe.String(unsafe.SliceData(place), len(place)))
	for _, s := range m.lasting {
		for _, t := range s.tables.holds {
			if slot, ok := t.find(by); ok {
				t.node(slot).flags |= seen
			}
		}
	}
}

// EndSnapshot says that the snapshot has no other keys: what For waits for of
// any other, and its episode, has ended.
func (m *Machine) EndSnapshot(at time.Time) *Endings {
	return m.endHolds(at, Unseen, func(t *stateTable, slot uint32) bool { return t.node(slot).flags&seen == 0 })
}

// Holds reports whether some rule waits for For, or has an episode.
func (m *Machine) Holds() bool {
	m.endRestore()
	for _, s := range m.lasting {
		for _, t := range s.tables.holds {
			if t.n > 0 {
				return true
			}
		}
	}
	return false
}

// endHolds ends what For waits for, and returns the episodes that are to end.
func (m *Machine) endHolds(at time.Time, cause Cause, match func(t *stateTable, slot uint32) bool) *Endings {
	e := &Endings{m: m, at: at.UnixMilli(), cause: cause}
	for _, s := range m.lasting {
		if t := s.tables.holding; t != nil {
			t.forgetAll(func(slot uint32) bool { return match(&t.stateTable, slot) })
		}
		if t := s.tables.episodes; t != nil {
			for _, slot := range t.inOrder(func(slot uint32) bool { return match(&t.stateTable, slot) }) {
				e.left = append(e.left, ending{s, slot})
			}
		}
	}
	return e
}

// inOrder returns the states that match, in the order in which they changed.
func (t *stateTable) inOrder(match func(slot uint32) bool) (slots []uint32) {
	t.each(func(slot uint32, _ *node) {
		if match(slot) {
			slots = append(slots, slot)
		}
	})
	slices.SortFunc(slots, func(a, b uint32) int { return cmp.Compare(t.node(a).lastChange, t.node(b).lastChange) })
	return slots
}

// since returns when an absence was first due.
func (w *wait) since() int64 { return w.first }
