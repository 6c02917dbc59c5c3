package keyspace

import (
	"triggerd/internal/event"
	"triggerd/rdb"
)

var listCommands = []command{
	{name: "BLMOVE", arity: 6, acl: "@blocking @list @slow @write", keys: twoKeys,
		events: madeBy((*call).lmoveEvents, "lpush", "rpush", "lpop", "rpop", "del"), apply: (*call).lmove, instead: `command "LMOVE"`},
	{name: "BLMPOP", arity: -5, acl: "@blocking @list @slow @write", keys: laterCountedKeys,
		events: ownName, instead: insteadPop},
	{name: "BLPOP", arity: -3, acl: "@blocking @list @slow @write", keys: allButLast,
		events: ownName, instead: `event "lpop" (it arrives as LPOP)`},
	{name: "BRPOP", arity: -3, acl: "@blocking @list @slow @write", keys: allButLast,
		events: ownName, instead: `event "rpop" (it arrives as RPOP)`},
	{name: "BRPOPLPUSH", arity: 4, acl: "@blocking @list @slow @write", keys: twoKeys,
		events: madeBy((*call).rpoplpushEvents, "lpush", "rpop", "del"), apply: (*call).rpoplpush, instead: `command "RPOPLPUSH"`},
	{name: "LINDEX", arity: 3, acl: "@list @read @slow", keys: firstKey},
	{name: "LINSERT", arity: 5, acl: "@list @slow @write", keys: firstKey,
		events: onKey("linsert", typeList), apply: (*call).linsert},
	{name: "LLEN", arity: 2, acl: "@fast @list @read", keys: firstKey},
	{name: "LMOVE", arity: 5, acl: "@list @slow @write", keys: twoKeys,
		events: madeBy((*call).lmoveEvents, "lpush", "rpush", "lpop", "rpop", "del"), apply: (*call).lmove},
	{name: "LMPOP", arity: -4, acl: "@list @slow @write", keys: countedKeys,
		events: ownName, instead: insteadPop},
	{name: "LPOP", arity: -2, acl: "@fast @list @write", keys: firstKey,
		events: onKey("lpop", "", "del"), apply: (*call).lpop},
	{name: "LPOS", arity: -3, acl: "@list @read @slow", keys: firstKey},
	{name: "LPUSH", arity: -3, acl: "@fast @list @write", keys: firstKey,
		events: onKey("lpush", typeList), apply: (*call).lpush},
	{name: "LPUSHX", arity: -3, acl: "@fast @list @write", keys: firstKey,
		events: onKey("lpush", typeList), apply: (*call).lpush},
	{name: "LRANGE", arity: 4, acl: "@list @read @slow", keys: firstKey},
	{name: "LREM", arity: 4, acl: "@list @slow @write", keys: firstKey,
		events: onKey("lrem", "", "del"), apply: (*call).lrem},
	{name: "LSET", arity: 4, acl: "@list @slow @write", keys: firstKey,
		events: onKey("lset", typeList), apply: (*call).lset},
	{name: "LTRIM", arity: 4, acl: "@list @slow @write", keys: firstKey,
		events: onKey("ltrim", "", "del"), apply: (*call).ltrim},
	{name: "RPOP", arity: -2, acl: "@fast @list @write", keys: firstKey,
		events: onKey("rpop", "", "del"), apply: (*call).rpop},
	{name: "RPOPLPUSH", arity: 3, acl: "@list @slow @write", keys: twoKeys,
		events: madeBy((*call).rpoplpushEvents, "lpush", "rpop", "del"), apply: (*call).rpoplpush},
	{name: "RPUSH", arity: -3, acl: "@fast @list @write", keys: firstKey,
		events: onKey("rpush", typeList), apply: (*call).rpush},
	{name: "RPUSHX", arity: -3, acl: "@fast @list @write", keys: firstKey,
		events: onKey("rpush", typeList), apply: (*call).rpush},
}

// rpoplpushEvents: RPOPLPUSH source destination.
func (c *call) rpoplpushEvents() {
	c.emit(2, "lpush", typeList)
	c.emit(1, "rpop", "")
}

// lmoveEvents: LMOVE source destination LEFT|RIGHT LEFT|RIGHT.
func (c *call) lmoveEvents() {
	c.emit(2, nameOfSide(c.arg(4), "lpush", "rpush"), typeList)
	c.emit(1, nameOfSide(c.arg(3), "lpop", "rpop"), "")
}

func nameOfSide(side []byte, left, right string) string {
	if is(side, "LEFT") {
		return left
	}
	return right
}

func (c *call) lpush() { c.push(true) }
func (c *call) rpush() { c.push(false) }

// push: LPUSH key item...
func (c *call) push(front bool) {
	k := c.key(1)
	if l, ok := collectionForWrite(c, k, kindList, newList); ok {
		for _, item := range c.args[2:] {
			l.push(&k.undo, front, string(item))
		}
	}
}

func (c *call) lpop() { c.pop(true) }
func (c *call) rpop() { c.pop(false) }

// pop: LPOP key [count].
func (c *call) pop(front bool) {
	k := c.key(1)
	l, known := existingCollection[*list](c, k)
	if known {
		n := int64(1)
		if len(c.args) > 2 {
			n, known = int64Of(c.args[2])
		}
		if !known || n < 0 {
			c.lose(k, maybe, kindList, &c.lost.Mismatch)
			return
		}
		if n >= int64(l.n) {
			c.removeWhole(k)
			return
		}
		l.pop(&k.undo, front, int(n))
	}
	c.elementsRemoved(k, l, known)
}

func (c *call) rpoplpush() { c.moveItem(false, true) }
func (c *call) lmove()     { c.moveItem(is(c.args[3], "LEFT"), is(c.args[4], "LEFT")) }

// moveItem moves an item from an end of the first key to an end of the second.
func (c *call) moveItem(fromFront, toFront bool) {
	src, dst := c.key(1), c.key(2)
	from, known := existingCollection[*list](c, src)
	if known {
		i := 0
		if !fromFront {
			i = from.n - 1
		}
		item := from.at(i)
		from.pop(&src.undo, fromFront, 1)
		if to, ok := collectionForWrite(c, dst, kindList, newList); ok {
			to.push(&dst.undo, toFront, item)
		}
	} else {
		c.lose(dst, yes, kindList, &c.lost.Source)
	}
	if !src.needed() || src.keyState != dst.keyState {
		c.elementsRemoved(src, from, known)
	}
}

// linsert: LINSERT key BEFORE|AFTER pivot item.
func (c *call) linsert() {
	c.editList(func(l *list, u *undo) bool {
		return l.insert(u, is(c.args[2], "BEFORE"), string(c.args[3]), string(c.args[4]))
	})
}

// lset: LSET key index item.
func (c *call) lset() {
	c.editList(func(l *list, u *undo) bool {
		i, ok := int64Of(c.args[2])
		return ok && l.setAt(u, i, string(c.args[3]))
	})
}

// ltrim: LTRIM key start stop.
func (c *call) ltrim() {
	k := c.key(1)
	if l, known := existingCollection[*list](c, k); known && !l.keeps(c.args[2], c.args[3]) {
		c.removeWhole(k)
		return
	}
	c.shortenList(func(l *list, u *undo) bool { return l.trim(u, c.args[2], c.args[3]) })
}

// lrem: LREM key count item.
func (c *call) lrem() {
	c.shortenList(func(l *list, u *undo) bool {
		n, ok := int64Of(c.args[2])
		return ok && l.remove(u, n, string(c.args[3]))
	})
}

// editList changes a list by edit, which reports whether it could.
func (c *call) editList(edit func(*list, *undo) bool) {
	k := c.key(1)
	if l, known := existingCollection[*list](c, k); known && !edit(l, &k.undo) {
		c.lose(k, maybe, kindList, &c.lost.Mismatch)
	}
}

// shortenList does the same where the list may be empty afterwards.
func (c *call) shortenList(edit func(*list, *undo) bool) {
	c.editList(edit)
	k := c.key(1)
	if !k.needed() {
		return
	}
	l, known := k.value.elements.(*list)
	c.elementsRemoved(k, l, known)
}

// list is a ring, so that both ends are cheap.
type list struct {
	ring []string // its length is a power of two
	head int
	n    int
	size int
	counted
}

func (l *list) len() int   { return l.n }
func (l *list) bytes() int { return l.size + 64 + l.tallies.bytes() }

// viewAt returns an item as it was before the changes in u, which may be nil.
func (l *list) viewAt(u *undo, i int) string {
	if u == nil {
		return l.at(i)
	}
	was := &u.list
	if was.edited != 0 {
		return was.items[i]
	}
	if i < len(was.front) {
		return was.front[i]
	}
	i -= len(was.front)
	if same := l.n - was.addFront - was.addBack; i >= same {
		return was.back[i-same]
	}
	i += was.addFront
	if was.replaced && i == was.slot {
		return was.old
	}
	return l.at(i)
}

func (l *list) at(i int) string { return l.ring[(l.head+i)&(len(l.ring)-1)] }

// grow makes room for one more.
func (l *list) grow() {
	if l.n < len(l.ring) {
		return
	}
	ring := make([]string, max(4, 2*len(l.ring)))
	for i := range l.n {
		ring[i] = l.at(i)
	}
	l.ring, l.head = ring, 0
}

func (l *list) push(u *undo, front bool, item string) {
	if u.stops() {
		return
	}
	l.grow()
	mask := len(l.ring) - 1
	if front {
		l.head = (l.head - 1) & mask
		l.ring[l.head] = item
		u.list.addFront++
	} else {
		l.ring[(l.head+l.n)&mask] = item
		u.list.addBack++
	}
	if u.logs {
		u.log(opOfEnd(front, opPushFront, opPushBack), 0, 0, item)
	}
	l.n++
	l.size += len(item) + listCost
}

// pop removes n items, which are there.
func (l *list) pop(u *undo, front bool, n int) {
	if u.logs && n > 0 {
		u.log(opOfEnd(front, opPopFront, opPopBack), uint64(n), 0)
	}
	mask := len(l.ring) - 1
	if front {
		for range n {
			if u.stops() {
				return
			}
			u.list.front = append(u.list.front, l.at(0))
			l.vacate(l.head)
			l.head = (l.head + 1) & mask
			l.n--
		}
		return
	}
	for i := l.n - n; i < l.n; i++ {
		if u.stops() {
			break
		}
		u.list.back = append(u.list.back, l.at(i))
		l.vacate((l.head + i) & mask)
	}
	l.n -= n
}

// opOfEnd is the one or the other op, for an end of the list.
func opOfEnd(front bool, ifFront, ifBack opcode) opcode {
	if front {
		return ifFront
	}
	return ifBack
}

// vacate empties a slot of the ring.
func (l *list) vacate(slot int) {
	l.size -= len(l.ring[slot]) + listCost
	l.ring[slot] = ""
}

// replace makes items the list, in which item was put so many times somewhere, or
// taken out of it.
func (l *list) replace(u *undo, items []string, item string, times int) {
	u.list.items, u.list.old, u.list.edited = l.all(), item, times
	counted := l.counted
	*l = *listOf(items, u.pace)
	l.counted = counted
}

func (l *list) all() []string {
	items := make([]string, l.n)
	for i := range items {
		items[i] = l.at(i)
	}
	return items
}

func newList() *list { return &list{} }

func listOf(items []string, p *pace) *list {
	l := &list{}
	u := undo{pace: p}
	for _, item := range items {
		l.push(&u, false, item)
	}
	return l
}

func (l *list) insert(u *undo, before bool, pivot, item string) bool {
	items := l.all()
	for i := range items {
		if u.stops() {
			return false
		}
		if items[i] != pivot {
			continue
		}
		if !before {
			i++
		}
		with := make([]string, 0, len(items)+1)
		with = append(append(append(with, items[:i]...), item), items[i:]...)
		l.replace(u, with, item, 1)
		if u.logs {
			u.log(opOfEnd(before, opInsertBefore, opInsertAfter), 0, 0, pivot, item)
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
	u.list.replaced, u.list.slot, u.list.old = true, int(i), l.ring[slot]
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

// keeps reports whether LTRIM leaves any item, or cannot be understood.
func (l *list) keeps(start, stop []byte) bool {
	from, ok1 := int64Of(start)
	to, ok2 := int64Of(stop)
	first, last := span(from, to, l.n)
	return first <= last || !ok1 || !ok2
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
		if u.stops() {
			return false
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
	l.replace(u, kept, item, len(kept)-len(items))
	if u.logs {
		u.log(opRemoveItem, uint64(n), 0, item)
	}
	return true
}

func (l *list) clone(p *pace) collection { return listOf(l.all(), p) }

func (l *list) equal(other collection, p *pace) bool {
	o := other.(*list)
	for i := range l.n {
		if p.stops() || l.at(i) != o.at(i) {
			return false
		}
	}
	return true
}

func (l *list) load(e *rdb.Element, from *loader) error {
	l.push(&from.undo, false, string(e.Member))
	return nil
}

func (l *list) do(o *operation, u *undo) bool {
	n := o.numbers[0]
	switch o.code {
	case opPushFront, opPushBack:
		l.push(u, o.code == opPushFront, o.texts[0])
	case opPopFront, opPopBack:
		if n > uint64(l.n) {
			return false
		}
		l.pop(u, o.code == opPopFront, int(n))
	case opSetAt:
		return l.setAt(u, int64(n), o.texts[0])
	case opInsertBefore, opInsertAfter:
		return l.insert(u, o.code == opInsertBefore, o.texts[0], o.texts[1])
	case opRemoveItem:
		return l.remove(u, int64(n), o.texts[0])
	default:
		return false
	}
	return true
}

func (l *list) appendOps(dst []byte, full func([]byte) []byte) []byte {
	for i := range l.n {
		dst = full(appendOp(dst, opPushBack, 0, 0, l.at(i)))
	}
	return dst
}

func (l *list) each(v *view, give func(event.Element) bool) {
	giveAll := func(items []string) bool {
		for _, item := range items {
			if !give(event.Element{Name: item}) {
				return false
			}
		}
		return true
	}
	var u listUndo
	if v.undo != nil {
		u = v.undo.list
	}
	if u.edited != 0 {
		giveAll(u.items)
		return
	}
	if !giveAll(u.front) {
		return
	}
	for i := u.addFront; i < l.n-u.addBack; i++ {
		item := l.at(i)
		if u.replaced && i == u.slot {
			item = u.old
		}
		if !give(event.Element{Name: item}) {
			return
		}
	}
	giveAll(u.back)
}
