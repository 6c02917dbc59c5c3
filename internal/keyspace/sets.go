package keyspace

func (mi *mirror) trackSets(in *Interpreter, m *maker, id ID, p plan) bool {
	switch id {
	case cmdSadd:
		in.stateless(m, id, p)
		r := mi.open(m.c.DB, m.args[1])
		if s, ok := collectionOf(mi, r, kindSet, newSet); ok {
			for _, member := range m.args[2:] {
				s.add(&r.undo, member)
			}
		}
		mi.changes(r, m.args, 2, 1)
	case cmdSrem:
		in.stateless(m, id, p)
		r := mi.open(m.c.DB, m.args[1])
		mi.changes(r, m.args, 2, 1)
		s, known := present[*set](mi, r, kindSet)
		if known {
			for _, member := range m.args[2:] {
				s.remove(&r.undo, member)
			}
		}
		mi.shrunk(m, r, s, known)
	case cmdSmove:
		mi.smove(m)
	case cmdSinterstore, cmdSunionstore, cmdSdiffstore:
		mi.storeSets(m, id, p)
	default:
		return false
	}
	return true
}

// smove: SMOVE source destination member.
func (mi *mirror) smove(m *maker) {
	src, dst := mi.open(m.c.DB, m.args[1]), mi.open(m.c.DB, m.args[2])
	mi.changes(src, m.args, 3, 1)
	mi.changes(dst, m.args, 3, 1)
	m.emit(1, "srem", "")
	from, known := present[*set](mi, src, kindSet)
	if known {
		from.remove(&src.undo, m.args[3])
	}
	mi.shrunk(m, src, from, known)
	to, known := collectionOf(mi, dst, kindSet, newSet)
	if !known || to.add(&dst.undo, m.args[3]) {
		m.emit(2, "sadd", typeSet)
	}
}

// storeSets: SINTERSTORE destination key...
func (mi *mirror) storeSets(m *maker, id ID, p plan) {
	dst := mi.open(m.c.DB, m.args[1])
	var sources []*set
	known := true
	for _, key := range m.args[2:] {
		o, ok := mi.open(m.c.DB, key).source()
		s, _ := o.(*set)
		known = known && ok && (o == nil || s != nil)
		sources = append(sources, s)
	}
	if !known || dst.it == nil {
		m.emit(1, p.name, p.typ)
		mi.lose(dst, maybe, kindSet, &mi.losses.Source)
		return
	}
	mi.store(m, dst, kindSet, combine(id, sources), p.name)
}

// store puts what a command has made into its destination. o is new.
func (mi *mirror) store(m *maker, dst *ref, k kind, o collection, name string) {
	if o.len() == 0 {
		mi.storeEmpty(m, dst)
		return
	}
	dst.setObject(k, o)
	m.emitKey(notNil(dst.key), dst.db, name, k.String())
}

// combine makes a set of sets; nil stands for an empty one.
func combine(id ID, sources []*set) *set {
	out := newSet()
	var u undo
	inAll := func(member string, others []*set) bool {
		for _, s := range others {
			if s == nil || !s.has(member) {
				return false
			}
		}
		return true
	}
	inAny := func(member string, others []*set) bool {
		for _, s := range others {
			if s != nil && s.has(member) {
				return true
			}
		}
		return false
	}
	for i, s := range sources {
		if s == nil || i > 0 && id != cmdSunionstore {
			continue
		}
		for member := range s.members {
			if id == cmdSinterstore && !inAll(member, sources[1:]) || id == cmdSdiffstore && inAny(member, sources[1:]) {
				continue
			}
			out.add(&u, []byte(member))
			u.elements = u.elements[:0]
		}
	}
	return out
}
