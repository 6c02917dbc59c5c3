package glob

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestAutomatonRandom compares the automaton of random patterns with the patterns,
// with much room and with hardly any.
func TestAutomatonRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 0))
	for range 3000 {
		var patterns []*Pattern
		for range 1 + rng.IntN(20) {
			if g, err := ParseKey(randomPattern(rng)); err == nil {
				patterns = append(patterns, g)
			}
		}
		if len(patterns) > 0 {
			checkAutomaton(t, rng, patterns, 40)
		}
	}
}

func FuzzAutomaton(f *testing.F) {
	f.Add("a*b\n*a?\n{x}:*\n[^a]*\n*a*b*", "aXb:a")
	f.Add("**\n\\\n[\n{a}{b}", "")
	f.Fuzz(func(t *testing.T, text, key string) {
		if len(text) > 200 || len(key) > 200 {
			return
		}
		var patterns []*Pattern
		for p := range strings.SplitSeq(text, "\n") {
			if g, err := ParseKey(p); err == nil {
				patterns = append(patterns, g)
			}
		}
		checkAutomatonKeys(t, patterns, []string{key, key + key, ""})
	})
}

func checkAutomaton(t *testing.T, rng *rand.Rand, patterns []*Pattern, keys int) {
	t.Helper()
	list := make([]string, keys)
	for i := range list {
		list[i] = randomKey(rng, globText(patterns[rng.IntN(len(patterns))]))
	}
	checkAutomatonKeys(t, patterns, list)
}

// checkAutomatonKeys compares finders of several means with the patterns.
func checkAutomatonKeys(t *testing.T, patterns []*Pattern, keys []string) {
	t.Helper()
	a := NewAutomaton(patterns)
	full, poor, small := a.Finder(), a.Finder(), a.Finder()
	poor.credit = 0
	small.limit = small.used + 200
	for _, k := range keys {
		key := []byte(k)
		got := full.Find(nil, key)
		for name, other := range map[string]*Finder{"without credit": poor, "without room": small} {
			if !sameSet(got, other.Find(nil, key)) {
				t.Fatalf("%s: %q finds other patterns", name, key)
			}
		}
		small.credit = maxCredit // so that it drops its states, again and again
		for i, g := range patterns {
			found := slices.Contains(got, int32(i))
			want := g.Match(key)
			if want && !found || found && full.Confirm(int32(i), key) != want {
				t.Fatalf("%s and %q: found %v, matches %v, sure %v", g, key, found, want, a.unsure[i] == nil)
			}
		}
	}
}

// sameSet reports whether two results are the same, each without repeats.
func sameSet(a, b []int32) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b) && len(slices.Compact(a)) == len(b)
}

// globText returns a pattern like the one that g was parsed from.
func globText(g *Pattern) string {
	var b strings.Builder
	for _, p := range g.parts {
		switch p.kind {
		case partByte:
			b.WriteByte(p.c)
		case partStar:
			b.WriteByte('*')
		case partCapture:
			b.WriteByte('{')
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

// TestAutomatonBounds feeds an automaton what would make states without end.
func TestAutomatonBounds(t *testing.T) {
	var patterns []*Pattern
	for i := range 300 {
		for _, form := range []string{"*a%d:*b%d:*", "*x%d*", "?%d*y%d", "{p}q%d{r}s%d:*"} {
			g, err := ParseKey(strings.ReplaceAll(form, "%d", fmt.Sprint(i)))
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, g)
		}
	}
	a := NewAutomaton(patterns).Finder()
	a.limit = 1 << 20
	rng := rand.New(rand.NewPCG(5, 0))
	for n := range 20_000 {
		var key []byte
		for range 12 {
			key = fmt.Appendf(key, "%c%d:", "abxyqs"[rng.IntN(6)], rng.IntN(300))
		}
		a.Find(nil, key)
		const last = 1 << 16 // one state more than the limit, at most
		if a.used > a.limit+last {
			t.Fatalf("after %d keys %d bytes, limit %d", n, a.used, a.limit)
		}
	}
	if a.used < a.limit {
		t.Fatalf("%d of %d bytes: the keys do not reach the limit", a.used, a.limit)
	}
	// Quiet keys earn the credit to begin anew.
	for range maxCredit {
		a.Find(nil, []byte("quiet"))
	}
	a.Find(nil, []byte("a1:a2:a3:a4"))
	if a.used >= a.limit {
		t.Error("the states of the hostile keys are still there")
	}
}
