package keyspace

import (
	"math"
	"slices"
)

func (mi *mirror) trackZsets(in *Interpreter, m *maker, id ID, p plan) bool {
	switch id {
	case cmdZadd:
		in.stateless(m, id, p)
		mi.zadd(m)
	case cmdZincrby:
		in.stateless(m, id, p)
		r := mi.open(m.c.DB, m.args[1])
		mi.changes(r, m.args, 3, 1)
		mi.zscore(r, m.args[2], m.args[3], zaddFlags{incr: true})
	case cmdZrem, cmdZpopmin, cmdZpopmax, cmdZremrangebyscore, cmdZremrangebyrank, cmdZremrangebylex:
		in.stateless(m, id, p)
		mi.zremove(m, id)
	case cmdZunionstore, cmdZinterstore, cmdZdiffstore:
		mi.storeZsets(m, id, p)
	case cmdZrangestore:
		mi.storeRange(m, p)
	case cmdGeosearchstore:
		mi.storeGeo(in, m, id, p, 1, 2)
	case cmdGeoradius, cmdGeoradiusbymember:
		from := 6
		if id == cmdGeoradiusbymember {
			from = 5
		}
		mi.storeGeo(in, m, id, p, geoStore(m.args, from), 1)
	default:
		return false
	}
	return true
}

// zaddFlags are the options of ZADD.
type zaddFlags struct{ nx, xx, gt, lt, incr bool }

// zadd: ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ...
func (mi *mirror) zadd(m *maker) {
	var flags zaddFlags
	i := 2
options:
	for ; i < len(m.args); i++ {
		switch a := m.args[i]; {
		case is(a, "NX"):
			flags.nx = true
		case is(a, "XX"):
			flags.xx = true
		case is(a, "GT"):
			flags.gt = true
		case is(a, "LT"):
			flags.lt = true
		case is(a, "INCR"):
			flags.incr = true
		case is(a, "CH"):
		default:
			break options
		}
	}
	r := mi.open(m.c.DB, m.args[1])
	mi.changes(r, m.args, i+1, 2)
	if (len(m.args)-i)%2 != 0 || i == len(m.args) {
		mi.lose(r, yes, kindZset, &mi.losses.Malformed)
		return
	}
	for ; i < len(m.args); i += 2 {
		mi.zscore(r, m.args[i], m.args[i+1], flags)
	}
}

// zscore sets or increments one member's score.
func (mi *mirror) zscore(r *ref, by, member []byte, flags zaddFlags) {
	z, ok := collectionOf(mi, r, kindZset, newZset)
	if !ok {
		return
	}
	score, ok := floatOf(by)
	old, had := z.scores[string(member)]
	if flags.incr && had {
		score += old
	}
	switch {
	case !ok || math.IsNaN(score):
		mi.lose(r, yes, kindZset, &mi.losses.Mismatch)
	case had && (flags.nx || flags.gt && score <= old || flags.lt && score >= old), !had && flags.xx:
	case had && score == old:
	default:
		z.set(&r.undo, string(member), score)
	}
}

func (mi *mirror) zremove(m *maker, id ID) {
	r := mi.open(m.c.DB, m.args[1])
	z, known := present[*zset](mi, r, kindZset)
	if !known {
		if id == cmdZrem {
			mi.changes(r, m.args, 2, 1)
		}
		mi.shrunk(m, r, nil, false)
		return
	}
	ok := true
	switch id {
	case cmdZrem:
		mi.changes(r, m.args, 2, 1)
		for _, member := range m.args[2:] {
			z.remove(&r.undo, string(member))
		}
	case cmdZpopmin, cmdZpopmax:
		n := int64(1)
		if len(m.args) > 2 {
			n, ok = int64Of(m.args[2])
		}
		for range max(0, min(n, int64(z.len()))) {
			s, _ := z.order.Min()
			if id == cmdZpopmax {
				s, _ = z.order.Max()
			}
			z.remove(&r.undo, s.member)
		}
	default:
		var gone []scored
		gone, ok = z.between(rangeKinds[id], m.args[2], m.args[3])
		for _, s := range gone {
			z.remove(&r.undo, s.member)
		}
	}
	if !ok {
		mi.lose(r, maybe, kindZset, &mi.losses.Mismatch)
		return
	}
	mi.shrunk(m, r, z, true)
}

// rangeKind says what the ends of a range are.
type rangeKind uint8

const (
	byRank rangeKind = iota
	byScore
	byLex
)

var rangeKinds = map[ID]rangeKind{cmdZremrangebyrank: byRank, cmdZremrangebyscore: byScore, cmdZremrangebylex: byLex}

// between returns the members of a range, in order; false if its ends cannot
// be understood.
func (z *zset) between(by rangeKind, from, to []byte) ([]scored, bool) {
	var out []scored
	switch by {
	case byRank:
		start, ok1 := int64Of(from)
		stop, ok2 := int64Of(to)
		if !ok1 || !ok2 {
			return nil, false
		}
		first, last := span(start, stop, z.len())
		for i := first; i <= last; i++ {
			s, _ := z.order.GetAt(i)
			out = append(out, s)
		}
		return out, true
	case byScore:
		low, lowOpen, ok1 := scoreEnd(from)
		high, highOpen, ok2 := scoreEnd(to)
		if !ok1 || !ok2 {
			return nil, false
		}
		z.order.Ascend(scored{score: low}, func(s scored) bool {
			if s.score > high || highOpen && s.score == high {
				return false
			}
			if !lowOpen || s.score != low {
				out = append(out, s)
			}
			return true
		})
		return out, true
	}
	low, ok1 := lexEnd(from)
	high, ok2 := lexEnd(to)
	least, _ := z.order.Min()
	most, _ := z.order.Max()
	if !ok1 || !ok2 || least.score != most.score { // with several scores the result is that of the server's encoding
		return nil, false
	}
	z.order.Scan(func(s scored) bool {
		if high.before(s.member) {
			return false
		}
		if !low.after(s.member) {
			out = append(out, s)
		}
		return true
	})
	return out, true
}

// scoreEnd parses "1.5", "(1.5", "-inf".
func scoreEnd(b []byte) (score float64, open, ok bool) {
	if len(b) > 0 && b[0] == '(' {
		open, b = true, b[1:]
	}
	score, ok = floatOf(b)
	return score, open, ok
}

// lexBound is an end of a range by members: "-", "+", "[a", "(a".
type lexBound struct {
	text string
	kind byte
}

func lexEnd(b []byte) (lexBound, bool) {
	switch {
	case len(b) == 1 && (b[0] == '-' || b[0] == '+'):
		return lexBound{kind: b[0]}, true
	case len(b) > 0 && (b[0] == '[' || b[0] == '('):
		return lexBound{string(b[1:]), b[0]}, true
	}
	return lexBound{}, false
}

// before reports whether this upper end is before a member.
func (e lexBound) before(member string) bool {
	switch e.kind {
	case '-':
		return true
	case '+':
		return false
	case '(':
		return member >= e.text
	}
	return member > e.text
}

// after reports whether this lower end is after a member.
func (e lexBound) after(member string) bool {
	switch e.kind {
	case '-':
		return false
	case '+':
		return true
	case '(':
		return member <= e.text
	}
	return member < e.text
}

// storeRange: ZRANGESTORE destination source min max [BYSCORE|BYLEX] [REV]
// [LIMIT offset count].
func (mi *mirror) storeRange(m *maker, p plan) {
	dst := mi.open(m.c.DB, m.args[1])
	o, known := mi.open(m.c.DB, m.args[2]).source()
	z, isZset := o.(*zset)
	if !known || dst.it == nil || o != nil && !isZset {
		m.emit(1, p.name, p.typ)
		mi.lose(dst, maybe, kindZset, &mi.losses.Source)
		return
	}
	out := newZset()
	if z != nil {
		members, ok := z.rangeOf(m.args[3:])
		if !ok {
			m.emit(1, p.name, p.typ)
			mi.lose(dst, maybe, kindZset, &mi.losses.Mismatch)
			return
		}
		out.addAll(members)
	}
	mi.store(m, dst, kindZset, out, p.name)
}

func (z *zset) addAll(members []scored) {
	var u undo
	for _, s := range members {
		z.set(&u, s.member, s.score)
		u.elements = u.elements[:0]
	}
}

func (z *zset) rangeOf(args [][]byte) ([]scored, bool) {
	by, reverse := byRank, false
	offset, count := int64(0), int64(-1)
	for i := 2; i < len(args); i++ {
		switch {
		case is(args[i], "BYSCORE"):
			by = byScore
		case is(args[i], "BYLEX"):
			by = byLex
		case is(args[i], "REV"):
			reverse = true
		case is(args[i], "LIMIT") && i+2 < len(args):
			var ok1, ok2 bool
			offset, ok1 = int64Of(args[i+1])
			count, ok2 = int64Of(args[i+2])
			if i += 2; !ok1 || !ok2 {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	from, to := args[0], args[1]
	if reverse && by != byRank {
		from, to = to, from
	}
	if reverse && by == byRank {
		return z.reverseRanks(from, to)
	}
	members, ok := z.between(by, from, to)
	if reverse {
		slices.Reverse(members)
	}
	if offset < 0 || offset > int64(len(members)) {
		return nil, ok
	}
	members = members[offset:]
	if count >= 0 && count < int64(len(members)) {
		members = members[:count]
	}
	return members, ok
}

func (z *zset) reverseRanks(from, to []byte) ([]scored, bool) {
	start, ok1 := int64Of(from)
	stop, ok2 := int64Of(to)
	first, last := span(start, stop, z.len())
	var members []scored
	for i := first; i <= last; i++ {
		s, _ := z.order.GetAt(z.len() - 1 - i)
		members = append(members, s)
	}
	return members, ok1 && ok2
}

// weighed is a source of ZUNIONSTORE: a zset, a set whose members count 1, or
// nothing.
type weighed struct {
	z      *zset
	s      *set
	weight float64
}

func (w *weighed) len() int {
	switch {
	case w.z != nil:
		return w.z.len()
	case w.s != nil:
		return w.s.len()
	}
	return 0
}

func (w *weighed) score(member string) (float64, bool) {
	if w.z != nil {
		score, ok := w.z.scores[member]
		return score, ok
	}
	return 1, w.s != nil && w.s.has(member)
}

func (w *weighed) each(f func(member string, score float64)) {
	if w.z != nil {
		for member, score := range w.z.scores {
			f(member, score)
		}
	} else if w.s != nil {
		for member := range w.s.members {
			f(member, 1)
		}
	}
}

// storeZsets: ZUNIONSTORE destination n key... [WEIGHTS w...] [AGGREGATE how]
func (mi *mirror) storeZsets(m *maker, id ID, p plan) {
	dst := mi.open(m.c.DB, m.args[1])
	n, ok := parseInt(m.args[2])
	if !ok || n < 1 || 3+n > len(m.args) {
		m.emit(1, p.name, p.typ)
		m.malformed = true
		mi.lose(dst, maybe, kindZset, &mi.losses.Malformed)
		return
	}
	sources := make([]weighed, n)
	known := true
	for i, key := range m.args[3 : 3+n] {
		o, ok := mi.open(m.c.DB, key).source()
		w := weighed{weight: 1}
		w.z, _ = o.(*zset)
		w.s, _ = o.(*set)
		known = known && ok && (o == nil || w.z != nil || w.s != nil)
		sources[i] = w
	}
	aggregate, ok := weights(m.args[3+n:], sources)
	if !known || !ok || dst.it == nil {
		m.emit(1, p.name, p.typ)
		mi.lose(dst, maybe, kindZset, &mi.losses.Source)
		return
	}
	mi.store(m, dst, kindZset, combineZsets(id, sources, aggregate), p.name)
}

// weights parses the options of ZUNIONSTORE into the sources.
func weights(args [][]byte, sources []weighed) (aggregate func(a, b float64) float64, ok bool) {
	aggregate = sum
	for i := 0; i < len(args); i++ {
		switch {
		case is(args[i], "WEIGHTS") && i+len(sources) < len(args):
			for j := range sources {
				i++
				if sources[j].weight, ok = floatOf(args[i]); !ok {
					return nil, false
				}
			}
		case is(args[i], "AGGREGATE") && i+1 < len(args):
			i++
			switch {
			case is(args[i], "SUM"):
			case is(args[i], "MIN"):
				aggregate = lesser
			case is(args[i], "MAX"):
				aggregate = greater
			default:
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return aggregate, true
}

// sum is that of the servers: of two infinities that cancel out, and with what
// is no number, it is 0.
func sum(a, b float64) float64 {
	if c := a + b; c == c {
		return c
	}
	return 0
}

// lesser and greater are the servers': what is no number is passed over.
func lesser(a, b float64) float64 {
	if b < a {
		return b
	}
	return a
}

func greater(a, b float64) float64 {
	if b > a {
		return b
	}
	return a
}

// times is the servers' product of a weight and a score.
func times(a, b float64) float64 {
	if c := a * b; c == c {
		return c
	}
	return 0
}

func combineZsets(id ID, sources []weighed, aggregate func(a, b float64) float64) *zset {
	out := newZset()
	add := func(member string, score float64) { out.addAll([]scored{{score, member}}) }
	if id == cmdZdiffstore {
		sources[0].each(func(member string, score float64) {
			for i := range sources[1:] {
				if _, ok := sources[1+i].score(member); ok {
					return
				}
			}
			add(member, score)
		})
		return out
	}
	// From the smallest to the largest, as the servers do: it decides how sums
	// are rounded.
	slices.SortStableFunc(sources, func(a, b weighed) int { return a.len() - b.len() })
	if id == cmdZunionstore {
		total := map[string]float64{}
		for _, w := range sources {
			w.each(func(member string, score float64) {
				score = times(w.weight, score)
				if old, ok := total[member]; ok {
					score = aggregate(old, score)
				}
				total[member] = score
			})
		}
		for member, score := range total {
			add(member, score)
		}
		return out
	}
	sources[0].each(func(member string, score float64) {
		score = times(sources[0].weight, score)
		for _, w := range sources[1:] {
			other, ok := w.score(member)
			if !ok {
				return
			}
			score = aggregate(score, w.weight*other) // which may be no number, and is not made 0 here
		}
		add(member, score)
	})
	return out
}

// geoStore returns the index of the key that GEORADIUS stores into, 0 for none.
func geoStore(args [][]byte, from int) int {
	at := 0
	for i := from; i < len(args)-1; i++ {
		if is(args[i], "STORE") || is(args[i], "STOREDIST") {
			i++
			at = i
		}
	}
	return at
}

// storeGeo: GEOSEARCHSTORE, and GEORADIUS with STORE. to and from are where the
// destination and the source are.
func (mi *mirror) storeGeo(in *Interpreter, m *maker, id ID, p plan, to, from int) {
	if to == 0 || max(to, from) >= len(m.args) {
		in.stateless(m, id, p)
		return
	}
	dst := mi.open(m.c.DB, m.args[to])
	o, known := mi.open(m.c.DB, m.args[from]).source()
	z, isZset := o.(*zset)
	if !known || dst.it == nil || o != nil && !isZset {
		in.stateless(m, id, p)
		mi.lose(dst, maybe, kindZset, &mi.losses.Source)
		return
	}
	name := map[ID]string{cmdGeosearchstore: "geosearchstore"}[id]
	if name == "" {
		name = "georadiusstore"
	}
	if z == nil {
		mi.storeEmpty(m, dst)
		return
	}
	search, ok := parseGeo(id, m.args, z)
	members, exists, sure := search.placesOf(z)
	if ok && (sure || exists == no) {
		out := newZset()
		out.addAll(members)
		mi.store(m, dst, kindZset, out, name)
		return
	}
	in.stateless(m, id, p)
	if !ok {
		exists = maybe
	}
	mi.lose(dst, exists, kindZset, &mi.losses.Undecided)
	if exists == yes {
		dst.setDeadline(0, true)
	}
}
