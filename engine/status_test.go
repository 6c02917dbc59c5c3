package engine

import "testing"

func TestDestinationTellsNoSecret(t *testing.T) {
	tests := map[string]actionConfig{
		"https://h.example:8443": {kind: "webhook", fields: map[string]any{"url": "https://user:hunter2@h.example:8443/hunter2?k=hunter2#x"}},
		"http://h":               {kind: "webhook", fields: map[string]any{"url": "http://h?{{.key}}"}},
		"http://[::1]:1":         {kind: "webhook", fields: map[string]any{"url": "http://hunter2@[::1]:1"}},
		"reorder":                {kind: "exec", fields: map[string]any{"command": []any{"/usr/bin/reorder", "hunter2"}}},
		"":                       {kind: "log", fields: map[string]any{"message": "hunter2"}},
	}
	for want, a := range tests {
		if got := destination(a); got != want {
			t.Errorf("destination of %v = %q, want %q", a.fields, got, want)
		}
	}
}
