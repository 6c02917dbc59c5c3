package keyspace

import (
	"bytes"
	"strconv"
)

func (mi *mirror) trackStrings(in *Interpreter, m *maker, id ID, p plan) bool {
	switch id {
	case cmdSet:
		mi.set(in, m, id, p)
	case cmdSetnx, cmdGetset:
		in.stateless(m, id, p)
		mi.put(mi.open(m.c.DB, m.args[1]), m.args[2])
	case cmdSetex, cmdPsetex:
		in.stateless(m, id, p)
		unit := []byte("EX")
		if id == cmdPsetex {
			unit = []byte("PX")
		}
		r := mi.open(m.c.DB, m.args[1])
		mi.put(r, m.args[3])
		r.setDeadline(mi.deadlineOf(unit, m.args[2]))
	case cmdMset, cmdMsetnx:
		in.stateless(m, id, p)
		for i := 1; i < len(m.args)-1; i += 2 {
			mi.put(mi.open(m.c.DB, m.args[i]), m.args[i+1])
		}
		if last := len(m.args) - 1; last%2 != 0 { // half a pair
			mi.lose(mi.open(m.c.DB, m.args[last]), yes, kindString, &mi.losses.Malformed)
		}
	case cmdMsetex:
		in.stateless(m, id, p)
		mi.msetex(m)
	case cmdAppend:
		in.stateless(m, id, p)
		mi.appendTo(mi.open(m.c.DB, m.args[1]), m.args[2])
	case cmdIncr, cmdDecr, cmdIncrby, cmdDecrby:
		in.stateless(m, id, p)
		mi.incr(m, id)
	case cmdSetrange:
		in.stateless(m, id, p)
		at, ok := int64Of(m.args[2])
		mi.writeAt(mi.open(m.c.DB, m.args[1]), at, m.args[3], ok)
	case cmdSetbit:
		in.stateless(m, id, p)
		mi.setbit(m)
	case cmdBitfield:
		in.stateless(m, id, p)
		mi.bitfield(m)
	case cmdBitop:
		mi.bitop(m, p)
	case cmdPfadd:
		in.stateless(m, id, p)
		mi.pfadd(m)
	case cmdPfmerge:
		in.stateless(m, id, p)
		mi.pfmerge(m)
	case cmdPfcount:
		if len(m.args) == 2 { // of several keys it changes nothing
			mi.pfcount(m)
		}
	case cmdPfdebug:
		mi.pfdebug(m)
	default:
		return false
	}
	return true
}

// put makes a key a string without a deadline.
func (mi *mirror) put(r *ref, text []byte) {
	if r.it == nil {
		return
	}
	if r.it.texts && mi.tooLarge(r, len(text)) {
		r.setDeadline(0, true)
		return
	}
	if r.it.texts {
		text = bytes.Clone(text)
		if text == nil {
			text = []byte{}
		}
	}
	r.setText(text)
	r.setDeadline(0, true)
	mi.witness(text)
}

// tooLarge drops the value of a key that would grow beyond the limit by n
// bytes, before they are allocated.
func (mi *mirror) tooLarge(r *ref, n int) bool {
	if mi.size+int64(n) <= mi.limit {
		return false
	}
	if !r.it.known {
		mi.losses.Limit++ // it would have been known again
	}
	mi.lose(r, yes, kindString, &mi.losses.Limit)
	return true
}

// textForWrite returns the text of a string that a command changes or makes.
// false: it is not known or not kept; the key is a string now in any case.
func (mi *mirror) textForWrite(r *ref) ([]byte, bool) {
	it := r.it
	if it == nil {
		return nil, false
	}
	text, ok := r.text()
	switch {
	case ok:
		return text, true
	case !it.texts && (it.exists == no || it.known && it.kind == kindString):
		it.exists, it.kind, it.known = yes, kindString, true
	case it.known:
		mi.lose(r, yes, kindString, &mi.losses.Mismatch)
	default:
		if it.exists == maybe {
			it.timed = false
		}
		it.exists, it.kind = yes, kindString
	}
	return nil, false
}

// set: SET key value [NX|XX|..] [GET] [EX|PX|EXAT|PXAT t|KEEPTTL]. Only a SET
// that was done is replicated.
func (mi *mirror) set(in *Interpreter, m *maker, id ID, p plan) {
	r := mi.open(m.c.DB, m.args[1])
	in.stateless(m, id, p)
	var deadline int64
	known, keep := true, false
	for i := 3; i < len(m.args); i++ {
		switch a := m.args[i]; {
		case is(a, "KEEPTTL"):
			keep = true
		case is(a, "IFEQ"), is(a, "IFNE"), is(a, "IFDEQ"), is(a, "IFDNE"):
			i++
		case isDeadline(a) && i+1 < len(m.args):
			i++
			deadline, known = mi.deadlineOf(a, m.args[i])
		}
	}
	if keep && r.it != nil && isFloatIncrement(m.args, r) {
		m.dst[len(m.dst)-1].Name = "incrbyfloat"
	}
	if r.it == nil {
		return
	}
	at, timed := r.it.expireAt, r.it.timed && r.it.exists != maybe
	mi.put(r, m.args[2])
	if keep {
		r.setDeadline(at, timed)
	} else {
		r.setDeadline(deadline, known)
	}
}

// isFloatIncrement tells whether SET key value KEEPTTL is what INCRBYFLOAT is
// replicated as: in these very words, a number takes the place of a number or of
// nothing, and one of both has a fraction. A client's own SET of this form is
// not told apart, nor an increment of whole numbers by a whole number, which is
// rather done by INCRBY.
func isFloatIncrement(args [][]byte, r *ref) bool {
	if len(args) != 4 || string(args[0]) != "SET" || string(args[3]) != "KEEPTTL" || !isCanonicalFloat(args[2]) {
		return false
	}
	text, ok := r.text()
	if !ok {
		return false
	}
	_, number := floatOf(text)
	_, whole := int64Of(text)
	_, wholeAfter := int64Of(args[2])
	if r.it.exists == no {
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

// msetex: MSETEX numkeys key value .. [NX|XX] [EX|PX|EXAT|PXAT t|KEEPTTL].
func (mi *mirror) msetex(m *maker) {
	span, ok := commands[cmdMsetex].keys[0].find(m.args)
	if !ok || span.last+1 >= len(m.args) {
		mi.loseAll(m, cmdMsetex, &mi.losses.Malformed)
		return
	}
	var deadline int64
	known, keep := true, false
	for i := span.last + 2; i < len(m.args); i++ {
		switch a := m.args[i]; {
		case is(a, "KEEPTTL"):
			keep = true
		case isDeadline(a) && i+1 < len(m.args):
			i++
			deadline, known = mi.deadlineOf(a, m.args[i])
		}
	}
	for i := span.first; i <= span.last; i += span.step {
		r := mi.open(m.c.DB, m.args[i])
		if r.it == nil {
			continue
		}
		at, timed := r.it.expireAt, r.it.timed && r.it.exists != maybe
		mi.put(r, m.args[i+1])
		if keep {
			r.setDeadline(at, timed)
		} else {
			r.setDeadline(deadline, known)
		}
	}
}

func (mi *mirror) appendTo(r *ref, tail []byte) {
	text, ok := mi.textForWrite(r)
	if !ok || mi.tooLarge(r, len(tail)) {
		return
	}
	if text == nil {
		text = []byte{}
	}
	if r.undo.logs {
		r.undo.log(opAppend, 0, 0, string(tail))
	}
	r.editText(append(text, tail...)) // behind what the view before sees
}

func (mi *mirror) incr(m *maker, id ID) {
	by, ok := int64(1), true
	if id == cmdIncrby || id == cmdDecrby {
		by, ok = int64Of(m.args[2])
	}
	if id == cmdDecr || id == cmdDecrby {
		ok = ok && by != -by || by == 0 // the least number has no opposite
		by = -by
	}
	r := mi.open(m.c.DB, m.args[1])
	text, known := mi.textForWrite(r)
	if !known {
		return
	}
	var n int64
	if r.it.exists != no {
		var number bool
		n, number = int64Of(text)
		ok = ok && number
	}
	sum := n + by
	if !ok || (sum > n) != (by > 0) && by != 0 {
		mi.lose(r, yes, kindString, &mi.losses.Mismatch)
		return
	}
	r.setText(strconv.AppendInt(nil, sum, 10))
}

// longestText is how long a server lets a string become.
const longestText = 512 << 20

// writeAt overwrites a string from at on, which grows it if need be.
func (mi *mirror) writeAt(r *ref, at int64, data []byte, ok bool) {
	text, known := mi.textForWrite(r)
	if !known {
		return
	}
	if !ok || at < 0 || at > longestText {
		mi.lose(r, yes, kindString, &mi.losses.Mismatch)
		return
	}
	text, ok = mi.grow(r, text, int(at)+len(data))
	if !ok {
		return
	}
	mi.overwrite(r, text, int(at), data)
	r.editText(text)
}

// grow makes a string n bytes long, if it is shorter, with zeros.
func (mi *mirror) grow(r *ref, text []byte, n int) ([]byte, bool) {
	if text == nil {
		text = []byte{}
	}
	if n <= len(text) {
		return text, true
	}
	if mi.tooLarge(r, n-len(text)) {
		return nil, false
	}
	if r.undo.logs {
		r.undo.log(opZeros, uint64(n-len(text)), 0)
	}
	return append(text, make([]byte, n-len(text))...), true
}

// overwrite writes in place and keeps what was there for the view before.
func (mi *mirror) overwrite(r *ref, text []byte, at int, data []byte) {
	if old := len(r.was.text); at < old {
		r.undo.patches = append(r.undo.patches, patch{at, bytes.Clone(text[at:min(old, at+len(data))])})
	}
	copy(text[at:], data)
	if r.undo.logs {
		r.undo.log(opSplice, uint64(at), uint64(len(data)), string(data))
	}
}

// setbit: SETBIT key offset bit.
func (mi *mirror) setbit(m *maker) {
	r := mi.open(m.c.DB, m.args[1])
	at, ok := int64Of(m.args[2])
	text, known := r.text()
	var b byte
	if known && at >= 0 && at>>3 < int64(len(text)) {
		b = text[at>>3]
	}
	mask := byte(1) << (7 - at&7)
	b &^= mask
	if len(m.args[3]) == 1 && m.args[3][0] == '1' {
		b |= mask
	}
	mi.writeAt(r, at>>3, []byte{b}, ok)
}

// bitop: BITOP operation destination key...
func (mi *mirror) bitop(m *maker, p plan) {
	dst := mi.open(m.c.DB, m.args[2])
	var sources [][]byte
	known := true
	longest := 0
	for _, key := range m.args[3:] {
		text, ok := mi.open(m.c.DB, key).text()
		known = known && ok
		sources = append(sources, text)
		longest = max(longest, len(text))
	}
	switch {
	case dst.it == nil:
		m.emit(2, p.name, p.typ)
	case known && longest == 0:
		mi.storeEmpty(m, dst)
	case !known:
		m.emit(2, p.name, p.typ)
		mi.lose(dst, maybe, kindString, &mi.losses.Source)
	default:
		m.emit(2, p.name, typeString)
		if mi.tooLarge(dst, longest) {
			dst.setDeadline(0, true)
			return
		}
		result, ok := bitwise(m.args[1], sources, longest)
		if !ok {
			mi.lose(dst, yes, kindString, &mi.losses.Undecided)
		} else {
			dst.setText(result)
		}
		dst.setDeadline(0, true)
	}
}

// storeEmpty: a command that stores has nothing to store. The destination is
// removed, which is announced if it was there.
func (mi *mirror) storeEmpty(m *maker, dst *ref) {
	if dst.it == nil || dst.it.exists != no {
		m.emitKey(notNil(dst.key), dst.db, "del", typeNone)
	}
	dst.remove()
}

// bitwise combines strings; shorter ones are followed by zeros.
func bitwise(operation []byte, sources [][]byte, n int) ([]byte, bool) {
	out := make([]byte, n)
	at := func(s []byte, i int) byte {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	var f func(i int) byte
	fold := func(op func(a, b byte) byte, from int) func(i int) byte {
		return func(i int) byte {
			b := at(sources[from], i)
			for _, s := range sources[from+1:] {
				b = op(b, at(s, i))
			}
			return b
		}
	}
	and := func(a, b byte) byte { return a & b }
	or := func(a, b byte) byte { return a | b }
	if len(sources) > 1 {
		others := fold(or, 1)
		switch {
		case is(operation, "DIFF"):
			f = func(i int) byte { return at(sources[0], i) &^ others(i) }
		case is(operation, "DIFF1"):
			f = func(i int) byte { return others(i) &^ at(sources[0], i) }
		case is(operation, "ANDOR"):
			f = func(i int) byte { return at(sources[0], i) & others(i) }
		}
	}
	switch {
	case is(operation, "AND"):
		f = fold(and, 0)
	case is(operation, "OR"):
		f = fold(or, 0)
	case is(operation, "XOR"):
		f = fold(func(a, b byte) byte { return a ^ b }, 0)
	case is(operation, "NOT") && len(sources) == 1:
		f = func(i int) byte { return ^at(sources[0], i) }
	case is(operation, "ONE"):
		f = func(i int) byte {
			var once, more byte
			for _, s := range sources {
				b := at(s, i)
				more |= once & b
				once |= b
			}
			return once &^ more
		}
	}
	if f == nil {
		return nil, false
	}
	for i := range out {
		out[i] = f(i)
	}
	return out, true
}
