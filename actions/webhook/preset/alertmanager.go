package preset

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

var alertmanager = Format{Name: "alertmanager", Path: "/api/v2/alerts", body: alertmanagerBody, Tracks: true}

// OwnLabels are the labels that the format alertmanager sets, so that a firing
// finds its alert again. A user may set severity too.
var OwnLabels = []string{"alertname", "by", "key", "db"}

// How long an alert lasts where the user does not say, and no later firing says
// that it does: one that will be resolved, and one that will not.
const (
	keepOpen  = 24 * time.Hour
	keepEvent = time.Hour
)

// maxLabel is how many bytes the value of a label has here. Alertmanager has no
// limit of its own.
const maxLabel = 1024

// maxAnnotation is how many characters an annotation has.
const maxAnnotation = 4096

// alertmanagerBody has nothing in the labels that the next firing may have
// otherwise: an alert is the same as long as its labels are.
func alertmanagerBody(m *message, o *Options) any {
	f := m.firing
	labels := map[string]string{"alertname": f.Rule}
	if severity := cmp.Or(o.Severity, o.Rule.Severity); severity != "" { // in the user's own words, by which alerts are routed
		labels["severity"] = printable(severity, maxRuleName)
	}
	for name, value := range o.Labels {
		labels[name] = printable(value, 0)
	}
	switch {
	case f.By != "":
		labels["by"] = exact(f.By, maxLabel)
	case f.Event.Key != nil && !oneOfRule(o):
		labels["key"], labels["db"] = exact(string(f.Event.Key), maxLabel), strconv.Itoa(f.Event.DB)
	}
	annotations := map[string]string{"summary": strings.Join(plain.fit(m.lines, maxAnnotation), "\n"), "event": m.footer}
	if o.Rule.Description != "" {
		annotations["description"] = plain.cut(printable(o.Rule.Description, 0), maxAnnotation)
	}
	alert := object{"labels": labels, "annotations": annotations}
	switch {
	case !f.Since.IsZero():
		alert["startsAt"] = f.Since.UTC().Format(time.RFC3339Nano)
	case !m.resolved: // else the alert has one
		alert["startsAt"] = m.at.UTC().Format(time.RFC3339Nano)
	}
	if m.resolved {
		alert["endsAt"] = m.at.UTC().Format(time.RFC3339Nano)
	} else {
		alert["endsAt"] = o.Now.Add(keepOf(m, o)).UTC().Format(time.RFC3339)
	}
	return []object{alert}
}

// keepOf is how long an alert lasts unless it is told of again: by then the rule
// has fired again, or has resolved it, or it was an event and no state.
func keepOf(m *message, o *Options) time.Duration {
	switch {
	case o.Keep > 0:
		return o.Keep
	case o.Rule.Repeat > 0:
		return 3 * o.Rule.Repeat
	case m.firing.Status != "":
		return keepOpen
	}
	return keepEvent
}
