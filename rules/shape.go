package rules

import (
	"fmt"
	"strconv"
	"strings"

	"triggerd/internal/condition"
	"triggerd/internal/glob"
	"triggerd/internal/timing"
)

// shape returns a text of the rule's time fields. It is equal for rules whose
// states mean the same: see timing.Rule.
func (d *timeDecoder) shape() string {
	var b strings.Builder
	x, c := d.time, d.c.compiler
	say := func(set bool, format string, args ...any) {
		if set {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	gather := d.timed.gather.shape(c)
	say(x.Sample > 0, "sample %v", x.Sample)
	say(x.Dedupe > 0, "dedupe %s %s", x.Dedupe, d.timed.dedupe.shape(c))
	say(x.Count.Over > 0, "count %d %s %s", x.Count.Over, x.Count.Within, gather)
	say(x.Absent.For > 0, "absent %s %q %s %v %s", x.Absent.For, sorted(x.Absent.Expect), x.Absent.Repeat, x.Absent.Resolved, gather)
	for _, p := range d.cancels {
		say(true, "cancel %s", p.shape(c))
	}
	say(x.Debounce.Wait > 0, "debounce %s %s %s", x.Debounce.Wait, x.Debounce.MaxWait, gather)
	say(x.For > 0, "for %s %s", x.For, d.r.shape(c)) // what is armed is armed by the condition
	say(x.Episode.On && x.For == 0, "open %s", d.r.shape(c))
	say(d.timed.until != nil, "until %q", c.Canonical(d.until))
	say(x.Episode.Resolved, "send_resolved")
	say(x.Active != nil, "active %s", windowsShape(x.Active))
	say(x.Mute != nil, "mute %s", windowsShape(x.Mute))
	say(x.Hold, "hold")
	say(x.Once, "once %s", d.timed.once.shape(c))
	say(x.Throttle.Max > 0, "throttle %d %s %s", x.Throttle.Max, x.Throttle.Per, d.timed.throttle.shape(c))
	say(x.Batch.Max > 0, "batch %d %s %s", x.Batch.Max, x.Batch.Wait, d.timed.batch.shape(c))
	say(x.Schedule != nil, "schedule %s", d.scheduleShape())
	say(x.Summarize != nil, "summarize %q", sorted(x.Summarize))
	say(x.CatchUp, "catch_up")
	return b.String()
}

// shape returns a text that is equal for two bys with the same values.
func (b *byExprs) shape(c *condition.Compiler) string {
	parts := make([]string, len(b.sources))
	for i, src := range b.sources {
		parts[i] = strconv.Quote(c.Canonical(src))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// shape returns a text that is equal for patterns of the same events.
func (r *Rule) shape(c *condition.Compiler) string {
	names := func(s *nameSet) []string {
		if s == nil {
			return nil
		}
		return s.list()
	}
	var regexes []string
	for _, re := range r.regexes {
		regexes = append(regexes, re.String())
	}
	when := ""
	if r.When != "" {
		when = c.Canonical(r.When)
	}
	return fmt.Sprintf("%q %q %q %q %q %q %v %v %v %q %q",
		globShapes(r.keys), globShapes(r.keysNot), regexes, names(r.commands), names(r.commandsNot), names(r.events), r.anyWrite, r.Snapshot,
		r.dbs, r.types, when)
}

func globShapes(globs []*glob.Pattern) []string {
	texts := make([]string, len(globs))
	for i, g := range globs {
		texts[i] = g.String()
	}
	return texts
}

func windowsShape(list []*timing.Window) string {
	var b strings.Builder
	for _, w := range list {
		fmt.Fprint(&b, w.Weekdays, w.Times, w.Days, w.Months, w.Location, ";")
	}
	return b.String()
}

// scheduleShape returns the schedule and its time zone as they are written.
func (d *timeDecoder) scheduleShape() string {
	spec, _ := d.t.m["schedule"].(string)
	zone, _ := d.t.m["timezone"].(string)
	return strings.Join(strings.Fields(spec), " ") + " " + zone
}
