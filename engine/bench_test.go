package engine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"triggerd/engine"
	"triggerd/internal/resp"
	"triggerd/source"
)

// BenchmarkReplay is the whole way of a command that (nearly) no rule wants,
// among 10,000 rules: read, interpreted, matched. The floor parses only.
func BenchmarkReplay(b *testing.B) {
	const n = 200_000
	rnd := rand.New(rand.NewPCG(1, 1))
	stream := resp.AppendCommand(nil, "SELECT", "0")
	for i := range n {
		key, value := fmt.Sprintf("user:%d:profile", rnd.IntN(1_000_000)), fmt.Sprint(i)
		switch rnd.IntN(4) {
		case 0:
			stream = resp.AppendCommand(stream, "INCR", "counter:"+value)
		case 1:
			stream = resp.AppendCommand(stream, "HSET", "cart:"+value, "sku", value)
		default:
			stream = resp.AppendCommand(stream, "SET", key, value)
		}
	}
	var rules bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&rules, "[[rule]]\nname = \"r%d\"\nkey = \"tenant:%d:*\"\nwhen = 'arg(1) == \"1\"'\n[[rule.action]]\ntype = \"log\"\n", i, i)
	}
	set, err := engine.ParseRules("rules.toml", rules.Bytes(), engine.ActionOptions{})
	if err != nil {
		b.Fatal(err)
	}
	perCommand := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/command")
	}
	b.Run("all", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			e, err := engine.New(engine.Config{Rules: set, Source: source.NewRecording(bytes.NewReader(stream), "stream"), Replay: true, DryRun: true})
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := e.Run(b.Context()); err != nil {
				b.Fatal(err)
			}
			if got := e.Stats().Records; got != n {
				b.Fatalf("%d commands, want %d", got, n)
			}
		}
		perCommand(b)
	})
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		for b.Loop() {
			r := resp.NewReader(bytes.NewReader(stream), resp.Limits{})
			for {
				if _, err := r.ReadCommand(); err != nil {
					break
				}
			}
		}
		perCommand(b)
	})
}

// BenchmarkWatched is the whole way of a SET of one of 100,000 keys of which a
// rule looks at the value before, and fires for none.
func BenchmarkWatched(b *testing.B) {
	const n, keys = 1_000_000, 100_000
	rnd := rand.New(rand.NewPCG(1, 1))
	stream := resp.AppendCommand(nil, "SELECT", "0")
	for i := range n {
		k := i
		if i >= keys {
			k = rnd.IntN(keys)
		}
		stream = resp.AppendCommand(stream, "SET", fmt.Sprintf("user:%08d", k), fmt.Sprintf("%016d", i))
	}
	set, err := engine.ParseRules("rules.toml", []byte(`
[[rule]]
name = "r"
key = "user:*"
when = 'before == "no such value"'
action = [{ type = "log" }]
`), engine.ActionOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		e, err := engine.New(engine.Config{Rules: set, Source: source.NewRecording(bytes.NewReader(stream), "stream"), Replay: true, DryRun: true})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := e.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/command")
}

// BenchmarkBeat is the whole way of a command that a rule with absent takes for
// a sign of life, of one of 100,000 that are waited for.
func BenchmarkBeat(b *testing.B) {
	const n, keys = 400_000, 100_000
	rnd := rand.New(rand.NewPCG(1, 1))
	stream := []byte("#TS:1700000000\r\n")
	for i := range keys {
		stream = resp.AppendCommand(stream, "SET", fmt.Sprintf("beat:%d", i), "1")
	}
	for range n - keys {
		stream = resp.AppendCommand(stream, "SET", fmt.Sprintf("beat:%d", rnd.IntN(keys)), "1")
	}
	set, err := engine.ParseRules("rules.toml", []byte(`
[[rule]]
name = "silent"
key = "beat:{id}"
event = "set"
absent = { for = "1m", by = "params.id" }
action = [{ type = "log" }]
`), engine.ActionOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		e, err := engine.New(engine.Config{Rules: set, Source: source.NewRecording(bytes.NewReader(stream), "stream"), Replay: true, DryRun: true})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := e.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/command")
}
