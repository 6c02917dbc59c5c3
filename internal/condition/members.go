package condition

import (
	"slices"

	"triggerd/internal/event"
	"triggerd/internal/geo"
)

// What conditions ask of the members of a value, and of what a command has
// changed of them. It costs what has changed, as far as the value knows that
// (event.Changer).

// element finds an element of a hash, set or zset.
func (s *side) element(v event.Value, name string) (e event.Element, ok bool, err error) {
	if e, ok = event.Find(v, name); !ok && v.Truncated() {
		err = s.cut()
	}
	return e, ok, err
}

// score is score(before, member): nothing where there is no such member, no
// number where the value is no sorted set.
func (s *side) score(member string) (number, error) {
	v, err := s.value()
	switch {
	case err != nil:
		return number{}, err
	case absent(v):
		return number{kind: nothing}, nil
	case v.Type() != "zset":
		return number{kind: notOne}, nil
	}
	e, ok, err := s.element(v, member)
	if !ok {
		return number{kind: nothing}, err
	}
	return ofFloat(e.Score), nil
}

// hasScore tells whether score(before, member) is there.
func (s *side) hasScore(member string) (bool, error) {
	n, err := s.score(member)
	return err == nil && !n.none(), err
}

// within tells whether the member of a geo set is at most so many kilometers
// away from a place: no for one that is not there.
func (s *side) within(member string, lon, lat, km number) (truth, error) {
	v, err := s.value()
	if err != nil {
		return no, err
	}
	if k := (lon.kind | lat.kind | km.kind); k > fraction {
		return k.neither(), nil
	}
	if v.Type() != "zset" {
		return no, nil
	}
	e, ok, err := s.element(v, member)
	if !ok {
		return no, err
	}
	place, ok := geo.PlaceOf(e.Score)
	if !ok {
		return unknown, nil
	}
	return truthOf(geo.Distance(place, geo.Place{Lon: lon.float(), Lat: lat.float()}) <= 1000*km.float()), nil
}

// differs tells whether an element is there on one side only, or is another on
// each: a hash's field, a sorted set's member with its score, a set's member.
func differs(before, after *side, name string) (bool, error) {
	b, err := before.value()
	if err != nil {
		return false, err
	}
	a, err := after.value()
	if err != nil {
		return false, err
	}
	was, had, err := before.element(b, name)
	if err != nil {
		return false, err
	}
	is, has, err := after.element(a, name)
	if err != nil {
		return false, err
	}
	return had != has || had && (b.Type() != a.Type() || was.Value != is.Value || was.Score != is.Score), nil
}

// moves are what moved asks for: to what a text may change, by what it was.
type moves map[string]map[string]struct{}

// moved tells whether a hash's field has changed in one of these ways. "" stands
// for a field, and a key, that is not there.
func moved(before, after *side, field string, allowed moves) (bool, error) {
	was, err := before.fieldText(field)
	if err != nil {
		return false, err
	}
	is, err := after.fieldText(field)
	if err != nil || was == is {
		return false, err
	}
	_, ok := allowed[was][is]
	return ok, nil
}

// fieldText is the text of a hash's field, "" where there is none.
func (s *side) fieldText(field string) (string, error) {
	v, err := s.value()
	if err != nil || v.Type() != "hash" {
		return "", err
	}
	e, _, err := s.element(v, field)
	return e.Value, err
}

// changes are the elements that a command has changed.
type changes struct {
	stops  func() bool // counts an element that is looked at, and asks whether to give up; nil: never
	memory event.ChangedElement
	give   func(before, after *event.Element) bool // collect; nil: not made yet

	added, removed []string
	found          bool // of the present event
	err            error
}

// keepChanges is for how many elements memory is kept from one event to the next.
const keepChanges = 256

// reset gives up what was found.
func (c *changes) reset() {
	if !c.found {
		return
	}
	if cap(c.added) > keepChanges || cap(c.removed) > keepChanges {
		c.added, c.removed = nil, nil
	}
	clear(c.added)
	clear(c.removed)
	c.added, c.removed, c.memory, c.found, c.err = c.added[:0], c.removed[:0], event.ChangedElement{}, false, nil
}

// find finds what was added and what was removed: of a set, sorted set or hash
// the names of members and fields; of a list items, without those that were both
// added and removed; all in the order of their bytes. Of a stream the IDs of
// entries, in its order. Of a value of another type all elements are removed and
// added.
func (c *changes) find(before, after *side) {
	c.found = true
	b, err := before.all()
	if err != nil {
		c.err = err
		return
	}
	a, err := after.all()
	if err != nil {
		c.err = err
		return
	}
	if c.give == nil {
		c.give = c.collect
	}
	if !c.changed(b, a) {
		c.compare(b, a)
	}
	if b.Type() == a.Type() && a.Type() == "list" {
		c.added, c.removed = cancel(c.added, c.removed)
	}
	sortNames(b, c.removed)
	sortNames(a, c.added)
}

// sortNames sorts what was found: in which order that was depends on the way.
func sortNames(v event.Value, names []string) {
	if v.Type() != "stream" {
		slices.Sort(names)
	}
}

// collect collects what is added or removed.
func (c *changes) collect(before, after *event.Element) bool {
	switch {
	case before == nil:
		c.added = append(c.added, after.Name)
	case after == nil:
		c.removed = append(c.removed, before.Name)
	case before.Name != after.Name: // an item of a list in place of another
		c.removed, c.added = append(c.removed, before.Name), append(c.added, after.Name)
	}
	return true
}

// changed has the value say what the command has changed of it. false: it does
// not know.
func (c *changes) changed(before, after event.Value) bool {
	v, ok := before.(event.Changer)
	return ok && v.Changes(after, &c.memory, c.give)
}

// compare collects the difference of two values.
func (c *changes) compare(before, after event.Value) {
	named := before.Type() == after.Type() && after.Type() != "list"
	has := func(v event.Value, name string) bool {
		_, ok := v.Get(bytesOf(name))
		return named && ok
	}
	for e := range before.All() {
		if c.givesUp() {
			return
		}
		if !has(after, e.Name) {
			c.removed = append(c.removed, e.Name)
		}
	}
	for e := range after.All() {
		if c.givesUp() {
			return
		}
		if !has(before, e.Name) {
			c.added = append(c.added, e.Name)
		}
	}
}

func (c *changes) givesUp() bool {
	if c.stops != nil && c.stops() {
		c.err = ErrStopped
	}
	return c.err != nil
}

// cancel leaves out of two lists what is in both, as often as it is in both: the
// first ones.
func cancel(added, removed []string) ([]string, []string) {
	const few = 64
	if len(added) == 0 || len(removed) == 0 {
		return added, removed
	}
	if len(added)*len(removed) <= few {
		for i := 0; i < len(added); i++ {
			if j := slices.Index(removed, added[i]); j >= 0 {
				added, removed = slices.Delete(added, i, i+1), slices.Delete(removed, j, j+1)
				i--
			}
		}
		return added, removed
	}
	both := map[string]int{} // so often it is in removed, and has not been met in added
	for _, item := range removed {
		both[item]++
	}
	cancelled := map[string]int{}
	added = slices.DeleteFunc(added, func(item string) bool {
		if both[item] == 0 {
			return false
		}
		both[item]--
		cancelled[item]++
		return true
	})
	removed = slices.DeleteFunc(removed, func(item string) bool {
		cancelled[item]--
		return cancelled[item] >= 0
	})
	return added, removed
}

// stops returns what asks whether to give up; nil: never.
func (s *side) stops() func() bool {
	if s.scope == nil {
		return nil
	}
	return s.scope.elementStops()
}

// addedTo and removedFrom are added and removed, for expr's machine.
func addedTo(before, after *side) ([]string, error) {
	c := changes{stops: before.stops()}
	c.find(before, after)
	return c.added, c.err
}

func removedFrom(before, after *side) ([]string, error) {
	c := changes{stops: before.stops()}
	c.find(before, after)
	return c.removed, c.err
}

// scoreCrossing is crossed_score(n, otherwise) under way.
type scoreCrossing struct {
	stops  func() bool // as in changes
	err    error
	memory event.ChangedElement
	give   func(before, after *event.Element) bool // judge; nil: not made yet

	n         number
	otherwise number // what the score of a member is that is not there
	given     bool   // otherwise is; else such a member crosses nothing
	said      truth
}

// of tells whether the score of a member that the command changed has crossed n.
func (c *scoreCrossing) of(before, after *side) (truth, error) {
	b, err := before.all()
	if err != nil {
		return no, err
	}
	a, err := after.all()
	if err != nil {
		return no, err
	}
	if c.n.none() {
		return c.n.kind.neither(), nil
	}
	if c.give == nil {
		c.give = c.judge
	}
	c.said, c.err = no, nil
	if b.Type() != "zset" && a.Type() != "zset" {
		return no, nil
	}
	if v, ok := b.(event.Changer); !ok || !v.Changes(a, &c.memory, c.give) {
		c.compare(b, a)
	}
	return c.said, c.err
}

func (c *scoreCrossing) givesUp() bool {
	if c.stops != nil && c.stops() {
		c.err = ErrStopped
	}
	return c.err != nil
}

// compare judges all members of two values, of which one at least is a sorted
// set.
func (c *scoreCrossing) compare(before, after event.Value) {
	was, is := before.Type() == "zset", after.Type() == "zset"
	if was {
		for b := range before.All() {
			if c.givesUp() {
				return
			}
			a, has := event.Element{}, false
			if is {
				a, has = event.Find(after, b.Name)
			}
			if !c.score(&b, &a, true, has) {
				return
			}
		}
	}
	if is {
		for a := range after.All() {
			if c.givesUp() {
				return
			}
			if was {
				if _, had := event.Find(before, a.Name); had {
					continue
				}
			}
			if !c.score(nil, &a, false, true) {
				return
			}
		}
	}
}

func (c *scoreCrossing) judge(before, after *event.Element) bool {
	return c.score(before, after, before != nil, after != nil)
}

// score judges one member. It reports whether to go on.
func (c *scoreCrossing) score(before, after *event.Element, had, has bool) bool {
	if had != has && !c.given {
		return true
	}
	was, is := c.otherwise, c.otherwise
	if had {
		was = ofFloat(before.Score)
	}
	if has {
		is = ofFloat(after.Score)
	}
	c.said = c.said.or(crossed(was, is, c.n))
	return c.said != yes
}

// crossedScore is crossed_score(n) and crossed_score(n, otherwise), for expr's
// machine.
func crossedScore(before, after *side, n ...number) (truth, error) {
	c := scoreCrossing{n: n[0], stops: before.stops()}
	if len(n) > 1 {
		c.otherwise, c.given = n[1], true
	}
	return c.of(before, after)
}
