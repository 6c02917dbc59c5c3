package condition_test

import (
	"fmt"

	"triggerd/internal/condition"
	"triggerd/internal/event"
	"triggerd/internal/glob"
)

func Example() {
	key, err := glob.ParseKey("stock:{sku}")
	if err != nil {
		fmt.Println(err)
		return
	}
	captures := condition.NewCaptures([]*glob.Pattern{key}, nil)
	c := condition.NewCompiler(condition.Config{Lists: map[string]any{"skus": []string{"7", "8"}}})
	cond, report := c.Condition(`params.sku in lists.skus && num(after) < 5`, captures.Names())
	if cond == nil {
		fmt.Println(report.Problems)
		return
	}
	fmt.Println("reads values:", cond.Reads().Value)
	var e condition.Evaluator
	for _, after := range []event.Value{event.String([]byte("3")), event.String([]byte("9")), nil} {
		e.Begin(&event.Event{Name: "set", Command: "SET", Key: []byte("stock:7"), After: after})
		fmt.Println(e.Holds(cond, captures))
	}
	// Output:
	// reads values: true
	// true <nil>
	// false <nil>
	// false after is not known
}
