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
	v.m["rule"], v.m["action"], v.m["attempt"] = f.Rule, f.Action, f.Attempt
	v.m["status"], v.m["by"], v.m["count"], v.m["suppressed"] = f.Status, f.By, f.Count, f.Suppressed
	v.m["first"], v.m["last"] = stamp{f.First.UTC()}, stamp{f.Last.UTC()}
	v.m["events"], v.m["summary"] = batchData(f.Batch), summaryData(f.Summary)
	return v.m
}

// eventData is an event as templates see it: that of the firing, and those of
// a batch and of a summary.
func eventData(e *event.Event, id string, params map[string]string) map[string]any {
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = string(a)
	}
	if params == nil {
		params = map[string]string{}
	}
	m := make(map[string]any, 24)
	m["id"], m["params"] = id, params
	m["event"], m["key"], m["command"], m["args"], m["db"], m["type"] = e.Name, string(e.Key), e.Command, args, e.DB, e.Type
	m["time"], m["offset"], m["origin"], m["cause"], m["bytes"] = stamp{e.Time.UTC()}, e.Offset, string(e.Origin), string(e.Cause), e.Bytes
	return m
}

func batchData(batch []event.Item) []map[string]any {
	list := make([]map[string]any, len(batch))
	for i := range batch {
		list[i] = eventData(batch[i].Event, batch[i].ID, batch[i].Params)
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
// nothing; {{.time.Unix}} and the other methods of a time work too.
type stamp struct{ time.Time }

// stampFormat is the form of times in the JSON of an event.
const stampFormat = "2006-01-02T15:04:05.000Z"

func (s stamp) String() string {
	if s.IsZero() {
		return ""
	}
	return s.Format(stampFormat)
}

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
		Args: [][]byte{[]byte("key"), []byte("value")}, Time: at, Bytes: 33, Offset: 851576, Source: "redis://127.0.0.1:6379",
	}
	return &firing.Firing{
		ID: id, Rule: "rule", Action: "action", Attempt: 1, Params: params, Event: e,
		Timing: event.Timing{
			Status: "firing", By: "by", Count: 2, First: at, Last: at, Suppressed: 1,
			Batch:   []event.Item{{Event: e, ID: id, Params: params}},
			Summary: []event.Line{{Rule: "rule", Count: 1, First: at, Last: at, Event: e, Params: params}},
		},
	}
}
