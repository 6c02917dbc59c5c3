package keyspace

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"triggerd/internal/event"
)

var benchCommands = map[string][][]byte{
	"SET":           byteArgs("SET", "user:1234:session", "some value", "PXAT", "1795426289586"),
	"DECR":          byteArgs("decr", "stock:42"),
	"DEL5":          byteArgs("DEL", "a", "b", "c", "d", "e"),
	"XGROUP CREATE": byteArgs("XGROUP", "CREATE", "x", "g", "$"),
	"PING":          byteArgs("ping"),
	"JSON.SET":      byteArgs("json.set", "doc", "$", "1"),
	"VADD":          byteArgs("VADD", "v", "VALUES", "1", "1", "e"),
}

func BenchmarkCommand(b *testing.B) {
	for name, args := range benchCommands {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			in := New(Config{})
			dst := make([]event.Event, 0, 16)
			c := Command{Args: args}
			for b.Loop() {
				dst = in.Command(dst[:0], &c)
			}
		})
	}
}

// BenchmarkMirror: commands with the mirror on, of keys that are not needed
// and of keys whose value is.
func BenchmarkMirror(b *testing.B) {
	all := func(int, []byte) Need { return NeedValue }
	none := func(int, []byte) Need { return NeedNothing }
	for _, bench := range []struct {
		name     string
		need     func(int, []byte) Need
		commands [][][]byte
	}{
		{"unwatched SET", none, [][][]byte{byteArgs("SET", "user:1234:session", "some value", "PXAT", "1795426289586")}},
		{"unwatched DECR", none, [][][]byte{byteArgs("decr", "stock:42")}},
		{"unwatched HSET", none, [][][]byte{byteArgs("HSET", "user:1", "name", "x", "age", "7")}},
		{"SET", all, [][][]byte{byteArgs("SET", "user:1234:session", "some value", "PXAT", "1795426289586")}},
		{"INCR", all, [][][]byte{byteArgs("INCR", "stock:42")}},
		{"HSET", all, [][][]byte{byteArgs("HSET", "user:1", "name", "someone")}},
		{"SADD SREM", all, [][][]byte{byteArgs("SADD", "s", "a"), byteArgs("SREM", "s", "a")}},
		{"LPUSH RPOP", all, [][][]byte{byteArgs("LPUSH", "l", "job"), byteArgs("RPOP", "l")}},
		{"ZINCRBY", all, [][][]byte{byteArgs("ZINCRBY", "z", "1.5", "player")}},
		{"HINCRBY", all, [][][]byte{byteArgs("HINCRBY", "h", "f", "1")}},
		{"PEXPIREAT", all, [][][]byte{byteArgs("PEXPIREAT", "stock:42", "1795426289586")}},
		{"SET DEL", all, [][][]byte{byteArgs("SET", "k", "v"), byteArgs("DEL", "k")}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			in := New(Config{Need: bench.need})
			in.SnapshotBegin()
			in.SnapshotEnd(nil, &SnapshotKey{})
			for _, setup := range [][][]byte{byteArgs("SADD", "s", "b"), byteArgs("LPUSH", "l", "x"), byteArgs("SET", "stock:42", "7")} {
				in.Command(nil, &Command{Args: setup})
			}
			dst := make([]event.Event, 0, 16)
			c := Command{Time: time.Unix(1700000000, 0)}
			i := 0
			for b.Loop() {
				c.Args = bench.commands[i%len(bench.commands)]
				dst = in.Command(dst[:0], &c)
				i++
			}
		})
	}
}

// BenchmarkElements looks at all of 20,000 elements, before a command and after.
func BenchmarkElements(b *testing.B) {
	in := New(Config{Need: func(int, []byte) Need { return NeedValue }})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &SnapshotKey{})
	for i := range 20_000 {
		m, n := fmt.Sprintf("member:%d", i), strconv.Itoa(i)
		for _, args := range [][][]byte{byteArgs("SADD", "s", m), byteArgs("HSET", "h", m, "v"), byteArgs("RPUSH", "l", m), byteArgs("ZADD", "z", n, m)} {
			in.Command(nil, &Command{Args: args})
		}
	}
	for _, args := range [][][]byte{
		byteArgs("SREM", "s", "member:7"), byteArgs("HSET", "h", "member:7", "w"), byteArgs("RPUSH", "l", "x"), byteArgs("ZADD", "z", "5", "member:9"),
	} {
		ev := in.Command(nil, &Command{Args: args})[0]
		for _, side := range []struct {
			name  string
			value event.Value
		}{{"before", ev.Before}, {"after", ev.After}} {
			b.Run(ev.Type+" "+side.name+" all", func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					for e := range side.value.All() {
						n += len(e.Name)
					}
				}
			})
		}
		b.Run(ev.Type+" changes", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ElementChanges(&ev, func(_, _ *event.Element) bool { return true })
			}
		})
	}
}

// BenchmarkLargeValue: a change of a large value, and a copy of its event as it is
// delivered.
func BenchmarkLargeValue(b *testing.B) {
	in := New(Config{Need: func(int, []byte) Need { return NeedValue }, MaxMirror: 4 << 30})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &SnapshotKey{})
	in.Command(nil, &Command{Args: byteArgs("SETRANGE", "text", strconv.Itoa(64<<20), "x")})
	for i := range 200_000 {
		m := fmt.Sprintf("member:%d", i)
		for _, args := range [][][]byte{byteArgs("SADD", "s", m), byteArgs("HSET", "h", m, "v"), byteArgs("RPUSH", "l", m), byteArgs("ZADD", "z", "1", m)} {
			in.Command(nil, &Command{Args: args})
		}
	}
	for _, args := range [][][]byte{
		byteArgs("SETRANGE", "text", "77", "some text"), byteArgs("SADD", "s", "member:7"), byteArgs("HSET", "h", "member:7", "w"),
		byteArgs("LSET", "l", "100", "x"), byteArgs("ZINCRBY", "z", "1", "member:9"),
	} {
		b.Run(string(args[0]), func(b *testing.B) {
			b.ReportAllocs()
			var events []event.Event
			for b.Loop() {
				events = in.Command(events[:0], &Command{Args: args})
				for i := range events {
					events[i].Clone()
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	b.ReportAllocs()
	names := byteArgs("SET", "hset", "PEXPIREAT", "ZREMRANGEBYSCORE")
	i := 0
	for b.Loop() {
		if commandNamed(names[i&3]) == nil {
			b.Fatal(names[i&3])
		}
		i++
	}
}

// TestNoAllocations: an event costs no allocation once its command's name has
// been seen, also while the mirror keeps other keys.
func TestNoAllocations(t *testing.T) {
	for name, args := range benchCommands {
		in := New(Config{Need: func(int, []byte) Need { return NeedNothing }})
		dst := make([]event.Event, 0, 16)
		c := Command{Args: args}
		if n := testing.AllocsPerRun(100, func() { dst = in.Command(dst[:0], &c) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkJournal: the same without a journal, with one, and with cuts, one after
// every 2^17 commands, told 16 KiB at a time after every 256: of small values, and of
// one element of 100,000.
func BenchmarkJournal(b *testing.B) {
	long := func(name string) (args [][]byte) {
		args = byteArgs(name, "long")
		for i := range 100_000 {
			member := fmt.Appendf(nil, "member:%d", i)
			switch name {
			case "HSET":
				args = append(args, member, []byte("v"))
			case "ZADD":
				args = append(args, strconv.AppendInt(nil, int64(i), 10), member)
			default:
				args = append(args, member)
			}
		}
		return args
	}
	for _, bench := range []struct {
		name     string
		setup    [][]byte
		commands [][][]byte
	}{
		{"SET", nil, [][][]byte{byteArgs("SET", "user:1234:session", "some value", "PXAT", "1795426289586")}},
		{"SET of 1000 keys", nil, manySets(1000)},
		{"SET of 100000 keys", nil, manySets(100_000)},
		{"INCR", nil, [][][]byte{byteArgs("INCR", "stock:42")}},
		{"HSET", nil, [][][]byte{byteArgs("HSET", "user:1", "name", "someone")}},
		{"long HSET", long("HSET"), [][][]byte{byteArgs("HSET", "long", "member:777", "someone")}},
		{"long SADD SREM", long("SADD"), [][][]byte{byteArgs("SADD", "long", "x"), byteArgs("SREM", "long", "x")}},
		{"long ZINCRBY", long("ZADD"), [][][]byte{byteArgs("ZINCRBY", "long", "1.5", "member:777")}},
		{"long LPUSH RPOP", long("RPUSH"), [][][]byte{byteArgs("LPUSH", "long", "job"), byteArgs("RPOP", "long")}},
		{"long LMOVE", long("RPUSH"), [][][]byte{byteArgs("LMOVE", "long", "long", "LEFT", "RIGHT")}},
	} {
		for _, journal := range []string{"off", "on", "cuts"} {
			b.Run(bench.name+"/"+journal, func(b *testing.B) { benchJournal(b, bench.setup, bench.commands, journal) })
		}
	}
}

// manySets sets so many keys, in no order.
func manySets(n int) (commands [][][]byte) {
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		commands = append(commands, byteArgs("SET", fmt.Sprintf("user:%d:session", i), "some value"))
	}
	return commands
}

func benchJournal(b *testing.B, setup [][]byte, commands [][][]byte, journal string) {
	b.ReportAllocs()
	in := New(Config{Need: func(int, []byte) Need { return NeedValue }})
	in.Journal(journal != "off")
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &SnapshotKey{})
	if setup != nil {
		in.Command(nil, &Command{Args: setup})
	}
	told := 0
	sink := func(block []byte) []byte { told += len(block); return block }
	in.Cut(true, sink)
	for !in.TellCut(1 << 30) {
	}
	told = 0
	dst := make([]event.Event, 0, 16)
	c := Command{Time: time.Unix(1700000000, 0)}
	i, cutting := 0, false
	for b.Loop() {
		c.Args = commands[i%len(commands)]
		dst = in.Command(dst[:0], &c)
		if i++; i%256 != 0 || journal != "cuts" {
			continue
		}
		if i%(1<<17) == 0 {
			in.Cut(false, sink)
			cutting = true
		}
		cutting = cutting && !in.TellCut(16<<10)
	}
	b.ReportMetric(float64(told)/float64(i), "told-B/op")
}

// BenchmarkOtherKey is what a condition pays for the value of another key, of a
// hundred thousand.
func BenchmarkOtherKey(b *testing.B) {
	in := New(Config{Need: func(int, []byte) Need { return NeedValue }})
	in.SnapshotBegin()
	in.SnapshotEnd(nil, &SnapshotKey{})
	keys := make([][]byte, 100_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "limit:%d", i)
		in.Command(nil, &Command{Args: [][]byte{[]byte("SET"), keys[i], []byte("5")}})
	}
	for name, prefix := range map[string]string{"there": "limit:", "absent": "none:"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			key := make([]byte, 0, 32)
			for i := 0; b.Loop(); i++ {
				key = strconv.AppendInt(append(key[:0], prefix...), int64(i%len(keys)), 10)
				if in.Lookup(0, key) == nil {
					b.Fatal("not known")
				}
				if i%16 == 0 {
					in.Release()
				}
			}
		})
	}
}
