package rules

import (
	"regexp"
	"slices"

	"github.com/expr-lang/expr/vm"

	"triggerd/internal/event"
)

// pattern is what a rule waits for, compiled: fields are joined by AND, the
// values of one field by OR, an empty field says nothing.
type pattern struct {
	keys, keysNot []*glob
	regexes       []*regexp.Regexp
	captures      []string // names, sorted

	commands, commandsNot map[string]bool // nil: any; with the subcommands of each
	commandsNamed         map[string]bool // those of commands that are not there through a class
	events                map[string]bool // nil: any
	anyWrite              bool
	dbs                   []int
	types                 []string
	cond                  *condition
}

// evaluator evaluates conditions for one event at a time.
type evaluator struct {
	machine vm.VM
	env     environment
	filled  *event.Event // what env holds
}

// Match appends the rules that match ev to dst, in file order, and returns
// the extended slice. The matches borrow ev.
func (s *Set) Match(dst []Match, ev *event.Event) []Match {
	s.eval.filled = nil
	for _, r := range s.Rules {
		if r.selects(ev) && s.holds(r, ev) {
			dst = append(dst, Match{r, ev})
		}
	}
	return dst
}

// holds evaluates the rule's condition. One that cannot be evaluated does not
// hold.
func (s *Set) holds(r *Rule, ev *event.Event) bool {
	if r.cond == nil {
		return true
	}
	ok, err := s.eval.run(r, ev)
	if err == nil {
		return ok
	}
	if r.condErrors.Add(1) == 1 && s.ConditionError != nil {
		s.ConditionError(r, ev, err)
	}
	return false
}

// run evaluates a condition with expr's machine.
func (e *evaluator) run(r *Rule, ev *event.Event) (bool, error) {
	if e.filled != ev {
		e.env.set(ev)
		e.filled = ev
	}
	e.env.Params = nil
	if r.cond.usesParams {
		e.env.Params = r.params(ev.Key)
	}
	v, err := e.machine.Run(r.cond.program, &e.env)
	if err != nil {
		return false, err
	}
	ok, _ := v.(bool)
	return ok, nil
}

// selects reports whether everything but the rule's condition matches.
func (r *Rule) selects(ev *event.Event) bool {
	if !r.Enabled || r.Schedule != nil || ev.Origin == event.FromClock {
		return false
	}
	return r.wantsEvent(ev) && r.wantsPlace(ev) && r.wantsKey(ev)
}

// wantsEvent checks event and command. A key of a snapshot has neither: that
// the rule wants those at all is what counts. An event that concerns no key
// must be asked for by its name or by that of its command.
func (r *Rule) wantsEvent(ev *event.Event) bool {
	if ev.Name == event.Snapshot {
		return r.Snapshot
	}
	if r.events != nil && !r.events[ev.Name] && !(r.anyWrite && ev.Key != nil) {
		return false
	}
	if ev.Key == nil && !r.events[ev.Name] && !hasCommand(r.commandsNamed, ev.Command) {
		return false
	}
	if r.commands != nil && !hasCommand(r.commands, ev.Command) {
		return false
	}
	return !hasCommand(r.commandsNot, ev.Command)
}

// hasCommand reports whether a set has the command, or the command that it is
// a subcommand of.
func hasCommand(set map[string]bool, name string) bool {
	return len(set) > 0 && name != "" && (set[name] || set[parentCommand(name)])
}

func (r *Rule) wantsPlace(ev *event.Event) bool {
	return (r.dbs == nil || slices.Contains(r.dbs, ev.DB)) && (r.types == nil || slices.Contains(r.types, ev.Type))
}

func (r *Rule) wantsKey(ev *event.Event) bool {
	if ev.Key == nil {
		return r.keys == nil && r.regexes == nil
	}
	matches := func(g *glob) bool { return g.match(ev.Key) }
	if r.keys != nil && !slices.ContainsFunc(r.keys, matches) || slices.ContainsFunc(r.keysNot, matches) {
		return false
	}
	return r.regexes == nil || slices.ContainsFunc(r.regexes, func(re *regexp.Regexp) bool { return re.Match(ev.Key) })
}

// Params returns what the rule's key pattern and key_regex captured of the
// event's key: raw bytes by name, a new map each time. Of several patterns
// the first that matches captures. It is nil if the rule captures nothing.
func (m *Match) Params() map[string]string { return m.Rule.params(m.Event.Key) }

func (r *Rule) params(key []byte) map[string]string {
	if len(r.captures) == 0 {
		return nil
	}
	params := make(map[string]string, len(r.captures))
	for _, g := range r.keys {
		if g.capture(key, params) {
			break
		}
	}
	for _, re := range r.regexes {
		at := re.FindSubmatchIndex(key)
		if at == nil {
			continue
		}
		for i, name := range re.SubexpNames() {
			if name != "" && at[2*i] >= 0 {
				params[name] = string(key[at[2*i]:at[2*i+1]])
			}
		}
		break
	}
	return params
}
