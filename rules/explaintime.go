package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/condition"
	"triggerd/internal/timing"
)

// explainTime explains the time fields, one line each: what the field does with
// a match, and by which value.
func (e *explanation) explainTime(companions []*Rule) {
	x := e.r.Time
	if x == nil {
		return
	}
	e.cancels(companions)
	t := e.r.timed
	if t == nil {
		t = &timed{} // of the clock, or only summed up
	}
	e.stage(x.Sample > 0, "sample", share(x.Sample)+" of its matches", nil)
	e.stage(x.Dedupe > 0, "dedupe", "not again for "+shortDuration(x.Dedupe), &t.dedupe)
	e.stage(x.Count.Over > 0, "count", fmt.Sprintf("more than %d in %s", x.Count.Over, shortDuration(x.Count.Within)), &t.gather)
	e.stage(x.Absent.For > 0, "absent", absentText(&x.Absent), &t.gather)
	e.stage(x.Debounce.Wait > 0, "debounce", debounceText(x.Debounce), &t.gather)
	if x.For > 0 {
		e.check("for", "true of the key for "+shortDuration(x.For), string(appendPlace(nil, e.ev)), true)
	}
	e.explainEpisode(t)
	for _, w := range []struct {
		field, text string
		windows     []*timing.Window
	}{{"active", "only in ", x.Active}, {"mute", "not in ", x.Mute}} {
		if w.windows != nil {
			got := "outside at the event's time"
			if slices.ContainsFunc(w.windows, func(w *timing.Window) bool { return w.Contains(e.ev.Time) }) {
				got = "inside at the event's time"
			}
			e.check(w.field, w.text+windowNames(w.windows)+outsideText(x), got, true)
		}
	}
	e.stage(x.Once, "once", "a single time", &t.once)
	e.stage(x.Throttle.Max > 0, "throttle", fmt.Sprintf("at most %d in %s", x.Throttle.Max, shortDuration(x.Throttle.Per)), &t.throttle)
	e.stage(x.Batch.Max > 0, "batch", fmt.Sprintf("up to %d together, after %s at the latest", x.Batch.Max, shortDuration(x.Batch.Wait)), &t.batch)
	if x.Summarize != nil {
		e.check("summarize", strings.Join(x.Summarize, " and "), "the clock", true)
	}
	if x.CatchUp {
		e.check("catch_up", "a run that was missed is made up", "the clock", true)
	}
}

// explainEpisode explains until and send_resolved.
func (e *explanation) explainEpisode(t *timed) {
	x := e.r.Time
	if t.until != nil {
		var eval condition.Evaluator
		eval.Begin(e.ev)
		holds, err := eval.Holds(t.until, e.r.captures)
		got := strconv.FormatBool(holds)
		switch {
		case err != nil:
			got = err.Error()
		case !eval.Decided():
			got = "neither true nor false: what should be a number is none"
		}
		e.check("until", "not yet: "+e.r.until, got, !holds || e.ev.Key == nil)
	}
	if x.Episode.Resolved {
		e.check("send_resolved", "its end is told too", string(appendPlace(nil, e.ev)), true)
	}
}

// stage explains one field that may have a by; b is nil if it has none.
func (e *explanation) stage(has bool, field, want string, b *byExprs) {
	if !has {
		return
	}
	if b == nil || len(b.sources) == 0 {
		e.check(field, want, "all its matches", true)
		return
	}
	want += " for each " + strings.Join(b.sources, ", ")
	var eval condition.Evaluator
	var buf []byte
	eval.Begin(e.ev)
	got, err := b.eval(&eval, e.r.captures, &buf)
	if err != nil {
		got = err.Error()
	}
	e.check(field, want, got, err == nil)
}

// cancels explains whether the event is one that cancels.
func (e *explanation) cancels(companions []*Rule) {
	for _, p := range companions {
		if p.owner() != e.r || p == e.r || !p.matchesFields(e.ev, false) {
			continue
		}
		holds := true
		if p.cond != nil {
			var eval condition.Evaluator
			eval.Begin(e.ev)
			holds, _ = eval.Holds(p.cond, p.captures)
		}
		if holds {
			e.check("cancel", "no event of cancel", "one of them: absent waits no more", false)
			return
		}
	}
}

func absentText(x *timing.Absent) string {
	text := "nothing for " + shortDuration(x.For)
	if x.Repeat > 0 {
		text += ", again every " + shortDuration(x.Repeat)
	}
	if x.Resolved {
		text += ", and when it is back"
	}
	return text
}

func debounceText(x timing.Debounce) string {
	text := "when nothing came for " + shortDuration(x.Wait)
	if x.MaxWait > 0 {
		text += ", after " + shortDuration(x.MaxWait) + " at the latest"
	}
	return text
}

func outsideText(x *timing.Rule) string {
	if x.Hold {
		return ", held until then"
	}
	return ""
}

func windowNames(list []*timing.Window) string {
	names := make([]string, len(list))
	for i, w := range list {
		names[i] = w.Name
	}
	return strings.Join(names, " or ")
}

func share(x float64) string { return strconv.FormatFloat(100*x, 'f', -1, 64) + "%" }

// shortDuration is a duration without the parts that are zero: 10m, not 10m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
