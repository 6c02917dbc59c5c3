package condition

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
)

// An evaluation that looks at very many elements, or at a very long text, ends
// soon when it is to be given up, and says so; one that looks at few is not
// disturbed. That is so of closures and of expr's machine.
func TestStopped(t *testing.T) {
	const n = 20_000
	elements := make([]event.Element, n)
	for i := range elements {
		elements[i].Name = fmt.Sprint("m", i)
		elements[i].Score = float64(i)
	}
	args := slices.Repeat([][]byte{[]byte("x")}, n)
	other := slices.Clone(elements)
	other[n-1].Name = "other"
	of := func(before, after event.Value) *event.Event {
		return &event.Event{Key: []byte("k"), Args: args, Before: before, After: after}
	}
	sets, zsets := of(event.Elements("set", elements), event.Elements("set", other)), of(event.Elements("zset", elements), event.Elements("zset", other))
	lists, hashes := of(event.Elements("list", elements), event.Elements("list", other)), of(event.Elements("hash", elements), event.Elements("hash", other))
	long := of(event.None, event.String([]byte(strings.Repeat("x", 3*longText))))
	few := of(event.None, event.Elements("set", elements[:3]))
	few.Args = args[:3]
	for _, tt := range []struct {
		src string
		ev  *event.Event
	}{
		{`any(args, # == "y")`, few}, {`count(args, # == key) > 3`, few},
		{`any(args, num(#) > 3)`, few}, {`none(args, num(#) > 3)`, few}, {`all(args, # == "x")`, few}, {`one(args, num(#) == 1)`, few},
		{`any(after, # startsWith key) || any(args, # == "y")`, sets},
		{`all(after, # != key)`, sets}, {`any(after, num(#) > 3)`, sets}, {`count(after, len(#) > 100) > 0`, sets},
		{`any(after, .member startsWith key)`, zsets}, {`any(after, num(.score) < 0 - len(args))`, zsets},
		{`before == after`, sets}, {`before == after`, zsets}, {`before == after`, lists}, {`before == after`, hashes},
		{`any(after, # == "y")`, lists}, {`has(after, "y")`, lists}, {`any(after, .value == "y")`, hashes},
		{`after matches "[0-9]$"`, long}, {`after contains key + "y"`, long}, {`lower(after) == "x"`, long}, {`len(upper(after)) == 5 || num(after) ** 2 > 5`, long}, {`lower(after) contains "y"`, long}, {`"y" in added`, sets}, {`len(removed) > 5`, hashes}, {`crossed_score(5)`, zsets},
	} {
		c := NewCompiler(Config{})
		cond, report := c.Condition(tt.src, nil)
		if cond == nil {
			t.Fatalf("%s: %v", tt.src, report.Problems)
		}
		forms := map[string]*Condition{"machine": {program: machineProgram(t, NewCompiler(Config{}), tt.src, nil)}}
		if cond.eval != nil {
			forms["closure"] = cond
		}
		for form, cond := range forms {
			big := tt.ev
			if big == few {
				big = sets
			}
			asked := 0
			e := Evaluator{Stopped: func() bool { asked++; return true }}
			e.Begin(big)
			if ok, err := e.Holds(cond, nil); ok || !errors.Is(err, ErrStopped) || asked > 10 {
				t.Errorf("%s, %s: %t, %v, asked %d times", tt.src, form, ok, err, asked)
			}
			e.Begin(few)
			if _, err := e.Holds(cond, nil); errors.Is(err, ErrStopped) {
				t.Errorf("%s, %s, of few elements: %v", tt.src, form, err)
			}
		}
	}
}

// What is looked for in a long text is found as in a short one.
func TestLongText(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{`[a-c][0-9]$`, `(?m)^é`, `(?:\x{fffd}|q)$`, `[^x]\b`, `[é]$`, `^(?:x|é|\x{fffd}|\n)*$`} {
		re := regexp.MustCompile(pattern)
		for _, tail := range []string{"", "a1", "\xff", "é", "x\n", "\xc3"} {
			for _, n := range []int{0, 1, 50} {
				text := strings.Repeat("xé\xff\n", n) + tail
				if got, want := re.MatchReader(&textReader{new(scope), text}), re.MatchString(text); got != want {
					t.Errorf("%s of %q: %t, want %t", pattern, text, got, want)
				}
			}
		}
	}
	for _, unit := range []string{"É", "a\xff", "世界A"} {
		for _, shift := range []string{"", "ab"} {
			long := shift + strings.Repeat(unit, 2*longText/len(unit)+1) + "Ab"
			s := new(scope)
			if s.cased(strings.ToLower, long) != strings.ToLower(long) || s.cased(strings.ToUpper, long) != strings.ToUpper(long) {
				t.Errorf("%q, %q: the case of a long text is another", unit, shift)
			}
			for _, part := range []string{"Ab", "b", "", "ab", unit + "Ab", strings.Repeat(unit, 1000) + "Ab", "nothing", long, long[1:], long + "c", long[:longText+1], long[longText-3:longText+3] + "?"} {
				if s.contains(long, part) != strings.Contains(long, part) {
					t.Errorf("%q: a part of %d bytes in a long text", unit, len(part))
				}
			}
		}
	}
	text := strings.Repeat("x", longText)
	for tail, want := range map[string]bool{"1": true, "y": false} {
		if got := new(scope).matches(regexp.MustCompile("[0-9]$"), text+tail); got != want {
			t.Errorf("of a long text that ends with %s: %t, want %t", tail, got, want)
		}
	}
}
