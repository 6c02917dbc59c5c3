package glob

import (
	"math/rand/v2"
	"testing"
)

func mustParseKey(t *testing.T, pattern string) *Pattern {
	t.Helper()
	p, err := ParseKey(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		p, q             string
		covers, overlaps bool
	}{
		{"*", "a:*", true, true},
		{"a:*", "*", false, true},
		{"a:*", "a:*", true, true},
		{"a:*", "a:b:*", true, true},
		{"a:*", "b:*", false, false},
		{"a:?", "a:*", false, true},
		{"a:*", "a:{id}", true, true},
		{"a:{id}", "a:*", false, true},
		{"a:{id}", "a:{other}", true, true},
		{"a:{id}", "a:b:c", false, false},
		{"a:{id}", "a:bc", true, true},
		{"a:{id}", "a:", false, false},
		{"a:[a-z]", "a:[b-d]", true, true},
		{"a:[b-d]", "a:[a-z]", false, true},
		{"a:[b-d]", "a:[e-z]", false, false},
		{"*b", "a*", false, true},
		{"[]", "a", false, false},
		{"", "", true, true},
		{"*", "", true, true},
		{"?", "", false, false},
	} {
		p, q := mustParseKey(t, c.p), mustParseKey(t, c.q)
		if got := p.Covers(q); got != c.covers {
			t.Errorf("%q covers %q: got %v", c.p, c.q, got)
		}
		if got := p.Overlaps(q); got != c.overlaps {
			t.Errorf("%q overlaps %q: got %v", c.p, c.q, got)
		}
		if q.Overlaps(p) != c.overlaps {
			t.Errorf("%q overlaps %q, but not the other way round", c.p, c.q)
		}
	}
}

// TestCompareWithKeys holds what is said of two patterns against the keys that
// they match, all of a small alphabet up to a length.
func TestCompareWithKeys(t *testing.T) {
	var keys []string
	for level, longer := []string{""}, []string(nil); len(level[0]) <= 5; level, longer = longer, nil {
		keys = append(keys, level...)
		for _, k := range level {
			for _, c := range []string{"a", "b", ":"} {
				longer = append(longer, k+c)
			}
		}
	}
	tokens := []string{"a", "b", ":", "*", "?", "[ab]", "[^a]", "{x}", "{y}"}
	r := rand.New(rand.NewPCG(1, 2))
	random := func() *Pattern {
		text := ""
		for range r.IntN(4) {
			text += tokens[r.IntN(len(tokens))]
		}
		p, err := ParseKey(text)
		if err != nil {
			return mustParseKey(t, "")
		}
		return p
	}
	for range 3000 {
		p, q := random(), random()
		overlaps, covers := false, true
		for _, k := range keys {
			inP, inQ := p.Match([]byte(k)), q.Match([]byte(k))
			overlaps = overlaps || inP && inQ
			covers = covers && (inP || !inQ)
		}
		if p.Overlaps(q) != overlaps {
			t.Fatalf("%s overlaps %s: got %v", p, q, !overlaps)
		}
		if p.Covers(q) && !covers {
			t.Fatalf("%s does not cover %s", p, q)
		}
	}
}

func TestDoubts(t *testing.T) {
	for pattern, want := range map[string]string{
		"stock:{sku}":       "",
		"stock:{sku":        "the { is not closed: it captures nothing, and stands for itself",
		`stock:\{sku`:       "",
		"stock:[ab":         "the [ is not closed: all that follows is its class, and stands for one byte",
		`stock:[ab\]`:       "the [ is not closed: all that follows is its class, and stands for one byte",
		"stock:[^":          "the [ is not closed: all that follows is its class, and stands for one byte",
		`stock:[ab\]]`:      "",
		`stock:\[ab`:        "",
		"stock:[a-]":        "the [ is not closed: all that follows is its class, and stands for one byte",
		"stock:[]":          "no byte is in the class []: no key is like that",
		"stock:[^]":         "",
		"stock:{}":          "{} captures nothing: it stands for itself",
		"stock:{sku-id}:x":  "{sku-id} captures nothing: it stands for itself",
		"{user1000}.x":      "{user1000} at the start captures; as a hash tag of a cluster it would have to stand for itself",
		`\{user1000}.x`:     "",
		"x{user1000}.x":     "",
		"[{]:{a}":           "",
		"stock:{a}:[0-9]:*": "",
	} {
		got := ""
		for _, d := range Doubts(pattern) {
			got += d.Msg
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", pattern, got, want)
		}
		if _, err := ParseKey(pattern); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
