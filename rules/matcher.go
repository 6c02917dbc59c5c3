package rules

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
	"triggerd/internal/timing"
)

// Matcher finds the rules of a set that match an event. One goroutine may use
// it at a time. Several may be made of the same set.
type Matcher struct {
	// ConditionError, if not nil, is called with the first error of each rule's
	// condition that any Matcher of the set meets. Later errors are only
	// counted. Set it before the first Match.
	ConditionError func(*Rule, *event.Event, error)

	// Stopped, if not nil, is asked now and then while a condition looks at very
	// many elements. If it returns true Match gives conditions up, and what it
	// returns means nothing. Set it before the first Match.
	Stopped func() bool

	// Lookup, if not nil, returns the values of other keys that conditions read, as
	// they are at this moment: event.None for a key that is not there, nil for one
	// that is not known. What it returns is borrowed as the event is. Set it before
	// the first Match.
	Lookup func(db int, key []byte) event.Value

	set    *Set
	eval   condition.Evaluator
	values []byte // memory for the values of Keys

	index       *index
	finder      *glob.Finder // of the index
	hits        []int32      // of the finder, for the present event
	checkedFor  []uint32     // by rule: the number of the event that it was last checked for
	eventNumber uint32       // of the present event
	dstStart    int          // length of dst before the matches of the present event
	digits      []byte       // the present event's database in decimal
	costs       costs

	needs      *needIndex   // nil: nothing is needed
	needFinder *glob.Finder // of needs
	needHits   []int32      // of the needFinder, for the present key
}

// Matcher returns a new Matcher of the set's rules.
func (s *Set) Matcher() *Matcher {
	m := &Matcher{set: s, index: s.index, needs: s.needs, checkedFor: make([]uint32, len(s.patterns)), costs: costs{slow: make([]bool, len(s.patterns))}}
	m.finder = m.index.automaton.Finder()
	if m.needs != nil {
		m.needFinder = m.needs.automaton.Finder()
	}
	return m
}

// Match appends the rules that match ev to dst, in file order, and returns the
// extended slice. The matches borrow ev. It allocates nothing for an event that
// no rule matches, unless a condition has to.
func (m *Matcher) Match(dst []Match, ev *event.Event) []Match {
	m.eval.Stopped, m.eval.Lookup = m.Stopped, m.Lookup
	m.eval.Begin(ev)
	if m.eventNumber++; m.eventNumber == 0 { // it has wrapped around
		clear(m.checkedFor)
		m.eventNumber = 1
	}
	m.dstStart = len(dst)
	x := m.index
	if !x.any.empty() {
		dst = m.matchGroup(dst, ev, &x.any, nil)
	}
	if x.sizes&sizeBit(len(ev.Key)) != 0 {
		if g := x.exact[string(ev.Key)]; g != nil {
			dst = m.matchGroup(dst, ev, g, nil)
		}
	}
	if len(x.globs) == 0 {
		return dst
	}
	m.hits = m.finder.Find(m.hits[:0], ev.Key)
	for _, h := range m.hits {
		if m.finder.Confirm(h, ev.Key) {
			g := &x.globs[h]
			dst = m.matchGroup(dst, ev, &g.ruleGroup, g.capturing)
		}
	}
	return dst
}

// Keys sets k to the values by which the rule of a match keeps its states; for
// a match with another role than Fires, only Gather. They borrow the event,
// and are valid until the next call of Keys. It returns false if a value cannot
// be evaluated. Such a match does not count, and is counted and reported as an
// error of the rule's condition.
func (m *Matcher) Keys(k *timing.Keys, match *Match) bool {
	*k = timing.Keys{}
	t := match.pattern().timed
	if t == nil {
		return true
	}
	if err := m.keys(k, t, match); err != nil {
		m.conditionFailed(t.owner, match.Event, err)
		*k = timing.Keys{}
		return false
	}
	return true
}

func (m *Matcher) keys(k *timing.Keys, t *timed, match *Match) (err error) {
	m.eval.Begin(match.Event)
	m.values = m.values[:0]
	captures := match.pattern().captures
	if t.role == timing.Ends {
		m.values = appendPlace(m.values, match.Event)
		k.Gather = text(m.values)
	} else if k.Gather, err = t.gather.eval(&m.eval, captures, &m.values); err != nil {
		return err
	}
	if match.Role != timing.Fires {
		return nil
	}
	for _, stage := range [...]struct {
		by *byExprs
		to *string
	}{{&t.once, &k.Once}, {&t.dedupe, &k.Dedupe}, {&t.throttle, &k.Throttle}, {&t.batch, &k.Batch}} {
		if *stage.to, err = stage.by.eval(&m.eval, captures, &m.values); err != nil {
			return err
		}
	}
	return nil
}

// Need returns how much the rules of the set need to know of a key, which is
// borrowed. The answer for a key is always the same. Need allocates only for
// what it learns of new kinds of keys, within limits.
func (m *Matcher) Need(db int, key []byte) Need {
	x := m.needs
	if x == nil {
		return NeedNothing
	}
	need := x.any.of(db, key, NeedNothing)
	if x.sizes&sizeBit(len(key)) != 0 {
		need = x.exact[string(key)].of(db, key, need)
	}
	if len(x.globs) == 0 || need == NeedOnTime {
		return need
	}
	m.needHits = m.needFinder.Find(m.needHits[:0], key)
	for _, h := range m.needHits {
		g := &x.globs[h]
		if g.wants[0].need > need && m.needFinder.Confirm(h, key) {
			need = g.wants.of(db, key, need)
		}
	}
	return need
}

// Counted returns the predicates that conditions of enabled rules may ask a key's
// value, which is of a type, to count for. It asks each rule: it is for values that
// take longer than that.
func (m *Matcher) Counted(db int, key []byte, typ string) (list []*event.Predicate) {
	ev := event.Event{DB: db, Key: key}
	for _, r := range m.set.patterns {
		if !r.Enabled || r.cond == nil || r.dbs != nil && !slices.Contains(r.dbs, db) || r.types != nil && !slices.Contains(r.types, typ) {
			continue
		}
		if found := r.cond.Counted(typ); len(found) > 0 && r.matchesKey(&ev, false) {
			list = append(list, found...)
		}
	}
	return list
}

// matchGroup checks the rules of a group. capturing is the pattern by which the
// key was found, if it captures.
func (m *Matcher) matchGroup(dst []Match, ev *event.Event, g *ruleGroup, capturing *glob.Pattern) []Match {
	for _, r := range g.rest {
		dst = m.matchRule(dst, ev, r)
	}
	for i := range g.by {
		b := &g.by[i]
		value := m.subjectValue(b.subject, ev, capturing)
		if sub := b.groups[value]; sub != nil {
			dst = m.matchGroup(dst, ev, sub, capturing)
		}
		if b.subject.Kind == condition.OfCommand { // a command also stands for its subcommands
			if i := strings.IndexByte(value, ' '); i > 0 {
				if sub := b.groups[value[:i]]; sub != nil {
					dst = m.matchGroup(dst, ev, sub, capturing)
				}
			}
		}
	}
	return dst
}

// subjectValue returns a value of the event. It is valid as long as the event
// is.
func (m *Matcher) subjectValue(of condition.Subject, ev *event.Event, capturing *glob.Pattern) string {
	switch of.Kind {
	case condition.OfCommand:
		return ev.Command
	case condition.OfEvent:
		return ev.Name
	case condition.OfType:
		return ev.Type
	case condition.OfDB:
		m.digits = strconv.AppendInt(m.digits[:0], int64(ev.DB), 10)
		return text(m.digits)
	case condition.OfArg:
		if of.Arg < len(ev.Args) {
			return text(ev.Args[of.Arg])
		}
	case condition.OfParam:
		v, _ := capturing.Captured(ev.Key, of.Name)
		return text(v)
	}
	return ""
}

// matchRule checks one rule, at most once for each event, and inserts its match
// in file order.
func (m *Matcher) matchRule(dst []Match, ev *event.Event, r ruleRef) []Match {
	if m.checkedFor[r.rule] == m.eventNumber {
		return dst
	}
	m.checkedFor[r.rule] = m.eventNumber
	rule := m.set.patterns[r.rule]
	if rule.timed != nil {
		return m.matchTimed(dst, ev, rule, r.field)
	}
	if !rule.matchesFields(ev, r.field) || !m.conditionHolds(rule, ev) {
		return dst
	}
	i := len(dst)
	dst = append(dst, Match{})
	for i > m.dstStart && dst[i-1].Rule.index > r.rule {
		dst[i] = dst[i-1]
		i--
	}
	dst[i] = Match{Rule: rule, Event: ev}
	return dst
}

// matchTimed checks a rule with time fields, or a cancel pattern of one. A rule
// has at most one match of an event: one that cancels goes before one that
// fires, and the first cancel pattern before the others.
func (m *Matcher) matchTimed(dst []Match, ev *event.Event, rule *Rule, keyFound bool) []Match {
	role, ok := m.roleOf(rule, ev, keyFound)
	if !ok {
		return dst
	}
	found := Match{Rule: rule.timed.owner, Event: ev, Role: role}
	if found.Rule != rule {
		found.cancelPattern = rule
	}
	i := len(dst)
	for i > m.dstStart && dst[i-1].Rule.index > found.Rule.index {
		i--
	}
	if i == m.dstStart || dst[i-1].Rule != found.Rule {
		return slices.Insert(dst, i, found)
	}
	have := &dst[i-1]
	if found.cancelPattern != nil && (have.cancelPattern == nil || have.cancelPattern.index > found.cancelPattern.index) {
		*have = found
	}
	return dst
}

// roleOf returns what an event does to a timed rule, or to the owner of a
// cancel pattern, and false if it does not concern it. keyFound says that one
// of the keys is known to match.
func (m *Matcher) roleOf(r *Rule, ev *event.Event, keyFound bool) (timing.Role, bool) {
	switch {
	case r.timed.role != timing.Ends:
		return r.timed.role, r.matchesFields(ev, keyFound) && m.conditionHolds(r, ev)
	case !r.Enabled || ev.Key == nil || r.dbs != nil && !slices.Contains(r.dbs, ev.DB) || !r.matchesKey(ev, keyFound):
		return timing.Ends, false
	case r.timed.episode:
		return m.episodeRole(r, ev)
	case isGone(ev) || r.types != nil && !slices.Contains(r.types, ev.Type) || !m.conditionHolds(r, ev):
		return timing.Ends, true
	}
	return timing.Fires, r.matchesEvent(ev)
}

// conditionHolds evaluates the rule's condition. It returns false if that
// fails.
func (m *Matcher) conditionHolds(r *Rule, ev *event.Event) bool {
	if r.cond == nil {
		return true
	}
	holds, _ := m.decide(r, ev, r.cond)
	return holds
}

// decide evaluates a condition of a rule. decided is false if it cannot be told
// whether it holds.
func (m *Matcher) decide(r *Rule, ev *event.Event, c *condition.Condition) (holds, decided bool) {
	if !m.costs.due(r.index) {
		return m.evaluate(r, ev, c)
	}
	began := time.Now()
	holds, decided = m.evaluate(r, ev, c)
	m.costs.add(r, time.Since(began))
	return holds, decided
}

func (m *Matcher) evaluate(r *Rule, ev *event.Event, c *condition.Condition) (holds, decided bool) {
	holds, err := m.eval.Holds(c, r.captures)
	switch {
	case holds:
	case err != nil:
		m.conditionFailed(r.owner(), ev, err)
	case m.eval.NotNumber():
		r.owner().counts.notNumber.Add(1)
	}
	return holds, err == nil && m.eval.Decided()
}

// conditionFailed counts an error of a rule's condition, or of a by, and
// reports the first.
func (m *Matcher) conditionFailed(r *Rule, ev *event.Event, err error) {
	if errors.Is(err, condition.ErrStopped) {
		return
	}
	if r.counts.failed.Add(1) == 1 && m.ConditionError != nil {
		m.ConditionError(r, ev, err)
	}
}
