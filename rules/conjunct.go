package rules

import (
	"regexp"
	"slices"
	"strconv"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// conjuncts returns the conjuncts of a rule: its fields, and what its
// condition says beyond them.
func (r *Rule) conjuncts(says []condition.Conjunct) []condition.Conjunct {
	if r.lasts() {
		return r.placeConjuncts(condition.Conjunct{Keys: r.keys, Field: true}, says)
	}
	return r.eventConjuncts(says)
}

// eventConjuncts returns the conjuncts of the events that make the rule fire, or
// begin to wait.
func (r *Rule) eventConjuncts(says []condition.Conjunct) []condition.Conjunct {
	stream := condition.Conjunct{Keys: r.keys, Field: true}
	if r.dbs != nil {
		stream.Equal = append(stream.Equal, equals(condition.OfDB, decimals(r.dbs)))
	}
	if r.types != nil {
		stream.Equal = append(stream.Equal, equals(condition.OfType, sorted(r.types)))
	}
	snapshot := stream
	snapshot.Equal = slices.Clone(stream.Equal)
	if r.commands != nil {
		stream.Equal = append(stream.Equal, equals(condition.OfCommand, r.commands.list()))
	}
	if r.events != nil && !r.anyWrite {
		stream.Equal = append(stream.Equal, equals(condition.OfEvent, r.events.list()))
	}
	fields := []condition.Conjunct{stream}
	if r.Snapshot { // a key of a snapshot has no command, and its event is known
		snapshot.Equal = append(snapshot.Equal, equals(condition.OfEvent, []string{event.Snapshot}))
		fields = append(fields, snapshot)
	}
	if keys := regexKeys(r.regexes); keys != nil {
		fields = condition.And(fields, []condition.Conjunct{{Keys: keys}})
	}
	return condition.And(fields, says)
}

// placeConjuncts returns those of a rule with for, which every event of its
// keys concerns: only what is said of the key and the database counts.
func (r *Rule) placeConjuncts(place condition.Conjunct, says []condition.Conjunct) []condition.Conjunct {
	if r.dbs != nil {
		place.Equal = append(place.Equal, equals(condition.OfDB, decimals(r.dbs)))
	}
	fields := []condition.Conjunct{place}
	if keys := regexKeys(r.regexes); keys != nil {
		fields = condition.And(fields, []condition.Conjunct{{Keys: keys}})
	}
	var ofPlace []condition.Conjunct
	for _, c := range says {
		c.Equal = slices.DeleteFunc(slices.Clone(c.Equal), func(e condition.Equality) bool {
			return e.Subject.Kind != condition.OfDB && e.Subject.Kind != condition.OfParam
		})
		if len(c.Equal) == 0 {
			c.Equal = nil
		}
		ofPlace = append(ofPlace, c)
	}
	return condition.And(fields, ofPlace)
}

func equals(kind condition.SubjectKind, values []string) condition.Equality {
	return condition.Equality{Subject: condition.Subject{Kind: kind}, Values: values}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func decimals(list []int) []string {
	var out []string
	for _, n := range list {
		out = append(out, strconv.Itoa(n))
	}
	return sorted(out)
}

// regexKeys returns patterns that together match every key in which one of the
// expressions finds a match; nil if that would be every key.
func regexKeys(exprs []*regexp.Regexp) []*glob.Pattern {
	var keys []*glob.Pattern
	for _, re := range exprs {
		p := glob.OfRegexp(re.String())
		if p == nil {
			return nil
		}
		keys = append(keys, p)
	}
	return keys
}
