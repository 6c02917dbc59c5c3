package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/rules"
)

// liveValue asks a running daemon what a key is now. false: there is no such
// key.
func (c *client) liveValue(ctx context.Context, db int, key string) (rules.Given, bool, error) {
	var v admin.KeyValue
	query := url.Values{"key": {key}, "db": {strconv.Itoa(db)}}
	if _, err := c.do(ctx, http.MethodGet, "/api/v1/value", query, nil, &v, io.Discard); err != nil {
		return rules.Given{}, false, err
	}
	name := clean(strconv.Quote(key))
	switch {
	case !v.Known && !v.Kept:
		return rules.Given{}, false, failed(fmt.Errorf("--live: the running triggerd keeps no value of %s in database %d: no rule of it reads one", name, db))
	case !v.Known:
		return rules.Given{}, false, failed(fmt.Errorf("--live: the value of %s in database %d is not known", name, db))
	case v.Cut:
		return rules.Given{}, false, failed(fmt.Errorf("--live: the value of %s is too large to be asked for, a %s of %d", name, v.Type, v.Size))
	case v.Type == "none":
		return rules.Given{}, false, nil
	}
	value, err := valueOfJSON(v.Type, v.Value)
	if err != nil {
		return rules.Given{}, false, failed(fmt.Errorf("--live: the value of %s: %w", name, err))
	}
	return rules.Given{Key: key, Value: value}, true, nil
}

// wireText is a text as the JSON of an event has it: one that is not UTF-8 is
// {"$base64": ...}.
type wireText string

// UnmarshalJSON implements json.Unmarshaler.
func (t *wireText) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '{' {
		return json.Unmarshal(b, (*string)(t))
	}
	var encoded struct {
		Base64 []byte `json:"$base64"`
	}
	err := json.Unmarshal(b, &encoded)
	*t = wireText(encoded.Base64)
	return err
}

// valueOfJSON undoes event.AppendJSONValue, for a type.
func valueOfJSON(typ string, b []byte) (event.Value, error) {
	var list []event.Element
	switch typ {
	case "string":
		var t wireText
		err := json.Unmarshal(b, &t)
		return event.String([]byte(t)), err
	case "list", "set":
		var items []wireText
		if err := json.Unmarshal(b, &items); err != nil {
			return nil, err
		}
		for _, t := range items {
			list = append(list, event.Element{Name: string(t)})
		}
	case "hash":
		fields, err := fieldsOfJSON(b)
		if err != nil {
			return nil, err
		}
		list = fields
	case "zset", "stream":
		var pairs [][2]json.RawMessage
		if err := json.Unmarshal(b, &pairs); err != nil {
			return nil, err
		}
		for _, p := range pairs {
			e, err := pairOfJSON(typ, p)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
	default:
		return nil, fmt.Errorf("a %s is not understood", typ)
	}
	return event.Elements(typ, list), nil
}

// fieldsOfJSON reads a hash: an object, or pairs where a name is not UTF-8.
func fieldsOfJSON(b []byte) (list []event.Element, err error) {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '[' {
		var pairs [][2]wireText
		err = json.Unmarshal(b, &pairs)
		for _, p := range pairs {
			list = append(list, event.Element{Name: string(p[0]), Value: string(p[1])})
		}
		return list, err
	}
	var fields map[string]wireText
	err = json.Unmarshal(b, &fields)
	for name, value := range fields {
		list = append(list, event.Element{Name: name, Value: string(value)})
	}
	return list, err
}

// pairOfJSON reads a member with its score, or an entry with its fields.
func pairOfJSON(typ string, p [2]json.RawMessage) (e event.Element, err error) {
	var name wireText
	if err := json.Unmarshal(p[0], &name); err != nil {
		return e, err
	}
	e.Name = string(name)
	if typ == "zset" {
		score := string(bytes.Trim(p[1], `"`)) // inf stands in quotes
		e.Score, err = strconv.ParseFloat(score, 64)
		return e, err
	}
	var fields []wireText
	err = json.Unmarshal(p[1], &fields)
	for _, f := range fields {
		e.Fields = append(e.Fields, string(f))
	}
	return e, err
}
