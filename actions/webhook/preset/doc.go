// Package preset writes the bodies of requests to services that people are told
// by: Slack, Discord, Teams, PagerDuty and Alertmanager. It knows each one's
// format, its limits, what has to be escaped, and how an incident is closed.
//
//	slack := preset.Of("slack")
//	body := slack.Body(f, &preset.Options{Now: time.Now()})
//
// Whatever the data is, the body is JSON that the service takes: a text is cut to
// the service's limit, in the service's unit, rather than refused; what is not
// printable, or not UTF-8, is escaped; and nobody is mentioned, nor anything
// marked up, by what is in a key or a value.
//
// What happened is told the same way everywhere:
//
//	status: new → paid
//	created: 5
//	silent for 1m30s
//
// A message (message.go) is a firing in these words, which change.go finds for a
// change of a value; a dialect (text.go) escapes and cuts them for a service; and
// each service has a file that puts them where it wants them.
//
// An incident of PagerDuty, and an alert of Alertmanager, is known by the rule and
// what it counts by, or else the key, so that a later firing finds it again.
//
// The formats are those of the services' own documents: Slack "Block Kit" and
// "Incoming webhooks"; Discord "Execute Webhook"; Microsoft "Adaptive Cards 1.2"
// in a message of the Workflows app; PagerDuty "Events API v2"; Alertmanager's
// api/v2/openapi.yaml.
package preset
