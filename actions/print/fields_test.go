package print_test

import (
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/print"
)

type table = map[string]any

// mustNew makes an action that is closed with the test.
func mustNew(t testing.TB, fields table, o actions.Options) actions.Action {
	t.Helper()
	return actionstest.New(t, &print.Kind, fields, o)
}

func TestMistakes(t *testing.T) {
	actionstest.CheckMistakes(t, &print.Kind, map[string]actionstest.Mistaken{
		"print format": {Fields: table{"format": "xml"}, Want: []string{`format: must be one of text, json`}},
	})
}

// TestAccepts has configurations that are right, near to those that are not.
func TestAccepts(t *testing.T) {
	for name, fields := range map[string]table{
		"print": table{"format": "json"},
	} {
		t.Run(name, func(t *testing.T) { mustNew(t, fields, actions.Options{}) })
	}
}

func TestFields(t *testing.T) { actionstest.CheckFields(t, &print.Kind, nil) }
