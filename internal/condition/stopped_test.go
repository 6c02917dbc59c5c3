package condition_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"triggerd/internal/condition"
	"triggerd/internal/event"
)

// An evaluation that looks at very many elements ends soon when it is to be given
// up, and says so; one that looks at few is not disturbed.
func TestStopped(t *testing.T) {
	const n = 1_000_000
	elements := make([]event.Element, n)
	for i := range elements {
		elements[i].Name = fmt.Sprint("m", i)
	}
	many := &event.Event{Key: []byte("k"), Args: slices.Repeat([][]byte{[]byte("x")}, n), Before: event.None, After: event.Elements("zset", elements)}
	few := &event.Event{Key: []byte("k"), Args: [][]byte{[]byte("x")}, Before: event.None, After: event.None}
	for _, src := range []string{`any(args, # == "y")`, `count(args, # == key) > 3`, `any(after, .member startsWith key) || any(args, # == "y")`, `"y" in added`, `crossed_score(5)`} {
		c, report := newCompiler().Condition(src, nil)
		if c == nil {
			t.Fatal(report.Problems)
		}
		asked := 0
		e := condition.Evaluator{Stopped: func() bool { asked++; return true }}
		e.Begin(many)
		if ok, err := e.Holds(c, nil); ok || !errors.Is(err, condition.ErrStopped) || asked > 10 {
			t.Errorf("%s: %t, %v, asked %d times", src, ok, err, asked)
		}
		e.Begin(few)
		if _, err := e.Holds(c, nil); errors.Is(err, condition.ErrStopped) {
			t.Errorf("%s of few elements: %v", src, err)
		}
	}
}
