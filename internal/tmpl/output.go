package tmpl

import (
	"strings"

	"triggerd/internal/event"
)

// Names of the functions that the compiler puts into templates.
const (
	fieldFunction  = "_field"
	enterFunction  = "_enter"
	leaveFunction  = "_leave"
	eachFunction   = "_each"
	textFunction   = "_text"
	valueFunction  = "_value"
	stringFunction = "_string"
	keyFunction    = "_key"
)

// field is .a.b of v.
func (r *run) field(v any, names ...string) (any, error) {
	if err := r.step(1); err != nil {
		return nil, err
	}
	for _, name := range names {
		var err error
		if v, err = fieldOf(v, name); err != nil {
			return nil, err
		}
	}
	return opened(v), nil
}

// each is what a range over a key's value goes through: nothing, if that has no
// elements.
func (r *run) each(v any) any {
	switch v.(type) {
	case []string, hash, zset, stream, []map[string]any, map[string]any, map[string]string, int, int64:
		return v
	}
	return nil
}

// outText is what an action writes into text.
func (r *run) outText(v any) (string, error) { return asText(v, maxMade) }

// outValue is what an action writes into JSON, outside a string.
func (r *run) outValue(v any) (string, error) {
	s, err := r.json(v)
	return string(s), err
}

// outString is what an action writes into a string of JSON.
func (r *run) outString(v any) (string, error) {
	s, err := r.outKey(v)
	if err != nil {
		return "", err
	}
	return s[1 : len(s)-1], nil
}

// outKey is what an action writes into JSON where a name has to be.
func (r *run) outKey(v any) (string, error) {
	s, err := r.textOf(v)
	if err != nil {
		return "", err
	}
	return r.gives(string(event.AppendJSONBytes(nil, strings.ToValidUTF8(s, "\ufffd"))))
}
