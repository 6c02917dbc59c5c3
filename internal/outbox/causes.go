package outbox

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Cause is why an action gave up on firings: a group of its dead letters.
type Cause struct {
	Action, Reason string
	Error          string // what their errors have in common; see CauseOf
	Count          int
	First, Last    time.Time // when the first and the last were given up
	Number         uint64    // of the last, as an example
}

// maxCauses limits the groups that are told apart.
const maxCauses = 1000

// Causes groups the dead letters that q selects, the largest group first. The
// limit of q does not count. more says that there are more groups than are told
// apart.
func (o *Outbox) Causes(ctx context.Context, q Query) (list []Cause, more bool, err error) {
	type key struct{ action, reason, text string }
	groups := map[key]*Cause{}
	for d, err := range o.deadLetters(ctx, q) {
		if err != nil {
			return nil, false, err
		}
		k := key{d.Endpoint, d.Reason, CauseOf(d.Error)}
		g := groups[k]
		if g == nil {
			if len(groups) == maxCauses {
				more = true
				continue
			}
			g = &Cause{Action: k.action, Reason: k.reason, Error: strings.Clone(k.text), Number: d.Number, Last: d.At}
			groups[k] = g
		}
		g.Count++
		g.First = d.At // the latest come first
	}
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Action, b.Action), strings.Compare(a.Error, b.Error))
	})
	return list, more, nil
}

var (
	statusInError = regexp.MustCompile(`^(.*?: \d{3} [A-Z][A-Za-z' -]*)(: |, |$)`)
	changesOften  = regexp.MustCompile(`\d+(\.\d+){3}:\d+->|:\d{5}->|0x[0-9a-f]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{12,}|\d{6,}`)
)

// maxCause is how long a cause is at most, in bytes.
const maxCause = 200

// CauseOf returns what an error has in common with others that came of the same:
// up to the status of an answer, and without what differs from one to the
// next, such as ports and IDs.
func CauseOf(text string) string {
	text = text[:min(len(text), 4*maxCause)]
	if m := statusInError.FindStringSubmatch(text); m != nil {
		return clip(m[1])
	}
	text, _, _ = strings.Cut(text, "\n")
	text = changesOften.ReplaceAllString(text, "…")
	return clip(text)
}

func clip(text string) string {
	if len(text) > maxCause {
		return strings.ToValidUTF8(text[:maxCause], "")
	}
	return text
}
