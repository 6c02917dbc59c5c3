package outbox

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"triggerd/internal/cause"
)

// Cause is why an action gave up on firings: a group of its dead letters.
type Cause struct {
	Action, Reason string
	Error          string // what their errors have in common, see Query.Error
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
		k := key{d.Endpoint, d.Reason, q.causeOf(d.Error)}
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

// causeOf returns what an error has in common with others that came of the same.
func (q *Query) causeOf(text string) string {
	if q.Hidden {
		return cause.Known(text)
	}
	return cause.Of(text)
}
