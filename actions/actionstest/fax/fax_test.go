package fax_test

import (
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/actionstest/fax"
)

func TestSuite(t *testing.T) {
	actionstest.Run(t, func(t *testing.T) actions.Action {
		return actionstest.New(t, &fax.Kind, map[string]any{"number": "+49", "text": "{{.key}} " + actionstest.Secret, "passphrase": actionstest.Secret}, actions.Options{})
	})
}

func TestFields(t *testing.T) {
	actionstest.CheckFields(t, &fax.Kind, map[string]any{"number": "+49", "cover": map[string]any{}})
}
