package webhook

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/actions"
	"triggerd/actions/webhook/preset"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/tmpl"
)

// service is what a webhook has whose format is that of a service that people are
// told by. A nil one says nothing of anything.
type service struct {
	*preset.Format
	options preset.Options // of each request, but for what the firing says
	text    *tmpl.Template // nil: the format's own words
	rule    func(name string) actions.Rule
}

// serviceFields are the fields that only the format of a service has, and the
// formats that have them; nil: all.
var serviceFields = []struct {
	name string
	of   []string
}{
	{"text", nil}, {"severity", nil}, {"routing_key", []string{"pagerduty"}}, {"labels", []string{"alertmanager"}}, {"keep", []string{"alertmanager"}},
}

// takeService takes the fields of a service's format, if the format of this name
// is one.
func (w *webhook) takeService(s *actions.Settings, name string) {
	format := preset.Of(name)
	x := &service{Format: format, rule: s.Rule}
	for _, field := range serviceFields {
		of := field.of
		if of == nil {
			of = preset.Names()
		}
		if s.Has(field.name) && !slices.Contains(of, name) {
			s.Fail(field.name, "is only there with format = %s", quotedList(of))
		}
	}
	if text, ok := s.Text("text"); ok {
		x.text = s.Template("text", text)
	}
	x.options.Severity, _ = s.Choice("severity")
	x.options.RoutingKey, _ = s.Text("routing_key")
	w.credentials = w.credentials.add(x.options.RoutingKey)
	if name == "pagerduty" && x.options.RoutingKey == "" {
		s.Fail("format", "pagerduty needs routing_key, the key of an integration of the type Events API v2")
	}
	x.options.Labels = takeLabels(s)
	x.options.Keep = takeKeep(s)
	if format == nil {
		return
	}
	for _, field := range []string{"body", "content_type", "escape", "method", "compress"} {
		if s.Has(field) {
			s.Fail(field, "is decided by format = %q; leave out one of them", name)
		}
	}
	for _, code := range format.Refusals {
		if _, own := w.statuses[code]; !own {
			w.statuses[code] = drop
		}
	}
	w.service = x
}

// quotedList writes names for people: "a", "b" or "c".
func quotedList(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`) // Prometheus' data model

func takeLabels(s *actions.Settings) map[string]string {
	t, ok := s.Table("labels")
	if !ok {
		return nil
	}
	labels := map[string]string{}
	for _, name := range t.Names() {
		value, ok := t.Text(name)
		switch {
		case !ok:
		case slices.Contains(preset.OwnLabels, name):
			t.Fail(name, "is set by the format: an alert is known by it")
		case !labelName.MatchString(name):
			t.Fail(name, "is not a label's name: letters, digits and _")
		case value == "":
			t.Fail(name, "is empty, which is no label")
		default:
			labels[name] = value
		}
	}
	return labels
}

// maxKeep is the longest time that keep may have.
const maxKeep = 366 * 24 * time.Hour

func takeKeep(s *actions.Settings) time.Duration {
	text, ok := s.Text("keep")
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(min(max(n, 0), 1000) * 24 * float64(time.Hour))
	}
	if err != nil || d < time.Second || d > maxKeep {
		s.Fail("keep", `is not a time from "1s" to "366d"`)
		return 0
	}
	return d
}

// warnOfService warns of a service that is sent what it does not take.
func (w *webhook) warnOfService(s *actions.Settings, u *url.URL) {
	if w.service != nil || w.body != nil || w.contentType == "" {
		return
	}
	if format := preset.OfHost(u.Hostname()); format != nil {
		w.warnings = append(w.warnings, &actions.FieldError{
			Name: s.Path("url"), Code: "service-format", Err: fmt.Errorf("%s does not take the JSON of an event; write format = %q", u.Hostname(), format.Name),
		})
	}
}

// url is where requests go if the user does not say.
func (x *service) url() (url string, ok bool) {
	if x == nil {
		return "", false
	}
	return x.URL, x.URL != ""
}

// path returns the path and query of a URL, for which a user has written given.
func (x *service) path(given string) string {
	if x == nil || given != "/" || x.Path == "" {
		return given
	}
	return x.Path
}

// reads is what the body tells of an event.
func (x *service) reads() event.Parts {
	switch {
	case x == nil:
		return 0
	case x.text != nil:
		return x.text.Reads()
	}
	return preset.Parts
}

// elements is what the text reads of values.
func (x *service) elements() []string {
	if x == nil {
		return nil
	}
	return x.text.Elements()
}

// body renders the body of a request.
func (x *service) body(ctx context.Context, f *firing.Firing, v *tmpl.View, now time.Time) ([]byte, error) {
	o := x.options
	o.Rule, o.Now = x.rule(f.Rule), now
	if x.text != nil {
		text, err := x.text.Render(ctx, v, tmpl.MaxText)
		if err != nil {
			return nil, fmt.Errorf("text: %w", err)
		}
		o.Text = &text
	}
	return x.Format.Body(f, &o), nil
}

// Rate is how many requests the service takes within a time; 0: as many as come.
func (w *webhook) Rate() (limit int, per time.Duration) {
	if w.service == nil {
		return 0, 0
	}
	return w.service.Max, w.service.Per
}

// Tracks reports whether the service opens and closes something by what it is sent.
func (w *webhook) Tracks() bool { return w.service != nil && w.service.Format.Tracks }
