package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"triggerd/internal/event"
	"triggerd/rules"
)

// streamLength is how many events a run has: all with different keys, so that
// nothing is gained by remembering one.
const streamLength = 1 << 16

var commands = strings.Fields(`SET DEL HSET HDEL LPUSH RPUSH LPOP RPOP SADD SREM ZADD ZREM INCRBY DECRBY APPEND EXPIRE
	PEXPIREAT PERSIST RENAME XADD XDEL XTRIM SETRANGE SETBIT HINCRBY LSET LTRIM LREM SMOVE ZINCRBY GETSET UNLINK COPY MSET
	SETEX PSETEX HMSET SPOP ZREMRANGEBYRANK GEOADD`)

func newEvent(rng *rand.Rand, key string) event.Event {
	command := commands[rng.IntN(len(commands))]
	return event.Event{
		Name: strings.ToLower(command), Origin: event.FromStream, Cause: event.CauseCommand, Key: []byte(key), Type: "string", Command: command,
		Args: [][]byte{[]byte(key), fmt.Appendf(nil, "%d", rng.IntN(1000))}, DB: 0, Bytes: 40 + len(key),
	}
}

func familyEvents() []event.Event {
	rng := rand.New(rand.NewPCG(1, 1))
	events := make([]event.Event, streamLength)
	for i := range events {
		events[i] = newEvent(rng, fmt.Sprintf("user:%05d:profile", i))
	}
	return events
}

// hotPatterns are the rules of the diverse stream that something matches.
var hotPatterns = []string{"session:*", "cart:*:items", "order:*:line:*", "user:*:profile", "queue:*"}

func diverseEvents() []event.Event {
	rng := rand.New(rand.NewPCG(2, 2))
	shapes := []func(i int) string{
		func(i int) string { return fmt.Sprintf("user:%05d:profile", i) },
		func(i int) string {
			return fmt.Sprintf("session:%08x-%04x-%04x", rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<16))
		},
		func(i int) string { return fmt.Sprintf("cart:%d:items", i) },
		func(i int) string { return fmt.Sprintf("cache:%012x:page", rng.Uint64()>>16) },
		func(i int) string { return fmt.Sprintf("app%d:%d", rng.IntN(200_000), i) },
		func(i int) string { return fmt.Sprintf("stream:%d:evt%d", i, rng.IntN(200_000)) },
		func(i int) string { return fmt.Sprintf("photo-%d-tag%dx-small", i, rng.IntN(200_000)) },
		func(i int) string { return fmt.Sprintf("cfg:%d", 200_000+i) },
		func(i int) string { return fmt.Sprintf("queue:jobs:%d", i) },
		func(i int) string { return fmt.Sprintf("order:%d:line:%d", i, rng.IntN(9)) },
	}
	events := make([]event.Event, streamLength)
	for i := range events {
		events[i] = newEvent(rng, shapes[rng.IntN(len(shapes))](i))
	}
	return events
}

// gluedEvents have keys of about 90 bytes made of pieces of the rules.
func gluedEvents() []event.Event {
	rng := rand.New(rand.NewPCG(3, 3))
	pieces := []string{"app%d:", "user:", ":f%d", "cfg:%d", ":evt%d", "tag%dx", "a%d:", ":b%d:", "k", "12", ":"}
	events := make([]event.Event, streamLength)
	for i := range events {
		var key strings.Builder
		for key.Len() < 84 {
			if p := pieces[rng.IntN(len(pieces))]; strings.Contains(p, "%d") {
				fmt.Fprintf(&key, p, rng.IntN(10_000))
			} else {
				key.WriteString(p)
			}
		}
		events[i] = newEvent(rng, key.String())
	}
	return events
}

// starPatterns remember, done simply, which of their stars were passed: as
// many states as subsets.
func starPatterns(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("*a%d:*b%d:*", i, i)
	}
	return list
}

func starEvents() []event.Event {
	rng := rand.New(rand.NewPCG(4, 4))
	events := make([]event.Event, streamLength)
	for i := range events {
		var key strings.Builder
		for range 14 {
			fmt.Fprintf(&key, "%c%d:", "ab"[rng.IntN(2)], rng.IntN(10_000))
		}
		events[i] = newEvent(rng, key.String())
	}
	return events
}

func meanLength(events []event.Event) float64 {
	n := 0
	for i := range events {
		n += len(events[i].Key)
	}
	return float64(n) / float64(len(events))
}

// mixedPatterns are key patterns as people write them, in the mix that
// stays the same for every n.
func mixedPatterns(n int) []string {
	list := make([]string, n)
	for i := range list {
		switch m := i * 7 % 20; {
		case m < 7:
			list[i] = fmt.Sprintf("app%d:*", i)
		case m < 12:
			list[i] = fmt.Sprintf("user:*:f%d", i)
		case m < 15:
			list[i] = fmt.Sprintf("cfg:%d", i)
		case m < 17:
			list[i] = fmt.Sprintf("*:evt%d", i)
		case m < 18:
			list[i] = fmt.Sprintf("*tag%dx*", i)
		case m < 19:
			list[i] = fmt.Sprintf("a%d:*:b%d:*:c*", i, i)
		default:
			list[i] = fmt.Sprintf("k??%d:[ab]*", i)
		}
	}
	return list
}

// set builds a set of rules, each given by its fields.
func set(n int, fields func(i int) map[string]any) *rules.Set {
	docs := make([]any, n)
	for i := range docs {
		docs[i] = fields(i)
		docs[i].(map[string]any)["name"] = fmt.Sprintf("rule-%d", i)
		docs[i].(map[string]any)["action"] = map[string]any{"type": "log"}
	}
	s, err := rules.Build(map[string]any{"rule": docs}, rules.Options{})
	if err != nil {
		panic(err)
	}
	return s
}

func keyRules(patterns []string) *rules.Set {
	return set(len(patterns), func(i int) map[string]any { return map[string]any{"key": patterns[i]} })
}

// fieldRules say key and command as fields, and the rest as a condition.
func fieldRules(n int) *rules.Set {
	patterns := mixedPatterns(n)
	return set(n, func(i int) map[string]any {
		return map[string]any{"key": patterns[i], "command": commands[i%len(commands)], "when": fmt.Sprintf("num(arg(1)) > %d", i%900)}
	})
}

// condition says in one condition what fieldRules say in three fields.
func condition(i int) string {
	key := ""
	switch i % 4 {
	case 0:
		key = fmt.Sprintf(`key startsWith "app%d:"`, i)
	case 1:
		key = fmt.Sprintf(`key endsWith ":evt%d"`, i)
	case 2:
		key = fmt.Sprintf(`key == "cfg:%d"`, i)
	default:
		key = fmt.Sprintf(`key contains "tag%dx"`, i)
	}
	return fmt.Sprintf(`command == "%s" && %s && int(args[1]) > %d`, commands[i%len(commands)], key, i%900)
}

func conditionRules(n int) *rules.Set {
	return set(n, func(i int) map[string]any { return map[string]any{"when": condition(i)} })
}

// hitRules are fieldRules, and five that match every event of one family.
func hitRules(n int) *rules.Set {
	patterns := mixedPatterns(n)
	five := []string{"user:*", "*:profile", "user:*:profile", "user:{id}:profile", "*ser:*"}
	return set(n+5, func(i int) map[string]any {
		if i < 5 {
			return map[string]any{"key": five[i], "when": `db == 0 && num(arg(1)) >= 0 && key startsWith "user:"`}
		}
		return map[string]any{"key": patterns[i-5], "command": commands[i%len(commands)], "when": fmt.Sprintf("num(arg(1)) > %d", i%900)}
	})
}

// tenantRules all wait for the same keys and differ in one argument.
func tenantRules(n int) *rules.Set {
	return set(n, func(i int) map[string]any {
		return map[string]any{"key": "user:{id}:profile", "when": fmt.Sprintf(`args[1] == "t%d"`, i)}
	})
}

func conditionText(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "[[rule]]\nname = \"rule-%d\"\nwhen = '%s'\n[[rule.action]]\ntype = \"log\"\n\n", i, condition(i))
	}
	return []byte(b.String())
}
