package keyspace

import (
	"unique"

	"triggerd/internal/event"
)

// A tally is how many elements of a collection a predicate holds for. It belongs
// to the collection, not to the key: what is dropped, replaced or moved to
// another name takes its tallies with it, and nothing has to be told of it.
//
// A tally is made when it is asked for the first time, by looking at all
// elements. After each command that touches the collection, settle brings it up
// to date by what the command has changed, which the undo tells; so a tally is
// right even if nobody asks for it for a while. It may be dropped at any moment.
type tally struct {
	predicate unique.Handle[string]
	judge     event.Judge
	now       event.Counts // of the collection as it is
	was       event.Counts // as it was before the command; see wasKnown
	wasKnown  bool
	names     bool // judge reads Name
	idle      int  // elements that changed since it was asked
}

// tallies are those of one collection, which may have none.
type tallies struct {
	list  []tally
	index map[unique.Handle[string]]int // of list; nil while that is short

	// length is of how many elements they are. A command that finds another
	// number has had elements taken away that an undo does not tell of.
	length int
}

const (
	// fewElements is how many elements are sooner looked at than counted.
	fewElements = 32
	// talliesCost is what a collection with tallies costs in memory, beyond them.
	talliesCost = 64
	// tallyCost is what a tally costs.
	tallyCost = 112
	// indexCost is what its place in an index costs.
	indexCost = 24
	// fewTallies is how many are sooner searched than looked up.
	fewTallies = 16
	// maxTallies is how many predicates one collection counts for: each costs
	// something at each change, and searching for one costs something too.
	maxTallies = 1024
)

// counted is the part of a collection that has its tallies.
type counted struct{ *tallies }

func (c *counted) counts() *counted { return c }

// bytes is what the tallies take of memory.
func (t *tallies) bytes() int {
	if t == nil {
		return 0
	}
	return bytesOfTallies(len(t.list), cap(t.list))
}

// bytesOfTallies is what n tallies take that have room for so many.
func bytesOfTallies(n, room int) int {
	bytes := talliesCost + room*tallyCost
	if n > fewTallies {
		bytes += n * indexCost
	}
	return bytes
}

// find returns the tally of a predicate, nil if there is none.
func (t *tallies) find(predicate unique.Handle[string]) *tally {
	if t == nil {
		return nil
	}
	if len(t.list) > fewTallies {
		if t.index == nil {
			t.index = make(map[unique.Handle[string]]int, len(t.list))
			for i := range t.list {
				t.index[t.list[i].predicate] = i
			}
		}
		if i, ok := t.index[predicate]; ok {
			return &t.list[i]
		}
		return nil
	}
	for i := range t.list {
		if t.list[i].predicate == predicate {
			return &t.list[i]
		}
	}
	return nil
}

// Count is that of event.Counter.
func (v *view) Count(p *event.Predicate) (event.Counts, bool) {
	if v.elements == nil {
		return event.Counts{}, false
	}
	counts := v.elements.counts()
	t := counts.find(p.Text)
	if t == nil {
		if t = v.newTally(counts, p); t == nil {
			return event.Counts{}, false
		}
	}
	t.idle = 0
	if v.undo == nil {
		return t.now, true
	}
	if !t.wasKnown {
		t.was, t.wasKnown = t.now, true
		t.apply(&t.was, v, -1)
	}
	return t.was, true
}

// newTally counts for a predicate for the first time. nil: that is not worth
// while, or there is no room.
func (v *view) newTally(counts *counted, p *event.Predicate) *tally {
	k := v.from
	if k == nil || k.value.elements != v.elements || k.size == 0 { // it has moved, or is not kept any more
		return nil
	}
	mi := k.database.mi
	if v.Len() < mi.few {
		return nil
	}
	return mi.newTally(k.keyState, p)
}

// newTally counts for a predicate in the collection that a key holds.
func (mi *mirror) newTally(s *keyState, p *event.Predicate) *tally {
	v := &s.value
	counts := v.elements.counts()
	if !mi.makeRoom(s, counts) {
		return nil
	}
	t := tally{predicate: p.Text, judge: mi.judge(p, v.kind), names: p.Names}
	now := view{kind: v.kind, elements: v.elements}
	var e event.Element // judge has its address: so that there is one, and not one an element
	for e = range now.elementsWith(p.Names) {
		if mi.pace.stops() {
			return nil
		}
		t.now.Add(t.judge(&e), 1)
	}
	if counts.index != nil {
		counts.index[p.Text] = len(counts.list)
	}
	counts.list = append(counts.list, t)
	counts.length = v.elements.len()
	return &counts.list[len(counts.list)-1]
}

// countEarly is how many elements a collection that was read from a snapshot, or
// restored, has at least if what will be asked of it is counted at once: counting
// when it is asked would hold up the stream.
const countEarly = 4096

// countEarly counts for what the rules will ask of a key's value, which is new.
func (mi *mirror) countEarly(db int, key []byte, s *keyState) {
	v := &s.value
	if mi.counted == nil || s.size == 0 || v.elements == nil || !v.known || !v.texts || v.elements.len() < countEarly {
		return
	}
	for _, p := range mi.counted(db, key, v.kind.String()) {
		if v.elements.counts().find(p.Text) == nil && mi.newTally(s, p) == nil {
			return // there is no room for more
		}
	}
}

// makeRoom makes room for one more tally of a key's value, and counts it to the
// memory of the key. false: there is none.
func (mi *mirror) makeRoom(s *keyState, counts *counted) bool {
	n, room := 0, 0
	if counts.tallies != nil {
		n, room = len(counts.list), cap(counts.list)
	}
	if n == room {
		room = max(1, 2*room)
	}
	grown := bytesOfTallies(n+1, room) - counts.bytes()
	if n >= maxTallies || mi.size+int64(grown) > mi.limit {
		return false
	}
	if counts.tallies == nil {
		counts.tallies = &tallies{}
	}
	if room > cap(counts.list) {
		counts.list = append(make([]tally, 0, room), counts.list...)
	}
	s.size += grown
	mi.size += int64(grown)
	return true
}

// question is a predicate and the type of the values that it is asked of.
type question struct {
	predicate unique.Handle[string]
	kind      kind
}

// judge returns what asks a predicate's question, the same each time.
func (mi *mirror) judge(p *event.Predicate, k kind) event.Judge {
	q := question{p.Text, k}
	j := mi.judges[q]
	if j == nil {
		if len(mi.judges) >= maxTallies { // of predicates that nobody asks any more, after many reloads
			clear(mi.judges)
		}
		j = p.Judge(k.String())
		mi.judges[q] = j
	}
	return j
}

// settle brings the tallies of an operand's value up to date, once the command is
// done.
func (k *operand) settle() {
	if k.was.elements == nil {
		return
	}
	counts := k.was.elements.counts()
	switch {
	case counts.tallies == nil:
		return
	case counts.length != k.undo.count:
		counts.tallies = nil
		return
	}
	for i := range counts.list {
		t := &counts.list[i]
		t.was, t.wasKnown = t.now, true
	}
	if k.value.elements != k.was.elements {
		return // only before shows it; or it moved, as it is
	}
	counts.change(&k.was)
	counts.length = k.value.elements.len()
	if !counts.keepAsked(k.value.elements.len()) {
		counts.tallies = nil
	}
}

// change counts what a command has changed.
func (t *tallies) change(before *view) {
	if len(t.list) == 1 {
		t.list[0].apply(&t.list[0].now, before, 1)
		return
	}
	names := false
	for i := range t.list {
		names = names || t.list[i].names
	}
	before.countChanges(names, func(was, now *event.Element) {
		for i := range t.list {
			t.list[i].change(&t.list[i].now, was, now, 1)
		}
	})
}

// countChanges gives what the command has changed to be counted.
func (v *view) countChanges(names bool, count func(was, now *event.Element)) {
	e := &v.from.database.mi.scratch
	v.eachChange(names, e, func(was, now *event.Element) bool {
		count(was, now)
		return !v.undo.stops()
	})
	*e = changedElement{}
}

// apply makes counts of the value before a command those after it, or with
// direction -1 the other way round.
func (t *tally) apply(counts *event.Counts, before *view, direction int) {
	before.countChanges(t.names, func(was, now *event.Element) {
		t.change(counts, was, now, direction)
	})
}

// change counts the change of an element that was there or is there.
func (t *tally) change(counts *event.Counts, was, now *event.Element, direction int) {
	if was != nil {
		counts.Add(t.judge(was), -direction)
	}
	if now != nil {
		counts.Add(t.judge(now), direction)
	}
	t.idle++
}

// keepAsked drops tallies that cost more to keep than to make again: more
// elements have changed since they were asked than there are. It reports whether
// any are left.
func (t *tallies) keepAsked(length int) bool {
	had, kept := len(t.list), t.list[:0]
	for i := range t.list {
		if t.list[i].idle <= max(length, fewElements) {
			kept = append(kept, t.list[i])
		}
	}
	clear(t.list[len(kept):])
	if t.list = kept; len(kept) < had {
		t.index = nil
	}
	return len(kept) > 0
}
