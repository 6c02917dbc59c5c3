package glob_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/glob"
	"triggerd/internal/redistest"
)

// stringmatchlen is the servers' function of this name (src/util.c), statement
// by statement, but for two things: bytes of a range are compared unsigned, and
// what the C code reads behind the end of the pattern, the zero that ends it,
// is asked for by at.
func stringmatchlen(pattern, key string, skip *bool, nesting int) bool {
	if nesting > 1000 {
		return false
	}
	at := func(i int) byte {
		if i < len(pattern) {
			return pattern[i]
		}
		return 0
	}
	for len(pattern) > 0 && len(key) > 0 {
		switch at(0) {
		case '*':
			for len(pattern) > 0 && at(1) == '*' {
				pattern = pattern[1:]
			}
			if len(pattern) == 1 {
				return true
			}
			for len(key) > 0 {
				if stringmatchlen(pattern[1:], key, skip, nesting+1) {
					return true
				}
				if *skip {
					return false
				}
				key = key[1:]
			}
			*skip = true
			return false
		case '?':
			key = key[1:]
		case '[':
			pattern = pattern[1:]
			not := at(0) == '^'
			if not {
				pattern = pattern[1:]
			}
			match, open := false, true
			for open {
				switch {
				case len(pattern) >= 2 && at(0) == '\\':
					pattern = pattern[1:]
					match = match || at(0) == key[0]
				case at(0) == ']':
					open = false
					continue
				case len(pattern) == 0:
					pattern = "]" // the C code steps back by one, to step over it below
					open = false
					continue
				case len(pattern) >= 3 && at(1) == '-':
					start, end := min(at(0), at(2)), max(at(0), at(2))
					pattern = pattern[2:]
					match = match || start <= key[0] && key[0] <= end
				default:
					match = match || at(0) == key[0]
				}
				pattern = pattern[1:]
			}
			if match == not {
				return false
			}
			key = key[1:]
		case '\\':
			if len(pattern) >= 2 {
				pattern = pattern[1:]
			}
			fallthrough
		default:
			if at(0) != key[0] {
				return false
			}
			key = key[1:]
		}
		pattern = pattern[1:]
		if len(key) == 0 {
			for at(0) == '*' {
				pattern = pattern[1:]
			}
			break
		}
	}
	return len(pattern) == 0 && len(key) == 0
}

// FuzzServer compares Parse and Match with the servers' own function.
func FuzzServer(f *testing.F) {
	for _, seed := range [][2]string{
		{"a*b", "aab"}, {"[^a-c]x", "dx"}, {"{a}:*", "{a}:z"}, {`\`, `\`}, {"*x*y", "ab:xcdy"}, {"[", "a"}, {"[^", "a"}, {"[a-", "-"},
		{`[\]]`, "]"}, {"[]a]", "a]"}, {"[z-a]", "m"}, {"a**?*", "abc"}, {"*[", "x["}, {"[\x80-\xff]", "\x90"}, {`*\`, `x\`}, {"*?*?", "a"},
		{"h*[^:]:{1}\x00", "h:x:{1}\x00"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if len(pattern) > 64 || len(key) > 64 || strings.Count(pattern, "*") > 6 {
			return // the reference tries everything
		}
		p, err := glob.Parse(pattern)
		if err != nil {
			t.Fatal(err)
		}
		want := key == "" && strings.Trim(pattern, "*") == "" // which the server's callers see to
		want = want || stringmatchlen(pattern, key, new(bool), 0)
		if got := p.Match([]byte(key)); got != want {
			t.Fatalf("%q matches %q: %v, the server says %v", pattern, key, got, want)
		}
		again, err := glob.Parse(p.String())
		if err == nil && again.Match([]byte(key)) != want { // it may be too long
			t.Fatalf("%q is written %q, which matches %q: %v", pattern, p, key, !want)
		}
		if len(p.Captures()) > 0 {
			t.Fatalf("%q captures %q", pattern, p.Captures())
		}
	})
}

// TestServer asks a server, with KEYS, what each of many globs matches.
func TestServer(t *testing.T) {
	srv := redistest.Start(t, "valkey-9.1")
	rng := rand.New(rand.NewPCG(5, 5))
	pick := func(alphabet string, n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(alphabet[rng.IntN(len(alphabet))])
		}
		return b.String()
	}
	keys := map[string]bool{}
	for range 300 {
		// Not the empty key: for the servers * matches it, and ** does not.
		key := pick("abc-]^*\\", 1+rng.IntN(5))
		keys[key] = true
		redistest.Do(t, srv, "SET", key, "")
	}
	globs := []string{"*", "", "a*", "*a", "*a*b*", "[a-c]*", "[^a]*", "[c-a]?", "\\*", "[a", "[", "[]", "[^]", "a\\", "[\\]]", "[a-", "**", "?*?", "[^", "[a\\", "\\", "[a-]]"}
	for range 2000 {
		globs = append(globs, pick("abc-]^*?[\\", 1+rng.IntN(6)))
	}
	for _, text := range globs {
		p, err := glob.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for key := range keys {
			if p.Match([]byte(key)) {
				got = append(got, key)
			}
		}
		want := []string{}
		for _, key := range redistest.Do(t, srv, "KEYS", text).([]any) {
			want = append(want, key.(string))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q matches %q, the server says %q", text, got, want)
		}
	}
	// Not exponential: done at once.
	p, err := glob.Parse(strings.Repeat("a*", 50) + "b")
	if err != nil || p.Match(bytes.Repeat([]byte("a"), 5000)) {
		t.Errorf("matches what ends in b; error %v", err)
	}
}
