package rules

import (
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// An index finds the few rules that an event may match: by its key, with a
// hash for exact keys and an automaton for globs, and then, where many rules
// wait for the same keys, by other values of the event. What it finds is
// checked with the rule itself.
type index struct {
	set    *Set
	any    group             // rules that the key does not tell apart
	exact  map[string]*group // by the whole key
	sizes  uint64            // lengths of those keys: see sizeBit
	globs  []globGroup
	finder *glob.Finder
	hits   []int32  // of the finder, for the event at hand
	tried  []uint32 // by rule: the event that it was last checked for
	now    uint32   // number of the event at hand
	kept   int      // what was in the slice before the matches of the event at hand
	digits []byte   // its database in decimal
}

// globGroup is the rules that wait for the keys of one pattern.
type globGroup struct {
	capturing *glob.Pattern // the pattern, if it captures
	group
}

// ref is a rule in the index. If the key was found by the rule's own field
// there is no need to check that again.
type ref struct {
	rule  int32 // of Set.patterns
	field bool
}

// group is rules to be tried for an event, divided by values of the event
// where they are many.
type group struct {
	rest []ref
	by   []branch
}

// branch divides rules by a value of the event.
type branch struct {
	of     origin
	groups map[string]*group
}

// entry is a conjunct on its way into the index.
type entry struct {
	ref   ref
	equal []equality
}

// smallGroup is how many rules are tried one by one rather than divided.
const smallGroup = 8

// newIndex builds the index of a set, given the conjuncts of each rule.
func newIndex(set *Set, conjuncts [][]conjunct) *index {
	x := &index{set: set, exact: map[string]*group{}, tried: make([]uint32, len(set.patterns))}
	var anyKey []entry
	exact := map[string][]entry{}
	byGlob := map[string][]entry{}
	patterns := map[string]*glob.Pattern{}
	for i, list := range conjuncts {
		for _, c := range list {
			e := entry{ref{int32(i), c.field && c.keys != nil}, c.equal}
			if !e.ref.field || set.patterns[i].only == nil {
				e.equal = slices.DeleteFunc(slices.Clone(c.equal), func(e equality) bool { return e.of.kind == fromParam })
			}
			if c.keys == nil {
				anyKey = append(anyKey, e)
			}
			for _, g := range c.keys {
				if key, ok := g.Key(); ok {
					exact[key] = append(exact[key], e)
					continue
				}
				id := g.Identity()
				byGlob[id] = append(byGlob[id], e)
				patterns[id] = g
			}
		}
	}
	x.any = newGroup(anyKey, nil)
	for key, entries := range exact {
		g := newGroup(entries, nil)
		x.exact[key] = &g
		x.sizes |= sizeBit(len(key))
	}
	var list []*glob.Pattern
	for id := range sortedKeys(patterns) {
		list = append(list, patterns[id])
		g := globGroup{group: newGroup(byGlob[id], nil)}
		if len(patterns[id].Captures()) > 0 {
			g.capturing = patterns[id]
		}
		x.globs = append(x.globs, g)
	}
	x.finder = glob.NewAutomaton(list).Finder()
	return x
}

// newGroup divides entries until each part is small, by values that they do
// not all leave open; used are origins that they are divided by already.
func newGroup(entries []entry, used []origin) group {
	const maxBranches = 6 // each costs every event a look-up
	var g group
	for len(entries) > smallGroup && len(g.by) < maxBranches {
		of, ok := bestOrigin(entries, used)
		if !ok {
			break
		}
		used = append(used[:len(used):len(used)], of)
		b := branch{of, map[string]*group{}}
		parts := map[string][]entry{}
		var others []entry
		for _, e := range entries {
			i := e.find(of)
			if i < 0 {
				others = append(others, e)
				continue
			}
			for _, v := range e.equal[i].values {
				parts[v] = append(parts[v], e)
			}
		}
		for v, part := range parts {
			sub := newGroup(part, used)
			b.groups[v] = &sub
		}
		g.by = append(g.by, b)
		entries = others
	}
	for _, e := range entries {
		g.rest = append(g.rest, e.ref)
	}
	return g
}

// find returns the index of the entry's equality of an origin, -1 if it has
// none that is of use.
func (e *entry) find(of origin) int {
	return slices.IndexFunc(e.equal, func(q equality) bool { return q.of == of && len(q.values) <= maxValues })
}

// bestOrigin returns the origin that tells most of the entries apart: the one
// of most different values.
func bestOrigin(entries []entry, used []origin) (origin, bool) {
	values := map[origin]map[string]bool{}
	for _, e := range entries {
		for _, q := range e.equal {
			if len(q.values) > maxValues || slices.Contains(used, q.of) {
				continue
			}
			if values[q.of] == nil {
				values[q.of] = map[string]bool{}
			}
			for _, v := range q.values {
				values[q.of][v] = true
			}
		}
	}
	var best origin
	most := 0
	for of, v := range values {
		if len(v) > most || len(v) == most && byPreference(of, best) < 0 {
			best, most = of, len(v)
		}
	}
	return best, most > 0
}

// match appends the rules that match to dst, in the order of their file.
func (x *index) match(dst []Match, ev *event.Event) []Match {
	if x.now++; x.now == 0 { // around once in four thousand million events
		clear(x.tried)
		x.now = 1
	}
	x.kept = len(dst)
	if !x.any.empty() {
		dst = x.try(dst, ev, &x.any, nil)
	}
	if x.sizes&sizeBit(len(ev.Key)) != 0 {
		if g := x.exact[string(ev.Key)]; g != nil {
			dst = x.try(dst, ev, g, nil)
		}
	}
	if len(x.globs) == 0 {
		return dst
	}
	x.hits = x.finder.Find(x.hits[:0], ev.Key)
	for _, h := range x.hits {
		if x.finder.Confirm(h, ev.Key) {
			g := &x.globs[h]
			dst = x.try(dst, ev, &g.group, g.capturing)
		}
	}
	return dst
}

// sizeBit is the bit of a key's length, which costs less to know than its hash.
func sizeBit(n int) uint64 { return 1 << min(n, 63) }

func (g *group) empty() bool { return len(g.rest) == 0 && len(g.by) == 0 }

// try checks the rules of a group; capturing is the pattern that the key was
// found by, if it captures.
func (x *index) try(dst []Match, ev *event.Event, g *group, capturing *glob.Pattern) []Match {
	for _, r := range g.rest {
		dst = x.check(dst, ev, r)
	}
	for i := range g.by {
		b := &g.by[i]
		value := x.value(b.of, ev, capturing)
		if sub := b.groups[value]; sub != nil {
			dst = x.try(dst, ev, sub, capturing)
		}
		if b.of.kind == fromCommand { // a command stands for its subcommands too
			if i := strings.IndexByte(value, ' '); i > 0 {
				if sub := b.groups[value[:i]]; sub != nil {
					dst = x.try(dst, ev, sub, capturing)
				}
			}
		}
	}
	return dst
}

// value returns a value of the event, valid as long as the event is.
func (x *index) value(of origin, ev *event.Event, capturing *glob.Pattern) string {
	switch of.kind {
	case fromCommand:
		return ev.Command
	case fromEvent:
		return ev.Name
	case fromType:
		return ev.Type
	case fromDB:
		x.digits = strconv.AppendInt(x.digits[:0], int64(ev.DB), 10)
		return text(x.digits)
	case fromArg:
		if of.arg < len(ev.Args) {
			return text(ev.Args[of.arg])
		}
	case fromParam:
		v, _ := capturing.Captured(ev.Key, of.name)
		return text(v)
	}
	return ""
}

// check checks one rule, once an event, and puts it into its place.
func (x *index) check(dst []Match, ev *event.Event, r ref) []Match {
	if x.tried[r.rule] == x.now {
		return dst
	}
	x.tried[r.rule] = x.now
	rule := x.set.patterns[r.rule]
	if rule.timed != nil {
		return x.checkTimed(dst, ev, rule, r.field)
	}
	if !rule.selects(ev, r.field) || !x.set.holds(rule, ev) {
		return dst
	}
	i := len(dst)
	dst = append(dst, Match{})
	for i > x.kept && dst[i-1].Rule.index > r.rule {
		dst[i] = dst[i-1]
		i--
	}
	dst[i] = Match{Rule: rule, Event: ev}
	return dst
}

// checkTimed checks a rule with time fields, or a cancel pattern of one. Of a
// rule there is one match: what cancels goes before what fires, and the first
// cancel pattern before the others.
func (x *index) checkTimed(dst []Match, ev *event.Event, rule *Rule, keyFound bool) []Match {
	role, ok := x.set.wants(rule, ev, keyFound)
	if !ok {
		return dst
	}
	m := Match{Rule: rule.timed.owner, Event: ev, Role: role}
	if m.Rule != rule {
		m.companion = rule
	}
	i := len(dst)
	for i > x.kept && dst[i-1].Rule.index > m.Rule.index {
		i--
	}
	if i == x.kept || dst[i-1].Rule != m.Rule {
		return slices.Insert(dst, i, m)
	}
	have := &dst[i-1]
	if m.companion != nil && (have.companion == nil || have.companion.index > m.companion.index) {
		*have = m
	}
	return dst
}
