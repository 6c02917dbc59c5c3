package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// contradiction is why no event is what a rule asks for.
type contradiction struct {
	field     string // that asks for it; "when" if the rule does not have the field
	msg, hint string
}

// warnNever warns of a rule, or a cancel pattern, that no event can match. says
// is what its condition says.
func (c *compilation) warnNever(t *table, r *Rule, says []condition.Conjunct) {
	alternatives := r.eventConjuncts(says)
	first, never := ofAll(says, r.keyContradiction)
	if !never {
		first, never = ofAll(alternatives, func(x *condition.Conjunct) *contradiction { return c.contradiction(r, x, nil) })
	}
	if !never && r.commands != nil && !r.Snapshot { // an alternative has the names of one of both
		first, never = ofAll(says, func(x *condition.Conjunct) *contradiction { return c.contradiction(r, x, r.commands.list()) })
	}
	switch {
	case !never:
	case first == nil:
		t.as("never-matches").warnf("", "no event is like that: the rule never matches")
	default:
		at := t.view
		for _, field := range []string{first.field, "when"} {
			if t.has(field) {
				at = t.kid(field, t.m[field])
				break
			}
		}
		at.as("never-matches").warnf(first.hint, "%s: the rule never matches", first.msg)
	}
}

// ofAll returns the first contradiction of conjuncts, and whether each has one.
func ofAll(conjuncts []condition.Conjunct, of func(*condition.Conjunct) *contradiction) (first *contradiction, all bool) {
	for i := range conjuncts {
		why := of(&conjuncts[i])
		if why == nil {
			return nil, false
		}
		if first == nil {
			first = why
		}
	}
	return first, true
}

// contradiction returns why no event, of a command that is one of names, is like
// a conjunct of the rule; nil if one may be. nil names are all.
func (c *compilation) contradiction(r *Rule, x *condition.Conjunct, names []string) *contradiction {
	if c.commands == nil {
		return nil
	}
	a := asked{c: c.commands, not: r.commandsNot, keyed: r.keys != nil || r.regexes != nil || r.anyWrite && r.events.empty()}
	if names != nil {
		a.commands = append(a.commands, names)
	}
	for _, e := range x.Equal {
		switch e.Subject.Kind {
		case condition.OfCommand:
			a.commands = append(a.commands, e.Values)
		case condition.OfEvent:
			a.events = e.Values
		case condition.OfType:
			a.types = e.Values
		case condition.OfDB:
			if why := databaseContradiction(e.Values); why != nil {
				return why
			}
		}
	}
	return a.contradiction()
}

// keyContradiction returns why no key is what the conjunct, and the fields about
// the key, ask for.
func (r *Rule) keyContradiction(x *condition.Conjunct) *contradiction {
	if len(r.keys) > 0 && len(r.keysNot) > 0 && !slices.ContainsFunc(r.keys, func(k *glob.Pattern) bool { return !covered(k, r.keysNot) }) {
		return &contradiction{"key_not", "every key of key is left out", ""}
	}
	if x.Keys == nil {
		if len(r.keysNot) > 0 && r.commandsNamed == nil && !slices.ContainsFunc(keyless, r.events.has) && covered(glob.AnyKey(), r.keysNot) {
			return &contradiction{"key_not", "every key is left out", ""}
		}
		return nil
	}
	possible := func(k *glob.Pattern) bool {
		if key, ok := k.Key(); ok {
			return r.selectsKey([]byte(key))
		}
		return !covered(k, r.keysNot) && (r.keys == nil || slices.ContainsFunc(r.keys, k.Overlaps))
	}
	if slices.ContainsFunc(x.Keys, possible) {
		return nil
	}
	return &contradiction{"when", "no key of key is what the condition, or key_regex, asks for", ""}
}

// covered reports whether one of the patterns matches every key of k.
func covered(k *glob.Pattern, by []*glob.Pattern) bool {
	return slices.ContainsFunc(by, func(p *glob.Pattern) bool { return p.Covers(k) })
}

// usualDatabases is how many databases a server has by default.
const usualDatabases = 16

// databaseContradiction returns why no database is one of these.
func databaseContradiction(numbers []string) *contradiction {
	if slices.ContainsFunc(numbers, func(s string) bool { n, err := strconv.Atoi(s); return err != nil || n >= 0 && n < usualDatabases }) {
		return nil
	}
	return &contradiction{
		"db", fmt.Sprintf("a server has the databases 0 to %d, unless its setting databases says more", usualDatabases-1), "on such a server it may match",
	}
}

// asked is what a conjunct asks of command, event and type.
type asked struct {
	c        *commandNames
	commands [][]string // the command, or the one that it is a subcommand of, is in each of these, which are sorted
	not      *nameSet
	events   []string // nil: any
	types    []string // nil: any
	keyed    bool     // only events that concern a key
}

// each yields the commands that are asked for, some more than once, and nil for
// one of which nothing is known.
func (a *asked) each(yield func(*Command) bool) {
	for _, name := range a.commands[0] {
		known := a.c.byName[name]
		if known == nil && a.c.byParent[name] == nil {
			if !yield(nil) {
				return
			}
			continue
		}
		if known != nil && !slices.ContainsFunc(a.commands[1:], func(list []string) bool { return !inNames(list, name) }) && !yield(known) {
			return
		}
		for _, sub := range a.c.byParent[name] {
			if !slices.ContainsFunc(a.commands[1:], func(list []string) bool { return !inNames(list, sub) }) && !yield(a.c.byName[sub]) {
				return
			}
		}
	}
}

// inNames reports whether a sorted list has a command, or its parent.
func inNames(list []string, name string) bool {
	parent, _, _ := strings.Cut(name, " ")
	_, whole := slices.BinarySearch(list, name)
	_, ofParent := slices.BinarySearch(list, parent)
	return whole || ofParent
}

// contradiction returns why no event is like that.
func (a *asked) contradiction() *contradiction {
	if a.commands == nil {
		return a.withoutCommand()
	}
	var all, made []*Command
	for cmd := range a.each {
		switch {
		case cmd == nil || cmd.Events == nil: // nothing is known of it
			return nil
		case a.not.hasCommand(cmd.Name):
		case slices.ContainsFunc(cmd.Events, func(name string) bool { return a.wants(name) && a.mayLeave(name, cmd) }):
			return nil
		default:
			made = append(made, cmd)
		}
		all = append(all, cmd)
	}
	switch {
	case len(all) == 0:
		return &contradiction{"command", "no command is all of that", ""}
	case len(made) == 0:
		return &contradiction{"command_not", "every command of command is left out", ""}
	case !slices.ContainsFunc(made, func(cmd *Command) bool { return cmd.Instead == "" }):
		return nil // which has warnings of its own
	}
	var events, types []string
	silent, wanted := true, false
	for _, cmd := range made {
		for _, name := range cmd.Events {
			silent = false
			if !a.keyless(name) {
				events = append(events, name)
				if a.wants(name) {
					wanted = true
					types = append(types, typesAfter(name, cmd)...)
				}
			}
		}
	}
	names := commandNamesOf(made)
	switch events = sorted(events); {
	case silent:
		return &contradiction{"command", "no event is made by " + names, "name a command that changes a key"}
	case len(events) == 0:
		return &contradiction{"key", names + " concerns no key", "leave out the fields about keys, and name its event"}
	case !wanted:
		return &contradiction{"event", names + " never makes " + quoted(a.events), "it makes " + quoted(events)}
	}
	return a.typeContradiction(names, types)
}

// withoutCommand returns why no event is like that, whatever its command is.
func (a *asked) withoutCommand() *contradiction {
	var types []string
	concerns, made := false, false
	for _, name := range a.events {
		if a.keyless(name) {
			continue
		}
		concerns = true
		makers := a.c.makers[name]
		if makers == nil || slices.Contains(ofNoCommand, name) {
			if a.mayLeave(name, nil) {
				return nil
			}
			made = true
			types = append(types, typesAfter(name, nil)...)
		}
		for _, cmd := range makers {
			if a.not.hasCommand(cmd.Name) {
				continue
			}
			if a.mayLeave(name, cmd) {
				return nil
			}
			made = true
			types = append(types, typesAfter(name, cmd)...)
		}
	}
	switch {
	case a.events == nil:
		return nil
	case !concerns:
		return &contradiction{"key", quoted(a.events) + " concerns no key", "leave out the fields about keys"}
	case !made:
		return &contradiction{"command_not", "every command that makes " + quoted(a.events) + " is left out", ""}
	}
	return a.typeContradiction(quoted(a.events), types)
}

// typeContradiction says that no key has one of the types that are asked for,
// after what leaves these.
func (a *asked) typeContradiction(after string, types []string) *contradiction {
	hint := ""
	if len(types) > 0 {
		hint = "it is " + quoted(sorted(types))
	}
	return &contradiction{"type", fmt.Sprintf("after %s a key's type is never %s", after, quoted(a.types)), hint}
}

// wants reports whether an event of a command is asked for, or comes together
// with one that is.
func (a *asked) wants(name string) bool {
	if a.keyless(name) {
		return false
	}
	return a.events == nil || slices.Contains(a.events, name) || slices.ContainsFunc(a.events, func(e string) bool { return slices.Contains(besideOthers, e) })
}

// keyless reports whether an event concerns no key though one is asked for.
func (a *asked) keyless(name string) bool { return a.keyed && slices.Contains(keyless, name) }

// mayLeave reports whether a key may be of a type that is asked for after an
// event of a command, or of any if cmd is nil.
func (a *asked) mayLeave(name string, cmd *Command) bool {
	if a.types == nil {
		return true
	}
	of := typesAfter(name, cmd)
	return of == nil || slices.ContainsFunc(a.types, func(t string) bool { return slices.Contains(of, t) })
}

var (
	// besideOthers are events that come beside those of a command, if a rule asks
	// for them.
	besideOthers = []string{"new", "overwritten", "type_changed"}
	// ofNoCommand are events that come without a command too.
	ofNoCommand = []string{"del", "expired", event.Changed, event.Snapshot, event.Resync, event.Gap, event.Rewound}
)

// typesAfter returns the types that a key may have after an event of a command,
// or of any if cmd is nil. It is nil if that may be each.
func typesAfter(name string, cmd *Command) []string {
	switch {
	case name == "del" || name == "expired" || name == "evicted":
		return []string{"none"}
	case name == event.Snapshot:
		return nil
	case slices.Contains(keyless, name):
		return []string{}
	case cmd == nil:
		return nil
	}
	return cmd.Types
}

// commandNamesOf lists the names of commands, the first few of many.
func commandNamesOf(commands []*Command) string {
	names := make([]string, len(commands))
	for i, cmd := range commands {
		names[i] = cmd.Name
	}
	return listFew(sorted(names))
}

// quoted lists names in quotes, the first few of many.
func quoted(names []string) string {
	return listFewAs(names, strconv.Quote)
}
