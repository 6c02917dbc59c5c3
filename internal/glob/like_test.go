package glob_test

import (
	"regexp"
	"strings"
	"testing"

	"triggerd/internal/glob"
)

// TestLike checks the patterns of what is not written as one.
func TestLike(t *testing.T) {
	tests := []struct {
		name string
		p    *glob.Pattern
		want string // "" for none
	}{
		{"Literal", glob.Literal(`a*{x}`), `a\*\{x}`},
		{"Prefix", glob.Prefix("a?"), `a\?*`},
		{"Prefix of nothing", glob.Prefix(""), ""},
		{"Prefix that is long", glob.Prefix(strings.Repeat("a", glob.MaxLen)), ""},
		{"Suffix", glob.Suffix(":x"), "*:x"},
		{"Containing", glob.Containing("[a"), `*\[a*`},
		{"OfRegexp", glob.OfRegexp("^user:[0-9]+:(a|bc)$"), "user:[0-9]*:*"},
		{"OfRegexp anywhere", glob.OfRegexp("[ab]x"), "*[ab]x*"},
		{"OfRegexp of all", glob.OfRegexp("a|bc"), ""},
		{"OfRegexp that is none", glob.OfRegexp("("), ""},
	}
	for _, test := range tests {
		got := ""
		if test.p != nil {
			got = test.p.String()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// FuzzOfRegexp checks that the pattern of an expression matches every text in
// which the expression finds a match.
func FuzzOfRegexp(f *testing.F) {
	for _, seed := range [][2]string{
		{"^a:", "a:b"}, {"[0-9]$", "x7"}, {"x+y?", "xx"}, {"(?i)A", "a"}, {"a|b", "b"}, {"(?m)^a$", "b\na"}, {"^(a)(?P<x>b)$", "ab"}, {"\\bé", " é"},
		{"(^a|b)c", "xbc"}, {"a{2,3}", "aaa"}, {"\\x{FFFD}", "\xff"}, {"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, key string) {
		re, err := regexp.Compile(expr)
		if err != nil {
			return
		}
		if p := glob.OfRegexp(expr); p != nil && re.MatchString(key) && !p.Match([]byte(key)) {
			t.Fatalf("%q finds a match in %q, and %s does not match", expr, key, p)
		}
	})
}

func TestOfPieces(t *testing.T) {
	for _, test := range []struct {
		pieces  []string
		want    string // "": every key
		matches string
	}{
		{[]string{"a*"}, `a\*`, "a*"},
		{[]string{""}, "", ""},
		{[]string{"limit:", ""}, "limit:*", "limit:"},
		{[]string{"", ":limit"}, "*:limit", "x:limit"},
		{[]string{"a", "", "b", "c"}, "a*b*c", "axbyc"},
		{[]string{"", ""}, "", ""},
		{[]string{"", "", ""}, "", ""},
	} {
		p := glob.OfPieces(test.pieces...)
		if p == nil {
			if test.want != "" {
				t.Errorf("%q: nothing", test.pieces)
			}
			continue
		}
		if p.String() != test.want || !p.Match([]byte(test.matches)) {
			t.Errorf("%q: %s", test.pieces, p)
		}
		if key, ok := p.Key(); ok != (len(test.pieces) == 1) || ok && key != test.pieces[0] {
			t.Errorf("%q: the key %q, %v", test.pieces, key, ok)
		}
	}
}
