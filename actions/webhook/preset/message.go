package preset

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"triggerd/internal/event"
	"triggerd/internal/excerpt"
	"triggerd/internal/firing"
)

// message is a firing in words, the same for every service. Its texts are
// printable, and nothing is escaped in them.
type message struct {
	rule     string
	about    string   // the key, or what the rule counts by; "" if it is about neither
	lines    []string // what happened; at least one
	footer   string   // which event, where and when
	severity string   // one of Severities; "": nobody says
	resolved bool
	at       time.Time

	firing *firing.Firing
}

// maxItems is how many events of a batch, and rules of a summary, are told of.
const maxItems = 10

func newMessage(f *firing.Firing, o *Options) *message {
	m := &message{
		rule: printable(f.Rule, maxRuleName), about: aboutOf(f, o), resolved: f.Status == event.StatusResolved, at: timeOf(f),
		severity: o.Severity, firing: f,
	}
	if m.severity == "" {
		m.severity = severityOf(o.Rule.Severity)
	}
	if o.Text == nil {
		m.lines = linesOf(f, o)
	} else {
		m.lines = ownLines(*o.Text)
	}
	if len(m.lines) == 0 { // no service takes a text without any
		m.lines = []string{shownValue(f.Event.Name)}
	}
	m.footer = footerOf(f)
	return m
}

// timeOf returns when what is told of happened. The event of an absence is the
// last that was seen.
func timeOf(f *firing.Firing) time.Time {
	if at, ok := f.ID.Trigger().Due(); ok {
		return at
	}
	return f.Event.Time
}

// maxText is how much of a user's own text is looked at. No service takes more.
const maxText = 32 << 10

// ownLines returns the lines of a user's own text; none of an empty one.
func ownLines(text string) (lines []string) {
	text, _ = excerpt.Cut(text, maxText)
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line != "" || len(lines) > 0 {
			lines = append(lines, printable(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", " "), 0))
		}
	}
	return lines
}

// maxRuleName is how many characters of a rule's name are shown.
const maxRuleName = 100

// title is the rule, and whether it is over.
func (m *message) title() string {
	if m.resolved {
		return "[RESOLVED] " + m.rule
	}
	return m.rule
}

// summary is all that happened on one line, without the rule.
func (m *message) summary() string {
	text := strings.Join(m.lines, ", ")
	if m.about == "" {
		return text
	}
	return m.about + " " + text
}

// mark is how grave the message is: a severity, or "resolved".
func (m *message) mark() string {
	if m.resolved {
		return "resolved"
	}
	return m.severity
}

// footerWithSeverity is the footer of a service without colours.
func (m *message) footerWithSeverity() string {
	if m.severity == "" {
		return m.footer
	}
	return m.footer + ", " + m.severity
}

// aboutOf names what a firing is about: the key, but what the rule counts by where
// it is about many matches, or about none.
func aboutOf(f *firing.Firing, o *Options) string {
	switch {
	case f.By != "" && (f.Event.Key == nil || f.Event.Name == event.Absent || o.Rule.Silence > 0 || f.Count > 1):
		return shownValue(f.By)
	case f.Event.Key != nil && len(f.Batch) == 0:
		return shownValue(f.Event.Key)
	}
	return ""
}

// identity names what a firing opens and closes: the same text for all firings of
// a rule about the same thing, and another one for everything else. No more than
// maxIdentity bytes, and printable.
func identity(f *firing.Firing, o *Options) string {
	id := "triggerd/" + f.Rule + "/" + f.By
	switch {
	case f.By != "":
	case oneOfRule(o):
		id = "triggerd/" + f.Rule
	default:
		id = "triggerd/" + f.Rule + "/" + strconv.Itoa(f.Event.DB) + ":" + string(f.Event.Key)
	}
	return exact(id, maxIdentity)
}

// oneOfRule reports whether a rule that counts by nothing waits for any of its keys,
// so that what one of them opens another may close.
func oneOfRule(o *Options) bool { return o.Rule.Silence > 0 }

// maxIdentity is how long PagerDuty's dedup_key may be.
const maxIdentity = 255

// exact returns a text as it is if it is one, printable, and has no more than limit
// bytes, and else what it begins with, and its hash. So different texts stay
// different.
func exact(text string, limit int) string {
	const begin = 60 // characters, of up to 12 bytes each if they are escaped: `\U0010ffff`
	if text != "" && len(text) <= limit && printable(text, 0) == text {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	head := printable(text, begin)
	for len(head) > limit-1-hex.EncodedLen(len(sum)) {
		_, last := utf8.DecodeLastRuneInString(head)
		head = head[:len(head)-last]
	}
	return head + "#" + hex.EncodeToString(sum[:])
}

// severityOf returns which of Severities a rule's severity is, for which people
// have words of their own; "" if it is none of them.
func severityOf(text string) string {
	switch strings.ToLower(text) {
	case "critical", "crit", "emergency", "alert", "fatal", "page":
		return "critical"
	case "error", "err", "high":
		return "error"
	case "warning", "warn", "medium":
		return "warning"
	case "info", "informational", "information", "notice", "low", "debug":
		return "info"
	}
	return ""
}

// footerOf says which event it was, where, when, and how many others were not
// told of.
func footerOf(f *firing.Firing) string {
	e := f.Event
	parts := []string{shown(e.Name)}
	if e.Key != nil {
		parts = append(parts, "db "+strconv.Itoa(e.DB))
	}
	seen := ""
	if e.Name == event.Absent && e.Key != nil {
		seen = "last seen "
	}
	parts = append(parts, seen+e.Time.UTC().Format("2006-01-02 15:04:05 UTC"))
	if f.Suppressed > 0 {
		parts = append(parts, strconv.Itoa(f.Suppressed)+" suppressed")
	}
	return strings.Join(parts, ", ")
}

// linesOf says what happened, in our words.
func linesOf(f *firing.Firing, o *Options) []string {
	switch {
	case len(f.Batch) > 0:
		return batchLines(f, o)
	case len(f.Summary) > 0:
		return summaryLines(f.Summary)
	case f.Event.Name == event.Schedule:
		return []string{"it is time"}
	case f.Status == event.StatusResolved && o.Rule.Silence > 0:
		return []string{"back" + after(f, o.Rule.Silence)}
	case f.Event.Name == event.Absent:
		return []string{silence(f, o.Rule.Silence)}
	case f.Event.Name == event.Resolved:
		return []string{"resolved" + after(f, 0) + why[f.Event.Cause]}
	}
	lines := changeLines(f.Event)
	if f.Count > 1 {
		lines = append(lines, times(f))
	}
	if f.Status == event.StatusResolved {
		lines = append(lines, "resolved"+after(f, 0))
	}
	return lines
}

// why says why something has ended without an event of its key.
var why = map[event.Cause]string{
	event.CauseFlushed: ": the database was emptied", event.CauseResync: ": the key is gone", event.CauseReload: ": the rule is another one now",
	event.CauseMaxKeys: ": too many were open",
}

// after says after how long something has ended, if that is known. before is how
// long it had gone on when it was noticed.
func after(f *firing.Firing, before time.Duration) string {
	if f.Since.IsZero() || f.Duration+before < 0 {
		return ""
	}
	return " after " + roughly(f.Duration+before)
}

// silence says how long nothing has come, with for how long a rule waits.
func silence(f *firing.Firing, waits time.Duration) string {
	if waits == 0 {
		return "silent"
	}
	if due, ok := f.ID.Trigger().Due(); ok && !f.Since.IsZero() && due.After(f.Since) {
		waits += due.Sub(f.Since) // it fires again
	}
	return "silent for " + roughly(waits)
}

// times says how many matches a firing stands for.
func times(f *firing.Firing) string {
	return strconv.Itoa(f.Count) + " times" + within(f.Last.Sub(f.First))
}

func within(d time.Duration) string {
	if d < time.Millisecond {
		return ""
	}
	return " in " + roughly(d)
}

// roughly writes a time as precisely as people want it: 1h, 1m30s, 9.4s.
func roughly(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func batchLines(f *firing.Firing, o *Options) []string {
	batch := f.Batch
	first, last := batch[0].Event, batch[len(batch)-1].Event
	lines := []string{count(len(batch), "event") + within(last.Time.Sub(first.Time))}
	for _, it := range slices.Backward(batch[max(0, len(batch)-maxItems):]) {
		about := ""
		if it.Event.Key != nil {
			about = shownValue(it.Event.Key) + " "
		}
		one := firing.Firing{ // as it would be by itself
			ID: firing.Trigger(it.ID).Firing(f.Rule, f.Action), Event: it.Event, Timing: event.Timing{Status: it.Status, Since: it.Since, Duration: it.Duration},
		}
		lines = append(lines, about+strings.Join(linesOf(&one, o), ", "))
	}
	if before := len(batch) - maxItems; before > 0 {
		lines = append(lines, strconv.Itoa(before)+" before these")
	}
	return lines
}

func summaryLines(summary []event.Line) []string {
	var lines []string
	for i := range summary[:min(len(summary), 2*maxItems)] {
		l := &summary[i]
		line := printable(l.Rule, maxRuleName) + ": " + strconv.Itoa(l.Count)
		if l.Event != nil && l.Event.Key != nil {
			line += ", the last " + shownValue(l.Event.Key)
		}
		if l.Suppressed > 0 {
			line += " (" + strconv.Itoa(l.Suppressed) + " suppressed)"
		}
		lines = append(lines, line)
	}
	if more := len(summary) - 2*maxItems; more > 0 {
		lines = append(lines, moreLines(more))
	}
	return lines
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}
