package engine

import (
	"encoding/binary"
	"errors"
	"fmt"

	"triggerd/actions"
	"triggerd/internal/event"
)

// A job's payload is a firing without its ID, which the store keeps beside it:
//
//	version (1) rule action params (name value)… event
//
// Texts are their length as a uvarint and their bytes; the event is in its
// binary form, to the end.
const payloadVersion = 1

func appendPayload(dst []byte, f *actions.Firing) []byte {
	dst = append(dst, payloadVersion)
	dst = appendText(dst, f.Rule)
	dst = appendText(dst, f.Action)
	dst = binary.AppendUvarint(dst, uint64(len(f.Params)))
	for name, value := range f.Params {
		dst = appendText(dst, name)
		dst = appendText(dst, value)
	}
	return event.AppendBinary(dst, f.Event)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errPayload = errors.New("not a firing")

func parsePayload(id string, b []byte) (*actions.Firing, error) {
	if len(b) == 0 || b[0] != payloadVersion {
		return nil, fmt.Errorf("%w of this version", errPayload)
	}
	f := &actions.Firing{ID: id}
	b = b[1:]
	var ok bool
	if f.Rule, b, ok = cutText(b); !ok {
		return nil, errPayload
	}
	if f.Action, b, ok = cutText(b); !ok {
		return nil, errPayload
	}
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)) {
		return nil, errPayload
	}
	b = b[size:]
	if n > 0 {
		f.Params = make(map[string]string, min(n, 16)) // what is announced may not be there
	}
	for range n {
		var name, value string
		if name, b, ok = cutText(b); !ok {
			return nil, errPayload
		}
		if value, b, ok = cutText(b); !ok {
			return nil, errPayload
		}
		f.Params[name] = value
	}
	var err error
	if f.Event, err = event.ParseBinary(b); err != nil {
		return nil, fmt.Errorf("%w: %w", errPayload, err)
	}
	return f, nil
}

func cutText(b []byte) (text string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	end := size + int(n)
	return string(b[size:end]), b[end:], true
}
