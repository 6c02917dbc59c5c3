package web_test

import (
	"testing"
	"time"

	"triggerd/internal/web"
)

// Days are days, and nothing else is new.
func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"2d": 48 * time.Hour, "0d": 0, "1d12h": 36 * time.Hour, "1d0.5h": 24*time.Hour + 30*time.Minute, "36500d1h": 36_500*24*time.Hour + time.Hour, "90m": 90 * time.Minute,
	} {
		if got, err := web.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "1d-1h", "1dd", "2d3", "1h1d", "36501d", "99999999999999999999d", "1d 2h", "1w", "1e9h"} {
		if got, err := web.ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
