package kinds_test

import (
	"slices"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/kinds"
)

type table = map[string]any

// list makes a TOML list.
func list(v ...any) []any { return v }

func TestKinds(t *testing.T) {
	if got, want := kinds.All.Names(), []string{"webhook", "exec", "log", "print"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A kind that there is not is a mistake of the type.
func TestUnknownKind(t *testing.T) {
	for kind, want := range map[string]string{
		"webhok": `type: there is no kind of action "webhok"; did you mean "webhook"?`,
		"smtp":   `type: there is no kind of action "smtp"; the kinds are webhook, exec, log, print`,
		"":       `type: there is no kind of action ""; the kinds are webhook, exec, log, print`,
	} {
		a, err := kinds.All.New(kind, nil, actions.Options{})
		if a != nil || err == nil || err.Error() != want {
			t.Errorf("got %v, %v; want %s", a, err, want)
		}
	}
}

// Every kind says what its readers are told.
func TestKindsAreTold(t *testing.T) {
	for _, k := range kinds.All {
		if k.Name == "" || k.Doc == "" || strings.HasSuffix(k.Doc, ".") || k.Concurrency < 1 || k.New == nil {
			t.Errorf("%+v lacks something", k)
		}
	}
}
