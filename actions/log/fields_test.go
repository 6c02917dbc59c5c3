package log_test

import (
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/log"
)

type table = map[string]any

// mustNew makes an action that is closed with the test.
func mustNew(t testing.TB, fields table, o actions.Options) actions.Action {
	t.Helper()
	return actionstest.New(t, &log.Kind, fields, o)
}

func TestMistakes(t *testing.T) {
	actionstest.CheckMistakes(t, &log.Kind, map[string]actionstest.Mistaken{
		"everything at once": {Fields: table{"level": "warning", "mesage": "x", "message": int64(1)}, Want: []string{`level: must be one of info, debug, warn, error, not "warning"; did you mean "warn"?`, `mesage: unknown field; did you mean "message"?`, `message: must be a string, not an integer`}},
		"engine field":       {Fields: table{"timout": "5s"}, Want: []string{`timout: unknown field; did you mean "timeout"?`}},
		"nothing near":       {Fields: table{"zzzzzz": "5s"}, Want: []string{`zzzzzz: unknown field`}},
		"empty message":      {Fields: table{"message": " "}, Want: []string{`message: is empty`}},
		"template syntax":    {Fields: table{"message": "{{.key"}, Want: []string{`message: template: unclosed action`}},
		"template name":      {Fields: table{"message": "{{.kee}}"}, Want: []string{`did you mean "key"?`}},
		"template name, far": {Fields: table{"message": "{{.nothing_like_it}}"}, Want: []string{`the names are action, after, args,`}},
		"template function":  {Fields: table{"message": "{{jsn .key}}"}, Want: []string{`function "jsn" not defined; did you mean "json"?`}},
		"template type":      {Fields: table{"message": "{{.key.name}}"}, Want: []string{`.key has no parts with names`}},
	})
}

// TestAccepts has configurations that are right, near to those that are not.
func TestAccepts(t *testing.T) {
	for name, fields := range map[string]table{
		"log":            nil,
		"unknown params": table{"message": "{{.params.sku}} {{$.params.x}} {{with .params}}{{.y}}{{end}}"},
		"argument count": table{"message": "{{index .args 9}} {{slice .key 0 100}}"},
		"time":           table{"message": "{{.time.Unix}} {{json .}}"},
	} {
		t.Run(name, func(t *testing.T) { mustNew(t, fields, actions.Options{}) })
	}
}

func TestFields(t *testing.T) { actionstest.CheckFields(t, &log.Kind, nil) }
