package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"triggerd/internal/event"
)

// Given is a key that is there before a test begins.
type Given struct {
	Key   string
	Value event.Value // owned
}

// given decodes what is there before a test.
func (t *table) given() []Given {
	var list []Given
	for key := range sortedKeys(t.m) {
		v, _ := t.get(key)
		value, err := ValueOf(v.v)
		if err != nil {
			v.errorf(`given = { "stock:7" = "5", "order:7" = { status = "paid" } }`, "%v", err)
			continue
		}
		if value != event.None {
			list = append(list, Given{key, value})
		}
	}
	t.done()
	return list
}

// ValueOf returns a key's value from what TOML or JSON decode to, in the form in
// which deliveries have it: a text or a number is a string, a table a hash, and a
// list a list. A list of [member, score] is a sorted set, and a list of
// [id, [field, value, ...]] a stream. nil is a key that is not there.
func ValueOf(v any) (event.Value, error) {
	switch v := v.(type) {
	case nil:
		return event.None, nil
	case []any:
		return valueOfList(v)
	case map[string]any:
		var fields []event.Element
		for name := range sortedKeys(v) {
			text, ok := plainText(v[name])
			if !ok {
				return nil, fmt.Errorf("the field %q of a hash is a text or a number, not %s", name, kindOfValue(v[name]))
			}
			fields = append(fields, event.Element{Name: name, Value: text})
		}
		if fields == nil {
			return nil, errNoElements
		}
		return event.Elements("hash", fields), nil
	}
	text, ok := plainText(v)
	if !ok {
		return nil, fmt.Errorf("a value of a key is a text, a number, a list or a table, not %s", kindOfValue(v))
	}
	return event.String([]byte(text)), nil
}

var errNoElements = errors.New("no server has a key without elements: leave it out")

func valueOfList(list []any) (event.Value, error) {
	if len(list) == 0 {
		return nil, errNoElements
	}
	typ := ""
	elements := make([]event.Element, len(list))
	for i, e := range list {
		of, err := elementOf(&elements[i], e)
		if err != nil {
			return nil, err
		}
		if typ == "" {
			typ = of
		}
		if typ != of {
			return nil, fmt.Errorf("some elements are of a %s, and others of a %s", typ, of)
		}
	}
	return event.Elements(typ, elements), nil
}

// elementOf sets an element of a list, and returns what it is an element of.
func elementOf(e *event.Element, v any) (typ string, err error) {
	if text, ok := plainText(v); ok {
		e.Name = text
		return "list", nil
	}
	pair, _ := v.([]any)
	if len(pair) != 2 {
		return "", fmt.Errorf("an element is a text, [member, score], or [id, [field, value]], not %s", kindOfValue(v))
	}
	var ok bool
	if e.Name, ok = plainText(pair[0]); !ok {
		return "", fmt.Errorf("the name of an element is a text, not %s", kindOfValue(pair[0]))
	}
	if fields, isList := pair[1].([]any); isList {
		for _, f := range fields {
			text, ok := plainText(f)
			if !ok {
				return "", fmt.Errorf("a field of an entry is a text, not %s", kindOfValue(f))
			}
			e.Fields = append(e.Fields, text)
		}
		return "stream", nil
	}
	score, _ := plainText(pair[1])
	if e.Score, err = strconv.ParseFloat(score, 64); err != nil || e.Score != e.Score {
		return "", fmt.Errorf("%q is no score", score)
	}
	return "zset", nil
}

// plainText returns a text, or a number as the text that it is in a server.
func plainText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}
