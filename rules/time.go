package rules

import (
	"slices"
	"strings"
	"time"

	"triggerd/internal/suggest"
	"triggerd/internal/timing"
)

// Limits and defaults of the time fields.
const (
	defaultMaxKeys = 100_000
	maxMaxKeys     = 100_000_000
	maxSpan        = 366 * 24 * time.Hour
	maxTimes       = 1_000_000_000 // the largest count of matches or firings
	maxBatch       = 100_000       // firings of one batch
)

// timeFields are the time fields of a rule, beside schedule and timezone.
var timeFields = []string{
	"sample", "dedupe", "count", "absent", "cancel", "debounce", "for", "until", "send_resolved", "active", "mute", "outside",
	"once", "throttle", "batch", "max_keys", "summarize", "catch_up",
}

var isTimeField = func() map[string]bool {
	is := map[string]bool{}
	for _, name := range timeFields {
		is[name] = true
	}
	return is
}()

// ofClock are the time fields that a rule with a schedule may have.
var ofClock = []string{"active", "mute", "outside", "summarize", "catch_up"}

// gatherings are the fields of which a rule may have only one. Each makes one
// firing of several matches, or of none.
var gatherings = []string{"count", "absent", "debounce", "for"}

// timeDecoder decodes the time fields of one rule.
type timeDecoder struct {
	c     *compilation
	t     *table
	r     *Rule
	time  *timing.Rule
	timed *timed

	cancels []*Rule
	until   string // as it is written
}

// times decodes the time fields of a rule. It comes after the rule's patterns,
// whose captures it needs.
func (c *compilation) times(t *table, r *Rule) {
	if r.Schedule == nil && !t.hasAny(isTimeField) {
		t.others = timeFields
		return
	}
	d := &timeDecoder{c: c, t: t, r: r, time: &timing.Rule{Name: r.Name, MaxKeys: defaultMaxKeys}, timed: &timed{owner: r}}
	d.decode()
	if r.Schedule == nil {
		own := *r.rareFields
		own.timed, own.until = d.timed, d.until
		r.rareFields = &own
		if r.counts == nil {
			r.counts = new(conditionCounts)
		}
	}
	if r.Enabled {
		r.Time = d.time
	}
	d.time.Shape = d.shape()
	if r.Enabled && len(c.l.errors) == 0 {
		d.lint()
	}
}

func (d *timeDecoder) decode() {
	if d.t.has("schedule") { // it excludes the others
		d.t.asked = append(d.t.asked, timeFields...)
		d.windows()
		d.clock()
		return
	}
	x := d.time
	read(d.t, "sample", &x.Sample, view.sampleShare)
	read(d.t, "max_keys", &x.MaxKeys, func(v view) (int, bool) { return v.integer(1, maxMaxKeys) })
	d.stage("dedupe", `dedupe = { by = "params.id", ttl = "1h" }`, &d.timed.dedupe, func(t *table) {
		read(t, "ttl", &x.Dedupe, view.stageDuration)
	})
	d.oneGathering()
	d.stage("count", `count = { over = 100, within = "10s", by = "params.ip" }`, &d.timed.gather, func(t *table) {
		read(t, "over", &x.Count.Over, func(v view) (int, bool) { return v.integer(1, maxTimes) })
		read(t, "within", &x.Count.Within, view.stageDuration)
	})
	d.stage("debounce", `debounce = { wait = "2s", max_wait = "30s" }`, &d.timed.gather, d.debounce)
	d.stage("absent", `absent = { for = "90s", by = "params.worker" }`, &d.timed.gather, d.absent)
	d.cancel()
	d.decodeFor()
	d.episode()
	d.windows()
	d.once()
	d.stage("throttle", `throttle = { max = 1, per = "10m", by = "params.id" }`, &d.timed.throttle, func(t *table) {
		read(t, "max", &x.Throttle.Max, func(v view) (int, bool) { return v.integer(1, maxTimes) })
		read(t, "per", &x.Throttle.Per, view.stageDuration)
	})
	d.stage("batch", `batch = { max = 100, wait = "1s", by = "params.region" }`, &d.timed.batch, func(t *table) {
		read(t, "max", &x.Batch.Max, func(v view) (int, bool) { return v.integer(2, maxBatch) })
		read(t, "wait", &x.Batch.Wait, view.stageDuration)
	})
	d.clock()
}

// required are the fields that a stage cannot do without.
var required = map[string][]string{
	"dedupe": {"by", "ttl"}, "count": {"over", "within"}, "debounce": {"wait"}, "absent": {"for"}, "throttle": {"max", "per"}, "batch": {"max", "wait"},
}

// stage decodes the table of a stage, with its by.
func (d *timeDecoder) stage(name, example string, to *byExprs, decode func(*table)) {
	v, ok := d.t.get(name)
	if !ok {
		return
	}
	if _, isTable := v.v.(map[string]any); !isTable {
		v.wrongType("a table", example)
		return
	}
	t, _ := v.table()
	if v, ok := t.get("by"); ok {
		*to = d.by(v)
	}
	decode(t)
	for _, name := range required[name] {
		if !t.has(name) {
			t.errorf(example, "%s is missing", name)
		}
	}
	t.done()
}

// oneGathering reports a rule with more than one gathering.
func (d *timeDecoder) oneGathering() {
	first := ""
	for _, name := range gatherings {
		switch {
		case !d.t.has(name):
		case first == "":
			first = name
		default:
			d.t.key(name).errorf("make two rules of it", "a rule has one of count, absent, debounce and for; this one has %s too", first)
		}
	}
}

// key returns the view of a field's name.
func (t *table) key(name string) view {
	v := t.kid(name, t.m[name])
	v.atKey = true
	return v
}

// stageDuration decodes a duration of a stage.
func (v view) stageDuration() (time.Duration, bool) {
	d, ok := v.duration(time.Millisecond)
	if ok && d > maxSpan {
		v.errorf("", "%s is more than 366 days", v.v)
	}
	return d, ok && d <= maxSpan
}

// sampleShare decodes a number between 0 and 1.
func (v view) sampleShare() (float64, bool) {
	var x float64
	switch n := v.v.(type) {
	case float64:
		x = n
	case int64:
		x = float64(n)
	default:
		v.wrongType("a number between 0 and 1", "sample = 0.1 takes a tenth")
		return 0, false
	}
	if !(x > 0 && x < 1) {
		v.errorf("sample = 0.1 takes a tenth", "%v is not more than 0 and less than 1", v.v)
		return 0, false
	}
	return x, true
}

func (d *timeDecoder) debounce(t *table) {
	x := &d.time.Debounce
	read(t, "wait", &x.Wait, view.stageDuration)
	read(t, "max_wait", &x.MaxWait, view.stageDuration)
	if x.MaxWait > 0 && x.MaxWait < x.Wait {
		t.kid("max_wait", t.m["max_wait"]).errorf("", "max_wait %s is less than wait %s", x.MaxWait, x.Wait)
	}
}

func (d *timeDecoder) absent(t *table) {
	x := &d.time.Absent
	read(t, "for", &x.For, view.stageDuration)
	read(t, "repeat", &x.Repeat, view.stageDuration)
	read(t, "send_resolved", &x.Resolved, view.boolean)
	t.list("expect", func(v view) {
		name, ok := v.str()
		if ok && slices.Contains(x.Expect, name) {
			v.errorf("", "%s is there twice", v.shown(name))
		} else if ok {
			x.Expect = append(x.Expect, name)
		}
	})
	if x.Expect != nil {
		expect := t.kid("expect", t.m["expect"])
		if !t.has("by") {
			expect.errorf(`by = "params.worker" says what these are values of`, "expect without by")
		}
		if len(x.Expect) > d.time.MaxKeys {
			expect.errorf("", "%d are expected, and max_keys is %d", len(x.Expect), d.time.MaxKeys)
		}
	}
}

// decodeFor decodes for.
func (d *timeDecoder) decodeFor() {
	read(d.t, "for", &d.time.For, view.stageDuration)
	if !d.t.has("for") {
		return
	}
	d.timed.role = timing.Ends
	if !d.t.has("when") {
		d.t.key("for").errorf(`when = 'num(after) < 5'`, "a rule with for needs a condition that has to hold that long")
	}
}

// windows decodes active, mute and outside.
func (d *timeDecoder) windows() {
	for name, to := range map[string]*[]*timing.Window{"active": &d.time.Active, "mute": &d.time.Mute} {
		d.t.list(name, func(v view) {
			window, ok := v.str()
			if !ok {
				return
			}
			w := d.c.windows[window]
			if w == nil {
				v.errorf(suggest.DidYouMean(window, sortedKeys(d.c.windows)), "there is no [windows.%s]", window)
				return
			}
			*to = append(*to, w)
		})
	}
	v, ok := d.t.get("outside")
	if !ok {
		return
	}
	what, _ := v.oneOf("drop", "hold")
	d.time.Hold = what == "hold"
	if !d.t.has("active") && !d.t.has("mute") {
		d.t.key("outside").errorf(`active = "office"`, "outside of what? The rule has neither active nor mute")
	}
}

// once decodes true, a by, or a table with a by.
func (d *timeDecoder) once() {
	v, ok := d.t.get("once")
	if !ok {
		return
	}
	d.time.Once = true
	switch on := v.v.(type) {
	case bool:
		d.time.Once = on
	case string, []any:
		d.timed.once = d.by(v)
	case map[string]any:
		t, _ := v.table()
		if v, ok := t.get("by"); ok {
			d.timed.once = d.by(v)
		} else {
			t.errorf(`once = { by = "params.id" }`, "by is missing")
		}
		t.done()
	default:
		v.wrongType("true, or what there is to be one firing of each of", `once = "params.id"`)
	}
}

// clock decodes what only a rule with a schedule has.
func (d *timeDecoder) clock() {
	if v, ok := d.t.get("summarize"); ok {
		v.each(func(v view) {
			if name, ok := v.str(); ok {
				d.time.Summarize = append(d.time.Summarize, name)
				d.c.summarized = append(d.c.summarized, summarized{v, d.r, name})
			}
		})
	}
	read(d.t, "catch_up", &d.time.CatchUp, view.boolean)
	d.time.Schedule = nil
	if d.r.Schedule != nil {
		d.time.Schedule = d.r.Schedule
	}
	for _, name := range []string{"summarize", "catch_up"} {
		if d.t.has(name) && !d.t.has("schedule") {
			d.t.key(name).errorf(`schedule = "0 7 * * *"`, "%s without schedule", name)
		}
	}
}

// by decodes an expression, or a list of them.
func (d *timeDecoder) by(v view) byExprs {
	b := byExprs{field: v.field}
	if list, isList := v.v.([]any); isList && len(list) == 0 {
		v.errorf(`by = "params.id"`, "an empty list tells nothing apart")
		return b
	}
	v.each(func(v view) {
		src, ok := v.text()
		if !ok {
			return
		}
		if strings.TrimSpace(src) == "" {
			v.errorf(`by = "params.id"`, "an empty text tells nothing apart")
			return
		}
		part, report := d.c.compiler.Value(src, d.r.captures.Names())
		v.report(report)
		if part != nil {
			d.timed.reads = append(d.timed.reads, part.Reads())
		}
		b.sources = append(b.sources, src)
		b.parts = append(b.parts, part)
	})
	return b
}

// summarized is one name in a summarize.
type summarized struct {
	view
	by   *Rule
	name string
}

// summaries checks the names in all summarize, and makes the rules that they
// name count.
func (c *compilation) summaries(set *Set) {
	byName := map[string]*Rule{}
	for _, r := range set.Rules {
		byName[r.Name] = r
	}
	for _, s := range c.summarized {
		r := byName[s.name]
		switch {
		case r == nil:
			s.errorf(suggest.DidYouMean(s.name, sortedKeys(c.ruleNames)), "there is no rule %s", s.shown(s.name))
		case r == s.by:
			s.errorf("", "a rule cannot sum up itself")
		case r.Schedule != nil:
			s.errorf("", "rule %q is one of the clock: only rules that wait for events are summed up", s.name)
		case r.Time == nil && r.Enabled && s.by.Enabled:
			r.Time = &timing.Rule{Name: r.Name, MaxKeys: defaultMaxKeys}
		}
	}
}

// lint warns of time fields that can hardly be meant.
func (d *timeDecoder) lint() {
	x := d.time
	if x.Absent.For > 0 {
		d.lintAbsent()
	}
	if events := d.r.events; (x.For > 0 || x.Episode.On) && events != nil && !d.r.anyWrite && !slices.ContainsFunc(events.list(), func(name string) bool { return !slices.Contains(removals, name) }) {
		field := "for"
		if !d.t.has(field) {
			field = "event"
		}
		d.t.key(field).as("for-gone").warnf("", "after these events the key is gone, and its condition with it: the rule never fires")
	}
	if _, opens := x.Opens(time.Now()); !opens {
		at := "active"
		if x.Mute != nil {
			at = "mute"
		}
		d.t.key(at).as("never-open").warnf("", "the windows leave no time at which the rule may fire")
	}
}

// lintAbsent warns of a condition that makes little sense for what an absent
// waits for.
func (d *timeDecoder) lintAbsent() {
	x, r := d.time, d.r
	if r.cond == nil && r.commands == nil && (r.events == nil || r.anyWrite) {
		d.t.key("absent").as("absent-deletion").warnf(`name the events that are one: event = ["set", "hset"]`, "a deletion or an expiry of the key counts as a sign of life too")
	}
	if x.Sample > 0 {
		d.t.key("sample").as("absent-sample").warnf("leave it out", "what the sample leaves out is missed by absent")
	}
	if x.Dedupe >= x.Absent.For {
		d.t.key("dedupe").as("absent-dedupe").warnf("", "no sign of life passes for %s, and absent waits only %s", shortDuration(x.Dedupe), shortDuration(x.Absent.For))
	}
}
