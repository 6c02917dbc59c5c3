package firing

import (
	"errors"
	"fmt"

	"triggerd/internal/event"
)

// A match that a rule with time fields keeps is stored as its event, after a
// version (1). The ID, the captures of the key pattern and the source are not
// stored: they are made again from the event, the rule and the stream.
const keptVersion = 1

// AppendEvent appends the event of a match in a form that ParseEvent reads. The
// event may be borrowed. What may be large of it is cut as in a firing, in which
// elements of these names are kept.
func AppendEvent(dst []byte, ev *event.Event, names []string) []byte {
	cut := ev.Shorten(event.DefaultMaxValue, names)
	cut.Source = ""
	return event.AppendBinary(append(dst, keptVersion), &cut)
}

// AppendSlimEvent does the same without the parts that may be large: the
// arguments, the values and what changed in them.
func AppendSlimEvent(dst []byte, ev *event.Event) []byte {
	slim := *ev
	slim.Source = ""
	slim.Args, slim.Changed, slim.Before, slim.After, slim.Cut = nil, nil, nil, nil, false
	return event.AppendBinary(append(dst, keptVersion), &slim)
}

var errKept = errors.New("not a match that was kept")

// ParseEvent parses what AppendEvent or AppendSlimEvent has written. The event
// that it returns owns its bytes.
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
