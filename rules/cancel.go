package rules

import (
	"triggerd/internal/condition"
	"triggerd/internal/timing"
)

// cancel decodes the patterns of events after which an absent waits no more.
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
	p := &Rule{Name: d.r.Name, Enabled: d.r.Enabled, pattern: pattern{limits: &limits{}}}
	if len(t.m) == 0 {
		t.errorf(`cancel = { key = "order:{id}", event = "set" }`, "a pattern without fields cancels at every event")
	}
	says := d.c.pattern(t, p)
	t.done()
	own := *p.limits
	own.timed = &timed{owner: d.r, role: timing.Cancels}
	p.limits = &own
	d.cancelBy(t, p)
	if d.r.Schedule != nil || !d.r.Enabled {
		says = nil
	}
	alternatives := p.conjuncts(says)
	if p.Enabled && len(d.c.l.errors) == 0 {
		t.unserved(p, alternatives)
		t.keepsAll(p, alternatives)
	}
	d.cancels = append(d.cancels, p)
	d.c.companions = append(d.c.companions, companion{p, alternatives})
}

// cancelBy compiles the by of absent for events of a cancel pattern, which has
// to tell the same values.
func (d *timeDecoder) cancelBy(t *table, p *Rule) {
	of := &d.timed.gather
	p.timed.gather = by{field: of.field, sources: of.sources}
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

// companion is a cancel pattern on its way into the index.
type companion struct {
	rule      *Rule
	conjuncts []condition.Conjunct
}
