package keyspace

import (
	"math"
	"slices"

	"github.com/tidwall/btree"

	"triggerd/internal/event"
	"triggerd/rdb"
)

var zsetCommands = []command{
	{name: "BZMPOP", arity: -5, acl: "@blocking @slow @sortedset @write", keys: laterCountedKeys,
		events: ownName, instead: insteadZpop},
	{name: "BZPOPMAX", arity: -3, acl: "@blocking @fast @sortedset @write", keys: allButLast,
		events: ownName, instead: `event "zpopmax" (it arrives as ZPOPMAX)`},
	{name: "BZPOPMIN", arity: -3, acl: "@blocking @fast @sortedset @write", keys: allButLast,
		events: ownName, instead: `event "zpopmin" (it arrives as ZPOPMIN)`},
	{name: "ZADD", arity: -4, acl: "@fast @sortedset @write", keys: firstKey,
		events: madeBy((*call).zaddEvents, "zadd", "zincr"), apply: (*call).zadd},
	{name: "ZCARD", arity: 2, acl: "@fast @read @sortedset", keys: firstKey},
	{name: "ZCOUNT", arity: 4, acl: "@fast @read @sortedset", keys: firstKey},
	{name: "ZDIFF", arity: -3, acl: "@read @slow @sortedset", keys: countedKeys},
	{name: "ZDIFFSTORE", arity: -4, acl: "@slow @sortedset @write", keys: keyAndCountedSources,
		events: onKey("zdiffstore", "", "del"), follow: (*call).zdiffstore, replaces: overwrites},
	{name: "ZINCRBY", arity: 4, acl: "@fast @sortedset @write", keys: firstKey,
		events: onKey("zincr", typeZset), apply: (*call).zincrby},
	{name: "ZINTER", arity: -3, acl: "@read @slow @sortedset", keys: countedKeys},
	{name: "ZINTERCARD", arity: -3, acl: "@read @slow @sortedset", keys: countedKeys},
	{name: "ZINTERSTORE", arity: -4, acl: "@slow @sortedset @write", keys: keyAndCountedSources,
		events: onKey("zinterstore", "", "del"), follow: (*call).zinterstore, replaces: overwrites},
	{name: "ZLEXCOUNT", arity: 4, acl: "@fast @read @sortedset", keys: firstKey},
	{name: "ZMPOP", arity: -4, acl: "@slow @sortedset @write", keys: countedKeys,
		events: ownName, instead: insteadZpop},
	{name: "ZMSCORE", arity: -3, acl: "@fast @read @sortedset", keys: firstKey},
	{name: "ZPOPMAX", arity: -2, acl: "@fast @sortedset @write", keys: firstKey,
		events: onKey("zpopmax", "", "del"), apply: (*call).zpopmax},
	{name: "ZPOPMIN", arity: -2, acl: "@fast @sortedset @write", keys: firstKey,
		events: onKey("zpopmin", "", "del"), apply: (*call).zpopmin},
	{name: "ZRANDMEMBER", arity: -2, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZRANGE", arity: -4, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZRANGEBYLEX", arity: -4, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZRANGEBYSCORE", arity: -4, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZRANGESTORE", arity: -5, acl: "@slow @sortedset @write", keys: twoKeys,
		events: onKey("zrangestore", "", "del"), follow: (*call).zrangestore, replaces: overwrites},
	{name: "ZRANK", arity: -3, acl: "@fast @read @sortedset", keys: firstKey},
	{name: "ZREM", arity: -3, acl: "@fast @sortedset @write", keys: firstKey,
		events: onKey("zrem", "", "del"), apply: (*call).zrem},
	{name: "ZREMRANGEBYLEX", arity: 4, acl: "@slow @sortedset @write", keys: firstKey,
		events: onKey("zremrangebylex", "", "del"), apply: (*call).zremrangebylex},
	{name: "ZREMRANGEBYRANK", arity: 4, acl: "@slow @sortedset @write", keys: firstKey,
		events: onKey("zremrangebyrank", "", "del"), apply: (*call).zremrangebyrank},
	{name: "ZREMRANGEBYSCORE", arity: 4, acl: "@slow @sortedset @write", keys: firstKey,
		events: onKey("zremrangebyscore", "", "del"), apply: (*call).zremrangebyscore},
	{name: "ZREVRANGE", arity: -4, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZREVRANGEBYLEX", arity: -4, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZREVRANGEBYSCORE", arity: -4, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZREVRANK", arity: -3, acl: "@fast @read @sortedset", keys: firstKey},
	{name: "ZSCAN", arity: -3, acl: "@read @slow @sortedset", keys: firstKey},
	{name: "ZSCORE", arity: 3, acl: "@fast @read @sortedset", keys: firstKey},
	{name: "ZUNION", arity: -3, acl: "@read @slow @sortedset", keys: countedKeys},
	{name: "ZUNIONSTORE", arity: -4, acl: "@slow @sortedset @write", keys: keyAndCountedSources,
		events: onKey("zunionstore", "", "del"), follow: (*call).zunionstore, replaces: overwrites},
}

// zaddEvents: ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ...
func (c *call) zaddEvents() {
	name := "zadd"
	if options, _ := zaddOptionsOf(c.args); options.incr {
		name = "zincr"
	}
	c.emit(1, name, typeZset)
}

// zaddOptions are the options of ZADD.
type zaddOptions struct{ nx, xx, gt, lt, incr bool }

// zaddOptionsOf returns the options of a ZADD, and the index of what follows.
func zaddOptionsOf(args [][]byte) (o zaddOptions, next int) {
	for i := 2; i < len(args); i++ {
		switch a := args[i]; {
		case is(a, "NX"):
			o.nx = true
		case is(a, "XX"):
			o.xx = true
		case is(a, "GT"):
			o.gt = true
		case is(a, "LT"):
			o.lt = true
		case is(a, "INCR"):
			o.incr = true
		case is(a, "CH"):
		default:
			return o, i
		}
	}
	return o, len(args)
}

// zadd: see zaddEvents.
func (c *call) zadd() {
	options, i := zaddOptionsOf(c.args)
	k := c.key(1)
	c.nameElements(k, c.args, i+1, 2)
	if (len(c.args)-i)%2 != 0 || i == len(c.args) {
		c.lose(k, yes, kindZset, &c.lost.Malformed)
		return
	}
	for ; i < len(c.args); i += 2 {
		c.setScore(k, c.args[i], c.args[i+1], options)
	}
}

// zincrby: ZINCRBY key increment member.
func (c *call) zincrby() {
	k := c.key(1)
	c.nameElements(k, c.args, 3, 1)
	c.setScore(k, c.args[2], c.args[3], zaddOptions{incr: true})
}

// setScore sets or increments one member's score.
func (c *call) setScore(k *operand, by, member []byte, options zaddOptions) {
	z, ok := collectionForWrite(c, k, kindZset, newZset)
	if !ok {
		return
	}
	score, ok := floatOf(by)
	old, had := z.scores[string(member)]
	if options.incr && had {
		score += old
	}
	switch {
	case !ok || math.IsNaN(score):
		c.lose(k, yes, kindZset, &c.lost.Mismatch)
	case had && (options.nx || options.gt && score <= old || options.lt && score >= old), !had && options.xx:
	case had && score == old:
	default:
		z.set(&k.undo, string(member), score)
	}
}

// zrem: ZREM key member...
func (c *call) zrem() {
	k := c.key(1)
	c.nameElements(k, c.args, 2, 1)
	c.removeMembers(k, func(z *zset) bool {
		for _, member := range c.args[2:] {
			z.remove(&k.undo, string(member))
		}
		return true
	})
}

func (c *call) zpopmin() { c.zpop((*zset).least) }
func (c *call) zpopmax() { c.zpop((*zset).greatest) }

// zpop: ZPOPMIN key [count].
func (c *call) zpop(end func(*zset) scored) {
	k := c.key(1)
	n, ok := int64(1), true
	if len(c.args) > 2 {
		n, ok = int64Of(c.args[2])
	}
	if z, known := existingCollection[*zset](c, k); known && ok && n >= int64(z.len()) {
		c.removeWhole(k)
		return
	}
	c.removeMembers(k, func(z *zset) bool {
		for range max(0, n) {
			z.remove(&k.undo, end(z).member)
		}
		return ok
	})
}

func (c *call) zremrangebyrank()  { c.removeRange(byRank) }
func (c *call) zremrangebyscore() { c.removeRange(byScore) }
func (c *call) zremrangebylex()   { c.removeRange(byLex) }

// removeRange: ZREMRANGEBYSCORE key min max.
func (c *call) removeRange(by rangeKind) {
	k := c.key(1)
	if z, known := existingCollection[*zset](c, k); known && z.within(by, c.args[2], c.args[3]) {
		c.removeWhole(k)
		return
	}
	c.removeMembers(k, func(z *zset) bool {
		members, ok := z.between(by, c.args[2], c.args[3], k.undo.pace)
		for _, s := range members {
			z.remove(&k.undo, s.member)
		}
		return ok
	})
}

// removeMembers removes members of a sorted set by remove, which reports whether
// it could.
func (c *call) removeMembers(k *operand, remove func(*zset) bool) {
	z, known := existingCollection[*zset](c, k)
	if known && !remove(z) {
		c.lose(k, maybe, kindZset, &c.lost.Mismatch)
		return
	}
	c.elementsRemoved(k, z, known)
}

// rangeKind says what the ends of a range are.
type rangeKind uint8

const (
	byRank rangeKind = iota
	byScore
	byLex
)

// between returns the members of a range, in order; false if its ends cannot
// be understood.
func (z *zset) between(by rangeKind, from, to []byte, p *pace) ([]scored, bool) {
	var out []scored
	switch by {
	case byRank:
		start, ok1 := int64Of(from)
		stop, ok2 := int64Of(to)
		if !ok1 || !ok2 {
			return nil, false
		}
		first, last := span(start, stop, z.len())
		for i := first; i <= last && !p.stops(); i++ {
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
			return !p.stops()
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
		if high.endsBefore(s.member) {
			return false
		}
		if !low.beginsAfter(s.member) {
			out = append(out, s)
		}
		return !p.stops()
	})
	return out, true
}

// within reports whether all members are in a range.
func (z *zset) within(by rangeKind, from, to []byte) bool {
	least, most := z.least(), z.greatest()
	switch by {
	case byRank:
		start, ok1 := int64Of(from)
		stop, ok2 := int64Of(to)
		first, last := span(start, stop, z.len())
		return ok1 && ok2 && first == 0 && last == z.len()-1
	case byScore:
		low, lowOpen, ok1 := scoreEnd(from)
		high, highOpen, ok2 := scoreEnd(to)
		return ok1 && ok2 && (low < least.score || !lowOpen && low == least.score) && (high > most.score || !highOpen && high == most.score)
	}
	low, ok1 := lexEnd(from)
	high, ok2 := lexEnd(to)
	return ok1 && ok2 && least.score == most.score && !low.beginsAfter(least.member) && !high.endsBefore(most.member)
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
	sign byte
}

func lexEnd(b []byte) (lexBound, bool) {
	switch {
	case len(b) == 1 && (b[0] == '-' || b[0] == '+'):
		return lexBound{sign: b[0]}, true
	case len(b) > 0 && (b[0] == '[' || b[0] == '('):
		return lexBound{string(b[1:]), b[0]}, true
	}
	return lexBound{}, false
}

// endsBefore reports whether this upper end is before a member.
func (e lexBound) endsBefore(member string) bool {
	switch e.sign {
	case '-':
		return true
	case '+':
		return false
	case '(':
		return member >= e.text
	}
	return member > e.text
}

// beginsAfter reports whether this lower end is after a member.
func (e lexBound) beginsAfter(member string) bool {
	switch e.sign {
	case '-':
		return false
	case '+':
		return true
	case '(':
		return member <= e.text
	}
	return member < e.text
}

// zrangestore: ZRANGESTORE destination source min max [BYSCORE|BYLEX] [REV]
// [LIMIT offset count].
func (c *call) zrangestore() {
	dst := c.key(1)
	o, known := c.key(2).source()
	z, isZset := o.(*zset)
	if !known || !dst.needed() || o != nil && !isZset {
		c.announce()
		c.lose(dst, maybe, kindZset, &c.lost.Source)
		return
	}
	out := newZset()
	if z != nil {
		members, ok := z.rangeOf(c.args[3:], &c.in.pace)
		if !ok {
			c.announce()
			c.lose(dst, maybe, kindZset, &c.lost.Mismatch)
			return
		}
		out.addAll(members, &c.in.pace)
	}
	c.storeElements(dst, kindZset, out)
}

func (z *zset) addAll(members []scored, p *pace) {
	u := undo{pace: p}
	for _, s := range members {
		z.set(&u, s.member, s.score)
		u.elements = u.elements[:0]
	}
}

// add adds a member to a sorted set that is made.
func (z *zset) add(member string, score float64) {
	var u undo
	z.set(&u, member, score)
}

// rangeOf returns the members that ZRANGESTORE stores: args begin with the ends
// of the range.
func (z *zset) rangeOf(args [][]byte, p *pace) ([]scored, bool) {
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
		return z.reverseRanks(from, to, p)
	}
	members, ok := z.between(by, from, to, p)
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

// reverseRanks counts ranks from the greatest score.
func (z *zset) reverseRanks(from, to []byte, p *pace) ([]scored, bool) {
	start, ok1 := int64Of(from)
	stop, ok2 := int64Of(to)
	first, last := span(start, stop, z.len())
	var members []scored
	for i := first; i <= last && !p.stops(); i++ {
		s, _ := z.order.GetAt(z.len() - 1 - i)
		members = append(members, s)
	}
	return members, ok1 && ok2
}

// weighted is a source of ZUNIONSTORE: a zset, a set whose members count 1, or
// nothing.
type weighted struct {
	z      *zset
	s      *set
	weight float64
}

func (w *weighted) len() int {
	switch {
	case w.z != nil:
		return w.z.len()
	case w.s != nil:
		return w.s.len()
	}
	return 0
}

func (w *weighted) score(member string) (float64, bool) {
	if w.z != nil {
		score, ok := w.z.scores[member]
		return score, ok
	}
	return 1, w.s != nil && w.s.has(member)
}

// each calls f for each member until it is to stop.
func (w *weighted) each(p *pace, f func(member string, score float64)) {
	if w.z != nil {
		for member, score := range w.z.scores {
			if p.stops() {
				return
			}
			f(member, score)
		}
	} else if w.s != nil {
		for member := range w.s.members {
			if p.stops() {
				return
			}
			f(member, 1)
		}
	}
}

func (c *call) zunionstore() { c.storeZsets(unionOfZsets) }
func (c *call) zinterstore() { c.storeZsets(intersectionOfZsets) }
func (c *call) zdiffstore()  { c.storeZsets(differenceOfZsets) }

// storeZsets: ZUNIONSTORE destination n key... [WEIGHTS w...] [AGGREGATE how]
func (c *call) storeZsets(combine func([]weighted, aggregation, *pace) *zset) {
	dst := c.key(1)
	n, ok := parseInt(c.args[2])
	if !ok || n < 1 || 3+n > len(c.args) {
		c.announce()
		c.malformed = true
		c.lose(dst, maybe, kindZset, &c.lost.Malformed)
		return
	}
	sources := make([]weighted, n)
	known := true
	for i, key := range c.args[3 : 3+n] {
		o, ok := c.keyIn(c.sent.DB, key).source()
		w := weighted{weight: 1}
		w.z, _ = o.(*zset)
		w.s, _ = o.(*set)
		known = known && ok && (o == nil || w.z != nil || w.s != nil)
		sources[i] = w
	}
	aggregate, ok := weights(c.args[3+n:], sources)
	if !known || !ok || !dst.needed() {
		c.announce()
		c.lose(dst, maybe, kindZset, &c.lost.Source)
		return
	}
	c.storeElements(dst, kindZset, combine(sources, aggregate, &c.in.pace))
}

// weights parses the options of ZUNIONSTORE into the sources.
func weights(args [][]byte, sources []weighted) (aggregate aggregation, ok bool) {
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

// aggregation makes one score of two.
type aggregation func(a, b float64) float64

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

func differenceOfZsets(sources []weighted, _ aggregation, p *pace) *zset {
	out := newZset()
	sources[0].each(p, func(member string, score float64) {
		for i := range sources[1:] {
			if _, ok := sources[1+i].score(member); ok || p.stops() {
				return
			}
		}
		out.add(member, score)
	})
	return out
}

// smallestFirst sorts sources as the servers do: it decides how sums are
// rounded.
func smallestFirst(sources []weighted) {
	slices.SortStableFunc(sources, func(a, b weighted) int { return a.len() - b.len() })
}

func unionOfZsets(sources []weighted, aggregate aggregation, p *pace) *zset {
	smallestFirst(sources)
	total := map[string]float64{}
	for _, w := range sources {
		w.each(p, func(member string, score float64) {
			score = times(w.weight, score)
			if old, ok := total[member]; ok {
				score = aggregate(old, score)
			}
			total[member] = score
		})
	}
	out := newZset()
	for member, score := range total {
		if p.stops() {
			break
		}
		out.add(member, score)
	}
	return out
}

func intersectionOfZsets(sources []weighted, aggregate aggregation, p *pace) *zset {
	smallestFirst(sources)
	out := newZset()
	sources[0].each(p, func(member string, score float64) {
		score = times(sources[0].weight, score)
		for _, w := range sources[1:] {
			other, ok := w.score(member)
			if !ok || p.stops() {
				return
			}
			score = aggregate(score, w.weight*other) // which may be no number, and is not made 0 here
		}
		out.add(member, score)
	})
	return out
}

// zset is a sorted set: a map for scores and a tree for the order.
type zset struct {
	scores map[string]float64
	order  *btree.BTreeG[scored]
	size   int
	counted
}

// scored is a member with its score.
type scored struct {
	score  float64
	member string
}

// scoredLess is the servers' order: by score, then by the member's bytes.
func scoredLess(a, b scored) bool {
	if a.score != b.score {
		return a.score < b.score
	}
	return a.member < b.member
}

func newZset() *zset {
	return &zset{scores: map[string]float64{}, order: btree.NewBTreeGOptions(scoredLess, btree.Options{NoLocks: true})}
}

func (z *zset) len() int   { return len(z.scores) }
func (z *zset) bytes() int { return z.size + 300 + z.tallies.bytes() }

// set sets a member's score. Whether a score of -0 keeps its sign depends on how
// the server encodes the set just then, so that here it has none.
func (z *zset) set(u *undo, member string, score float64) {
	if u.stops() {
		return
	}
	score += 0
	old, had := z.scores[member]
	u.elements = append(u.elements, oldElement{name: member, score: old, had: had})
	if had {
		z.order.Delete(scored{old, member})
	} else {
		z.size += len(member) + zsetCost
	}
	z.scores[member] = score
	z.order.Set(scored{score, member})
	if u.logs {
		u.log(opScore, scoreBits(score), 0, member)
	}
}

func (z *zset) remove(u *undo, member string) bool {
	score, had := z.scores[member]
	if !had || u.stops() {
		return false
	}
	u.elements = append(u.elements, oldElement{name: member, score: score, had: true})
	delete(z.scores, member)
	z.order.Delete(scored{score, member})
	z.size -= len(member) + zsetCost
	if u.logs {
		u.log(opDelete, 0, 0, member)
	}
	return true
}

func (z *zset) clone(p *pace) collection {
	c := newZset()
	for m, s := range z.scores {
		if p.stops() {
			break
		}
		c.scores[m] = s
		c.order.Set(scored{s, m})
	}
	c.size = z.size
	return c
}

func (z *zset) least() scored {
	s, _ := z.order.Min()
	return s
}

func (z *zset) greatest() scored {
	s, _ := z.order.Max()
	return s
}

func (z *zset) equal(other collection, p *pace) bool {
	return sameMaps(z.scores, other.(*zset).scores, p)
}

// load adds a member. Where Redis takes one that is there twice, its commands find
// the first.
func (z *zset) load(e *rdb.Element, l *loader) error {
	if _, twice := z.scores[string(e.Member)]; twice {
		l.twice = true
		return nil
	}
	z.set(&l.undo, string(e.Member), e.Score)
	return nil
}

func (z *zset) do(o *operation, u *undo) bool {
	switch o.code {
	case opScore:
		score := scoreOf(o.numbers[0])
		if score != score {
			return false
		}
		z.set(u, o.texts[0], score)
	case opDelete:
		z.remove(u, o.texts[0])
	default:
		return false
	}
	return true
}

func (z *zset) appendOps(dst []byte, full func([]byte) []byte) []byte {
	z.order.Scan(func(s scored) bool {
		dst = full(appendOp(dst, opScore, scoreBits(s.score), 0, s.member))
		return true
	})
	return dst
}

// each merges the tree, which is sorted, with what has changed since.
func (z *zset) each(v *view, give func(event.Element) bool) {
	if v.asItIs() {
		z.order.Scan(func(s scored) bool { return give(event.Element{Name: s.member, Score: s.score}) })
		return
	}
	var was []scored
	for old := range v.oldElements() {
		was = append(was, scored{old.score, old.name})
	}
	slices.SortFunc(was, func(a, b scored) int {
		if scoredLess(a, b) {
			return -1
		}
		return 1
	})
	more := true
	z.order.Scan(func(s scored) bool {
		if _, changed := v.changed(s.member); changed {
			return true
		}
		for more && len(was) > 0 && scoredLess(was[0], s) {
			more = give(event.Element{Name: was[0].member, Score: was[0].score})
			was = was[1:]
		}
		more = more && give(event.Element{Name: s.member, Score: s.score})
		return more
	})
	for _, s := range was {
		if more = more && give(event.Element{Name: s.member, Score: s.score}); !more {
			return
		}
	}
}
