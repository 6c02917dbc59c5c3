package tmpl

import (
	"fmt"
	"reflect"
	"strings"

	"triggerd/internal/event"
)

// held is a value of a key, before or after, which is looked at only if the
// template reads it.
type held struct{ event.Value }

// The values of a key as templates see them: a string is a string, a list and a
// set are a list of texts, what is not known and not there is nil.
type (
	hash   map[string]any   // of texts
	zset   []map[string]any // name, score: by score
	stream []map[string]any // id, fields: in their order
)

// raw is JSON that the function json has made. In a body that is JSON it stays
// what it is.
type raw string

// opened returns what a template sees of v.
func opened(v any) any {
	h, ok := v.(held)
	if !ok {
		return v
	}
	if h.Value == nil {
		return nil
	}
	switch h.Type() {
	case "string":
		return string(h.Bytes())
	case "hash":
		m := make(hash, h.Len())
		for e := range h.All() {
			m[e.Name] = e.Value
		}
		return m
	case "list", "set":
		var list []string
		for e := range h.All() {
			list = append(list, e.Name)
		}
		return list
	case "zset":
		var list zset
		for e := range h.All() {
			list = append(list, map[string]any{"name": e.Name, "score": e.Score})
		}
		return list
	case "stream":
		var list stream
		for e := range h.All() {
			list = append(list, map[string]any{"id": e.Name, "fields": e.Fields})
		}
		return list
	}
	return nil
}

// fieldOf returns what .name is of v. Of a key's value, and of what is not there,
// it is nil if there is no such element: what is in a key nobody knows
// beforehand. A name of an event that is not there is a mistake.
func fieldOf(v any, name string) (any, error) {
	switch v := v.(type) {
	case held:
		if v.Value == nil {
			return nil, nil
		}
		text, ok := v.Get([]byte(name))
		if t := v.Type(); !ok || t != "hash" && t != "zset" {
			return nil, nil
		} else if t == "zset" {
			return num(string(text)), nil
		}
		return string(text), nil
	case hash:
		return v[name], nil
	case zset:
		for _, m := range v {
			if m["name"] == name {
				return m["score"], nil
			}
		}
	case map[string]any:
		if x, ok := v[name]; ok {
			return x, nil
		}
		return nil, fmt.Errorf("map has no entry for key %q", name)
	case map[string]string: // parameters
		if x, ok := v[name]; ok {
			return x, nil
		}
	case stamp:
		m := reflect.ValueOf(v).MethodByName(name)
		if !m.IsValid() || m.Type().NumIn() > 0 {
			return nil, fmt.Errorf("a time has no %s", name)
		}
		return m.Call(nil)[0].Interface(), nil
	}
	return nil, nil
}

// asText returns a value as text, nil as none: values of keys as JSON, all else
// as Go prints it. It is an error if that is longer than limit.
func asText(v any, limit int) (string, error) {
	switch v := opened(v).(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case raw:
		return string(v), nil
	case stamp:
		return v.String(), nil
	case float64:
		return string(event.AppendScore(nil, v)), nil
	case []string:
		n := 0
		for _, s := range v {
			n += len(s) + 1
		}
		if n > limit {
			return "", errTooLarge
		}
		return "[" + strings.Join(v, " ") + "]", nil
	case hash, zset, stream, map[string]any, map[string]string, []map[string]any:
		b, err := appendJSONValue(nil, v, limit)
		return string(b), err
	default:
		return fmt.Sprint(v), nil
	}
}
