package rdb_test

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/rdb"
)

// TestServers fills a real server of every version with every type in every
// encoding, has it save, and compares what the snapshot says of each key with
// what the server says. Once as servers save by default, once without
// compression and checksum.
func TestServers(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		c := redistest.Dial(t, srv)
		f := &filler{t: t, c: c, rng: rand.New(rand.NewPCG(7, 7))}
		f.fill(srv.Program.Name)
		checkSnapshot(t, f, save(t, srv))
		f.do("CONFIG", "SET", "rdbcompression", "no")
		f.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
		checkSnapshot(t, f, save(t, srv))
	})
}

func save(t *testing.T, srv *servers.Server) string {
	t.Helper()
	redistest.Do(t, srv, "SAVE")
	return filepath.Join(srv.Dir, "dump.rdb")
}

// filler makes keys.
type filler struct {
	t   *testing.T
	c   *servers.Client
	rng *rand.Rand
}

func (f *filler) do(args ...string) any {
	f.t.Helper()
	reply, err := f.c.Do(args...)
	if err != nil {
		f.t.Fatalf("%.100q: %v", args, err)
	}
	return reply
}

// try is do for commands that not every server has.
func (f *filler) try(args ...string) bool {
	f.t.Helper()
	_, err := f.c.Do(args...)
	if _, refused := err.(servers.ReplyError); err != nil && !refused {
		f.t.Fatalf("%.100q: %v", args, err)
	}
	return err == nil
}

// item is a string of a form that has an encoding of its own somewhere.
func (f *filler) item(i int) string {
	switch f.rng.IntN(8) {
	case 0:
		return strconv.Itoa(f.rng.IntN(1000) - 500)
	case 1:
		return strconv.FormatInt(int64(f.rng.Uint64())>>f.rng.IntN(60), 10)
	case 2:
		return strings.Repeat("abcdefgh", f.rng.IntN(30)) + strconv.Itoa(i)
	case 3:
		b := make([]byte, 1+f.rng.IntN(300))
		for i := range b {
			b[i] = byte(f.rng.Uint32())
		}
		return string(b)
	case 4:
		return "0" + strconv.Itoa(i)
	}
	return "item" + strconv.Itoa(i)
}

const expireAt = 4102444800000 // 1 Jan 2100

func (f *filler) fill(name string) {
	f.do("CONFIG", "SET", "list-max-ziplist-size", "64")
	for db, sizes := range [][]int{{1, 5, 40}, {3, 600}, {1100}} {
		f.do("SELECT", strconv.Itoa(db*3))
		for _, n := range sizes {
			for kind := range 3 {
				f.collections(fmt.Sprintf("%d:%d", kind, n), n)
			}
		}
	}
	// Large elements, and many of them, in compact structures.
	f.do("SELECT", "9")
	for _, kind := range []string{"hash", "zset", "set"} {
		for what, n := range map[string]string{"value": "100000", "entries": "2000"} {
			for _, old := range []string{"ziplist", "listpack"} {
				f.try("CONFIG", "SET", kind+"-max-"+old+"-"+what, n)
			}
		}
	}
	f.do("CONFIG", "SET", "stream-node-max-entries", "7")
	for _, n := range []int{2, 300} {
		f.collections(fmt.Sprintf("wide:%d", n), n)
	}
	for i, size := range []int{62, 63, 64, 65, 122, 126, 127, 128, 250, 253, 254, 255, 4093, 4095, 4096, 16370, 16383, 16384, 70_000} {
		long := strings.Repeat(strconv.Itoa(i%10), size-1) + "x"
		f.do("HSET", "wide:hash", strconv.Itoa(i), long, long, strconv.Itoa(-i))
		f.do("ZADD", "wide:zset", strconv.Itoa(i*1000)+".25", long)
		f.do("SADD", "wide:set", long)
		f.do("RPUSH", "wide:list", long, "between")
	}
	f.do("SELECT", "7")
	f.strings()
	f.stream(name)
	if f.try("HPEXPIREAT", "none", strconv.Itoa(expireAt), "FIELDS", "1", "f") {
		f.expiringHashes()
	}
	if f.try("VADD", "vectors", "VALUES", "3", "1", "2", "3", "first") {
		f.do("VADD", "vectors", "VALUES", "3", "4", "5", "6", "second", "SETATTR", `{"a":1}`)
	}
	f.try("FUNCTION", "LOAD", "#!lua name=mylib\nredis.register_function('f', function() return 1 end)")
}

// collections makes one of each with n elements of all forms.
func (f *filler) collections(name string, n int) {
	for i := range n {
		f.do("RPUSH", "list:"+name, f.item(i))
		f.do("SADD", "set:"+name, f.item(i))
		f.do("SADD", "ints:"+name, strconv.FormatInt(int64(f.rng.Uint64())>>(63-min(63, n)), 10))
		f.do("HSET", "hash:"+name, f.item(i), f.item(i))
		f.do("ZADD", "zset:"+name, strconv.FormatFloat(f.rng.NormFloat64()*1e6, 'g', 1+f.rng.IntN(17), 64), f.item(i))
		if n > 100 && i > 100 {
			continue // the rest has to be small
		}
		f.do("HSET", "small:"+name, "f"+strconv.Itoa(i), strconv.Itoa(f.rng.IntN(1<<20)))
		f.do("ZADD", "ranks:"+name, strconv.Itoa(f.rng.IntN(1<<20)), "m"+strconv.Itoa(i))
		f.do("SADD", "words:"+name, "w"+strconv.Itoa(i))
	}
	f.do("ZADD", "zset:"+name, "inf", "top", "-inf", "bottom", "-0", "zero")
	f.do("PEXPIREAT", "hash:"+name, strconv.Itoa(expireAt+n))
}

func (f *filler) strings() {
	for i, s := range []string{
		"", "x", "0", "-1", "127", "128", "-128", "-129", "32767", "32768", "-32769", "2147483647", "2147483648", "-2147483649",
		"9223372036854775807", "01", "+1", "1.5", " 1", "\x00\xff", "héllo", "\r\n",
		strings.Repeat("z", 63), strings.Repeat("z", 64), strings.Repeat("zy", 8000), strings.Repeat("abcdefghij", 200_000),
	} {
		f.do("SET", fmt.Sprintf("string:%d", i), s)
		f.do("SET", s, "the key is the point")
	}
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(f.rng.Uint32())
	}
	f.do("SET", "noise", string(noise))
	f.do("RPUSH", "plain", string(noise), "short", strings.Repeat("long", 10_000))
	f.do("SET", "expiring", "v", "PX", "100000000")
	f.do("PEXPIREAT", "expiring", strconv.Itoa(expireAt))
	f.do("PFADD", "hll", "a", "b", "c")
	f.do("SETBIT", "bits", "1000000", "1")
}

func (f *filler) stream(name string) {
	for i := range 400 {
		args := []string{"XADD", "stream", fmt.Sprintf("%d-%d", 1000+i/3, i%3)}
		for j := range 1 + i%4 {
			args = append(args, fmt.Sprintf("field%d", j), f.item(i))
		}
		f.do(args...)
	}
	f.do("XADD", "stream", "5000-0", "twice", "1", "twice", "2")
	for i := range 50 {
		f.do("XDEL", "stream", fmt.Sprintf("%d-1", 1000+3*i))
	}
	f.do("XTRIM", "stream", "MAXLEN", "311")
	f.do("XGROUP", "CREATE", "stream", "g1", "0")
	f.do("XGROUP", "CREATE", "stream", "g2", "1050-0")
	f.do("XGROUP", "CREATE", "stream", "empty", "$")
	f.do("XREADGROUP", "GROUP", "g1", "alice", "COUNT", "30", "STREAMS", "stream", ">")
	f.do("XREADGROUP", "GROUP", "g1", "bob", "COUNT", "20", "STREAMS", "stream", ">")
	f.do("XREADGROUP", "GROUP", "g2", "carol", "COUNT", "5", "STREAMS", "stream", ">")
	f.do("XACK", "stream", "g1", "1000-0")
	f.do("XADD", "emptied", "1-1", "f", "v")
	f.do("XDEL", "emptied", "1-1")
	if name == "redis-8.6" {
		f.do("XADD", "idmp", "IDMP", "producer", "iid", "*", "f", "v")
	}
}

func (f *filler) expiringHashes() {
	for _, n := range []int{3, 900} {
		key := fmt.Sprintf("fields:%d", n)
		for i := range n {
			f.do("HSET", key, "f"+strconv.Itoa(i), f.item(i))
			if i%3 == 0 {
				f.do("HPEXPIREAT", key, strconv.Itoa(expireAt+i), "FIELDS", "1", "f"+strconv.Itoa(i))
			}
		}
	}
	f.do("HSET", "persisted", "f", "v")
	f.do("HPEXPIREAT", "persisted", strconv.Itoa(expireAt), "FIELDS", "1", "f")
	f.do("HPERSIST", "persisted", "FIELDS", "1", "f")
}

// checkSnapshot compares each key in file with the server.
func checkSnapshot(t *testing.T, f *filler, file string) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := rdb.NewReader(in)
	r.Strict = true
	functions := 0
	r.OnFunction = func(code []byte) { functions++ }
	seen := map[rdb.Encoding]int{}
	perDB := map[int]int64{}
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if perDB[e.DB]++; perDB[e.DB] == 1 {
			f.do("SELECT", strconv.Itoa(e.DB))
		}
		seen[e.Encoding]++
		name := string(e.Key)
		f.checkEntry(name, e)
		v, err := r.Value()
		if err != nil {
			t.Fatal(err)
		}
		got := f.snapshotAnswer(name, v)
		if want := f.serverAnswer(name, v.Type); got != want {
			t.Errorf("db %d, key %.40q:\n got %.2000s\nwant %.2000s", e.DB, name, got, want)
		}
		if dump := f.dumpAnswer(name); dump != got {
			t.Errorf("db %d, key %.40q, from DUMP:\n got %.2000s\nwant %.2000s", e.DB, name, dump, got)
		}
	}
	for db := range 16 {
		f.do("SELECT", strconv.Itoa(db))
		if n := f.do("DBSIZE").(int64); n != perDB[db] {
			t.Errorf("%d keys of database %d, want %d", perDB[db], db, n)
		}
	}
	if reply, err := f.c.Do("FUNCTION", "LIST"); err == nil && functions != len(reply.([]any)) {
		t.Errorf("%d function libraries, want %d", functions, len(reply.([]any)))
	}
	if len(seen) < 7 {
		t.Errorf("only the encodings %v are in the snapshot", seen)
	}
}

func (f *filler) checkEntry(name string, e *rdb.Entry) {
	f.t.Helper()
	typ := f.do("TYPE", name).(string)
	if got := e.Type.String(); got != typ && (got != "module" || typ != "vectorset") {
		f.t.Errorf("key %.40q: type %s, the server says %s", name, got, typ)
	}
	// After TYPE, which does not change it. A quicklist may be one node that
	// the server holds as a listpack.
	if enc := f.do("OBJECT", "ENCODING", name).(string); !sameEncoding(e.Encoding.String(), enc) {
		f.t.Errorf("key %.40q: encoding %v, the server says %s", name, e.Encoding, enc)
	}
	at, err := f.c.Do("PEXPIRETIME", name)
	if err != nil { // before Redis 7.0
		left := f.do("PTTL", name).(int64)
		if (left >= 0) != (e.ExpireAt != 0) || left >= 0 && e.ExpireAt < expireAt {
			f.t.Errorf("key %.40q: expires at %d, in %d ms says the server", name, e.ExpireAt, left)
		}
	} else if e.ExpireAt != max(0, at.(int64)) {
		f.t.Errorf("key %.40q: expires at %d, want %d", name, e.ExpireAt, at)
	}
}

// dumpAnswer is snapshotAnswer of what DUMP returns.
func (f *filler) dumpAnswer(name string) string {
	f.t.Helper()
	r, err := rdb.NewDumpReader([]byte(f.do("DUMP", name).(string)))
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		f.t.Fatal(err)
	}
	v, err := r.Value()
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := r.Next(); err != io.EOF {
		f.t.Errorf("key %.40q: DUMP goes on: %v", name, err)
	}
	return f.snapshotAnswer(name, v)
}

// snapshotAnswer and serverAnswer bring a value into the same form.
func (f *filler) snapshotAnswer(name string, v rdb.Value) string {
	var lines []string
	switch v.Type {
	case rdb.TypeString:
		lines = append(lines, strconv.Quote(string(v.String)))
	case rdb.TypeList, rdb.TypeSet:
		for _, b := range v.Items {
			lines = append(lines, strconv.Quote(string(b)))
		}
		if v.Type == rdb.TypeSet {
			slices.Sort(lines)
		}
	case rdb.TypeHash:
		for _, field := range v.Fields {
			lines = append(lines, fmt.Sprintf("%q=%q %d", field.Name, field.Value, field.ExpireAt))
		}
		slices.Sort(lines)
	case rdb.TypeZSet:
		for _, m := range v.Members {
			lines = append(lines, fmt.Sprintf("%q %v", m.Name, m.Score))
		}
		slices.Sort(lines)
	case rdb.TypeStream:
		for _, e := range v.Stream.Entries {
			lines = append(lines, fmt.Sprintf("%v %q", e.ID, e.Fields))
		}
		lines = append(lines, streamText(v.Stream)...)
	case rdb.TypeModule:
		lines = append(lines, v.Module.Name, fmt.Sprint(v.Module.Parts[0].Uint), fmt.Sprint(v.Module.Parts[1].Uint))
	}
	return strings.Join(lines, "\n")
}

func (f *filler) serverAnswer(name string, typ rdb.Type) string {
	f.t.Helper()
	var lines []string
	switch typ {
	case rdb.TypeString:
		lines = append(lines, strconv.Quote(f.do("GET", name).(string)))
	case rdb.TypeList:
		for _, s := range f.do("LRANGE", name, "0", "-1").([]any) {
			lines = append(lines, strconv.Quote(s.(string)))
		}
	case rdb.TypeSet:
		for _, s := range f.do("SMEMBERS", name).([]any) {
			lines = append(lines, strconv.Quote(s.(string)))
		}
		slices.Sort(lines)
	case rdb.TypeHash:
		lines = f.serverHash(name)
	case rdb.TypeZSet:
		list := f.do("ZRANGE", name, "0", "-1", "WITHSCORES").([]any)
		for i := 0; i < len(list); i += 2 {
			score, err := strconv.ParseFloat(list[i+1].(string), 64)
			if err != nil {
				f.t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("%q %v", list[i], score))
		}
		slices.Sort(lines)
	case rdb.TypeStream:
		for _, e := range f.do("XRANGE", name, "-", "+").([]any) {
			e := e.([]any)
			fields := [][]byte{}
			for _, s := range e[1].([]any) {
				fields = append(fields, []byte(s.(string)))
			}
			lines = append(lines, fmt.Sprintf("%v %q", e[0], fields))
		}
		lines = append(lines, f.serverStream(name)...)
	case rdb.TypeModule:
		lines = append(lines, "vectorset", fmt.Sprint(f.do("VDIM", name)), fmt.Sprint(f.do("VCARD", name)))
	}
	return strings.Join(lines, "\n")
}

func (f *filler) serverHash(name string) (lines []string) {
	list := f.do("HGETALL", name).([]any)
	args := []string{"HPEXPIRETIME", name, "FIELDS", strconv.Itoa(len(list) / 2)}
	for i := 0; i < len(list); i += 2 {
		args = append(args, list[i].(string))
	}
	times, err := f.c.Do(args...)
	for i := 0; i < len(list); i += 2 {
		at := int64(0)
		if err == nil {
			at = max(0, times.([]any)[i/2].(int64))
		}
		lines = append(lines, fmt.Sprintf("%q=%q %d", list[i], list[i+1], at))
	}
	slices.Sort(lines)
	return lines
}

// streamText says what is known of a stream beside its entries, in the words of
// XINFO STREAM FULL.
func streamText(s *rdb.StreamValue) []string {
	lines := []string{fmt.Sprintf("length %d last-generated-id %v", s.Length, s.LastID)}
	if s.HasHistory {
		lines = append(lines, fmt.Sprintf("entries-added %d max-deleted-entry-id %v recorded-first-entry-id %v", s.EntriesAdded, s.MaxDeletedID, s.FirstID))
	}
	if s.HasProducers {
		lines = append(lines, fmt.Sprintf("idmp-duration %d idmp-maxsize %d pids-tracked %d iids-added %d iids-duplicates %d",
			s.IDMPDuration, s.IDMPMax, len(s.Producers), s.IIDsAdded, s.IIDsRepeated))
	}
	groups := slices.SortedFunc(slices.Values(s.Groups), func(a, b rdb.StreamGroup) int { return cmp.Compare(string(a.Name), string(b.Name)) })
	for _, g := range groups {
		lines = append(lines, fmt.Sprintf("group %s %v %d", g.Name, g.LastID, len(g.Pending)))
		byID := map[rdb.StreamID]rdb.StreamPending{}
		for _, p := range g.Pending {
			byID[p.ID] = p
		}
		for _, c := range g.Consumers {
			lines = append(lines, fmt.Sprintf("consumer %s seen %d active %d", c.Name, c.Seen, c.Active))
			for _, id := range c.Pending {
				lines = append(lines, fmt.Sprintf("pending %v %d %d", id, byID[id].Delivered, byID[id].Deliveries))
			}
		}
	}
	return lines
}

func (f *filler) serverStream(name string) []string {
	info := pairs(f.do("XINFO", "STREAM", name, "FULL", "COUNT", "0"))
	lines := []string{fmt.Sprintf("length %v last-generated-id %v", info["length"], info["last-generated-id"])}
	if info["entries-added"] != nil {
		lines = append(lines, fmt.Sprintf("entries-added %v max-deleted-entry-id %v recorded-first-entry-id %v",
			info["entries-added"], info["max-deleted-entry-id"], info["recorded-first-entry-id"]))
	}
	if info["idmp-duration"] != nil {
		lines = append(lines, fmt.Sprintf("idmp-duration %v idmp-maxsize %v pids-tracked %v iids-added %v iids-duplicates %v",
			info["idmp-duration"], info["idmp-maxsize"], info["pids-tracked"], info["iids-added"], info["iids-duplicates"]))
	}
	for _, g := range info["groups"].([]any) {
		g := pairs(g)
		lines = append(lines, fmt.Sprintf("group %s %v %v", g["name"], g["last-delivered-id"], g["pel-count"]))
		for _, c := range g["consumers"].([]any) {
			c := pairs(c)
			active := c["active-time"]
			if active == nil {
				active = 0
			}
			lines = append(lines, fmt.Sprintf("consumer %s seen %v active %v", c["name"], c["seen-time"], active))
			for _, p := range c["pending"].([]any) {
				p := p.([]any)
				lines = append(lines, fmt.Sprintf("pending %v %v %v", p[0], p[1], p[2]))
			}
		}
	}
	return lines
}
