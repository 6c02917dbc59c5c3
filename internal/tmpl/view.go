package tmpl

import (
	"sync"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// View is a firing as templates see it. It is made for one delivery, and its map
// only if there is a template that asks. It is not safe for concurrent use.
type View struct {
	firing *firing.Firing
	m      map[string]any
}

// NewView returns a view of f, which it borrows.
func NewView(f *firing.Firing) *View { return &View{firing: f} }

func (v *View) data() map[string]any {
	if v.m != nil {
		return v.m
	}
	f := v.firing
	v.m = eventData(f.Event, f.ID.String(), f.Params)
	v.m["rule"], v.m["action"], v.m["attempt"], v.m["redelivered"] = f.Rule, f.Action, f.Attempt, f.Redelivered
	v.m["status"], v.m["by"], v.m["count"], v.m["suppressed"] = orNull(f.Status), orNull(f.By), f.Count, f.Suppressed
	v.m["since"], v.m["duration"] = stamp{f.Since.UTC()}, durationOf(f.Status, f.Since, f.Duration)
	v.m["first"], v.m["last"] = stamp{f.First.UTC()}, stamp{f.Last.UTC()}
	v.m["events"], v.m["summary"] = batchData(f.Batch), summaryData(f.Summary)
	return v.m
}

// eventData is an event as templates see it: that of the firing, and those of
// a batch and of a summary.
func eventData(e *event.Event, id string, params map[string]string) map[string]any {
	if params == nil {
		params = map[string]string{}
	}
	m := make(map[string]any, 32)
	m["id"], m["params"] = id, params
	m["event"], m["key"], m["command"], m["args"], m["db"], m["type"] = e.Name, keyOf(e), orNull(e.Command), texts(e.Args), e.DB, orNull(e.Type)
	m["before"], m["after"], m["changed"] = held{e.Before}, held{e.After}, texts(e.Changed)
	m["ttl"], m["tx"], m["part"], m["unknown"] = ttlOf(e), txOf(e), placeOf(e), unknownOf(e)
	m["time"], m["offset"], m["origin"], m["cause"], m["bytes"] = stamp{e.Time.UTC()}, e.Offset, string(e.Origin), string(e.Cause), e.Bytes
	return m
}

// orNull returns a text, or nil where there is none. In JSON nil is null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// keyOf is nil of an event that is about no key. A key may be an empty text.
func keyOf(e *event.Event) any {
	if e.Key == nil {
		return nil
	}
	return string(e.Key)
}

func texts(list [][]byte) []string {
	all := make([]string, len(list))
	for i, b := range list {
		all[i] = string(b)
	}
	return all
}

// ttlOf is what a condition sees; nil if it is not known.
func ttlOf(e *event.Event) any {
	if e.TTL == event.TTLUnknown {
		return nil
	}
	return e.TTL
}

// txOf is nil outside a transaction.
func txOf(e *event.Event) any {
	if e.Tx.ID == "" {
		return nil
	}
	return map[string]any{"id": e.Tx.ID, "index": e.Tx.Index, "size": e.Tx.Size}
}

// placeOf is nil unless the command is one with many keys.
func placeOf(e *event.Event) any {
	if e.Part == (event.Part{}) {
		return nil
	}
	return map[string]any{"index": e.Part.Index, "size": e.Part.Size}
}

// unknownOf names what is not known of the key.
func unknownOf(e *event.Event) []string {
	list := []string{}
	if e.Key != nil && e.Before == nil {
		list = append(list, "before")
	}
	if e.Key != nil && e.After == nil {
		list = append(list, "after")
	}
	return list
}

// durationOf is in milliseconds; nil where it is not told.
func durationOf(status string, since time.Time, d time.Duration) any {
	if status != event.StatusResolved || since.IsZero() {
		return nil
	}
	return d.Milliseconds()
}

func batchData(batch []event.Item) []map[string]any {
	list := make([]map[string]any, len(batch))
	for i := range batch {
		it := &batch[i]
		list[i] = eventData(it.Event, it.ID, it.Params)
		list[i]["status"], list[i]["since"], list[i]["duration"] = orNull(it.Status), stamp{it.Since.UTC()}, durationOf(it.Status, it.Since, it.Duration)
	}
	return list
}

func summaryData(summary []event.Line) []map[string]any {
	list := make([]map[string]any, len(summary))
	for i := range summary {
		l := &summary[i]
		last := l.Event
		if last == nil {
			last = &event.Event{}
		}
		list[i] = map[string]any{
			"rule": l.Rule, "count": l.Count, "suppressed": l.Suppressed,
			"first": stamp{l.First.UTC()}, "last": stamp{l.Last.UTC()}, "event": eventData(last, "", l.Params),
		}
	}
	return list
}

// stamp is a time that prints itself as the JSON does, the zero time as
// nothing. Its methods are those of time.Time that make little: a layout, too,
// could be data that doubles.
type stamp struct{ t time.Time }

// stampFormat is the form of times in the JSON of an event.
const stampFormat = "2006-01-02T15:04:05.000Z"

func (s stamp) String() string {
	if s.t.IsZero() {
		return ""
	}
	return s.t.Format(stampFormat)
}

func (s stamp) Format(layout string) (string, error) {
	if len(layout) > maxLayout {
		return "", errLayout
	}
	return s.t.Format(layout), nil
}

func (s stamp) IsZero() bool                          { return s.t.IsZero() }
func (s stamp) Unix() int64                           { return s.t.Unix() }
func (s stamp) UnixMilli() int64                      { return s.t.UnixMilli() }
func (s stamp) UnixMicro() int64                      { return s.t.UnixMicro() }
func (s stamp) UnixNano() int64                       { return s.t.UnixNano() }
func (s stamp) Year() int                             { return s.t.Year() }
func (s stamp) Month() time.Month                     { return s.t.Month() }
func (s stamp) Day() int                              { return s.t.Day() }
func (s stamp) Weekday() time.Weekday                 { return s.t.Weekday() }
func (s stamp) YearDay() int                          { return s.t.YearDay() }
func (s stamp) Hour() int                             { return s.t.Hour() }
func (s stamp) Minute() int                           { return s.t.Minute() }
func (s stamp) Second() int                           { return s.t.Second() }
func (s stamp) Nanosecond() int                       { return s.t.Nanosecond() }
func (s stamp) UTC() stamp                            { return stamp{s.t.UTC()} }
func (s stamp) Local() stamp                          { return stamp{s.t.Local()} }
func (s stamp) AddDate(years, months, days int) stamp { return stamp{s.t.AddDate(years, months, days)} }

// sampleData is what templates see of the sample firing, which no template can
// change. It is made once: a reload makes ten thousand templates.
var sampleData = sync.OnceValue(func() map[string]any { return NewView(sampleFiring(nil)).data() })

func sampleView(params map[string]string) *View {
	if params == nil {
		return &View{m: sampleData()}
	}
	return NewView(sampleFiring(params))
}

func sampleFiring(params map[string]string) *firing.Firing {
	const id = "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/0:rule/action"
	at := time.Unix(1763888400, 0)
	e := &event.Event{
		Name: "set", Origin: event.FromStream, Cause: event.CauseCommand, Key: []byte("key"), Type: "string", Command: "SET",
		Args: [][]byte{[]byte("key"), []byte("value")}, Time: at, Bytes: 33, TTL: event.TTLNone,
		Before: event.String([]byte("old")), After: event.String([]byte("value")), Changed: [][]byte{}, Offset: 851576, Source: "redis://127.0.0.1:6379",
	}
	return &firing.Firing{
		ID: id, Rule: "rule", Action: "action", Attempt: 1, Params: params, Event: e,
		Timing: event.Timing{
			Status: event.StatusFiring, Since: at, By: "by", Count: 2, First: at, Last: at, Suppressed: 1,
			Batch:   []event.Item{{Event: e, ID: id, Params: params, Status: event.StatusFiring, Since: at}},
			Summary: []event.Line{{Rule: "rule", Count: 1, First: at, Last: at, Event: e, Params: params}},
		},
	}
}
