package keyspace

import (
	"triggerd/internal/event"
	"triggerd/rdb"
)

var setCommands = []command{
	{name: "SADD", arity: -3, acl: "@fast @set @write", keys: firstKey,
		events: onKey("sadd", typeSet), apply: (*call).sadd},
	{name: "SCARD", arity: 2, acl: "@fast @read @set", keys: firstKey},
	{name: "SDIFF", arity: -2, acl: "@read @set @slow", keys: allKeys},
	{name: "SDIFFSTORE", arity: -3, acl: "@set @slow @write", keys: keyAndSources,
		events: onKey("sdiffstore", "", "del"), follow: (*call).sdiffstore, replaces: overwrites},
	{name: "SINTER", arity: -2, acl: "@read @set @slow", keys: allKeys},
	{name: "SINTERCARD", arity: -3, acl: "@read @set @slow", keys: countedKeys},
	{name: "SINTERSTORE", arity: -3, acl: "@set @slow @write", keys: keyAndSources,
		events: onKey("sinterstore", "", "del"), follow: (*call).sinterstore, replaces: overwrites},
	{name: "SISMEMBER", arity: 3, acl: "@fast @read @set", keys: firstKey},
	{name: "SMEMBERS", arity: 2, acl: "@read @set @slow", keys: firstKey},
	{name: "SMISMEMBER", arity: -3, acl: "@fast @read @set", keys: firstKey},
	{name: "SMOVE", arity: 4, acl: "@fast @set @write", keys: twoKeys,
		events: madeBy((*call).smoveEvents, "srem", "sadd", "del"), follow: (*call).smove},
	{name: "SPOP", arity: -2, acl: "@fast @set @write", keys: firstKey,
		events: onKey("spop", ""), instead: `event "srem" or "del" (it arrives as SREM, or DEL when it empties the set)`},
	{name: "SRANDMEMBER", arity: -2, acl: "@read @set @slow", keys: firstKey},
	{name: "SREM", arity: -3, acl: "@fast @set @write", keys: firstKey,
		events: onKey("srem", "", "del"), apply: (*call).srem},
	{name: "SSCAN", arity: -3, acl: "@read @set @slow", keys: firstKey},
	{name: "SUNION", arity: -2, acl: "@read @set @slow", keys: allKeys},
	{name: "SUNIONSTORE", arity: -3, acl: "@set @slow @write", keys: keyAndSources,
		events: onKey("sunionstore", "", "del"), follow: (*call).sunionstore, replaces: overwrites},
}

// smoveEvents: SMOVE source destination member.
func (c *call) smoveEvents() {
	c.emit(1, "srem", "")
	c.emit(2, "sadd", typeSet)
}

// sadd: SADD key member...
func (c *call) sadd() {
	k := c.key(1)
	if s, ok := collectionForWrite(c, k, kindSet, newSet); ok {
		for _, member := range c.args[2:] {
			s.add(&k.undo, member)
		}
	}
	c.nameElements(k, c.args, 2, 1)
}

// srem: SREM key member...
func (c *call) srem() {
	k := c.key(1)
	c.nameElements(k, c.args, 2, 1)
	s, known := existingCollection[*set](c, k)
	if known {
		for _, member := range c.args[2:] {
			s.remove(&k.undo, member)
		}
	}
	c.elementsRemoved(k, s, known)
}

// smove: see smoveEvents.
func (c *call) smove() {
	src, dst := c.key(1), c.key(2)
	c.nameElements(src, c.args, 3, 1)
	c.nameElements(dst, c.args, 3, 1)
	c.emit(1, "srem", "")
	from, known := existingCollection[*set](c, src)
	if known {
		from.remove(&src.undo, c.args[3])
	}
	c.elementsRemoved(src, from, known)
	to, known := collectionForWrite(c, dst, kindSet, newSet)
	if !known || to.add(&dst.undo, c.args[3]) {
		c.emit(2, "sadd", typeSet)
	}
}

func (c *call) sinterstore() { c.storeSets(intersection) }
func (c *call) sunionstore() { c.storeSets(union) }
func (c *call) sdiffstore()  { c.storeSets(difference) }

// storeSets: SINTERSTORE destination key... In combine nil stands for an empty
// set.
func (c *call) storeSets(combine func(sources []*set, p *pace) *set) {
	dst := c.key(1)
	var sources []*set
	known := true
	for _, key := range c.args[2:] {
		elements, ok := c.keyIn(c.sent.DB, key).source()
		s, _ := elements.(*set)
		known = known && ok && (elements == nil || s != nil)
		sources = append(sources, s)
	}
	if !known || !dst.needed() {
		c.announce()
		c.lose(dst, maybe, kindSet, &c.lost.Source)
		return
	}
	c.storeElements(dst, kindSet, combine(sources, &c.in.pace))
}

// intersection returns the members of the first set that are in all others.
func intersection(sources []*set, p *pace) *set {
	return filtered(sources[0], p, func(member string) bool {
		for _, s := range sources[1:] {
			if s == nil || !s.has(member) || p.stops() {
				return false
			}
		}
		return true
	})
}

// difference returns the members of the first set that are in no other.
func difference(sources []*set, p *pace) *set {
	return filtered(sources[0], p, func(member string) bool {
		for _, s := range sources[1:] {
			if s != nil && s.has(member) || p.stops() {
				return false
			}
		}
		return true
	})
}

// union returns the members of all sets.
func union(sources []*set, p *pace) *set {
	out := newSet()
	for _, s := range sources {
		out.addSome(s, p, func(string) bool { return true })
	}
	return out
}

// filtered returns the members of s, which may be nil, of which keep says so.
func filtered(s *set, p *pace, keep func(member string) bool) *set {
	out := newSet()
	out.addSome(s, p, keep)
	return out
}

// addSome adds those members of another set, which may be nil, of which keep says so.
func (s *set) addSome(other *set, p *pace, keep func(member string) bool) {
	if other == nil {
		return
	}
	var u undo
	for member := range other.members {
		if p.stops() {
			return
		}
		if keep(member) {
			s.add(&u, []byte(member))
			u.elements = u.elements[:0]
		}
	}
}

// set is a set.
type set struct {
	members map[string]struct{}
	size    int
	counted
}

func newSet() *set { return &set{members: map[string]struct{}{}} }

func (s *set) len() int   { return len(s.members) }
func (s *set) bytes() int { return s.size + 120 + s.tallies.bytes() }

func (s *set) has(member string) bool {
	_, ok := s.members[member]
	return ok
}

func (s *set) add(u *undo, member []byte) bool {
	if _, ok := s.members[string(member)]; ok || u.stops() {
		return false
	}
	m := string(member)
	s.members[m] = struct{}{}
	s.size += len(m) + setCost
	u.elements = append(u.elements, oldElement{name: m})
	if u.logs {
		u.log(opAdd, 0, 0, m)
	}
	return true
}

func (s *set) remove(u *undo, member []byte) bool {
	if _, ok := s.members[string(member)]; !ok || u.stops() {
		return false
	}
	u.elements = append(u.elements, oldElement{name: string(member), had: true})
	delete(s.members, string(member))
	s.size -= len(member) + setCost
	if u.logs {
		u.log(opDelete, 0, 0, string(member))
	}
	return true
}

func (s *set) clone(p *pace) collection {
	c := &set{members: make(map[string]struct{}, len(s.members)), size: s.size}
	for m := range s.members {
		if p.stops() {
			break
		}
		c.members[m] = struct{}{}
	}
	return c
}

func (s *set) equal(other collection, p *pace) bool {
	return sameMaps(s.members, other.(*set).members, p)
}

func (s *set) load(e *rdb.Element, l *loader) error {
	_, twice := s.members[string(e.Member)]
	l.twice = l.twice || twice
	s.add(&l.undo, e.Member)
	return nil
}

func (s *set) do(o *operation, u *undo) bool {
	switch o.code {
	case opAdd:
		s.add(u, []byte(o.texts[0]))
	case opDelete:
		s.remove(u, []byte(o.texts[0]))
	default:
		return false
	}
	return true
}

func (s *set) appendOps(dst []byte, full func([]byte) []byte) []byte {
	for m := range s.members {
		dst = full(appendOp(dst, opAdd, 0, 0, m))
	}
	return dst
}

func (s *set) each(v *view, give func(event.Element) bool) {
	asItIs := v.asItIs()
	for m := range s.members {
		if !asItIs {
			if _, changed := v.changed(m); changed {
				continue
			}
		}
		if !give(event.Element{Name: m}) {
			return
		}
	}
	v.giveOldElements(give)
}
