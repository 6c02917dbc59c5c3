package firing

import (
	"errors"
	"fmt"

	"triggerd/internal/event"
)

// A match that a rule with time fields keeps for later is its event, and a
// version (1) before it: the ID, what the key pattern captures and the source
// come of the event, of the rule and of the reader again.
const keptVersion = 1

// AppendEvent appends a match in a form that ParseEvent reads. The event may be
// borrowed; its values are cut as those of a firing are.
func AppendEvent(dst []byte, ev *event.Event) []byte {
	cut := *ev
	cut.Source = ""
	cut.Before, cut.After = event.CloneValue(ev.Before, event.DefaultMaxValue), event.CloneValue(ev.After, event.DefaultMaxValue)
	return event.AppendBinary(append(dst, keptVersion), &cut)
}

// AppendSlimEvent does the same without what may be large: the arguments, the
// values and what changed in them.
func AppendSlimEvent(dst []byte, ev *event.Event) []byte {
	slim := *ev
	slim.Source = ""
	slim.Args, slim.Changed, slim.Before, slim.After = nil, nil, nil, nil
	return event.AppendBinary(append(dst, keptVersion), &slim)
}

var errKept = errors.New("not a match that was kept")

// ParseEvent reads what AppendEvent or AppendSlimEvent wrote. What it returns
// owns its bytes.
func ParseEvent(b []byte) (*event.Event, error) {
	if len(b) == 0 || b[0] != keptVersion {
		return nil, fmt.Errorf("%w of this version", errKept)
	}
	ev, err := event.ParseBinary(b[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKept, err)
	}
	return ev, nil
}
