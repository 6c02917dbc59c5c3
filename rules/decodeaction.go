package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/firing"
	"triggerd/internal/glob"
	"triggerd/internal/suggest"
)

// target decodes one [targets.NAME].
func (c *compilation) target(name string, v view) {
	t, ok := v.table()
	if !ok {
		return
	}
	a := &Action{Target: name, Timeout: c.timeout, Retry: c.retry, Order: firing.OrderKey}
	if msg := badName(name); msg != "" {
		t.atKey = true
		t.errorf("", "%s", msg)
	}
	c.targets[name] = a
	t.limits(&a.Timeout, &a.Retry)
	c.ownFields(t, a)
}

// actions decodes the actions of a rule.
func (c *compilation) actions(t *table, r *Rule) {
	v, ok := t.get("action")
	if !ok {
		t.errorf("add [[rule.action]]", "the rule has no action")
		return
	}
	list, isList := v.v.([]any)
	if !isList {
		list = []any{v.v} // one table: action = { type = "log" }
	}
	if len(list) == 0 {
		v.errorf("add [[rule.action]]", "the rule has no action")
	}
	used := map[string]bool{}
	for i, e := range list {
		av := v
		if isList {
			av = v.elem(i, e)
		}
		if len(list) > 1 {
			av.field = "action[" + strconv.Itoa(i) + "]"
		}
		if at, ok := av.table(); ok {
			if a := c.action(at, r, used); a != nil {
				r.Actions = append(r.Actions, a)
			}
		}
	}
}

// action decodes one action. One that names a target takes everything from it
// but what only concerns this rule: name, timeout, retry, order.
func (c *compilation) action(t *table, r *Rule, used map[string]bool) *Action {
	a := &Action{Timeout: c.timeout, Retry: c.retry}
	tv, named := t.get("target")
	if named {
		name, ok := tv.str()
		if !ok {
			return nil
		}
		target := c.targets[name]
		if target == nil {
			tv.errorf(suggest.DidYouMean(name, sortedKeys(c.targets)), "unknown target %s", tv.shown(name))
			return nil
		}
		copied := *target
		a = &copied
	}
	t.sendResolved()
	a.File, a.Line, a.Col = t.location()
	a.Order = r.Order
	read(t, "order", &a.Order, func(v view) (firing.Order, bool) { return choose(v, firing.Orders()) })
	t.limits(&a.Timeout, &a.Retry)
	name := ""
	nv, hasName := t.get("name")
	if hasName {
		name, _ = nv.str()
		if msg := badName(name); msg != "" {
			nv.errorf("", "%s", msg)
		} else if used[name] {
			nv.errorf("", "another action of the rule has this name")
		}
	}
	if named {
		t.nothingOfItsOwn(a.Target)
	} else {
		c.ownFields(t, a)
	}
	if name == "" {
		name = a.Target
	}
	if name == "" {
		name = a.Kind
	}
	a.Name = unique(name, used)
	if r.Enabled {
		at := view(t.view)
		if named {
			at = tv
		}
		at.warnParams(a, r)
	}
	return a
}

// warnParams warns of templates that read what the rule's key does not capture.
func (v view) warnParams(a *Action, r *Rule) {
	captured := r.captures.Names()
	for _, name := range a.params {
		if slices.Contains(captured, name) {
			continue
		}
		hint := suggest.DidYouMean(name, slices.Values(captured))
		switch {
		case hint != "":
		case len(captured) > 0:
			hint = "captured: " + strings.Join(captured, ", ")
		default:
			hint = `capture it in key: "stock:{` + name + `}"`
		}
		v.as("unknown-param").warnf(hint, "its templates read params.%s, which the rule's key does not capture: it is no text", name)
	}
}

// sendResolved reports a field that other programs have here.
func (t *table) sendResolved() {
	if v, ok := t.get("send_resolved"); ok {
		v.atKey = true
		v.errorf(`absent = { for = "90s", send_resolved = true }; or send_resolved = true beside when`, "send_resolved is a field of the rule, or of its absent")
	}
}

// unique returns name, or name with the first number that makes it new.
func unique(name string, used map[string]bool) string {
	for i := 1; ; i++ {
		candidate := name
		if i > 1 {
			candidate += "-" + strconv.Itoa(i)
		}
		if !used[candidate] {
			used[candidate] = true
			return candidate
		}
	}
}

// nothingOfItsOwn reports what an action with a target may not say itself.
func (t *table) nothingOfItsOwn(target string) {
	for name := range sortedKeys(t.m) {
		if slices.Contains(t.asked, name) {
			continue
		}
		t.asked = append(t.asked, name)
		v := t.kid(name, t.m[name])
		v.atKey = true
		v.errorf("an action with a target has only name, timeout, retry and order of its own", "%s is decided by the target %q", name, target)
	}
}

// ownFields decodes the kind and its fields; what is not the engine's is the
// kind's, and is checked by it.
func (c *compilation) ownFields(t *table, a *Action) {
	read(t, "concurrency", &a.Concurrency, func(v view) (int, bool) { return v.integer(1, 10_000) })
	t.rateLimit(&a.RateLimit)
	kind, ok := t.get("type")
	if !ok {
		t.errorf(cmp.Or(t.misspelt("type"), typeHint(c.l.o.Kinds)), "the action has no type")
		t.ignoreRest()
		return
	}
	if a.Kind, ok = kind.str(); !ok {
		t.ignoreRest()
		return
	}
	own := c.l.o.kind(a.Kind)
	a.Fields = map[string]any{}
	complete := true
	for name := range sortedKeys(t.m) {
		if slices.Contains(t.asked, name) || slices.Contains(laterAction, name) {
			continue
		}
		v, _ := t.get(name)
		value, ok := v.expandAll(own, name)
		a.Fields[name] = value
		complete = complete && ok
	}
	t.done(laterAction...)
	if !complete || c.l.o.Action == nil {
		return
	}
	facts, err := c.l.o.Action(a.Kind, a.Fields)
	a.reads, a.elements, a.tracks, a.sendsEvent = facts.Reads, facts.Elements, facts.Tracks, facts.SendsEvent
	a.params = facts.Params
	for _, pieces := range facts.Others {
		if p := glob.OfPieces(pieces...); p != nil { // else it is a mistake
			a.others = append(a.others, p)
		}
	}
	for _, e := range flatten(err) {
		v, msg := t.ofAction(kind, e)
		if u, ok := e.(interface{ Unknown() bool }); ok && u.Unknown() {
			v.mistake("", "%s", msg)
			continue
		}
		v.errorf("", "%s", msg)
	}
	for _, e := range facts.Warnings {
		v, msg := t.ofAction(kind, e)
		if w, ok := e.(interface{ WarningCode() string }); ok {
			v.as(w.WarningCode()).warnf("", "%s", msg)
		}
	}
}

// warnUntracked warns of an action that opens and closes incidents, where it does
// not get each firing by itself, in order.
func (t *table) warnUntracked(r *Rule) {
	for _, a := range r.Actions {
		if !a.tracks {
			continue
		}
		if a.Order == firing.OrderNone {
			t.as("incident").warnf(`leave order = "none" out`, "action %s opens and closes incidents; with order = \"none\" what opens one may arrive after what closes it", a.Name)
		}
		if r.Time != nil && r.Time.Batch.Max > 0 {
			t.key("batch").as("incident").warnf("leave it out", "action %s opens and closes incidents, and is told of the last firing of a batch only", a.Name)
		}
	}
}

// typeHint says what to write as the type of an action; "" if no kind is known.
func typeHint(kinds []Kind) string {
	var b strings.Builder
	for i, kind := range kinds {
		switch {
		case i == 0:
			b.WriteString("type = ")
		case i == len(kinds)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(kind.Name))
	}
	return b.String()
}

// rateLimit decodes { max, per }: both or neither.
func (t *table) rateLimit(r *RateLimit) {
	t.section("rate_limit", func(t *table) {
		read(t, "max", &r.Max, func(v view) (int, bool) { return v.integer(1, 1_000_000) })
		read(t, "per", &r.Per, func(v view) (time.Duration, bool) { return v.duration(time.Millisecond) })
		if !t.has("max") || !t.has("per") {
			t.errorf(`rate_limit = { max = 50, per = "1s" }`, "a rate limit has max and per")
		}
		t.done()
	})
}

// misspelt returns a hint where a field that nobody has asked for is written much as
// the one that is missing, else "".
func (t *table) misspelt(missing string) string {
	for name := range sortedKeys(t.m) {
		if !slices.Contains(t.asked, name) && suggest.DidYouMean(name, slices.Values([]string{missing})) != "" {
			return fmt.Sprintf("did you mean %q by %q?", missing, name)
		}
	}
	return ""
}

func (t *table) ignoreRest() {
	for name := range t.m {
		t.asked = append(t.asked, name)
	}
}

// ofAction returns where what an action's kind has found is, at the field that it
// names, else at the type, and what it says.
func (t *table) ofAction(kind view, err error) (where view, msg string) {
	f, ok := err.(interface{ Field() string })
	if !ok {
		return kind, err.Error()
	}
	path := f.Field()
	v := t.deep(path)
	return v, v.redactParts(strings.TrimPrefix(err.Error(), path+": "))
}

// deep returns the view of a dotted path below t, as far as it leads. Where
// the last name is not there the view is of what should hold it.
func (t *table) deep(path string) view {
	v := t.view
	field := join(v.field, path)
	for path != "" {
		m, ok := v.v.(map[string]any)
		name := path
		for ok { // a name may have dots in it: the longest that is there
			if _, found := m[name]; found {
				break
			}
			i := strings.LastIndexByte(name, '.')
			if i < 0 {
				ok = false
				break
			}
			name = name[:i]
		}
		if !ok {
			break
		}
		v = v.kid(name, m[name])
		path = strings.TrimPrefix(path[len(name):], ".")
	}
	v.field = field
	return v
}

// expandAll returns a copy of the value, which is at a path of a kind's fields,
// with every text in it expanded.
func (v view) expandAll(k *Kind, path string) (any, bool) {
	switch value := v.v.(type) {
	case string:
		v.form = k.form(path)
		v.warnOpenField(k, path, v.form)
		return v.str()
	case []any:
		ok, out := true, make([]any, len(value))
		for i, e := range value {
			x, good := v.elem(i, e).expandAll(k, path)
			out[i], ok = x, ok && good
		}
		return out, ok
	case map[string]any:
		ok, out := true, make(map[string]any, len(value))
		for name := range sortedKeys(value) {
			x, good := v.kid(name, value[name]).expandAll(k, path+"."+name)
			out[name], ok = x, ok && good
		}
		return out, ok
	}
	return v.v, true
}

// form returns what the texts of a field are.
func (k *Kind) form(path string) form {
	var f form
	if k == nil {
		return f
	}
	holds := func(of string) bool { return path == of || strings.HasPrefix(path, of+".") }
	if slices.ContainsFunc(k.Templates, holds) {
		f |= formTemplate
	}
	if slices.ContainsFunc(k.URLs, holds) {
		f |= formURL
	}
	return f
}

// flatten returns the errors that err joins, or err itself.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
