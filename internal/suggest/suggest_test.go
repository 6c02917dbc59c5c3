package suggest_test

import (
	"slices"
	"strings"
	"testing"

	"triggerd/internal/suggest"
)

func TestDidYouMean(t *testing.T) {
	long := strings.Repeat("x", 65)
	tests := []struct {
		name, written string
		names         []string
		want          string // "" for none
	}{
		{"a letter too few", "comand", []string{"key", "command"}, "command"},
		{"a letter too many", "keyy", []string{"key"}, "key"},
		{"another letter", "kex", []string{"key"}, "key"},
		{"two letters swapped", "kye", []string{"key"}, "key"},
		{"a third of the letters", "abcdefghi", []string{"abcdefxyz"}, "abcdefxyz"},
		{"more than a third", "abcdefghi", []string{"abcdewxyz"}, ""},
		{"the nearest, not the first", "steam", []string{"team", "stream", "steam2", "Steam"}, "Steam"},
		{"the first of two as near", "bat", []string{"cat", "hat"}, "cat"},
		{"another case", "SET", []string{"get", "set"}, "set"},
		{"begins with a name", "warning", []string{"info", "warn"}, "warn"},
		{"begins a name", "conc", []string{"concurrency"}, "concurrency"},
		{"begins with a short name", "directory", []string{"dir"}, ""},
		{"begins a name, and is short", "day", []string{"days_of_month"}, ""},
		{"itself", "key", []string{"key"}, ""},
		{"nothing written", "", []string{"a"}, ""},
		{"no names", "key", nil, ""},
		{"too long", long, []string{long[1:]}, ""},
		{"a name too long", long[1:], []string{long}, ""},
		{"as long as can be", long[1:], []string{long[2:] + "y"}, long[2:] + "y"},
		{"too long in lower case", strings.Repeat("Ⱥ", 32), []string{strings.Repeat("Ⱥ", 31)}, ""},
		{"a name too long in lower case", "x", []string{strings.Repeat("Ⱥ", 32), "y"}, "y"},
	}
	for _, test := range tests {
		want := ""
		if test.want != "" {
			want = `did you mean "` + test.want + `"?`
		}
		if got := suggest.DidYouMean(test.written, slices.Values(test.names)); got != want {
			t.Errorf("%s: %s, want %s", test.name, got, want)
		}
	}
}

func FuzzDidYouMean(f *testing.F) {
	f.Add("comand", "command\nkey")
	f.Add(strings.Repeat("Ⱥ", 32), strings.Repeat("Ⱥ", 31))
	f.Fuzz(func(t *testing.T, written, names string) {
		list := strings.Split(names, "\n")
		got := suggest.DidYouMean(written, slices.Values(list))
		if got != "" && !slices.ContainsFunc(list, func(name string) bool { return strings.Contains(got, name) }) {
			t.Fatalf("%s is none of %q", got, list)
		}
	})
}
