package keyspace

import (
	"bytes"
	"strconv"
)

// The commands of strings. Those of bitmaps and HyperLogLogs, which are strings
// too, have files of their own.
var stringCommands = []command{
	{name: "APPEND", arity: 3, acl: "@fast @string @write", keys: firstKey,
		events: onKey("append", typeString), apply: (*call).append},
	{name: "DECR", arity: 2, acl: "@fast @string @write", keys: firstKey,
		events: onKey("incrby", typeString), apply: (*call).decr},
	{name: "DECRBY", arity: 3, acl: "@fast @string @write", keys: firstKey,
		events: onKey("incrby", typeString), apply: (*call).decrby},
	{name: "DELEX", arity: -2, acl: "@fast @string @write", keys: firstKey,
		events: madeBy((*call).deletedEvents, "del"), apply: (*call).remove},
	{name: "DELIFEQ", arity: 3, acl: "@fast @string @write", keys: firstKey,
		events: madeBy((*call).deletedEvents, "del"), apply: (*call).remove, instead: insteadDel},
	{name: "DIGEST", arity: 2, acl: "@fast @read @string", keys: firstKey},
	{name: "GET", arity: 2, acl: "@fast @read @string", keys: firstKey},
	{name: "GETDEL", arity: 2, acl: "@fast @string @write", keys: firstKey,
		events: madeBy((*call).deletedEvents, "del"), apply: (*call).remove, instead: insteadDel},
	{name: "GETEX", arity: -2, acl: "@fast @string @write", keys: firstKey,
		events: ownName, instead: `event "expire" or "persist" (it arrives as PEXPIREAT or PERSIST)`},
	{name: "GETRANGE", arity: 4, acl: "@read @slow @string", keys: firstKey},
	{name: "GETSET", arity: 3, acl: "@fast @string @write", keys: firstKey,
		events: onKey("set", typeString), apply: (*call).setnx, replaces: overwrites,
		instead: `event "set" (it arrives as SET)`},
	{name: "INCR", arity: 2, acl: "@fast @string @write", keys: firstKey,
		events: onKey("incrby", typeString), apply: (*call).incr},
	{name: "INCRBY", arity: 3, acl: "@fast @string @write", keys: firstKey,
		events: onKey("incrby", typeString), apply: (*call).incrby},
	{name: "INCRBYFLOAT", arity: 3, acl: "@fast @string @write", keys: firstKey,
		events: onKey("incrbyfloat", typeString), apply: (*call).undecided,
		instead: `event ["incrbyfloat", "set"] (it arrives as SET .. KEEPTTL)`},
	{name: "LCS", arity: -3, acl: "@read @slow @string", keys: []keySpec{{begin: 1, last: 1}}},
	{name: "MGET", arity: -2, acl: "@fast @read @string", keys: allKeys},
	{name: "MSET", arity: -3, acl: "@slow @string @write", keys: []keySpec{{begin: 1, last: -1, step: 2}}, own: ownPair,
		events: onEachKey("set", typeString), apply: (*call).mset, replaces: overwrites},
	{name: "MSETEX", arity: -4, acl: "@slow @string @write", keys: []keySpec{{begin: 1, keynum: true, firstAt: 1, step: 2}}, own: ownPairAndOptions,
		events: madeBy((*call).msetexEvents, "set", "expire"), apply: (*call).msetex, replaces: overwrites},
	{name: "MSETNX", arity: -3, acl: "@slow @string @write", keys: []keySpec{{begin: 1, last: -1, step: 2}}, own: ownPair,
		events: onEachKey("set", typeString), apply: (*call).mset, replaces: overwrites},
	{name: "PSETEX", arity: 4, acl: "@slow @string @write", keys: firstKey,
		events: madeBy((*call).setexEvents, "set", "expire"), apply: (*call).psetex, replaces: overwrites, instead: insteadSet},
	{name: "SET", arity: -3, acl: "@slow @string @write", keys: firstKey,
		events: madeBy((*call).setEvents, "set", "expire", "incrbyfloat"), apply: (*call).set, replaces: overwrites},
	{name: "SETEX", arity: 4, acl: "@slow @string @write", keys: firstKey,
		events: madeBy((*call).setexEvents, "set", "expire"), apply: (*call).setex, replaces: overwrites, instead: insteadSet},
	{name: "SETNX", arity: 3, acl: "@fast @string @write", keys: firstKey,
		events: onKey("set", typeString), apply: (*call).setnx, replaces: overwrites},
	{name: "SETRANGE", arity: 4, acl: "@slow @string @write", keys: firstKey,
		events: onKey("setrange", typeString), apply: (*call).setrange},
	{name: "STRALGO", arity: -2, acl: "@read @slow @string"},
	{name: "STRLEN", arity: 2, acl: "@fast @read @string", keys: firstKey},
	{name: "SUBSTR", arity: 4, acl: "@read @slow @string", keys: firstKey},
}

// setEvents: SET key value [NX|XX|IFEQ v|IFNE v|IFDEQ d|IFDNE d] [GET]
// [EX|PX|EXAT|PXAT t|KEEPTTL].
func (c *call) setEvents() {
	c.emit(1, "set", typeString)
	c.require(2)
	for i := 3; i < len(c.args)-1; i++ {
		switch {
		case isDeadline(c.args[i]):
			c.emit(1, "expire", typeString)
			return
		case isCondition(c.args[i]):
			i++
		}
	}
}

// isCondition reports whether an option of SET has the value, or its digest,
// that the key must have.
func isCondition(option []byte) bool {
	return is(option, "IFEQ") || is(option, "IFNE") || is(option, "IFDEQ") || is(option, "IFDNE")
}

// setexEvents: SETEX key seconds value.
func (c *call) setexEvents() {
	c.emit(1, "set", typeString)
	c.emit(1, "expire", typeString)
	c.require(3)
}

// msetexEvents: MSETEX numkeys key value .. [NX|XX] [EX|PX|EXAT|PXAT t|KEEPTTL].
func (c *call) msetexEvents() {
	if c.many.size == 0 {
		c.emit(len(c.args), "set", "")
		return
	}
	c.malformed = c.malformed || c.many.broken
	deadline, dialect := c.many.deadlineOption, c.in.config.Dialect
	for i := range c.many.places() {
		if deadline && dialect == Redis {
			c.emit(i, "expire", typeString)
		}
		c.emit(i, "set", typeString)
		if deadline && dialect == Valkey {
			c.emit(i, "expire", typeString)
		}
	}
}

// setnx: SETNX key value, and GETSET.
func (c *call) setnx() { c.putText(c.key(1), c.args[2]) }

func (c *call) setex()  { c.setUntil("EX") }
func (c *call) psetex() { c.setUntil("PX") }

// setUntil: SETEX key time value, the time in a unit.
func (c *call) setUntil(unit string) {
	k := c.key(1)
	c.putText(k, c.args[3])
	k.setDeadline(c.deadline(unit, c.args[2]))
}

// mset: MSET key value ...
func (c *call) mset() {
	for i := range c.many.places() {
		if i+1 == len(c.args) { // half a pair
			c.lose(c.key(i), yes, kindString, &c.lost.Malformed)
			return
		}
		c.putText(c.key(i), c.args[i+1])
	}
}

// set: only a SET that was done is replicated.
func (c *call) set() {
	k := c.key(1)
	if !k.needed() {
		return
	}
	d := newDeadline{known: true}
	for i := 3; i < len(c.args); i++ {
		if isCondition(c.args[i]) {
			i++
		} else {
			i += d.option(c, i)
		}
	}
	if d.keep && isFloatIncrement(c.args, k) {
		c.events[len(c.events)-1].Name = "incrbyfloat"
	}
	d.put(c, k, c.args[2])
}

// msetex: see msetexEvents.
func (c *call) msetex() {
	m := &c.many
	if m.broken {
		for i := range m.places() {
			c.lose(c.key(i), maybe, kindUnknown, &c.lost.Malformed)
		}
		return
	}
	if m.isFirst() {
		m.deadline = newDeadline{known: true}
		for i := len(c.args) - len(m.options); i < len(c.args); i++ {
			i += m.deadline.option(c, i)
		}
	}
	for i := range m.places() {
		if k := c.key(i); k.needed() {
			m.deadline.put(c, k, c.args[i+1])
		}
	}
}

// newDeadline is which deadline a key has once it is set.
type newDeadline struct {
	at    int64
	known bool
	keep  bool // that which it had
}

// option understands the argument at index i, and returns how many more belong
// to it.
func (d *newDeadline) option(c *call, i int) int {
	switch a := c.args[i]; {
	case is(a, "KEEPTTL"):
		d.keep = true
	case isDeadline(a) && i+1 < len(c.args):
		d.at, d.known = c.deadlineOption(a, c.args[i+1])
		return 1
	}
	return 0
}

// put makes a key, which is needed, a string with this deadline.
func (d *newDeadline) put(c *call, k *operand, text []byte) {
	at, known := k.expiry.at, k.expiry.known && k.value.exists != maybe
	c.putText(k, text)
	if d.keep {
		k.setDeadline(at, known)
	} else {
		k.setDeadline(d.at, d.known)
	}
}

// putText makes a key a string without a deadline.
func (c *call) putText(k *operand, text []byte) {
	if !k.needed() {
		return
	}
	if k.value.texts && c.tooLarge(k, len(text)) {
		k.setDeadline(0, true)
		return
	}
	if k.value.texts {
		text = c.store(k, text)
	}
	k.setText(text)
	k.setDeadline(0, true)
	c.mi.checkSparseMax(text)
}

// maxReused is how long a text may be that is written over the one before.
const maxReused = 512

// store returns a copy of a text that takes the place of a key's: in the memory of
// the present one, if that fits and nothing but the view before shows it.
func (c *call) store(k *operand, text []byte) []byte {
	old, n := k.value.text, len(text)
	if n > cap(old) || cap(old) > n+n/2+16 || max(n, len(old)) > maxReused || n == 0 || len(k.undo.patches) > 0 || len(c.in.views) > 0 {
		return append([]byte{}, text...)
	}
	k.keepText()
	return append(old[:0], text...)
}

// textForWrite returns the text of a string that a command changes or makes.
// false: it is not known or not kept; the key is a string now in any case.
func (c *call) textForWrite(k *operand) ([]byte, bool) {
	if !k.needed() {
		return nil, false
	}
	text, ok := k.text()
	switch v := &k.value; {
	case ok:
		return text, true
	case !v.texts && (v.exists == no || v.known && v.kind == kindString):
		v.exists, v.kind, v.known = yes, kindString, true
	case v.known:
		c.lose(k, yes, kindString, &c.lost.Mismatch)
	default:
		if v.exists == maybe {
			k.expiry.known = false
		}
		v.exists, v.kind = yes, kindString
	}
	return nil, false
}

// isFloatIncrement tells whether SET key value KEEPTTL is what INCRBYFLOAT is
// replicated as: in these very words, a number takes the place of a number or of
// nothing, and one of both has a fraction. A client's own SET of this form is
// not told apart, nor an increment of whole numbers by a whole number, which is
// rather done by INCRBY.
func isFloatIncrement(args [][]byte, k *operand) bool {
	if len(args) != 4 || string(args[0]) != "SET" || string(args[3]) != "KEEPTTL" || !isCanonicalFloat(args[2]) {
		return false
	}
	text, ok := k.text()
	if !ok {
		return false
	}
	_, number := floatOf(text)
	_, whole := int64Of(text)
	_, wholeAfter := int64Of(args[2])
	if k.value.exists == no {
		return !wholeAfter
	}
	return number && !(whole && wholeAfter)
}

// isCanonicalFloat tells whether b is a number as INCRBYFLOAT writes it:
// decimal, no exponent, no zeros at the end of a fraction.
func isCanonicalFloat(b []byte) bool {
	point := bytes.IndexByte(b, '.')
	if point >= 0 && (b[len(b)-1] == '0' || b[len(b)-1] == '.' || point == 0) {
		return false
	}
	for i, c := range b {
		if (c < '0' || c > '9') && c != '.' && (c != '-' || i > 0) {
			return false
		}
	}
	_, ok := floatOf(b)
	return ok
}

// append: APPEND key text.
func (c *call) append() {
	k, tail := c.key(1), c.args[2]
	text, ok := c.textForWrite(k)
	if !ok || c.tooLarge(k, len(tail)) {
		return
	}
	if text == nil {
		text = []byte{}
	}
	if k.undo.logs {
		k.undo.log(opAppend, 0, 0, string(tail))
	}
	k.editText(append(text, tail...)) // after what the view before sees
}

func (c *call) incr() { c.addInteger(1, true) }
func (c *call) decr() { c.addInteger(-1, true) }

func (c *call) incrby() { c.addInteger(int64Of(c.args[2])) }

func (c *call) decrby() {
	by, ok := int64Of(c.args[2])
	c.addInteger(-by, ok && (by != -by || by == 0)) // the least number has no opposite
}

// addInteger adds to the number in a string; ok says that by is known.
func (c *call) addInteger(by int64, ok bool) {
	k := c.key(1)
	text, known := c.textForWrite(k)
	if !known {
		return
	}
	var n int64
	if k.value.exists != no {
		var number bool
		n, number = int64Of(text)
		ok = ok && number
	}
	sum, fits := addInt64(n, by)
	if !ok || !fits {
		c.lose(k, yes, kindString, &c.lost.Mismatch)
		return
	}
	var buf [20]byte
	k.setText(c.store(k, strconv.AppendInt(buf[:0], sum, 10)))
}

// setrange: SETRANGE key offset text.
func (c *call) setrange() {
	at, ok := int64Of(c.args[2])
	c.writeAt(c.key(1), at, c.args[3], ok)
}

// longestText is how long a server lets a string become.
const longestText = 512 << 20

// writeAt overwrites a string from at on, which grows it if need be.
func (c *call) writeAt(k *operand, at int64, data []byte, ok bool) {
	text, known := c.textForWrite(k)
	if !known {
		return
	}
	if !ok || at < 0 || at > longestText {
		c.lose(k, yes, kindString, &c.lost.Mismatch)
		return
	}
	text, ok = c.growText(k, text, int(at)+len(data))
	if !ok {
		return
	}
	c.overwrite(k, text, int(at), data)
	k.editText(text)
}

// growText makes a string n bytes long, if it is shorter, with zeros.
func (c *call) growText(k *operand, text []byte, n int) ([]byte, bool) {
	if text == nil {
		text = []byte{}
	}
	if n <= len(text) {
		return text, true
	}
	if c.tooLarge(k, n-len(text)) {
		return nil, false
	}
	if k.undo.logs {
		k.undo.log(opZeros, uint64(n-len(text)), 0)
	}
	return append(text, make([]byte, n-len(text))...), true
}

// overwrite writes in place and keeps what was there for the view before.
func (c *call) overwrite(k *operand, text []byte, at int, data []byte) {
	if old := len(k.was.text); at < old {
		k.undo.patches = append(k.undo.patches, patch{at, bytes.Clone(text[at:min(old, at+len(data))])})
	}
	copy(text[at:], data)
	if k.undo.logs {
		k.undo.log(opSplice, uint64(at), uint64(len(data)), string(data))
	}
}
