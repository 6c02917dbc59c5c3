package glob

import (
	"math/rand/v2"
	"testing"
)

// naive is Redis' stringmatchlen told as simply as it can be, with {name}: it
// tries everything. Written apart from the package, to be compared with it.
func naive(p, s string) bool {
	if p == "" {
		return s == ""
	}
	switch p[0] {
	case '*':
		for i := 0; i <= len(s); i++ {
			if naive(p[1:], s[i:]) {
				return true
			}
		}
		return false
	case '{':
		if name, rest, ok := naiveName(p); ok && name != "" {
			for i := 0; i < len(s) && s[i] != ':'; i++ {
				if naive(rest, s[i+1:]) {
					return true
				}
			}
			return false
		}
	case '?':
		return s != "" && naive(p[1:], s[1:])
	case '[':
		if s == "" {
			return false
		}
		ok, rest := naiveClass(p[1:], s[0])
		return ok && naive(rest, s[1:])
	case '\\':
		if len(p) > 1 {
			p = p[1:]
		}
	}
	return s != "" && p[0] == s[0] && naive(p[1:], s[1:])
}

func naiveName(p string) (name, rest string, ok bool) {
	for i := 1; i < len(p); i++ {
		c := p[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if c == '}' {
			return p[1:i], p[i+1:], true
		}
		if !letter && (i == 1 || c < '0' || c > '9') {
			return "", "", false
		}
	}
	return "", "", false
}

func naiveClass(p string, c byte) (ok bool, rest string) {
	not := p != "" && p[0] == '^'
	if not {
		p = p[1:]
	}
	for {
		switch {
		case p == "":
			return ok != not, ""
		case p[0] == '\\' && len(p) >= 2:
			ok = ok || p[1] == c
			p = p[2:]
		case p[0] == ']':
			return ok != not, p[1:]
		case len(p) >= 3 && p[1] == '-':
			lo, hi := p[0], p[2]
			if lo > hi {
				lo, hi = hi, lo
			}
			ok = ok || lo <= c && c <= hi
			p = p[3:]
		default:
			ok = ok || p[0] == c
			p = p[1:]
		}
	}
}

func TestPattern(t *testing.T) {
	tests := []struct {
		pattern, key string
		want         bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"**", "", true}, {"*", "a:b/c", true},
		{"a*", "a", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "aXbY", false}, {"*a", "ba", true}, {"*aab", "aaab", true},
		{"?", "", false}, {"?", "\xff", true}, {"a?c", "abc", true}, {"??", "é", true},
		{"[abc]", "b", true}, {"[^abc]", "b", false}, {"[^abc]", "d", true}, {"[a-c]", "b", true}, {"[c-a]", "b", true},
		{"[]", "]", false}, {"[^]", "x", true}, {"[]a]", "a]", false}, {"[!a]", "!", true}, {"[a-]", "]", true}, {"[a-]x", "bx", false},
		{"[a-", "-", true}, {"[abc", "b", true}, {"[", "[", false}, {"[^", "x", true}, {`[\]]`, "]", true}, {`[\`, `\`, true},
		{`[\a-z]`, "-", true}, {`[\a-z]`, "m", false}, {`[a-\z]`, "^", true}, {`[a-\z]`, "z]", false},
		{"[\x80-\xff]", "\x90", true}, {"[\x01-\xff]", "\x7f", true},
		{`\*`, "*", true}, {`\*`, "a", false}, {`a\`, `a\`, true}, {`\\`, `\`, true}, {`\a`, "a", true},
		{"{id}", "7", true}, {"{id}", "", false}, {"{id}", "a:b", false}, {"user:{id}:x", "user:7:x", true}, {"{}", "{}", true},
		{"{a-b}", "{a-b}", true}, {"{1a}", "{1a}", true}, {"{a1}", "x", true}, {"{a", "{a", true}, {`\{a}`, "{a}", true}, {"{a}{b}", "x", false}, {"{a}{b}", "xy", true},
		{"{A", "A", false},
	}
	for _, test := range tests {
		g, err := ParseKey(test.pattern)
		if err != nil {
			t.Errorf("%q: %v", test.pattern, err)
			continue
		}
		if got := g.Match([]byte(test.key)); got != test.want {
			t.Errorf("%q matches %q: %v, want %v", test.pattern, test.key, got, test.want)
		}
		if got := naive(test.pattern, test.key); got != test.want {
			t.Errorf("naive: %q matches %q: %v, want %v", test.pattern, test.key, got, test.want)
		}
	}
}

// checkPattern compares all ways to match with the naive one.
func checkPattern(t *testing.T, pattern, key string) {
	t.Helper()
	g, err := ParseKey(pattern)
	if err != nil {
		return
	}
	want := naive(pattern, key)
	if got := g.Match([]byte(key)); got != want {
		t.Fatalf("%q matches %q: %v, want %v", pattern, key, got, want)
	}
	if got := g.run([]byte(key), nil); got != want {
		t.Fatalf("run: %q matches %q: %v, want %v", pattern, key, got, want)
	}
	params := map[string]string{}
	if got := g.Capture([]byte(key), params); got != want {
		t.Fatalf("capture: %q matches %q: %v, want %v", pattern, key, got, want)
	}
	if !want {
		if len(params) > 0 {
			t.Fatalf("%q captures %q of %q without a match", pattern, params, key)
		}
		return
	}
	slow := map[string]string{}
	g.run([]byte(key), slow)
	for _, name := range g.captures {
		if params[name] == "" || params[name] != slow[name] {
			t.Fatalf("%q of %q: %s is %q, and %q by the slow way", pattern, key, name, params[name], slow[name])
		}
	}
}

// TestPatternRandom compares a million pairs of pattern and key.
func TestPatternRandom(t *testing.T) {
	seed := uint64(1)
	rng := rand.New(rand.NewPCG(seed, 0))
	matched := 0
	for range 1_000_000 {
		pattern := randomPattern(rng)
		key := randomKey(rng, pattern)
		checkPattern(t, pattern, key)
		if naive(pattern, key) {
			matched++
		}
	}
	if matched < 100_000 {
		t.Errorf("only %d of the pairs match: the test tests nothing", matched)
	}
}

func randomPattern(rng *rand.Rand) string {
	pieces := []string{"a", "b", ":", "*", "*", "?", "[ab]", "[^a]", "[a-b", "[b-a]", `\`, "{x}", "{y}", "{", "}", "]", "-", "^", "\xff", "[\x80-\xff]", "ab:"}
	p := ""
	for range rng.IntN(8) {
		p += pieces[rng.IntN(len(pieces))]
	}
	return p
}

// randomKey returns a key that is likely to match: bytes of the pattern's own.
func randomKey(rng *rand.Rand, pattern string) string {
	alphabet := "ab:a\xff-" + pattern
	var key []byte
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case rng.IntN(12) == 0:
			key = append(key, alphabet[rng.IntN(len(alphabet))])
		case c == '*' || c == '{':
			for range rng.IntN(3) {
				key = append(key, alphabet[rng.IntN(len(alphabet))])
			}
		case c == '?':
			key = append(key, alphabet[rng.IntN(len(alphabet))])
		case c == '[' || c == ']' || c == '^':
		default:
			key = append(key, c)
		}
	}
	return string(key)
}

func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"a*b", "aab"}, {"[^a-c]x", "dx"}, {"{a}:{b}*", "x:y:z"}, {`\`, `\`}, {"*{x}y", "ab:cdy"}, {"[", "a"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if len(pattern) > 24 || len(key) > 24 {
			return // the naive matcher is exponential
		}
		checkPattern(t, pattern, key)
	})
}
