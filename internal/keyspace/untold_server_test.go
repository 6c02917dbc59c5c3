package keyspace_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// untold is what no stream tells, as the table in docs/replication.md has it: what
// a client sends for a key, what the server announces, and what it replicates.
var untold = []struct {
	name    string
	prepare string // commands, with semicolons between; @ is the key
	client  string
	// By server, by family and major version, by family, or "" for all others:
	// "events | commands", "-" where the server refuses it.
	want map[string]string
}{
	{"SPOP", "SADD @ a b", "SPOP @", map[string]string{"": "spop | SREM @ a"}},
	{"SPOP of all", "SADD @ a", "SPOP @ 1", map[string]string{"": "spop, del | DEL @", "valkey": "spop, del | UNLINK @"}},
	{"INCRBYFLOAT", "SET @ 1.5", "INCRBYFLOAT @ 1", map[string]string{"": "incrbyfloat | SET @ 2.5 KEEPTTL"}},
	{"its like", "SET @ 1.5", "SET @ 2.5 KEEPTTL", map[string]string{"": "set | SET @ 2.5 KEEPTTL"}},
	{"HINCRBYFLOAT", "HSET @ f 1.5", "HINCRBYFLOAT @ f 1", map[string]string{"": "hincrbyfloat | HSET @ f 2.5", "redis-8.6": "hincrbyfloat | HSETEX @ KEEPTTL FIELDS 1 f 2.5"}},
	{"HINCRBY beside a field that expires", "HSET @ f 1; HEXPIRE @ 1000 FIELDS 1 f", "HINCRBY @ g 1", map[string]string{"": "hincrby | HINCRBY @ g 1", "valkey-9": "hincrby | HSET @ g 1"}},
	{"EXPIRE in the past", "SET @ v", "EXPIRE @ -1", map[string]string{"": "del | DEL @", "valkey": "expired | UNLINK @", "valkey-8.0": "del | UNLINK @"}},
	{"GETEX in the past", "SET @ v", "GETEX @ EXAT 1", map[string]string{"": "del | DEL @", "redis-6": "-", "valkey": "expired | UNLINK @", "valkey-8.0": "del | UNLINK @"}},
	{"SET in the past", "SET @ v", "SET @ w PXAT 1000", map[string]string{"": "set, expire | SET @ w PXAT 1000", "redis-6": "-", "valkey": "expired | UNLINK @", "valkey-8.0": "del | UNLINK @"}},
	{"SET in the past of nothing", "", "SET @ w PXAT 1000", map[string]string{"": "set, expire | SET @ w PXAT 1000", "redis-6": "-", "valkey": " | "}},
	{"HEXPIRE in the past", "HSET @ f 1 g 2", "HEXPIRE @ 0 FIELDS 1 f", map[string]string{"": "-", "redis-8": "hdel | HDEL @ f", "valkey-9": "hexpired | HDEL @ f"}},
	{"HSETEX in the past", "HSET @ f 1 g 2", "HSETEX @ EXAT 1 FIELDS 1 f 3", map[string]string{"": "-", "redis-8": "hset, hdel | HDEL @ f", "valkey-9": "hset, hexpire, hexpired | HDEL @ f"}},
	{"HSETEX in the past of nothing", "", "HSETEX @ EXAT 1 FIELDS 1 f 3", map[string]string{"": "-", "redis-8": "hset, hdel, del | HDEL @ f", "valkey-9": "hset, hexpire, hexpired, del | "}},
	{"LTRIM of nothing", "RPUSH @ a b", "LTRIM @ 0 -1", map[string]string{"": "ltrim | ", "redis-6": "ltrim | LTRIM @ 0 -1"}},
	{"a consumer that finds nothing", "XADD @ 1-1 f v; XGROUP CREATE @ g $", "XREADGROUP GROUP g c STREAMS @ >", map[string]string{"": "xgroup-createconsumer | ", "redis-6": " | ", "redis-7": " | "}},
	{"reading with NOACK", "XADD @ 1-1 f v; XGROUP CREATE @ g 0; XGROUP CREATECONSUMER @ g c", "XREADGROUP GROUP g c NOACK STREAMS @ >", map[string]string{"": " | XGROUP SETID @ g 1-1 ENTRIESREAD 1", "redis-6": " | XGROUP SETID @ g 1-1"}},
	{"its like", "XADD @ 1-1 f v; XGROUP CREATE @ g 0", "XGROUP SETID @ g 1-1 ENTRIESREAD 1", map[string]string{"": "xgroup-setid | XGROUP SETID @ g 1-1 ENTRIESREAD 1", "redis-6": "-"}},
	{"what a script keeps back", "", "EVAL redis.set_repl(redis.REPL_NONE)redis.call('SET',KEYS[1],'v') 1 @", map[string]string{"": "set | ", "redis-6": "-"}},
	{"a key that is not there", "SET @ v", "DEL @ none", map[string]string{"": "del | DEL @ none"}},
	{"an eviction", "FLUSHALL; SET @ v; CONFIG SET maxmemory-policy allkeys-random", "CONFIG SET maxmemory 1; SET x 1; CONFIG SET maxmemory 0", map[string]string{"": "evicted | DEL @", "valkey": "evicted | UNLINK @"}},
}

// TestUntold: servers do what the table says.
func TestUntold(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		d := startDifferential(t, srv)
		redistest.Do(t, srv, "CONFIG", "SET", "notify-keyspace-events", "EA")
		key := func(i int) string { return fmt.Sprintf("key%d.", i) }
		send := func(i int, lines string) {
			for line := range strings.SplitSeq(lines, ";") {
				if words := strings.Fields(strings.ReplaceAll(line, "@", key(i))); len(words) > 0 {
					d.send([][]string{words})
				}
			}
		}
		for i, claim := range untold {
			send(i, claim.prepare)
			send(i, "SET begin@ 1")
			send(i, claim.client)
		}
		send(0, "SELECT 0; SET "+lastKey+" 1")
		var events []string
		select {
		case events = <-d.theirs:
			<-d.ours
		case <-time.After(time.Minute):
			t.Fatal("the last event did not come")
		}
		family, version, _ := strings.Cut(srv.Program.Name, "-")
		major, _, _ := strings.Cut(version, ".")
		for i, claim := range untold {
			want := claim.want[""]
			for _, name := range []string{family, family + "-" + major, srv.Program.Name} {
				if w, ok := claim.want[name]; ok {
					want = w
				}
			}
			got := strings.Join(told(events, key(i), true), ", ") + " | " + strings.Join(told(d.stream, key(i), false), ", ")
			got = strings.ReplaceAll(got, key(i), "@")
			if claim.name == "SPOP" {
				got = strings.Replace(got, "@ b", "@ a", 1)
			}
			if strings.HasPrefix(claim.name, "SET in the past") && strings.HasPrefix(want, "set, expire |") {
				// The key is there until the server's next round of expiries, which may come before the end.
				got = strings.NewReplacer(", expired |", " |", ", DEL @", "").Replace(got)
			}
			if want != "-" && got != want {
				t.Errorf("%s: %s\n got %s\nwant %s", claim.name, claim.client, got, want)
			}
		}
	})
}

// told returns what names a key after the SET of "begin" and the key: events
// without it, or commands.
func told(lines []string, key string, events bool) (out []string) {
	begun := false
	for _, line := range lines {
		switch {
		case strings.Contains(line, "begin"+key):
			begun = true
		case !begun || !strings.Contains(line, key):
		case events:
			name, _, _ := strings.Cut(line, " ")
			out = append(out, name)
		default:
			_, command, _ := strings.Cut(line, `"`)
			out = append(out, strings.Trim(command, `"`))
		}
	}
	return out
}
