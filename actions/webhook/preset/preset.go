package preset

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// Format is how one service wants to be told. It does not change, and is safe for
// concurrent use.
type Format struct {
	Name string // as the field format has it

	URL  string // where requests go, unless the user says otherwise; "": the user has to say
	Path string // the path where the user's URL has none; "": none

	// Hosts are names of the service's own machines, and ends of such names that
	// begin with a dot.
	Hosts []string

	// Max and Per are how many requests the service takes within a time; 0: as
	// many as come.
	Max int
	Per time.Duration

	// Refusals are the status codes, beside those that mean it everywhere, after
	// which the same request would be refused again: the webhook was deleted, the
	// key is wrong.
	Refusals []int

	// Tracks tells that a firing opens something that a later one closes, so that
	// their order matters.
	Tracks bool

	body func(m *message, o *Options) any // what is encoded as JSON
}

// Options are what the user says of a request, and what else it has. The zero
// value, but for Now, is ready.
type Options struct {
	Severity   string            // one of Severities; "": the rule's
	RoutingKey string            // of PagerDuty
	Labels     map[string]string // of Alertmanager, beside its own
	Keep       time.Duration     // how long an alert lasts that nothing resolves; 0: by the rule

	Text *string      // what happened, in the user's words; nil: in ours
	Rule actions.Rule // that fired
	Now  time.Time    // of the attempt
}

// Severities are the severities that the field severity may have, the worst first.
var Severities = []string{"critical", "error", "warning", "info"}

// Parts are the parts of an event that a body tells of, if the user has no words
// of his own.
const Parts = event.PartBefore | event.PartAfter | event.PartChanged | event.PartCause | event.PartTTL

var formats = []*Format{&slack, &discord, &teams, &pagerDuty, &alertmanager}

// Names returns the names of the formats.
func Names() []string {
	names := make([]string, len(formats))
	for i, x := range formats {
		names[i] = x.Name
	}
	return names
}

// Of returns the format of a name; nil if there is none.
func Of(name string) *Format {
	i := slices.IndexFunc(formats, func(x *Format) bool { return x.Name == name })
	if i < 0 {
		return nil
	}
	return formats[i]
}

// OfHost returns the format of the service that a host belongs to; nil if it is
// not known to be one's.
func OfHost(host string) *Format {
	for _, x := range formats {
		for _, name := range x.Hosts {
			if host == name || name[0] == '.' && len(host) > len(name) && host[len(host)-len(name):] == name {
				return x
			}
		}
	}
	return nil
}

// Body returns the body of the request that tells of f, which it borrows.
func (x *Format) Body(f *firing.Firing, o *Options) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it is no HTML, and six bytes for one would count against the limit
	if err := e.Encode(x.body(newMessage(f, o), o)); err != nil {
		panic("preset: " + err.Error()) // texts and numbers alone
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// object is a JSON object.
type object = map[string]any
