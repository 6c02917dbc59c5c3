package kinds_test

import (
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/kinds"
	"triggerd/internal/event"
	"triggerd/internal/secret"
)

func TestDestinationTellsNoSecret(t *testing.T) {
	tests := []struct {
		want, kind string
		fields     map[string]any
	}{
		{"https://h.example:8443", "webhook", map[string]any{"url": "https://user:hunter2@h.example:8443/hunter2?k=hunter2"}},
		{"http://h", "webhook", map[string]any{"url": "http://h?{{.key}}"}},
		{"http://[::1]:1", "webhook", map[string]any{"url": "http://hunter2@[::1]:1"}},
		{"sh", "exec", map[string]any{"command": []any{"/bin/sh", "hunter2"}}},
		{"", "log", map[string]any{"message": "hunter2"}},
		{"", "print", map[string]any{}},
	}
	for _, tt := range tests {
		for _, secrets := range []*secret.Masker{nil, secret.New("hunter2")} {
			a, err := kinds.All.New(tt.kind, tt.fields, actions.Options{Secrets: secrets})
			if err != nil {
				t.Fatal(err)
			}
			if got := actions.Destination(a); got != tt.want {
				t.Errorf("destination of %v = %q, want %q", tt.fields, got, tt.want)
			}
		}
	}
}

func TestReadsOfEachTemplate(t *testing.T) {
	const tmpl = "{{.type}}"
	tests := []struct {
		kind   string
		fields map[string]any
		want   event.Parts
	}{
		{"webhook", map[string]any{"url": "http://h/a"}, 0},
		{"webhook", map[string]any{"url": "http://h/" + tmpl}, event.PartType},
		{"webhook", map[string]any{"url": "http://h", "headers": map[string]any{"X-Kind": tmpl}}, event.PartType},
		{"webhook", map[string]any{"url": "http://h", "body": tmpl + "{{.cause}}"}, event.PartType | event.PartCause},
		{"exec", map[string]any{"command": []any{"true", "x", tmpl}}, event.PartType},
		{"exec", map[string]any{"command": []any{"true"}, "env": map[string]any{"X": tmpl}}, event.PartType},
		{"exec", map[string]any{"command": []any{"true"}}, 0},
		{"log", map[string]any{"message": tmpl}, event.PartType},
		{"log", map[string]any{"message": "type {{.key}}"}, 0},
		{"log", map[string]any{}, 0},
		{"print", map[string]any{"format": "json"}, 0},
	}
	for _, tt := range tests {
		for _, secrets := range []*secret.Masker{nil, secret.New("hunter2")} {
			a, err := kinds.All.New(tt.kind, tt.fields, actions.Options{Secrets: secrets})
			if err != nil {
				t.Fatal(err)
			}
			if got := actions.Reads(a); got != tt.want {
				t.Errorf("%s %v reads %b, want %b", tt.kind, tt.fields, got, tt.want)
			}
		}
	}
}

func TestLatestOnly(t *testing.T) {
	for _, latest := range []bool{true, false} {
		a, err := kinds.All.New("exec", map[string]any{"command": []any{"true"}, "latest_only": latest}, actions.Options{Secrets: secret.New("hunter2")})
		if err != nil {
			t.Fatal(err)
		}
		if got := actions.LatestOnly(a); got != latest {
			t.Errorf("LatestOnly is %v, want %v", got, latest)
		}
	}
}

func TestConcurrency(t *testing.T) {
	for kind, want := range map[string]int{"webhook": 16, "exec": 2, "log": 1, "print": 1} {
		if got := kinds.All.Of(kind).Concurrency; got != want {
			t.Errorf("concurrency of %s = %d, want %d", kind, got, want)
		}
	}
}

// What masks an action's secrets takes no time to end away from it.
func TestMaskedActionHasGrace(t *testing.T) {
	a, err := kinds.All.New("exec", map[string]any{"command": []any{"true"}}, actions.Options{Secrets: secret.New("hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := a.(interface{ Grace() time.Duration }); !ok || g.Grace() == 0 {
		t.Error("a command has no time to end after SIGTERM")
	}
}
