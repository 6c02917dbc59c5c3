package rules

import (
	"cmp"
	"slices"

	"triggerd/internal/condition"
	"triggerd/internal/glob"
)

// An index finds the few rules that an event may match. It looks at the event's
// key, with a hash for exact keys and an automaton for globs. If many rules ask
// for the same keys, it looks at other values of the event. What it finds is
// checked with the rule itself. An index does not change once it is made. Each
// Matcher has its own scratch for it.
type index struct {
	any       ruleGroup             // rules that any key may match
	exact     map[string]*ruleGroup // by the whole key
	sizes     uint64                // lengths of those keys: see sizeBit
	automaton *glob.Automaton       // of the patterns of globs
	globs     []globGroup
}

// globGroup is the rules that ask for the keys of one pattern.
type globGroup struct {
	capturing *glob.Pattern // the pattern, if it captures
	ruleGroup
}

// ruleRef is a rule in the index. If the key was found by the rule's own key
// field, that field is not checked again.
type ruleRef struct {
	rule  int32 // of Set.patterns
	field bool
}

// ruleGroup is a group of rules that are tried for an event. A large group is
// divided by values of the event.
type ruleGroup struct {
	rest []ruleRef
	by   []branch
}

// branch divides rules by a value of the event.
type branch struct {
	subject condition.Subject
	groups  map[string]*ruleGroup
}

// indexEntry is a conjunct on its way into the index.
type indexEntry struct {
	ref   ruleRef
	equal []condition.Equality
}

// smallGroup is how many rules are tried one by one; more are divided.
const smallGroup = 8

// newIndex builds the index of a set, given the conjuncts of each rule.
func newIndex(set *Set, conjuncts [][]condition.Conjunct) *index {
	x := &index{exact: map[string]*ruleGroup{}}
	var anyKey []indexEntry
	exact := map[string][]indexEntry{}
	byGlob := map[string][]indexEntry{}
	patterns := map[string]*glob.Pattern{}
	for i, list := range conjuncts {
		for _, c := range list {
			e := indexEntry{ruleRef{int32(i), c.Field && c.Keys != nil}, c.Equal}
			if !e.ref.field || set.patterns[i].captures.Only() == nil {
				e.equal = slices.DeleteFunc(slices.Clone(c.Equal), func(e condition.Equality) bool { return e.Subject.Kind == condition.OfParam })
			}
			if c.Keys == nil {
				anyKey = append(anyKey, e)
			}
			for _, g := range c.Keys {
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
		g := globGroup{ruleGroup: newGroup(byGlob[id], nil)}
		if len(patterns[id].Captures()) > 0 {
			g.capturing = patterns[id]
		}
		x.globs = append(x.globs, g)
	}
	x.automaton = glob.NewAutomaton(list)
	return x
}

// newGroup divides entries by values of the event until each part is small. It
// uses values that not all entries leave open. used are the subjects by which
// they are divided already.
func newGroup(entries []indexEntry, used []condition.Subject) ruleGroup {
	const maxBranches = 6 // each costs every event a look-up
	var g ruleGroup
	for len(entries) > smallGroup && len(g.by) < maxBranches {
		of, ok := bestSubject(entries, used)
		if !ok {
			break
		}
		used = append(used[:len(used):len(used)], of)
		b := branch{of, map[string]*ruleGroup{}}
		parts := map[string][]indexEntry{}
		var others []indexEntry
		for _, e := range entries {
			i := e.find(of)
			if i < 0 {
				others = append(others, e)
				continue
			}
			for _, v := range e.equal[i].Values {
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

// find returns the index of the entry's equality of a subject, -1 if it has
// none that is of use.
func (e *indexEntry) find(of condition.Subject) int {
	return slices.IndexFunc(e.equal, func(q condition.Equality) bool { return q.Subject == of && len(q.Values) <= condition.MaxValues })
}

// bestSubject returns the subject that tells most of the entries apart: the one
// of most different values.
func bestSubject(entries []indexEntry, used []condition.Subject) (condition.Subject, bool) {
	values := map[condition.Subject]map[string]bool{}
	for _, e := range entries {
		for _, q := range e.equal {
			if len(q.Values) > condition.MaxValues || slices.Contains(used, q.Subject) {
				continue
			}
			if values[q.Subject] == nil {
				values[q.Subject] = map[string]bool{}
			}
			for _, v := range q.Values {
				values[q.Subject][v] = true
			}
		}
	}
	var best condition.Subject
	most := 0
	for of, v := range values {
		if len(v) > most || len(v) == most && byPreference(of, best) < 0 {
			best, most = of, len(v)
		}
	}
	return best, most > 0
}

// sizeBit returns the bit of a key's length, which is cheaper to know than its
// hash.
func sizeBit(n int) uint64 { return 1 << min(n, 63) }

func (g *ruleGroup) empty() bool { return len(g.rest) == 0 && len(g.by) == 0 }

// byPreference orders subjects, the preferred first.
func byPreference(a, b condition.Subject) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Arg, b.Arg), cmp.Compare(a.Name, b.Name))
}
