package keyspace

func newEmptyList() *list { return &list{} }

func (mi *mirror) trackLists(in *Interpreter, m *maker, id ID, p plan) bool {
	switch id {
	case cmdLpush, cmdLpushx, cmdRpush, cmdRpushx:
		in.stateless(m, id, p)
		r := mi.open(m.c.DB, m.args[1])
		if l, ok := collectionOf(mi, r, kindList, newEmptyList); ok {
			for _, item := range m.args[2:] {
				l.push(&r.undo, id == cmdLpush || id == cmdLpushx, string(item))
			}
		}
	case cmdLpop, cmdRpop:
		in.stateless(m, id, p)
		mi.popList(m, id == cmdLpop)
	case cmdRpoplpush, cmdBrpoplpush:
		in.stateless(m, id, p)
		mi.moveItem(m, false, true)
	case cmdLmove, cmdBlmove:
		in.stateless(m, id, p)
		mi.moveItem(m, is(m.args[3], "LEFT"), is(m.args[4], "LEFT"))
	case cmdLinsert, cmdLset, cmdLtrim, cmdLrem:
		in.stateless(m, id, p)
		mi.editList(m, id)
	default:
		return false
	}
	return true
}

// popList: LPOP key [count].
func (mi *mirror) popList(m *maker, front bool) {
	r := mi.open(m.c.DB, m.args[1])
	l, known := present[*list](mi, r, kindList)
	if known {
		n := int64(1)
		if len(m.args) > 2 {
			n, known = int64Of(m.args[2])
		}
		if !known || n < 0 {
			mi.lose(r, maybe, kindList, &mi.losses.Mismatch)
			return
		}
		l.pop(&r.undo, front, int(min(n, int64(l.n))))
	}
	mi.shrunk(m, r, l, known)
}

// moveItem: RPOPLPUSH source destination, and LMOVE.
func (mi *mirror) moveItem(m *maker, fromFront, toFront bool) {
	src, dst := mi.open(m.c.DB, m.args[1]), mi.open(m.c.DB, m.args[2])
	from, known := present[*list](mi, src, kindList)
	if known {
		i := 0
		if !fromFront {
			i = from.n - 1
		}
		item := from.at(i)
		from.pop(&src.undo, fromFront, 1)
		if to, ok := collectionOf(mi, dst, kindList, newEmptyList); ok {
			to.push(&dst.undo, toFront, item)
		}
	} else {
		mi.lose(dst, yes, kindList, &mi.losses.Source)
	}
	if src.it == nil || src.it != dst.it {
		mi.shrunk(m, src, from, known)
	}
}

func (mi *mirror) editList(m *maker, id ID) {
	r := mi.open(m.c.DB, m.args[1])
	l, known := present[*list](mi, r, kindList)
	if !known {
		if id == cmdLtrim || id == cmdLrem {
			mi.shrunk(m, r, nil, false)
		}
		return
	}
	ok := false
	switch id {
	case cmdLinsert:
		ok = l.insert(&r.undo, is(m.args[2], "BEFORE"), string(m.args[3]), string(m.args[4]))
	case cmdLset:
		var i int64
		i, ok = int64Of(m.args[2])
		ok = ok && l.setAt(&r.undo, i, string(m.args[3]))
	case cmdLtrim:
		ok = l.trim(&r.undo, m.args[2], m.args[3])
	case cmdLrem:
		var n int64
		n, ok = int64Of(m.args[2])
		ok = ok && l.remove(&r.undo, n, string(m.args[3]))
	}
	if !ok {
		mi.lose(r, maybe, kindList, &mi.losses.Mismatch)
		return
	}
	mi.shrunk(m, r, l, true)
}

func (l *list) insert(u *undo, before bool, pivot, item string) bool {
	items := l.all()
	for i := range items {
		if items[i] != pivot {
			continue
		}
		if !before {
			i++
		}
		with := make([]string, 0, len(items)+1)
		with = append(append(append(with, items[:i]...), item), items[i:]...)
		l.replace(u, with)
		if u.logs {
			u.log(sided(before, opInsertBefore, opInsertAfter), 0, 0, pivot, item)
		}
		return true
	}
	return false
}

func (l *list) setAt(u *undo, i int64, item string) bool {
	if i < 0 {
		i += int64(l.n)
	}
	if i < 0 || i >= int64(l.n) {
		return false
	}
	if u.logs {
		u.log(opSetAt, uint64(i), 0, item)
	}
	slot := (l.head + int(i)) & (len(l.ring) - 1)
	u.replaced, u.slot, u.old = true, int(i), l.ring[slot]
	l.size += len(item) - len(l.ring[slot])
	l.ring[slot] = item
	return true
}

// trim keeps the items from start to stop, as LTRIM counts them.
func (l *list) trim(u *undo, start, stop []byte) bool {
	from, ok1 := int64Of(start)
	to, ok2 := int64Of(stop)
	first, last := span(from, to, l.n)
	if first > last {
		first, last = l.n, l.n-1
	}
	if ok1 && ok2 {
		l.pop(u, true, first)
		l.pop(u, false, l.n-(last-first+1))
	}
	return ok1 && ok2
}

// span makes indexes of n elements of what may count from the end: first to
// last, none if first > last.
func span(from, to int64, n int) (first, last int) {
	if from < 0 {
		from = max(from+int64(n), 0)
	}
	if to < 0 {
		to += int64(n)
	}
	to = min(to, int64(n)-1)
	if from > to {
		return 1, 0
	}
	return int(from), int(to)
}

// remove takes out items: the first so many, the last for a negative count,
// all for 0.
func (l *list) remove(u *undo, n int64, item string) bool {
	if n == -n && n != 0 {
		return false
	}
	items := l.all()
	kept := make([]string, 0, len(items))
	left := n
	if n < 0 {
		left = -n
	}
	for i := range items {
		at := i
		if n < 0 {
			at = len(items) - 1 - i
		}
		if items[at] == item && (n == 0 || left > 0) {
			left--
			continue
		}
		kept = append(kept, items[at])
	}
	if len(kept) == len(items) {
		return false
	}
	if n < 0 {
		for i, j := 0, len(kept)-1; i < j; i, j = i+1, j-1 {
			kept[i], kept[j] = kept[j], kept[i]
		}
	}
	l.replace(u, kept)
	if u.logs {
		u.log(opRemoveItem, uint64(n), 0, item)
	}
	return true
}
