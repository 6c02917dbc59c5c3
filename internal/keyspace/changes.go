package keyspace

import "triggerd/internal/event"

// ElementChanges gives the elements that the command of an event has changed of its
// key, each as it was before and as it is after: before is nil if the element
// was not there, after if it is not. It ends early if give returns false. false:
// a side is not known, or was cut.
//
// An element that is as it was is not among them, even if the command names it,
// nor is a field of which only the deadline has changed. The items of a list are
// told as they were removed and added: one that moves from end to end is both. Of
// a list or a stream that was replaced as a whole all elements are told.
//
// The elements are borrowed: give keeps none. It costs what the command changed.
// Where the command has put a new value in place of the old one, or the event is
// a clone, the values are compared: that costs what both hold.
func ElementChanges(ev *event.Event, give func(before, after *event.Element) bool) (known bool) {
	if ev.Before == nil || ev.After == nil || ev.Before.Truncated() || ev.After.Truncated() {
		return false
	}
	if before, ok := ev.Before.(*view); !ok || !before.Changes(ev.After, &changedElement{}, give) {
		compareElements(ev.Before, ev.After, give)
	}
	return true
}

// changedElement is an element before and after a command: memory for those that are
// given one after the other.
type changedElement = event.ChangedElement

// Changes is that of event.Changer.
func (v *view) Changes(after event.Value, e *event.ChangedElement, give func(before, after *event.Element) bool) (ok bool) {
	w, ok := after.(*view)
	if !ok || v.undo == nil || v.elements == nil || v.elements != w.elements {
		return false
	}
	v.eachChange(true, e, give)
	return true
}

// Find is that of event.Finder.
func (v *view) Find(name string) (event.Element, bool) {
	e, ok := v.find(name)
	e.Name = name
	return e, ok
}

// eachChange gives what the command has changed of the elements that a view
// shows as they were before it, each in e. A stream's entries have no names, if
// these are not asked for.
func (v *view) eachChange(names bool, e *changedElement, give func(before, after *event.Element) bool) {
	switch elements := v.elements.(type) {
	case *list:
		elements.elementChanges(&v.undo.list, e, give)
	case *stream:
		elements.elementChanges(v, names, e, give)
	default:
		v.namedChanges(e, give)
	}
}

// namedChanges gives the changes of a hash, set or sorted set.
func (v *view) namedChanges(e *changedElement, give func(before, after *event.Element) bool) {
	live := view{elements: v.elements}
	for i := range v.undo.elements {
		was := &v.undo.elements[i]
		if first, _ := v.changed(was.name); first != was {
			continue
		}
		e.Was = event.Element{Name: was.name, Value: was.value, Score: was.score}
		has := false
		e.Now, has = live.find(was.name)
		e.Now.Name = was.name
		if !giveChange(&e.Was, &e.Now, was.had, has, give) {
			return
		}
	}
}

// find returns what a hash, set or sorted set has under a name, without the name
// itself.
func (v *view) find(name string) (e event.Element, ok bool) {
	if was, changed := v.changed(name); changed {
		return event.Element{Value: was.value, Score: was.score}, was.had
	}
	switch o := v.elements.(type) {
	case *set:
		ok = o.has(name)
	case *hash:
		e.Value, ok = o.fields[name]
	case *zset:
		e.Score, ok = o.scores[name]
	}
	return e, ok
}

// giveChange gives an element that was there or is there, unless it is as it
// was. It reports whether to go on.
func giveChange(before, after *event.Element, had, has bool, give func(before, after *event.Element) bool) bool {
	switch {
	case had && has:
		return before.Value == after.Value && before.Score == after.Score || give(before, after)
	case had:
		return give(before, nil)
	case has:
		return give(nil, after)
	}
	return true
}

// compareElements gives the difference of two values that have nothing in
// common.
func compareElements(before, after event.Value, give func(before, after *event.Element) bool) {
	same := before.Type() == after.Type() && before.Type() != typeList && before.Type() != typeStream
	for was := range before.All() {
		var now *event.Element
		if same {
			now = elementNamed(after, was.Name)
		}
		switch {
		case now == nil:
			if !give(&was, nil) {
				return
			}
		case !giveChange(&was, now, true, true, give):
			return
		}
	}
	for now := range after.All() {
		if same && elementNamed(before, now.Name) != nil {
			continue
		}
		if !give(nil, &now) {
			return
		}
	}
}

// elementNamed returns what a hash, set or sorted set has under a name, nil for
// nothing.
func elementNamed(v event.Value, name string) *event.Element {
	if v, ok := v.(*view); ok {
		e, ok := v.find(name)
		if !ok {
			return nil
		}
		e.Name = name
		return &e
	}
	text, ok := v.Get([]byte(name))
	if !ok {
		return nil
	}
	e := event.Element{Name: name}
	switch v.Type() {
	case typeHash:
		e.Value = string(text)
	case typeZset:
		e.Score, _ = floatOf(text)
	}
	return &e
}

// elementChanges gives the items that were removed, replaced and added.
func (l *list) elementChanges(u *listUndo, e *changedElement, give func(before, after *event.Element) bool) {
	giveRemoved := func(items ...string) bool {
		for _, item := range items {
			if e.Was = (event.Element{Name: item}); !give(&e.Was, nil) {
				return false
			}
		}
		return true
	}
	giveAdded := func(first, last int) bool {
		for i := first; i < last; i++ {
			if e.Now = (event.Element{Name: l.at(i)}); !give(nil, &e.Now) {
				return false
			}
		}
		return true
	}
	switch {
	case u.edited > 0:
		e.Now = event.Element{Name: u.old}
		give(nil, &e.Now)
	case u.edited < 0:
		for range -u.edited {
			if !giveRemoved(u.old) {
				return
			}
		}
	case u.replaced:
		e.Was, e.Now = event.Element{Name: u.old}, event.Element{Name: l.at(u.slot)}
		if e.Was.Name != e.Now.Name {
			give(&e.Was, &e.Now)
		}
	default:
		_ = giveRemoved(u.front...) && giveRemoved(u.back...) && giveAdded(0, u.addFront) && giveAdded(l.n-u.addBack, l.n)
	}
}

// elementChanges gives the entries that were removed, and those that were added.
func (s *stream) elementChanges(before *view, names bool, e *changedElement, give func(before, after *event.Element) bool) {
	for _, n := range s.removedEntries(before) {
		if e.Was = n.elementWith(names); !give(&e.Was, nil) {
			return
		}
	}
	for _, n := range s.entries[s.after(before.undo.last):] {
		if e.Now = n.elementWith(names); !give(nil, &e.Now) {
			return
		}
	}
}
