package rules

import (
	"slices"
	"strings"

	"triggerd/internal/tomlpos"
)

// Lookup is something that the rules need and that is not in their files.
type Lookup struct {
	What string // "variable", "file", "credential", "program"
	Name string
}

// Placeholder stands, of Options.Offline, for what was not looked up.
const Placeholder = "offline"

// AddLookup adds to what the set needs, once.
func (s *Set) AddLookup(n Lookup) {
	if !slices.Contains(s.Lookups, n) {
		s.Lookups = append(s.Lookups, n)
	}
}

// pretend returns the placeholder for a reference that would be looked up, and
// lists what is needed for it. It returns false for what is no reference.
func (v view) pretend(kind, name string) (string, bool) {
	need := Lookup{"variable", name}
	switch kind {
	case "env":
		if _, otherwise, ok := strings.Cut(name, ":-"); ok {
			return otherwise, true
		}
	case "file", "credential":
		need.What = kind
	default:
		return "", false
	}
	if !slices.Contains(v.l.lookups, need) {
		v.l.lookups = append(v.l.lookups, need)
	}
	v.l.pretended[v.n] = true
	return Placeholder, true
}

// pretends reports whether a value, or an element of it, has a placeholder, so
// that nothing can be said of it.
func (l *loader) pretends(n *tomlpos.Node) bool {
	return n != nil && len(l.pretended) > 0 && (l.pretended[n] || slices.ContainsFunc(n.Elements, func(e *tomlpos.Node) bool { return l.pretended[e] }))
}
