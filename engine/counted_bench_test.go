package engine_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"triggerd/engine"
	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rules"
)

// BenchmarkElements is the whole way of a command, interpreted and matched, on a
// value of many elements about which a condition asks: counted as it is, and
// recomputed, which is what it costs to look at each element; the floor asks of
// none.
func BenchmarkElements(b *testing.B) {
	for _, bench := range []struct {
		name, fill   string
		floor        string // a condition that asks of no element
		when         string
		commands     [2][]string
		dropTheFirst bool
	}{
		{"zset any", "ZADD", `before != nil && key == "nope"`, `any(after, num(.score) >= 1000000000)`,
			[2][]string{{"ZADD", "k", "7", "member:9"}, {"ZADD", "k", "8", "member:9"}}, false},
		{"zset count>count", "ZADD", `before != nil && key == "nope"`, `count(after, num(.score) >= 1000) > count(before, num(.score) >= 1000) + 1`,
			[2][]string{{"ZADD", "k", "7", "member:9"}, {"ZADD", "k", "8", "member:9"}}, false},
		{"zset none", "ZADD", `before != nil && key == "nope"`, `not none(after, .member startsWith "x")`,
			[2][]string{{"ZADD", "k", "7", "member:9"}, {"ZREM", "k", "member:9"}}, false},
		{"zset rank", "ZADD", `before != nil && key == "nope"`, `count(after, num(.score) >= num(arg(1))) < 0`,
			[2][]string{{"ZADD", "k", "7", "member:9"}, {"ZADD", "k", "8", "member:9"}}, false},
		{"set any", "SADD", `before != nil && key == "nope"`, `any(after, # == "x")`,
			[2][]string{{"SADD", "k", "y"}, {"SREM", "k", "y"}}, false},
		{"hash any", "HSET", `before != nil && key == "nope"`, `any(after, .value == "x")`,
			[2][]string{{"HSET", "k", "member:9", "y"}, {"HSET", "k", "member:9", "z"}}, false},
		{"list any", "RPUSH", `before != nil && key == "nope"`, `any(after, # == "x")`,
			[2][]string{{"RPUSH", "k", "y"}, {"LPOP", "k"}}, false},
	} {
		for _, n := range []int{100, 20_000, 1_000_000} {
			in := filled(bench.fill, n)
			for _, mode := range []string{"counted", "recomputed", "floor"} {
				if mode == "recomputed" && n > 20_000 && testing.Short() {
					continue
				}
				b.Run(fmt.Sprintf("%s/%d/%s", bench.name, n, mode), func(b *testing.B) {
					when := bench.when
					if mode == "floor" {
						when = bench.floor
					}
					doc := fmt.Sprintf("[[rule]]\nname = \"r\"\nkey = \"k\"\nwhen = '''%s'''\n[[rule.action]]\ntype = \"log\"\n", when)
					set, err := engine.ParseRules("rules.toml", []byte(doc), engine.ActionOptions{})
					if err != nil {
						b.Fatal(err)
					}
					m := set.Matcher()
					var commands [2]keyspace.Command
					for i, words := range bench.commands {
						commands[i] = keyspace.Command{Time: time.Unix(1_700_000_000, 0)}
						for _, w := range words {
							commands[i].Args = append(commands[i].Args, []byte(w))
						}
					}
					var events []event.Event
					var matches []rules.Match
					i := 0
					run := func() {
						events = in.Command(events[:0], &commands[i&1])
						for j := range events {
							ev := &events[j]
							if mode == "recomputed" {
								ev.Before, ev.After = plainValue{ev.Before}, plainValue{ev.After}
							}
							if matches = m.Match(matches[:0], ev); len(matches) > 0 {
								b.Fatal("it matches")
							}
						}
						i++
					}
					run() // the first ask
					b.ReportAllocs()
					for b.Loop() {
						run()
					}
				})
			}
		}
	}
}

// plainValue is a value that only shows its elements.
type plainValue struct{ event.Value }

// filled makes a mirror with a collection of n elements.
func filled(command string, n int) *keyspace.Interpreter {
	in := keyspace.New(keyspace.Config{Need: func(int, []byte) keyspace.Need { return keyspace.NeedValue }, MaxMirror: 8 << 30})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &keyspace.SnapshotKey{})
	for i := 0; i < n; {
		args := [][]byte{[]byte(command), []byte("k")}
		for range min(1000, n-i) {
			member := []byte("member:" + strconv.Itoa(i))
			switch command {
			case "ZADD":
				args = append(args, []byte(strconv.Itoa(i)), member)
			case "HSET":
				args = append(args, member, []byte("v"))
			default:
				args = append(args, member)
			}
			i++
		}
		in.Command(nil, &keyspace.Command{Args: args})
	}
	return in
}
