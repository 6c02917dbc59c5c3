package preset

import (
	"cmp"
	"net/http"
	"strings"
	"time"
)

var pagerDuty = Format{
	Name: "pagerduty", URL: "https://events.pagerduty.com/v2/enqueue", Hosts: []string{"events.pagerduty.com", "events.eu.pagerduty.com"}, body: pagerDutyBody,
	Refusals: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}, Tracks: true,
}

// Limits of PagerDuty, in characters. It takes 512 KB in all.
const (
	pagerDutySummary = 1024
	pagerDutySource  = 255
	pagerDutyDetail  = 4096
)

func pagerDutyBody(m *message, o *Options) any {
	body := object{"routing_key": o.RoutingKey, "dedup_key": identity(m.firing, o), "event_action": "trigger", "client": "triggerd"}
	if m.resolved {
		body["event_action"] = "resolve"
		return body
	}
	e := m.firing.Event
	details := object{"rule": m.rule, "what": strings.Join(plain.fit(m.lines, pagerDutyDetail), "\n"), "event": m.footer, "id": printable(m.firing.ID.String(), pagerDutyDetail)}
	if e.Key != nil {
		details["key"] = exact(string(e.Key), pagerDutyDetail)
	}
	if o.Rule.Description != "" {
		details["description"] = plain.cut(printable(o.Rule.Description, 0), pagerDutyDetail)
	}
	body["payload"] = object{
		"summary":        plain.cut(m.rule+": "+m.summary(), pagerDutySummary),
		"source":         plain.cut(cmp.Or(m.about, shown(e.Source), "triggerd"), pagerDutySource),
		"severity":       cmp.Or(m.severity, "error"),
		"timestamp":      m.at.UTC().Format(time.RFC3339Nano),
		"class":          shown(e.Name),
		"custom_details": details,
	}
	return body
}
