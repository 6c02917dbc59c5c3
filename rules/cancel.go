package rules

import (
	"triggerd/internal/condition"
	"triggerd/internal/timing"
)

// cancel decodes the patterns of events that end the wait of an absent.
func (d *timeDecoder) cancel() {
	v, ok := d.t.get("cancel")
	if !ok {
		return
	}
	if !d.t.has("absent") {
		d.t.key("cancel").errorf(`absent = { for = "30m", by = "params.id" }`, "cancel without absent")
	}
	v.each(func(v view) {
		if t, ok := v.table(); ok {
			d.cancelPattern(t)
		}
	})
}

func (d *timeDecoder) cancelPattern(t *table) {
	p := &Rule{Name: d.r.Name, Enabled: d.r.Enabled, pattern: pattern{rareFields: &rareFields{}}}
	if len(t.m) == 0 {
		t.errorf(`cancel = { key = "order:{id}", event = "set" }`, "a pattern without fields cancels at every event")
	}
	says := d.c.pattern(t, p)
	t.done()
	own := *p.rareFields
	own.timed = &timed{owner: d.r, role: timing.Cancels}
	p.rareFields = &own
	d.cancelBy(t, p)
	if d.r.Schedule != nil || !d.r.Enabled {
		says = nil
	}
	alternatives := p.conjuncts(says)
	if p.Enabled && len(d.c.l.errors) == 0 {
		d.c.warnNever(t, p, says)
		t.warnUnindexed(p, alternatives)
		t.warnKeepsAllValues(p, alternatives)
	}
	d.cancels = append(d.cancels, p)
	d.c.cancelEntries = append(d.c.cancelEntries, cancelEntry{p, alternatives})
}

// cancelBy compiles the by of absent for the events of a cancel pattern. It
// must give the same values as for the rule's own events.
func (d *timeDecoder) cancelBy(t *table, p *Rule) {
	of := &d.timed.gather
	p.timed.gather = byExprs{field: of.field, sources: of.sources}
	for _, src := range of.sources {
		if _, report := d.c.compiler.Value(src, d.r.captures.Names()); len(report.Problems) > 0 {
			return // reported where it is
		}
		part, report := d.c.compiler.Value(src, p.captures.Names())
		for _, problem := range report.Problems {
			at := t.view
			if t.has("key") {
				at = t.kid("key", t.m["key"])
			}
			at.errorf(problem.Hint, "absent waits by %s, which this pattern does not tell: %s", src, problem.Msg)
		}
		if part != nil {
			p.timed.reads = append(p.timed.reads, part.Reads())
		}
		p.timed.gather.parts = append(p.timed.gather.parts, part)
	}
}

// cancelEntry is a cancel pattern on its way into the index.
type cancelEntry struct {
	rule      *Rule
	conjuncts []condition.Conjunct
}
