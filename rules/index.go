package rules

import (
	"cmp"
	"slices"

	"triggerd/internal/condition"
	"triggerd/internal/glob"
)

// An index finds the few rules that an event may match: by its key, with a
// hash for exact keys and an automaton for globs, and then, where many rules
// wait for the same keys, by other values of the event. What it finds is
// checked with the rule itself. An index does not change once it is made: it is
// asked by a Matcher.
type index struct {
	any       group             // rules that the key does not tell apart
	exact     map[string]*group // by the whole key
	sizes     uint64            // lengths of those keys: see sizeBit
	automaton *glob.Automaton   // of the patterns of globs
	globs     []globGroup
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
	of     condition.Subject
	groups map[string]*group
}

// entry is a conjunct on its way into the index.
type entry struct {
	ref   ref
	equal []condition.Equality
}

// smallGroup is how many rules are tried one by one rather than divided.
const smallGroup = 8

// newIndex builds the index of a set, given the conjuncts of each rule.
func newIndex(set *Set, conjuncts [][]condition.Conjunct) *index {
	x := &index{exact: map[string]*group{}}
	var anyKey []entry
	exact := map[string][]entry{}
	byGlob := map[string][]entry{}
	patterns := map[string]*glob.Pattern{}
	for i, list := range conjuncts {
		for _, c := range list {
			e := entry{ref{int32(i), c.Field && c.Keys != nil}, c.Equal}
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
		g := globGroup{group: newGroup(byGlob[id], nil)}
		if len(patterns[id].Captures()) > 0 {
			g.capturing = patterns[id]
		}
		x.globs = append(x.globs, g)
	}
	x.automaton = glob.NewAutomaton(list)
	return x
}

// newGroup divides entries until each part is small, by values that they do
// not all leave open; used are subjects that they are divided by already.
func newGroup(entries []entry, used []condition.Subject) group {
	const maxBranches = 6 // each costs every event a look-up
	var g group
	for len(entries) > smallGroup && len(g.by) < maxBranches {
		of, ok := bestSubject(entries, used)
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
func (e *entry) find(of condition.Subject) int {
	return slices.IndexFunc(e.equal, func(q condition.Equality) bool { return q.Subject == of && len(q.Values) <= condition.MaxValues })
}

// bestSubject returns the subject that tells most of the entries apart: the one
// of most different values.
func bestSubject(entries []entry, used []condition.Subject) (condition.Subject, bool) {
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

// sizeBit is the bit of a key's length, which costs less to know than its hash.
func sizeBit(n int) uint64 { return 1 << min(n, 63) }

func (g *group) empty() bool { return len(g.rest) == 0 && len(g.by) == 0 }

// byPreference orders subjects.
func byPreference(a, b condition.Subject) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Arg, b.Arg), cmp.Compare(a.Name, b.Name))
}
