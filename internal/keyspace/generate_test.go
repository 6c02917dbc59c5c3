package keyspace_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// generator makes random commands that a client might send. The prefix of a
// key says what is done to it, and so what cannot be known of it; see exempt.
type generator struct {
	*rand.Rand
	serial int
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 4))}
}

func (g *generator) pick(words ...string) string { return words[g.IntN(len(words))] }

func (g *generator) num(n int) string { return strconv.Itoa(g.IntN(n)) }

func (g *generator) key(prefix string) string { return prefix + ":" + g.num(6) }

func (g *generator) member() string { return "m" + g.num(12) }

func (g *generator) members() []string {
	n := 1 + g.IntN(4)
	if g.IntN(200) == 0 {
		n = 300 // beyond the small encodings
	}
	var out []string
	for range n {
		if n < 300 {
			out = append(out, g.member())
		} else {
			out = append(out, "large"+g.num(1000))
		}
	}
	return out
}

func (g *generator) value() string {
	switch g.IntN(8) {
	case 0:
		return strconv.Itoa(g.IntN(2000) - 1000)
	case 1:
		return ""
	case 2:
		return "\xff\x00binary\r\n"
	case 3:
		return strings.Repeat("long_", 20+g.IntN(50))
	case 4:
		return "9223372036854775800"
	}
	return "v" + g.num(1000)
}

func (g *generator) score() string {
	return g.pick("1", "2.5", "-3", "1e300", "inf", "-inf", "0.1", strconv.FormatFloat(g.NormFloat64(), 'g', -1, 64))
}

func (g *generator) pairs(f func() (string, string)) []string {
	var out []string
	for range 1 + g.IntN(3) {
		a, b := f()
		out = append(out, a, b)
	}
	return out
}

// distinct are keys with values, no key twice: of one that is set twice in one
// command, Redis 8.2 and later announce the second as "overwritten".
func (g *generator) distinct() []string {
	var out []string
	from := g.IntN(6)
	for i := range 1 + g.IntN(3) {
		out = append(out, fmt.Sprintf("s:%d", (from+i)%6), g.value())
	}
	return out
}

// far is a deadline that does not come, in milliseconds.
func (g *generator) far() string { return strconv.Itoa(1_000_000 + g.IntN(1_000_000)) }

// any is a key of the types that are not exempt from anything.
func (g *generator) any() string { return g.key(g.pick("s", "n", "b", "l", "e", "h", "z", "x")) }

// args makes a command: all but the elements of lists is split at spaces.
func args(first string, rest ...any) []string {
	out := strings.Split(first, " ")
	for _, r := range rest {
		switch r := r.(type) {
		case string:
			out = append(out, strings.Split(r, " ")...)
		case []string:
			out = append(out, r...)
		}
	}
	return out
}

// next returns a command, or several that belong together.
func (g *generator) next() [][]string {
	switch n := g.IntN(100); {
	case n < 3:
		return [][]string{{"SELECT", g.num(3)}}
	case n < 6:
		return g.transaction()
	case n < 8:
		return [][]string{g.script()}
	}
	return [][]string{g.one()}
}

func (g *generator) transaction() [][]string {
	out := [][]string{{"MULTI"}}
	for range g.IntN(6) {
		out = append(out, g.one())
	}
	if g.IntN(4) == 0 {
		out = append(out, []string{"SELECT", g.num(3)}, g.one())
	}
	return append(out, []string{g.pick("EXEC", "EXEC", "EXEC", "DISCARD")})
}

func (g *generator) script() []string {
	var code strings.Builder
	out := []string{"EVAL", "", "0"}
	for range 1 + g.IntN(4) {
		command := g.one()
		code.WriteString("redis.pcall(")
		for i, a := range command {
			if i > 0 {
				code.WriteByte(',')
			}
			out = append(out, a)
			fmt.Fprintf(&code, "ARGV[%d]", len(out)-3)
		}
		code.WriteString(") ")
	}
	out[1] = code.String()
	return out
}

// one makes a command, now and then in a client's own spelling.
func (g *generator) one() []string {
	command := g.ofAnyType()
	if g.IntN(8) == 0 {
		command[0] = strings.ToLower(command[0])
	}
	return command
}

func (g *generator) ofAnyType() []string {
	switch g.IntN(11) {
	case 0:
		return g.strings()
	case 1:
		return g.bits()
	case 2:
		return g.lists()
	case 3:
		return g.sets()
	case 4:
		return g.hashes()
	case 5:
		return g.fieldDeadlines()
	case 6:
		return g.zsets()
	case 7:
		return g.streams()
	case 8:
		return g.stores()
	case 9:
		return g.deadlines()
	}
	return g.generic()
}

func (g *generator) strings() []string {
	s, n := g.key("s"), g.key("n")
	switch g.IntN(22) {
	case 0:
		return args("SET", s, g.value())
	case 1:
		return args("SET", g.any(), g.value())
	case 2:
		return args("SET", s, g.value(), "PX", g.far())
	case 3:
		return args("SET", s, "text"+g.num(9), "KEEPTTL")
	case 4:
		return args("SET", s, g.value(), g.pick("NX", "XX"))
	case 5:
		return args("SET", s, g.value(), "EX", "1000", g.pick("NX", "XX"))
	case 6:
		return args("SET", s, g.value(), "GET")
	case 7:
		return args(g.pick("SETNX", "GETSET", "APPEND"), s, g.value())
	case 8:
		return args(g.pick("SETEX", "PSETEX"), s, g.far(), g.value())
	case 9:
		return args(g.pick("MSET", "MSETNX"), g.distinct())
	case 10:
		return args("MSETEX 2", g.key("s"), g.value(), g.key("n"), g.num(50), g.pick("EX", "KEEPTTL", "PX"), "100000")
	case 11:
		return args("MSETEX 1", g.key("s"), g.value(), g.pick("NX", "XX", "KEEPTTL"))
	case 12, 13:
		return args(g.pick("INCR", "DECR"), n)
	case 14:
		return args(g.pick("INCRBY", "DECRBY"), n, g.pick("5", "-7", "9223372036854775807", "1000"))
	case 15:
		nf := g.key("nf") // of numbers so small that a fraction is not lost
		if g.IntN(3) == 0 {
			return args("SET", nf, g.num(100), "PX", g.far())
		}
		return args("INCRBYFLOAT", nf, g.pick("1.5", "-0.25", "0.3"))
	case 16:
		return args("SETRANGE", s, g.num(40), g.value())
	case 17:
		return args("SET", n, g.num(100))
	case 18:
		return args("GETDEL", s)
	case 19:
		return args("GETEX", s, g.pick("PERSIST", "PX"), "100000")
	case 20:
		return args("SET", s, g.value(), g.pick("IFEQ", "IFNE"), g.value())
	}
	return g.hyperLogLogs()
}

func (g *generator) hyperLogLogs() []string {
	p := g.key("p")
	switch g.IntN(8) {
	case 0, 1, 2:
		line := args("PFADD", p)
		for range g.IntN(4) + g.IntN(2)*g.IntN(2)*g.IntN(400) {
			line = append(line, g.value()+g.num(50_000))
		}
		return line
	case 3:
		return args("PFADD", p, "element"+g.num(300))
	case 4, 5:
		return args("PFCOUNT", p)
	case 6:
		return args("PFMERGE", p, g.key("p"), g.key("p"))
	}
	return args(g.pick("DEL", "PFMERGE", "PFDEBUG TODENSE", "PFDEBUG GETREG", "PFCOUNT a"), p)
}

func (g *generator) bits() []string {
	b := g.key("b")
	switch g.IntN(5) {
	case 0, 1:
		return args("SETBIT", b, g.num(200), g.num(2))
	case 2:
		return args("BITFIELD", b, "SET", g.pick("u8", "i5", "u63", "i64"), g.pick("#1", "3", "100"), strconv.Itoa(g.IntN(400)-200))
	case 3:
		return args("BITFIELD", b, "OVERFLOW", g.pick("SAT", "WRAP", "FAIL"), "INCRBY", g.pick("u8", "i5", "i16", "i64", "u4"), g.pick("#0", "7", "30"),
			g.pick("100", "-90", "7", "9223372036854775807", "-9223372036854775808"), "GET", "u8", "0", "SET", "u2", "9", g.num(4))
	}
	op := g.pick("AND", "OR", "XOR", "NOT", "DIFF", "DIFF1", "ANDOR", "ONE")
	if op == "NOT" {
		return args("BITOP NOT", g.key("b"), g.key("b"))
	}
	return args("BITOP", op, g.key("b"), g.key("b"), g.key(g.pick("b", "s", "n")), g.key("b"))
}

func (g *generator) lists() []string {
	l, m := g.key("l"), g.key("l")
	switch g.IntN(14) {
	case 0, 1, 2:
		return args(g.pick("LPUSH", "RPUSH"), l, g.members())
	case 3:
		return args(g.pick("LPUSHX", "RPUSHX"), l, g.members())
	case 4, 5:
		return args(g.pick("LPOP", "RPOP"), l)
	case 6:
		return args(g.pick("LPOP", "RPOP"), l, g.num(6))
	case 7:
		return args("RPOPLPUSH", l, m)
	case 8:
		return args("LMOVE", l, m, g.pick("LEFT", "RIGHT"), g.pick("LEFT", "RIGHT"))
	case 9:
		return args("LINSERT", l, g.pick("BEFORE", "AFTER"), g.member(), g.member())
	case 10:
		return args("LSET", l, strconv.Itoa(g.IntN(6)-3), g.value())
	case 11:
		return args("LREM", l, strconv.Itoa(g.IntN(5)-2), g.member())
	case 12:
		return args("LMPOP 2", l, m, g.pick("LEFT", "RIGHT"), "COUNT", "2")
	}
	t := g.key("lt")
	if g.IntN(2) == 0 {
		return args("RPUSH", t, g.members())
	}
	return args("LTRIM", t, strconv.Itoa(g.IntN(8)-3), strconv.Itoa(g.IntN(8)-3))
}

func (g *generator) sets() []string {
	e := g.key("e")
	switch g.IntN(7) {
	case 0, 1:
		return args("SADD", e, g.members())
	case 2, 3:
		return args("SREM", e, g.members())
	case 4:
		return args("SMOVE", e, g.key("e"), g.member())
	case 5:
		return args("SADD", g.key("sp"), g.members())
	}
	return args("SPOP", g.key("sp"), g.pick("1", "2", "100"))
}

func (g *generator) field() string { return "f" + g.num(8) }

func (g *generator) hashes() []string {
	h := g.key("h")
	switch g.IntN(9) {
	case 0, 1:
		return args(g.pick("HSET", "HMSET"), h, g.pairs(func() (string, string) { return g.field(), g.value() }))
	case 2:
		return args("HSETNX", h, g.field(), g.value())
	case 3:
		return args("HINCRBY", h, g.field(), g.pick("5", "-3", "9223372036854775807"))
	case 4:
		return args("HDEL", h, g.field(), g.field(), g.field())
	case 5:
		return args("HGETDEL", h, "FIELDS", "2", g.field(), "f"+g.pick("20", "21"))
	case 6:
		var big []string
		for i := range 200 {
			big = append(big, fmt.Sprintf("big%d", i), g.value())
		}
		if g.IntN(20) == 0 {
			return args("HSET", h, big)
		}
		return args("HDEL", h, "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f0")
	case 7:
		return args("HINCRBYFLOAT", g.key("hf"), g.field(), g.pick("1.5", "2", "-0.125"))
	}
	return args("HSETEX", h, g.pick("FNX", "FXX"), "PX", g.far(), "FIELDS 1", g.field(), g.value())
}

// fieldDeadlines: of the keys ht some fields expire while the test runs.
func (g *generator) fieldDeadlines() []string {
	h, t := g.key("h"), g.key("ht")
	switch g.IntN(9) {
	case 0:
		return args("HPEXPIRE", h, g.far(), "FIELDS 2", g.field(), "f"+g.pick("20", "21"))
	case 1:
		return args("HEXPIRE", h, "1000", g.pick("NX", "XX", "GT", "LT"), "FIELDS 2", "f1", g.pick("f2", "f3", "f4"))
	case 2:
		return args("HPERSIST", h, "FIELDS 1", g.field())
	case 3:
		return args("HSETEX", h, "KEEPTTL", "FIELDS 1", g.field(), "text")
	case 4:
		return args("HSETEX", h, "PX", g.far(), "FIELDS 2", "f1", g.value(), "f2", g.value())
	case 5:
		return args("HGETEX", h, g.pick("PERSIST", "PX"), "100000", "FIELDS 1", g.field())
	case 6:
		return args("HSET", t, "keep", "1", g.field(), g.value())
	case 7:
		return args("HPEXPIRE", t, strconv.Itoa(1+g.IntN(60)), "FIELDS 1", g.field())
	}
	// No number: with the deadline that the field has, it would pass for an HINCRBY.
	return args("HSETEX", t, "PX", strconv.Itoa(1+g.IntN(60)), "FIELDS 1", g.field(), "v"+g.num(1000))
}

func (g *generator) zsets() []string {
	z := g.key("z")
	switch g.IntN(12) {
	case 0, 1, 2:
		return args("ZADD", z, g.pairs(func() (string, string) { return g.score(), g.member() }))
	case 3:
		return args("ZADD", z, g.pick("NX", "XX", "GT", "LT", "CH"), g.pairs(func() (string, string) { return g.score(), g.member() }))
	case 4:
		return args("ZADD", z, "INCR", g.score(), g.member())
	case 5:
		return args("ZINCRBY", z, g.score(), g.member())
	case 6:
		return args("ZREM", z, g.members())
	case 7:
		return args(g.pick("ZPOPMIN", "ZPOPMAX"), z, g.num(4))
	case 8:
		return args("ZREMRANGEBYSCORE", z, g.pick("-inf", "(1", "0"), g.pick("2.5", "(2.5", "+inf"))
	case 9:
		return args("ZREMRANGEBYRANK", z, strconv.Itoa(g.IntN(6)-3), strconv.Itoa(g.IntN(6)-3))
	case 10:
		zl := g.key("zl") // one score
		if g.IntN(2) == 0 {
			return args("ZADD", zl, g.pairs(func() (string, string) { return "0", g.member() }))
		}
		return args("ZREMRANGEBYLEX", zl, g.pick("-", "[m1", "(m3"), g.pick("+", "[m5", "(m7"))
	}
	if g.IntN(20) == 0 {
		var big []string
		for i := range 300 {
			big = append(big, strconv.Itoa(g.IntN(50)), fmt.Sprintf("big%d", i))
		}
		return args("ZADD", z, big)
	}
	if g.IntN(4) > 0 {
		return args("GEOADD", g.key("g"), "13.36", "38.1"+g.num(9), g.member())
	}
	return args("GEOADD", g.key("g"), fmt.Sprint(g.Float64()*360-180), fmt.Sprint(g.Float64()*170-85), g.member())
}

func (g *generator) streams() []string {
	x, y := g.key("x"), g.key("xg")
	g.serial++
	id := fmt.Sprintf("%d-%d", 10+g.serial/3, g.serial%3+1)
	if g.IntN(8) == 0 { // of Redis 8.6, which knows a repetition
		return args("XADD", g.key("xi"), g.pick("MAXLEN 5", "KEEPREF", "NOMKSTREAM"), g.pick("IDMP p i"+g.num(9), "IDMPAUTO p"), "*", "f", g.num(9))
	}
	switch g.IntN(14) {
	case 0, 1:
		return args("XADD", x, id, "f", g.value())
	case 2:
		return args("XADD", x, "MAXLEN", g.pick("=", "~"), g.num(8), id, "f", g.value(), "g", "h")
	case 3:
		return args("XADD", x, "MINID", "=", fmt.Sprint(g.serial/3), id, "f", g.value())
	case 4:
		return args("XADD", x, "NOMKSTREAM", id, "f", g.value())
	case 5:
		return args("XTRIM", x, g.pick("MAXLEN", "MINID"), g.num(10))
	case 6:
		return args("XDEL", x, fmt.Sprintf("%d-%d", 10+g.IntN(g.serial+1)/3, 1+g.IntN(3)))
	case 7:
		return args("XGROUP CREATE", g.pick(x, y), "g", g.pick("$", "0"), "MKSTREAM")
	case 8:
		return args("XGROUP", g.pick("CREATECONSUMER", "DELCONSUMER"), g.pick(x, y), "g", "c"+g.num(3))
	case 9:
		return args("XGROUP DESTROY", x, "g")
	case 10:
		return args("XSETID", x, id)
	case 11:
		return args("XDELEX", x, g.pick("KEEPREF", "DELREF"), "IDS 1", fmt.Sprintf("%d-1", 10+g.IntN(g.serial+1)/3))
	case 12:
		return args("XADD", y, "*", "f", g.value())
	}
	switch g.IntN(3) {
	case 0:
		return args("XREADGROUP GROUP g", "c"+g.num(3), "COUNT 2 STREAMS", y, ">")
	case 1:
		return args("XAUTOCLAIM", y, "g", "c"+g.num(3), "0", "0")
	}
	return args("XREADGROUP GROUP g", "c"+g.num(3), "NOACK STREAMS", y, ">")
}

func (g *generator) stores() []string {
	z := func() string { return g.key(g.pick("z", "z", "e")) }
	switch g.IntN(10) {
	case 0, 1:
		return args(g.pick("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"), g.key("e"), g.key("e"), g.key("e"))
	case 2:
		return args(g.pick("ZUNIONSTORE", "ZINTERSTORE"), g.key("z"), "3", z(), z(), z(), "WEIGHTS", g.score(), g.score(), "2", "AGGREGATE", g.pick("SUM", "MIN", "MAX"))
	case 3:
		return args(g.pick("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"), g.key("z"), "2", z(), z())
	case 4:
		return args("ZRANGESTORE", g.key("z"), g.key("z"), g.pick("-inf", "(1"), g.pick("+inf", "(2.5"), "BYSCORE", "LIMIT", g.num(3), strconv.Itoa(g.IntN(5)-1))
	case 5:
		if g.IntN(2) == 0 {
			return args("ZRANGESTORE", g.key("z"), g.key("zl"), g.pick("+", "[m5"), g.pick("-", "(m2"), "BYLEX", "REV", "LIMIT", g.num(3), "2")
		}
		return args("ZRANGESTORE", g.key("z"), g.key("z"), strconv.Itoa(g.IntN(5)-2), strconv.Itoa(g.IntN(5)-2), "REV")
	case 6:
		return args("SORT", g.key(g.pick("l", "e", "z")), "ALPHA", g.pick("ASC", "DESC"), "LIMIT", g.num(3), g.num(5), "STORE", g.key("l"))
	case 7:
		return args("SORT", g.key("l"), "BY w_* ALPHA GET #", "STORE", g.key("u"))
	case 8:
		return args("SORT", g.key(g.pick("l", "e", "z")), "BY nosort GET # LIMIT", g.num(3), g.num(5), g.pick("GET #", "ALPHA"), "STORE", g.key("l"))
	}
	where := g.pick("13", "13.5", "-179.9", "0.0001")
	switch g.IntN(5) {
	case 0:
		return args("GEORADIUS", g.key("g"), where, "38", g.pick("200", "1", "50", "0"), g.pick("km", "m", "mi", "ft"), "STORE", g.key("gs"))
	case 1:
		return args("GEORADIUSBYMEMBER", g.key("g"), g.member(), g.pick("200", "1000"), "km", g.pick("ASC", "DESC"), "COUNT", "2", "STORE", g.key("gs"))
	case 2:
		return args("GEOSEARCHSTORE", g.key("gs"), g.key("g"), "FROMMEMBER", g.member(), "BYBOX", g.pick("100", "2000"), g.pick("300", "10"), "km")
	case 3:
		return args("GEOSEARCHSTORE", g.key("u"), g.key("g"), "FROMLONLAT", where, "38 BYRADIUS 4000 km STOREDIST")
	}
	return args("GEOSEARCHSTORE", g.key("gs"), g.key("g"), "FROMLONLAT", where, "38 BYRADIUS", g.pick("50", "3000"), "km", g.pick("ASC", "DESC"))
}

// deadlines: the keys t expire while the test runs, those of pe are past it at
// once.
func (g *generator) deadlines() []string {
	t := g.key("t")
	soon := strconv.Itoa(1 + g.IntN(100))
	switch g.IntN(11) {
	case 0, 1:
		return args("SET", t, g.value(), "PX", soon)
	case 2:
		return args("PEXPIRE", t, soon)
	case 3:
		return args(g.pick("RPUSH", "SADD"), g.key("t"), g.member())
	case 4:
		return args(g.pick("PERSIST", "GET", "TYPE"), t)
	case 5:
		return args("SET", g.key("pe"), "v")
	case 6:
		if g.IntN(2) == 0 {
			return args("EXPIRE", g.key("pe"), "-1")
		}
		return args(g.pick("PEXPIREAT", "EXPIREAT"), g.key("pe"), "1")
	case 7:
		return args(g.pick("PEXPIRE", "EXPIRE"), g.any(), g.far(), g.pick("NX", "XX", "GT", "LT"))
	case 8, 9:
		return args(g.pick("PEXPIRE", "EXPIRE"), g.any(), g.far())
	}
	return args("PERSIST", g.any())
}

func (g *generator) generic() []string {
	switch g.IntN(16) {
	case 0, 1:
		return args(g.pick("DEL", "UNLINK"), g.any(), g.any(), g.any())
	case 2, 3:
		return args(g.pick("DEL", "UNLINK"), g.any())
	case 4, 5:
		prefix := g.pick("s", "n", "l", "e", "h", "z", "x")
		return args(g.pick("RENAME", "RENAMENX"), g.key(prefix), g.key(prefix))
	case 6:
		return args("RENAME", g.any(), g.any())
	case 7, 8:
		return args("MOVE", g.any(), g.num(3))
	case 9, 10:
		return args("COPY", g.any(), g.any(), "DB", g.num(3), "REPLACE")
	case 11:
		return args("COPY", g.any(), g.any())
	case 12:
		if g.IntN(20) == 0 {
			return args("SWAPDB", g.num(3), g.num(3))
		}
	case 13:
		if g.IntN(100) == 0 {
			return args(g.pick("FLUSHDB", "FLUSHALL"))
		}
	case 14:
		return args("PUBLISH channel", g.value())
	case 15:
		return []string{"TOUCH", g.any()}
	}
	return []string{"EXISTS", g.any()}
}
