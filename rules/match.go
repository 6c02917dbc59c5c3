package rules

import (
	"regexp"
	"slices"

	"github.com/expr-lang/expr/vm"

	"triggerd/internal/event"
	"triggerd/internal/glob"
)

// pattern is what a rule waits for, compiled: fields are joined by AND, the
// values of one field by OR, an empty field says nothing.
type pattern struct {
	index    int32           // the rule's place in its set
	anyWrite bool            // events has "write"
	keys     []*glob.Pattern // nil: any
	captures []string        // names, sorted
	only     *glob.Pattern   // the one key pattern, if it is simple and nothing else captures

	commands, commandsNot *nameSet // nil: any, none
	commandsNamed         *nameSet // those of commands that are not there through a class
	events                *nameSet // nil: any
	cond                  *condition

	*limits // never nil
}

// limits are what few rules have: the others share none of it.
type limits struct {
	keysNot []*glob.Pattern
	regexes []*regexp.Regexp
	dbs     []int
	types   []string
	timed   *timed // nil: it says nothing of time
}

var noLimits = &limits{}

// evaluator evaluates conditions for one event at a time.
type evaluator struct {
	scope   scope
	machine vm.VM
	env     environment
	filled  bool // env holds the event at hand
}

func (e *evaluator) evaluate(r *Rule, ev *event.Event) (bool, error) {
	if r.cond.eval == nil {
		return e.run(r, ev)
	}
	e.scope = scope{ev: ev, rule: r}
	ok := r.cond.eval(&e.scope)
	return ok, e.scope.err
}

// run evaluates a condition with expr's machine.
func (e *evaluator) run(r *Rule, ev *event.Event) (bool, error) {
	e.scope = scope{ev: ev, rule: r}
	v, err := e.machineRun(r.cond.program, r.cond.usesParams)
	if err != nil {
		return false, err
	}
	ok, _ := v.(bool)
	return ok, nil
}

// machineRun runs a program for the event and rule of the scope.
func (e *evaluator) machineRun(program *vm.Program, usesParams bool) (any, error) {
	if !e.filled {
		e.env.set(e.scope.ev)
		e.filled = true
	}
	e.env.Params = nil
	if usesParams {
		e.env.Params = e.scope.rule.params(e.scope.ev.Key)
	}
	return e.machine.Run(program, &e.env)
}

// selects reports whether everything but the rule's condition matches.
// keyFound tells that one of the rule's keys is known to match.
func (r *Rule) selects(ev *event.Event, keyFound bool) bool {
	if !r.Enabled || r.Schedule != nil || ev.Origin == event.FromClock && ev.Key == nil {
		return false
	}
	return r.wantsEvent(ev) && r.wantsPlace(ev) && r.wantsKey(ev, keyFound)
}

// wantsEvent checks event and command. A key of a snapshot has neither: that
// the rule wants those at all is what counts. An event that concerns no key
// must be asked for by its name or by that of its command.
func (r *Rule) wantsEvent(ev *event.Event) bool {
	if ev.Name == event.Snapshot {
		return r.Snapshot
	}
	if r.events != nil && !(r.anyWrite && ev.Key != nil) && !r.events.has(ev.Name) {
		return false
	}
	if ev.Key == nil && !r.events.has(ev.Name) && !r.commandsNamed.hasCommand(ev.Command) {
		return false
	}
	if r.commands != nil && !r.commands.hasCommand(ev.Command) {
		return false
	}
	return r.commandsNot == nil || !r.commandsNot.hasCommand(ev.Command)
}

func (r *Rule) wantsPlace(ev *event.Event) bool {
	return (r.dbs == nil || slices.Contains(r.dbs, ev.DB)) && (r.types == nil || slices.Contains(r.types, ev.Type))
}

func (r *Rule) wantsKey(ev *event.Event, found bool) bool {
	if ev.Key == nil {
		return r.keys == nil && r.regexes == nil
	}
	if r.keys != nil && !found && !anyMatches(r.keys, ev.Key) || anyMatches(r.keysNot, ev.Key) {
		return false
	}
	return r.regexes == nil || anyRegex(r.regexes, ev.Key)
}

func anyRegex(exprs []*regexp.Regexp, key []byte) bool {
	for _, re := range exprs {
		if re.Match(key) {
			return true
		}
	}
	return false
}

func anyMatches(patterns []*glob.Pattern, key []byte) bool {
	for _, p := range patterns {
		if p.Match(key) {
			return true
		}
	}
	return false
}

// Params returns what the rule's key pattern and key_regex, or those of its
// cancel, captured of the event's key: raw bytes by name, a new map each time. Of several patterns
// the first that matches captures. It is nil if the rule captures nothing.
func (m *Match) Params() map[string]string { return m.pattern().params(m.Event.Key) }

func (r *Rule) params(key []byte) map[string]string {
	if len(r.captures) == 0 {
		return nil
	}
	params := make(map[string]string, len(r.captures))
	for _, g := range r.keys {
		if g.Capture(key, params) {
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
