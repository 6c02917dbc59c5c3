package preset_test

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// at is when everything happens.
var at = time.Date(2026, 1, 5, 10, 15, 2, 0, time.UTC)

// of returns a firing of a change of a key.
func of(name, key string, before, after event.Value, also ...func(f *firing.Firing)) *firing.Firing {
	f := &firing.Firing{ID: "8d1f4c:851576/0:rule/action", Rule: "order-paid", Action: "action", Attempt: 1, Event: &event.Event{
		Name: name, Origin: event.FromStream, Cause: event.CauseCommand, Key: []byte(key), Before: before, After: after,
		Time: at, TTL: event.TTLNone, Source: "redis://127.0.0.1:6379",
	}}
	for _, do := range also {
		do(f)
	}
	return f
}

// no returns a firing of something that concerns no key.
func no(name string, also ...func(f *firing.Firing)) *firing.Firing {
	f := of(name, "", nil, nil)
	f.Event.Key = nil
	for _, do := range also {
		do(f)
	}
	return f
}

func changed(names ...string) func(f *firing.Firing) {
	return func(f *firing.Firing) { f.Event.Changed = texts(names) }
}

func args(list ...string) func(f *firing.Firing) {
	return func(f *firing.Firing) { f.Event.Args = texts(list) }
}

func timing(t event.Timing) func(f *firing.Firing) {
	return func(f *firing.Firing) { f.Timing = t }
}

func texts(list []string) (all [][]byte) {
	for _, s := range list {
		all = append(all, []byte(s))
	}
	return all
}

func str(s string) event.Value { return event.String([]byte(s)) }

// hash returns a hash of names and values in turn.
func hash(pairs ...string) event.Value {
	var all []event.Element
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, event.Element{Name: pairs[i], Value: pairs[i+1]})
	}
	return event.Elements("hash", all)
}

// names returns a list or a set.
func names(typ string, list ...string) event.Value {
	var all []event.Element
	for _, name := range list {
		all = append(all, event.Element{Name: name})
	}
	return event.Elements(typ, all)
}

func zset(elements ...event.Element) event.Value { return event.Elements("zset", elements) }

func member(name string, score float64) event.Element {
	return event.Element{Name: name, Score: score}
}

func cut(v event.Value, limit int) event.Value { return event.CloneValue(v, limit) }

// firings has each kind of firing that people are told of differently.
func firings() map[string]*firing.Firing {
	many := func(status string) event.Value {
		pairs := []string{"status", status}
		for i := range 8 {
			pairs = append(pairs, fmt.Sprint("f", i), status)
		}
		return hash(pairs...)
	}
	var batch []event.Item
	for i := range 12 {
		e := of("hset", fmt.Sprint("order:", i), hash("status", "new"), hash("status", "paid"), changed("status")).Event
		e.Time = at.Add(time.Duration(i) * 100 * time.Millisecond)
		batch = append(batch, event.Item{Event: e})
	}
	long := strings.Repeat("0123456789", 20)
	gone := func(f *firing.Firing) { f.Event.TTL = event.TTLGone }
	return map[string]*firing.Firing{
		"string":            of("decr", "stock:7", str("5"), str("0")),
		"string-unchanged":  of("set", "stock:7", str("5"), str("5")),
		"string-empty":      of("set", "stock:7", str("5"), str("")),
		"string-long":       of("set", "doc:7", str(long+"a"+long), str(long+"b"+long)),
		"string-cut":        of("set", "doc:7", cut(str(long), 10), cut(str(long), 12)),
		"created":           of("set", "stock:7", event.None, str("5")),
		"created-hash":      of("hset", "order:7", event.None, hash("total", "5", "status", "new"), changed("total", "status")),
		"deleted":           of("del", "stock:7", str("5"), event.None, gone),
		"deleted-unknown":   of("del", "stock:7", nil, event.None, gone),
		"expired":           of("expired", "session:ada", hash("user", "ada"), event.None, gone),
		"expired-by-del":    of("del", "session:ada", str("x"), event.None, gone, func(f *firing.Firing) { f.Event.Cause = event.CauseExpired }),
		"renamed":           of("rename_from", "a", str("x"), event.None, gone),
		"was-never-there":   of("del", "a", event.None, event.None, gone),
		"expire":            of("expire", "stock:7", str("5"), str("5"), func(f *firing.Firing) { f.Event.TTL = 90_000 }),
		"persist":           of("persist", "stock:7", str("5"), str("5")),
		"hash":              of("hset", "order:7", hash("status", "new", "total", "5"), hash("status", "paid", "total", "5"), changed("status")),
		"hash-fields":       of("hset", "order:7", hash("a", "1", "b", "2"), hash("b", "3", "c", "4"), changed("c", "b", "a")),
		"hash-many":         of("hset", "order:7", many("new"), many("paid"), changed("status")),
		"hash-cut":          of("hset", "order:7", cut(many("new"), 60), cut(many("paid"), 60), changed("status")),
		"hash-cut-away":     of("hset", "order:7", cut(many("new"), 1), cut(many("paid"), 1), changed("status")),
		"set":               of("sadd", "tags", names("set", "a", "b", "c"), names("set", "b", "c", "d", "e"), changed("d", "e")),
		"list":              of("rpush", "jobs", names("list", "a", "b"), names("list", "a", "b", "b", "c")),
		"list-order":        of("lset", "jobs", names("list", "a", "b"), names("list", "b", "a")),
		"list-many":         of("rpush", "jobs", names("list"), names("list", strings.Split(strings.Repeat("job ", 9), " ")...)),
		"zset":              of("zincr", "board", zset(member("bob", 3), member("ann", 900)), zset(member("carl", 5), member("ann", 1050)), changed("ann")),
		"stream":            of("xadd", "orders", event.Elements("stream", nil), event.Elements("stream", []event.Element{{Name: "1-1", Fields: []string{"id", "7", "sum", "5"}}})),
		"type":              of("set", "a", names("list", "x", "y"), str("5")),
		"unknown":           of("hset", "order:7", nil, nil),
		"unknown-before":    of("set", "stock:7", nil, str("5")),
		"unknown-after":     of("append", "stock:7", str("5"), nil),
		"snapshot":          of("snapshot", "stock:7", nil, str("5")),
		"resync":            no("resync"),
		"gap":               no("gap", args("1", "2")),
		"flushall":          no("flushall"),
		"flushdb":           no("flushdb", func(f *firing.Firing) { f.Event.DB = 3 }),
		"swapdb":            no("swapdb", args("0", "1")),
		"publish":           no("publish", args("news", "hello")),
		"other-keyless":     no("function", args("LOAD", "x")),
		"silent":            absence(of("absent", "hb:api-1", nil, nil), 0),
		"silent-again":      absence(of("absent", "hb:api-1", nil, nil), 15*time.Minute),
		"silent-never-seen": absence(no("absent"), 0),
		"back":              of("set", "hb:api-1", nil, str("up"), timing(event.Timing{Status: "resolved", By: "api-1", Since: at.Add(-162 * time.Second), Duration: 162 * time.Second})),
		"back-since-when":   of("set", "hb:api-1", nil, str("up"), timing(event.Timing{Status: "resolved", By: "api-1"})),
		"opened":            of("set", "load:7", str("85"), str("95"), timing(event.Timing{Status: "firing", Since: at})),
		"resolved":          of("set", "load:7", str("95"), str("65"), timing(event.Timing{Status: "resolved", Since: at.Add(-time.Hour), Duration: time.Hour})),
		"resolved-deleted":  of("del", "load:7", str("95"), event.None, gone, timing(event.Timing{Status: "resolved", Since: at.Add(-time.Hour), Duration: time.Hour})),
		"resolved-flushed":  resolved(event.CauseFlushed),
		"resolved-reload":   resolved(event.CauseReload),
		"resolved-resync":   resolved(event.CauseResync),
		"resolved-max-keys": resolved(event.CauseMaxKeys),
		"count":             of("incr", "rl:10.0.0.7:a", str("100"), str("101"), timing(event.Timing{By: "10.0.0.7", Count: 101, First: at.Add(-9400 * time.Millisecond), Last: at})),
		"suppressed":        of("decr", "stock:7", str("5"), str("0"), timing(event.Timing{By: "7", Suppressed: 3})),
		"batch":             {ID: "8d1f4c:851576/0:rule/action", Rule: "orders", Event: batch[11].Event, Timing: event.Timing{Batch: batch, Count: 12}},
		"batch-of-ends": {ID: "8d1f4c:851576/0:rule/action", Rule: "low", Event: resolved(event.CauseFlushed).Event, Timing: event.Timing{Count: 3, Batch: []event.Item{
			{Event: of("set", "load:7", str("85"), str("95")).Event, Status: "firing", Since: at},
			{Event: of("set", "load:7", str("95"), str("65")).Event, Status: "resolved", Since: at, Duration: time.Minute},
			{Event: resolved(event.CauseFlushed).Event, Status: "resolved", Since: at, Duration: time.Hour},
		}}},
		"schedule": no("schedule"),
		"summary": no("schedule", timing(event.Timing{Summary: []event.Line{
			{Rule: "sold-out", Count: 3, Suppressed: 1, First: at, Last: at, Event: of("decr", "stock:7", nil, nil).Event}, {Rule: "burst"},
		}})),
	}
}

// absence makes a firing that of a rule that waits 90 s, and has fired before, since
// for as long as again says.
func absence(f *firing.Firing, again time.Duration) *firing.Firing {
	f.Timing = event.Timing{Status: "firing", By: "api-1", Since: at.Add(90 * time.Second)}
	f.ID = firing.AbsentTrigger(f.Since.Add(again).UnixMilli(), f.By).Firing(f.Rule, f.Action)
	return f
}

// resolved is the end of something that no event of the key has brought.
func resolved(why event.Cause) *firing.Firing {
	return of("resolved", "load:7", nil, nil, timing(event.Timing{Status: "resolved", Since: at.Add(-time.Hour), Duration: time.Hour}), func(f *firing.Firing) { f.Event.Cause = why })
}

// ruleOf is what the rule of a firing says beside it.
func ruleOf(name string) actions.Rule {
	switch name {
	case "silent", "silent-again", "silent-never-seen", "back", "back-since-when":
		return actions.Rule{Severity: "critical", Silence: 90 * time.Second, Repeat: 15 * time.Minute, Description: "a worker says that it is there"}
	case "string":
		return actions.Rule{Severity: "warn"}
	case "summary":
		return actions.Rule{Severity: "info"}
	case "count":
		return actions.Rule{Severity: "P2"}
	}
	return actions.Rule{}
}

// clone returns a firing whose event may be changed.
func clone(f *firing.Firing) *firing.Firing {
	c, e := *f, *f.Event
	e.Key = bytes.Clone(e.Key)
	c.Event = &e
	return &c
}
