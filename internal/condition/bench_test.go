package condition

import (
	"math"
	"testing"
	"time"

	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/optimizer"

	"triggerd/internal/event"
)

// sevenConditions are those that closures are measured by.
var sevenConditions = []string{
	`command == "SET"`,
	`command == "SET" && key startsWith "user:"`,
	`int(args[1]) > 100`,
	`len(args) > 1 && args[1] startsWith "v"`,
	`key matches "^user:[0-9]+:profile$"`,
	`command in ["SET", "DEL", "HSET", "XADD"]`,
	`command == "SET" && key startsWith "user:" && key endsWith ":profile" && db == 0 && len(args) == 2 && size(args[1]) < 10 && event != "del"`,
}

// BenchmarkCondition compares the closures of a condition with expr's machine,
// given the same filled environment, and reports the geometric mean of how
// many times as fast they are.
func BenchmarkCondition(b *testing.B) {
	c := testCompiler()
	ev := &event.Event{Name: "set", Command: "SET", Key: []byte("user:12345:profile"), Args: [][]byte{[]byte("user:12345:profile"), []byte("150")}}
	logs, n := 0.0, 0
	for _, src := range sevenConditions {
		cond, report := c.Condition(src, nil)
		if cond == nil || cond.eval == nil {
			b.Fatalf("%s: %v", src, report.Problems)
		}
		r := c.resolve(src, nil, false)
		if p := c.check(r, true); p != nil {
			b.Fatal(p)
		}
		if err := optimizer.Optimize(&r.tree.Node, c.config); err != nil {
			b.Fatal(err)
		}
		program, err := compiler.Compile(r.tree, c.config)
		if err != nil {
			b.Fatal(err)
		}
		var e Evaluator
		e.scope.ev = ev
		e.env.set(&e.scope)
		var perOp [2]float64
		b.Run("closure/"+src, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.scope = scope{ev: ev}
				cond.eval(&e.scope)
			}
			perOp[0] = float64(b.Elapsed()) / float64(b.N) / float64(time.Nanosecond)
		})
		b.Run("machine/"+src, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.machine.Run(program, &e.env); err != nil {
					b.Fatal(err)
				}
			}
			perOp[1] = float64(b.Elapsed()) / float64(b.N) / float64(time.Nanosecond)
		})
		if perOp[0] > 0 && perOp[1] > 0 {
			logs, n = logs+math.Log(perOp[1]/perOp[0]), n+1
		}
	}
	b.Run("mean", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(math.Exp(logs/float64(max(n, 1))), "times-as-fast")
		b.ReportMetric(0, "ns/op")
	})
}
