package rules

import (
	"slices"

	"triggerd/internal/event"
	"triggerd/internal/timing"
)

// noEpisode are the fields that gather matches in another way than by what lasts
// of a key.
var noEpisode = []string{"count", "absent", "debounce"}

// episode decodes until and send_resolved.
func (d *timeDecoder) episode() {
	read(d.t, "send_resolved", &d.time.Episode.Resolved, view.boolean)
	until, hasUntil := d.t.get("until")
	if !hasUntil && !d.time.Episode.Resolved {
		return
	}
	field := "send_resolved"
	if hasUntil {
		field = "until"
	}
	for _, other := range noEpisode {
		if !d.t.has(other) {
			continue
		}
		hint := "make two rules of it"
		if other == "absent" {
			hint = `absent has one of its own: absent = { for = "90s", send_resolved = true }`
		}
		d.t.key(field).errorf(hint, "%s does not go with %s", field, other)
	}
	if !d.t.has("when") {
		d.t.key(field).errorf(`when = "num(after) >= 90"`, "%s needs a condition that begins what it ends", field)
		return
	}
	d.time.Episode.On = true
	d.timed.role, d.timed.episode = timing.Ends, true
	if hasUntil {
		d.decodeUntil(until)
	}
}

// decodeUntil compiles until. It is asked of the key as it is, at any event and in
// a snapshot.
func (d *timeDecoder) decodeUntil(v view) {
	src, ok := v.text()
	if !ok {
		return
	}
	names := d.r.captures.Names()
	cond, report := d.c.compiler.Condition(src, names)
	v.report(report)
	d.until, d.timed.until = src, cond
	if cond == nil {
		return
	}
	d.timed.reads = append(d.timed.reads, cond.Reads())
	d.c.rejectMomentary(v, src, d.r, "until is asked of the key as it is, in a snapshot too", "until holds for as long as the key is there: nothing ever fires")
	if !d.r.Enabled || len(d.c.l.errors) > 0 {
		return
	}
	switch never, always := d.c.compiler.Ends(d.r.When, src, names); {
	case never:
		v.as("until-never").warnf("", "this never holds: what has fired stays open until its key is gone")
	case always:
		v.as("until-always").warnf(`when = "num(after) >= 90" goes with until = "num(after) < 70"`, "this holds whenever the condition does: the rule never fires")
	}
}

// episodeRole returns what an event does to a rule with an episode. Where until
// holds nothing begins. What is not known ends only what for waits for.
func (m *Matcher) episodeRole(r *Rule, ev *event.Event) (timing.Role, bool) {
	if isGone(ev) {
		return timing.Ends, true
	}
	waits := r.Time != nil && r.Time.For > 0
	if r.types != nil && !slices.Contains(r.types, ev.Type) {
		if ev.Type == "" {
			return timing.Lapses, waits
		}
		return timing.Ends, true
	}
	if until := r.timed.until; until != nil {
		if ends, _ := m.decide(r, ev, until); ends {
			return timing.Ends, true
		}
	}
	holds, decided := m.decide(r, ev, r.cond)
	switch {
	case holds:
		return timing.Fires, r.matchesEvent(ev)
	case decided && r.timed.until == nil:
		return timing.Ends, true
	}
	return timing.Lapses, waits
}
