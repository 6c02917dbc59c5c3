package engine

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"triggerd/actions"
	"triggerd/internal/admin"
	"triggerd/internal/event"
	"triggerd/rules"
)

// offlineFields returns the fields of an action of rules that were loaded offline,
// with URLs that are some where only a placeholder stands.
func offlineFields(k *actions.Kind, fields map[string]any) map[string]any {
	if k == nil {
		return fields
	}
	out := maps.Clone(fields)
	for _, name := range k.URLs() {
		if text, ok := out[name].(string); ok && strings.HasPrefix(text, rules.Placeholder) {
			out[name] = "https://" + text
		}
	}
	return out
}

// offlineAction stands for an action that cannot be made offline.
type offlineAction struct{ err error }

// Do implements actions.Action. Nobody delivers by it.
func (a offlineAction) Do(context.Context, *actions.Firing) (actions.Result, error) {
	return actions.Result{}, a.err
}

// Render says why there is nothing to see.
func (a offlineAction) Render(context.Context, *actions.Firing) (actions.Preview, error) {
	return actions.Preview{}, fmt.Errorf("it needs what is not looked up here: %w", a.err)
}

// Excerpt returns the beginning of a value, for people.
func Excerpt(v event.Value) admin.Excerpt { return excerptOf(v, maxExcerpt) }
