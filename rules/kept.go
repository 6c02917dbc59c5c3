package rules

import (
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/condition"
)

// Kept is what is kept in memory of the keys of one pattern.
type Kept struct {
	Keys   string // the pattern; "" stands for all keys
	Values bool   // the values too, and not only whether a key is there, its type, deadline and elements

	// Reasons are the rules for which that is, in the order of the file, and what
	// of each asks for it: "sold-out: its condition".
	Reasons []string
}

// Kept returns what the rules have kept of keys, by pattern.
func (s *Set) Kept() []Kept { return s.kept }

// String tells it in a line, with the first few reasons.
func (k Kept) String() string {
	what, of := "values", k.Keys
	if !k.Values {
		what = "type and deadline"
	}
	if of == "" {
		of = "all keys"
	}
	const few = 3
	why := strings.Join(k.Reasons[:min(len(k.Reasons), few)], ", ")
	if more := len(k.Reasons) - few; more > 0 {
		why += ", and " + strconv.Itoa(more) + " more"
	}
	return escaped(what + " of " + of + " (" + why + ")")
}

func keptOf(set *Set, conjuncts [][]condition.Conjunct) (list []Kept) {
	places := map[string]int{} // of patterns in list, by what is kept
	add := func(keys string, need Need, reason string) {
		id := strings.Repeat("v", int(min(need, NeedValue))) + keys
		at, ok := places[id]
		if !ok {
			at = len(list)
			places[id] = at
			list = append(list, Kept{Keys: keys, Values: need >= NeedValue})
		}
		if k := &list[at]; len(k.Reasons) == 0 || k.Reasons[len(k.Reasons)-1] != reason {
			k.Reasons = append(k.Reasons, reason)
		}
	}
	for i, r := range set.patterns {
		name := r.owner().Name
		if need, why := r.needAndReason(); need != NeedNothing {
			for _, keys := range keysOf(conjuncts[i]) {
				add(keys, need, name+": "+why)
			}
		}
		for _, p := range r.others() {
			add(p.String(), NeedValue, name+": reads another key")
		}
	}
	return list
}

// keysOf returns the patterns of the keys that conjuncts concern; "" stands for
// all keys.
func keysOf(conjuncts []condition.Conjunct) (keys []string) {
	for _, c := range conjuncts {
		if c.Keys == nil {
			return []string{""}
		}
		for _, g := range c.Keys {
			if text := g.String(); !slices.Contains(keys, text) {
				keys = append(keys, text)
			}
		}
	}
	return keys
}
