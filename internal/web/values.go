package web

import (
	"bytes"
	"encoding/json"

	"triggerd/internal/admin"
	"triggerd/internal/cause"
)

// With Config.HideValues no value of the followed server's data leaves the
// daemon: neither what keys held, nor the words of commands, nor what receivers
// and programs said, who may repeat them. Names of keys do, and of an error what
// package cause knows of it, so that causes can be told apart.

// valueFields are the members of a firing's JSON that are values of data, at any
// depth. "by" may be taken from a value.
var valueFields = []string{"before", "after", "args", "changed", "by"}

// withoutValues returns a firing's JSON without values; null if it cannot be
// read.
func withoutValues(firing json.RawMessage) json.RawMessage {
	if firing == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(firing))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	removeValues(v)
	out, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return out
}

func removeValues(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range valueFields {
			delete(v, name)
		}
		for _, member := range v {
			removeValues(member)
		}
	case []any:
		for _, e := range v {
			removeValues(e)
		}
	}
}

// hidden stands for a text that may have values in it.
const hidden = "hidden: show_values is false"

func hideText(text *string) {
	if *text != "" {
		*text = hidden
	}
}

// hideError leaves of an error, or of what a receiver said, what is known of it.
func hideError(text *string) {
	if *text == "" {
		return
	}
	if *text = cause.Known(*text); *text == "" {
		*text = hidden
	}
}

func (s *Server) hideDelivery(d *admin.Delivery) {
	if s.cfg.HideValues && d != nil {
		d.Firing, d.Excerpt = withoutValues(d.Firing), ""
		hideError(&d.LastError)
		hideError(&d.Status)
		hideTimeline(d.Timeline)
		d.Request = nil
	}
}

// hideTimeline hides what receivers and programs said.
func hideTimeline(list []admin.Attempt) {
	for i := range list {
		hideError(&list[i].Text)
		list[i].Excerpt = ""
	}
}

func (s *Server) hideCauses(list []admin.Cause) {
	if s.cfg.HideValues {
		for i := range list {
			if list[i].Error == "" { // it was grouped by what is known
				list[i].Error = hidden
			}
		}
	}
}

func (s *Server) hideDead(d *admin.DeadLetter) {
	if s.cfg.HideValues && d != nil {
		d.Firing, d.Excerpt = withoutValues(d.Firing), ""
		hideError(&d.Error)
		hideTimeline(d.Timeline)
		d.Request = nil
	}
}

func (s *Server) hideRule(r *admin.RuleDetail) {
	if !s.cfg.HideValues || r == nil {
		return
	}
	hideText(&r.ConditionError)
	hideLast(r.LastEvent)
	for i := range r.Timers {
		r.Timers[i].By = ""
	}
	for i := range r.Windows {
		r.Windows[i].By = ""
	}
}

func (s *Server) hideStatus(st *admin.Status) {
	if !s.cfg.HideValues || st == nil {
		return
	}
	for i := range st.Rules {
		hideText(&st.Rules[i].ConditionError)
	}
	for i := range st.Actions {
		hideError(&st.Actions[i].LastError)
	}
}

func hideLast(e *admin.LastEvent) {
	if e != nil {
		e.Command, e.Before, e.After, e.Given = "", admin.Excerpt{}, admin.Excerpt{}, nil
	}
}
