package keyspace_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rdb"
)

// start is when the commands of these tests come; a deadline in words is in
// milliseconds after it: "PXAT @500".
var start = time.UnixMilli(1_700_000_000_000)

// session runs commands on an interpreter whose mirror is complete.
type session struct {
	in  *keyspace.Interpreter
	now time.Time
	tx  string
	off int64
	db  int
}

func newSession(c keyspace.Config) *session {
	if c.Need == nil {
		c.Need = needAll
	}
	s := &session{in: keyspace.New(c), now: start}
	s.in.SnapshotBegin()
	s.in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
	return s
}

// do runs one command and spells its events "name key type cause: before ->
// after [changed] ttl".
func (s *session) do(line string) (events []string) {
	s.off += 10
	args := words(line)
	for i, a := range args {
		var ms int64
		if n, _ := fmt.Sscanf(string(a), "@%d", &ms); n == 1 {
			args[i] = fmt.Append(nil, start.UnixMilli()+ms)
		}
	}
	for _, ev := range s.in.Command(nil, &keyspace.Command{Args: args, Time: s.now, Offset: s.off, DB: s.db, Tx: event.Tx{ID: s.tx}}) {
		events = append(events, fmt.Sprintf("%s: %s -> %s %q %d", describe(&ev), plain(ev.Before), plain(ev.After), ev.Changed, ev.TTL))
	}
	return events
}

// expect runs one command that makes one event.
func (s *session) expect(t *testing.T, line, want string) {
	t.Helper()
	if got := s.do(line); len(got) != 1 || got[0] != want {
		t.Errorf("%s in database %d: got %q, want %q", line, s.db, got, want)
	}
}

// plain is a value's JSON, "?" if it is not known.
func plain(v event.Value) string {
	if v == nil {
		return "?"
	}
	text := asJSON(v)
	return text[strings.LastIndex(text[:strings.Index(text, " ")+4], " ")+1:]
}

// TestMirror: commands, and the events of the last.
func TestMirror(t *testing.T) {
	valkey := keyspace.Config{Dialect: keyspace.Valkey}
	for _, test := range []struct {
		name     string
		config   keyspace.Config
		commands []string
		want     []string
	}{
		{name: "new key", commands: []string{"SET k v"}, want: []string{`set k string command: null -> "v" [] -1`}},
		{name: "before and after", commands: []string{"SET k 1", "DECR k"}, want: []string{`incrby k string command: "1" -> "0" [] -1`}},
		{name: "deadline", commands: []string{"SET k 1 PXAT @500"}, want: []string{
			`set k string command: null -> "1" [] 500`, `expire k string command: null -> "1" [] 500`}},
		{name: "relative deadline, of Redis 6.0", commands: []string{"SETEX k 7 v", "EXPIRE k 9"}, want: []string{`expire k string command: "v" -> "v" [] 9000`}},
		{name: "KEEPTTL", commands: []string{"SET k 1 PXAT @500", "SET k x KEEPTTL"}, want: []string{`set k string command: "1" -> "x" [] 500`}},
		{name: "past the deadline", commands: []string{"SET k 1 PXAT @500", "PEXPIREAT k @-5"}, want: []string{`expire k string command: "1" -> "1" [] 1`}},
		{name: "incrbyfloat", commands: []string{"SET k 1", "SET k 2.5 KEEPTTL"}, want: []string{`incrbyfloat k string command: "1" -> "2.5" [] -1`}},
		{name: "incrbyfloat of nothing", commands: []string{"SET k 2.5 KEEPTTL"}, want: []string{`incrbyfloat k string command: null -> "2.5" [] -1`}},
		{name: "whole numbers are rather set", commands: []string{"SET k 1", "SET k 2 KEEPTTL"}, want: []string{`set k string command: "1" -> "2" [] -1`}},
		{name: "incrbyfloat to a whole number", commands: []string{"SET k 1.5", "SET k 2 KEEPTTL"}, want: []string{`incrbyfloat k string command: "1.5" -> "2" [] -1`}},
		{name: "no increment of text", commands: []string{"SET k one", "SET k 2.5 KEEPTTL"}, want: []string{`set k string command: "one" -> "2.5" [] -1`}},
		{name: "no increment in lower case", commands: []string{"SET k 1", "set k 2.5 KEEPTTL"}, want: []string{`set k string command: "1" -> "2.5" [] -1`}},
		{name: "no increment writes zeros at the end", commands: []string{"SET k 1", "SET k 2.50 KEEPTTL"}, want: []string{`set k string command: "1" -> "2.50" [] -1`}},
		{name: "deleted", commands: []string{"SET k v", "DEL k"}, want: []string{`del k none deleted: "v" -> null [] -2`}},
		{name: "deleted before the deadline", commands: []string{"SET k v PXAT @500", "DEL k"}, want: []string{`del k none deleted: "v" -> null [] -2`}},
		{name: "expired", commands: []string{"SET k v PXAT @0", "UNLINK k"}, want: []string{`expired k none expired: "v" -> null [] -2`}},
		{name: "many are never expired", commands: []string{"SET k v PXAT @0", "DEL k k2"}, want: []string{`del k none deleted: "v" -> null [] -2`}},
		{name: "within the grace", config: keyspace.Config{ExpiryGrace: time.Second}, commands: []string{"SET k v PXAT @1000", "DEL k"},
			want: []string{`expired k none expired: "v" -> null [] -2`}},
		{name: "only what was there", commands: []string{"SET b 1", "DEL a b c b"}, want: []string{`del b none deleted: "1" -> null [] -2`}},
		{name: "emptied", commands: []string{"RPUSH l a b", "LPOP l 2"}, want: []string{
			`lpop l none command: ["a","b"] -> null [] -2`, `del l none command: ["a","b"] -> null [] -2`}},
		{name: "a queue", commands: []string{"RPUSH l a b", "LMOVE l l LEFT RIGHT"}, want: []string{
			`rpush l list command: ["a","b"] -> ["b","a"] [] -1`, `lpop l list command: ["a","b"] -> ["b","a"] [] -1`}},
		{name: "both ends", commands: []string{"RPUSH l a b c d e", "LTRIM l 1 -2"}, want: []string{`ltrim l list command: ["a","b","c","d","e"] -> ["b","c","d"] [] -1`}},
		{name: "from the end", commands: []string{"RPUSH l a b a c a", "LREM l -2 a"}, want: []string{`lrem l list command: ["a","b","a","c","a"] -> ["a","b","c"] [] -1`}},
		{name: "in the middle", commands: []string{"RPUSH l a b", "LINSERT l AFTER a x"}, want: []string{`linsert l list command: ["a","b"] -> ["a","x","b"] [] -1`}},
		{name: "a list's item", commands: []string{"RPUSH l a b", "LSET l -1 x"}, want: []string{`lset l list command: ["a","b"] -> ["a","x"] [] -1`}},
		{name: "hash", commands: []string{"HSET h f 1 g 2", "HSET h f 3 f 4"}, want: []string{`hset h hash command: {"f":"1","g":"2"} -> {"f":"4","g":"2"} ["f" "f"] -1`}},
		{name: "field expired", commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HDEL h f"}, want: []string{
			`hexpired h hash expired: {"f":"1","g":"2"} -> {"g":"2"} ["f"] -1`}},
		{name: "field deleted", commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @1 FIELDS 1 f", "HDEL h f"}, want: []string{
			`hdel h hash deleted: {"f":"1","g":"2"} -> {"g":"2"} ["f"] -1`}},
		{name: "a field set anew does not expire", commands: []string{"HSET h f 1", "HPEXPIREAT h @0 FIELDS 1 f", "HSET h f 2 g 3", "HDEL h f"}, want: []string{
			`hdel h hash deleted: {"f":"2","g":"3"} -> {"g":"3"} ["f"] -1`}},
		{name: "hincrbyfloat of Redis 8", commands: []string{"HSET h f 1", "HSETEX h KEEPTTL FIELDS 1 f 2.5"}, want: []string{
			`hincrbyfloat h hash command: {"f":"1"} -> {"f":"2.5"} ["f"] -1`}},
		{name: "hincrby of Valkey", config: keyspace.Config{Dialect: keyspace.Valkey}, commands: []string{"HSETEX h PXAT @9 FIELDS 1 f 1", "HSETEX h PXAT @9 FIELDS 1 f 2"}, want: []string{
			`hincrby h hash command: {"f":"1"} -> {"f":"2"} ["f"] -1`}},
		{name: "an expired field replaced, of Valkey", config: keyspace.Config{Dialect: keyspace.Valkey},
			commands: []string{"HSETEX h PXAT @0 FIELDS 1 f 1", "HSET h f 2"}, want: []string{
				`hexpired h hash expired: {"f":"1"} -> {"f":"2"} ["f"] -1`, `hset h hash command: {"f":"1"} -> {"f":"2"} ["f"] -1`}},
		{name: "a client's HDEL of a field past its deadline", commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "hdel h f"}, want: []string{
			`hdel h hash deleted: {"f":"1","g":"2"} -> {"g":"2"} ["f"] -1`}},
		{name: "a client's DEL of a key past its deadline", commands: []string{"SET k v PXAT @0", "del k"}, want: []string{`del k none deleted: "v" -> null [] -2`}},
		{name: "a client's UNLINK of a key past its deadline", commands: []string{"SET k v PXAT @0", "Unlink k"}, want: []string{`del k none deleted: "v" -> null [] -2`}},
		{name: "Redis lets fields expire one by one", config: keyspace.Config{Version: keyspace.Version{Major: 8}},
			commands: []string{"HSET h f 1 g 2 i 3", "HPEXPIREAT h @0 FIELDS 2 f g", "HDEL h f g"}, want: []string{
				`hdel h hash deleted: {"f":"1","g":"2","i":"3"} -> {"i":"3"} ["f" "g"] -1`}},
		{name: "HSETEX in the past of an absent key", commands: []string{"HDEL h f"}, want: []string{
			`hset h none command: null -> null ["f"] -2`, `hdel h none deleted: null -> null ["f"] -2`, `del h none deleted: null -> null ["f"] -2`}},
		{name: "HSETEX in the past of an absent field", commands: []string{"HSET h f 1", "HDEL h g"}, want: []string{
			`hset h hash command: {"f":"1"} -> {"f":"1"} ["g"] -1`, `hdel h hash deleted: {"f":"1"} -> {"f":"1"} ["g"] -1`}},
		{name: "HSETEX in the past is not of Redis 7", config: keyspace.Config{Version: keyspace.Version{Major: 7}}, commands: []string{"HSET h f 1", "HDEL h g"}, want: []string{
			`hdel h hash deleted: {"f":"1"} -> {"f":"1"} ["g"] -1`}},
		{name: "an HSETEX of a client's words", commands: []string{"HSET h f 1", "HSETEX h FXX KEEPTTL FIELDS 1 f 2.5"}, want: []string{
			`hset h hash command: {"f":"1"} -> {"f":"2.5"} ["f"] -1`}},
		{name: "an HSETEX in lower case", commands: []string{"HSET h f 1", "hsetex h KEEPTTL FIELDS 1 f 2.5"}, want: []string{
			`hset h hash command: {"f":"1"} -> {"f":"2.5"} ["f"] -1`}},
		{name: "an HSETEX with an option in lower case", commands: []string{"HSET h f 1", "HSETEX h keepttl FIELDS 1 f 2.5"}, want: []string{
			`hset h hash command: {"f":"1"} -> {"f":"2.5"} ["f"] -1`}},
		{name: "an HSETEX of Redis 8.0.2", config: keyspace.Config{Version: keyspace.ParseVersion("8.0.2")}, commands: []string{"HSET h f 1", "HSETEX h KEEPTTL FIELDS 1 f 2.5"}, want: []string{
			`hset h hash command: {"f":"1"} -> {"f":"2.5"} ["f"] -1`}},
		{name: "a repeated XADD", commands: []string{"XADD x IDMP p i 1-1 f v", "XADD x IDMP p i * f v"}},
		{name: "an entry after a repeated XADD", commands: []string{"XADD x IDMP p i 1-1 f v", "XADD x IDMPAUTO p * f v", "XADD x 2-1 f v"}, want: []string{
			`xadd x stream command: [["1-1",["f","v"]]] -> [["1-1",["f","v"]],["2-1",["f","v"]]] [] -1`}},
		{name: "reading in a group", commands: []string{"XADD x 1-1 f v", "XGROUP CREATE x g 0", "XGROUP SETID x g 1-1 ENTRIESREAD 1"}},
		{name: "a client's XGROUP SETID", commands: []string{"XADD x 1-1 f v", "XGROUP CREATE x g 0", "xgroup setid x g 1-1 ENTRIESREAD 1"}, want: []string{
			`xgroup-setid x stream command: [["1-1",["f","v"]]] -> [["1-1",["f","v"]]] [] -1`}},
		{name: "a score without a sign", commands: []string{"ZADD z -0 a"}, want: []string{`zadd z zset command: null -> [["a",0]] ["a"] -1`}},
		{name: "a script as it was sent", commands: []string{"SET a 1", "SET b 1", "EVAL x 1 a", "APPEND b 2"}, want: []string{`append b string command: ? -> ? [] 0`}},
		{name: "a function as it was sent", commands: []string{"SET b 1", "FCALL f 0", "APPEND b 2"}, want: []string{`append b string command: ? -> ? [] 0`}},
		{name: "a command that names several keys", commands: []string{"SET a 1", "SET b 1", "MOD.MSET x 1 a 2 b 3", "APPEND b 2"}, want: []string{`append b string command: ? -> ? [] 0`}},
		{name: "a subcommand that is not known", commands: []string{"XADD x 1-1 f v", "XGROUP RESHAPE x g", "XADD x 1-2 f v"}, want: []string{`xadd x stream command: ? -> ? [] 0`}},
		{name: "a subcommand of CLUSTER that is not known", commands: []string{"SET b 1", "CLUSTER GIVESLOT 7", "APPEND b 2"}, want: []string{`append b string command: ? -> ? [] 0`}},
		{name: "a subcommand of CLUSTER that is known", commands: []string{"SET b 1", "CLUSTER SETSLOT 7 STABLE", "APPEND b 2"}, want: []string{`append b string command: "1" -> "12" [] -1`}},
		{name: "HDEL of a field past its deadline and one that lives, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2 i 3", "HPEXPIREAT h @0 FIELDS 1 f", "HDEL h f g"}, want: []string{
				`hdel h hash deleted: {"g":"2","i":"3"} -> {"i":"3"} ["f" "g"] -1`}},
		{name: "the expiry of a field that HDEL named, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2 i 3", "HPEXPIREAT h @0 FIELDS 1 f", "HDEL h f g", "HDEL h f"}, want: []string{
				`hexpired h hash expired: {"i":"3"} -> {"i":"3"} ["f"] -1`}},
		{name: "HGETDEL, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2 i 3", "HPEXPIREAT h @0 FIELDS 1 f", "HGETDEL h FIELDS 2 f g", "HDEL h f"}, want: []string{
				`hexpired h hash expired: {"i":"3"} -> {"i":"3"} ["f"] -1`}},
		{name: "HPERSIST of a field past its deadline, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HPEXPIREAT h @9 FIELDS 1 g", "HPERSIST h FIELDS 2 f g"}, want: []string{
				`hpersist h hash command: {"g":"2"} -> {"g":"2"} ["f" "g"] -1`}},
		{name: "its expiry, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HPEXPIREAT h @9 FIELDS 1 g", "HPERSIST h FIELDS 2 f g", "HDEL h f"}, want: []string{
				`hexpired h hash expired: {"g":"2"} -> {"g":"2"} ["f"] -1`}},
		{name: "HPERSIST of a field past its deadline, of Redis",
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HPEXPIREAT h @9 FIELDS 1 g", "HPERSIST h FIELDS 2 f g", "HDEL h f"}, want: []string{
				`hexpired h hash expired: {"f":"1","g":"2"} -> {"g":"2"} ["f"] -1`}},
		{name: "a deadline for a field past its own, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HPEXPIREAT h @9 FIELDS 2 f g", "HDEL h f"}, want: []string{
				`hexpired h hash expired: {"g":"2"} -> {"g":"2"} ["f"] -1`}},
		{name: "a deadline for a field past its own, of Redis",
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HPEXPIREAT h @9 FIELDS 2 f g", "HDEL h f"}, want: []string{
				`hdel h hash deleted: {"f":"1","g":"2"} -> {"g":"2"} ["f"] -1`}},
		{name: "all that lives deleted, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HDEL h f g"}, want: []string{
				`hdel h hash deleted: {"g":"2"} -> {} ["f" "g"] -1`}},
		{name: "the last field expires, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HDEL h f g", "HDEL h f"}, want: []string{
				`hexpired h none expired: {} -> null ["f"] -2`, `del h none expired: {} -> null ["f"] -2`}},
		{name: "a buried field set anew, of Valkey", config: valkey,
			commands: []string{"HSET h f 1 g 2", "HPEXPIREAT h @0 FIELDS 1 f", "HDEL h f g", "HSET h f 3"}, want: []string{
				`hexpired h hash expired: {} -> {"f":"3"} ["f"] -1`, `hset h hash command: {} -> {"f":"3"} ["f"] -1`}},
		{name: "an increment in a client's words, of Valkey", config: valkey,
			commands: []string{"HSETEX h PXAT @9 FIELDS 1 f 1", "HSETEX h FXX PXAT @9 FIELDS 1 f 2"}, want: []string{
				`hset h hash command: {"f":"1"} -> {"f":"2"} ["f"] -1`, `hexpire h hash command: {"f":"1"} -> {"f":"2"} ["f"] -1`}},
		{name: "a member moved", commands: []string{"SADD s a", "SADD t b", "SMOVE s t a"}, want: []string{
			`srem s none command: ["a"] -> null ["a"] -2`, `del s none command: ["a"] -> null ["a"] -2`, `sadd t set command: ["b"] -> ["a","b"] ["a"] -1`}},
		{name: "a member that was there", commands: []string{"SADD s a b", "SADD t a", "SMOVE s t a"}, want: []string{`srem s set command: ["a","b"] -> ["b"] ["a"] -1`}},
		{name: "an empty store", commands: []string{"SADD s a", "SADD d x", "SINTERSTORE d s none"}, want: []string{`del d none command: ["x"] -> null [] -2`}},
		{name: "an empty store over nothing", commands: []string{"SADD s a", "SDIFFSTORE d s s"}, want: nil},
		{name: "scores", commands: []string{"ZADD z 1 a 2 b", "ZADD z GT 5 a 1 b 3 c"}, want: []string{
			`zadd z zset command: [["a",1],["b",2]] -> [["b",2],["c",3],["a",5]] ["a" "b" "c"] -1`}},
		{name: "SUM in zinterstore of nothing times infinity", commands: []string{"ZADD a 5 m", "ZADD b 0 m", "ZINTERSTORE d 2 a b WEIGHTS 1 inf AGGREGATE SUM"}, want: []string{`zinterstore d zset command: null -> [["m",0]] [] -1`}},
		{name: "MIN in zinterstore of nothing times infinity", commands: []string{"ZADD a 5 m", "ZADD b 0 m", "ZINTERSTORE d 2 a b WEIGHTS 1 inf AGGREGATE MIN"}, want: []string{`zinterstore d zset command: null -> [["m",5]] [] -1`}},
		{name: "MAX in zinterstore of nothing times infinity", commands: []string{"ZADD a 5 m", "ZADD b 0 m", "ZINTERSTORE d 2 a b WEIGHTS 1 inf AGGREGATE MAX"}, want: []string{`zinterstore d zset command: null -> [["m",5]] [] -1`}},
		{name: "SUM in zunionstore of nothing times infinity", commands: []string{"ZADD a 5 m", "ZADD b 0 m", "ZUNIONSTORE d 2 a b WEIGHTS 1 inf AGGREGATE SUM"}, want: []string{`zunionstore d zset command: null -> [["m",5]] [] -1`}},
		{name: "MIN in zunionstore of nothing times infinity", commands: []string{"ZADD a 5 m", "ZADD b 0 m", "ZUNIONSTORE d 2 a b WEIGHTS 1 inf AGGREGATE MIN"}, want: []string{`zunionstore d zset command: null -> [["m",0]] [] -1`}},
		{name: "MAX in zunionstore of nothing times infinity", commands: []string{"ZADD a 5 m", "ZADD b 0 m", "ZUNIONSTORE d 2 a b WEIGHTS 1 inf AGGREGATE MAX"}, want: []string{`zunionstore d zset command: null -> [["m",5]] [] -1`}},
		{name: "trimmed", commands: []string{"XADD x 1-1 f v", "XADD x MAXLEN = 1 2-1 g w"}, want: []string{
			`xadd x stream command: [["1-1",["f","v"]]] -> [["2-1",["g","w"]]] [] -1`, `xtrim x stream command: [["1-1",["f","v"]]] -> [["2-1",["g","w"]]] [] -1`}},
		{name: "trimmed to nothing", commands: []string{"XADD x 1-1 f v", "XADD x MAXLEN = 0 2-1 g w"}, want: []string{
			`xadd x stream command: [["1-1",["f","v"]]] -> [] [] -1`, `xtrim x stream command: [["1-1",["f","v"]]] -> [] [] -1`}},
		{name: "a consumer made by reading", commands: []string{"XADD x 1-1 f v", "XGROUP CREATE x g 0", "XCLAIM x g c 0 1-1 TIME 5"}, want: []string{
			`xgroup-createconsumer x stream command: [["1-1",["f","v"]]] -> [["1-1",["f","v"]]] [] -1`}},
		{name: "a consumer that is known", commands: []string{"XADD x 1-1 f v", "XGROUP CREATE x g 0", "XGROUP CREATECONSUMER x g c", "XCLAIM x g c 0 1-1 TIME 5"}},
		{name: "reading of Redis 6", config: keyspace.Config{Version: keyspace.Version{Major: 6}}, commands: []string{"XADD x 1-1 f v", "XGROUP CREATE x g 0", "XCLAIM x g c 0 1-1 TIME 5"}},
		{name: "renamed", commands: []string{"SET a 1 PXAT @9", "SET b 2", "RENAME a b"}, want: []string{
			`rename_from a none command: "1" -> null [] -2`, `rename_to b string command: "2" -> "1" [] 9`}},
		{name: "moved", commands: []string{"SET a 1", "MOVE a 3"}, want: []string{
			`move_from a none command: "1" -> null [] -2`, `move_to a@3 string command: null -> "1" [] -1`}},
		{name: "bits", commands: []string{"SET k a", "SETBIT k 20 1"}, want: []string{`setbit k string command: "a" -> "a\u0000\u0008" [] -1`}},
		{name: "a string written over", commands: []string{"SET k hello", "SETRANGE k 3 XYZ"}, want: []string{`setrange k string command: "hello" -> "helXYZ" [] -1`}},
		{name: "a field of bits that is full", commands: []string{"BITFIELD k SET u8 0 250", "BITFIELD k OVERFLOW SAT INCRBY u8 0 9 OVERFLOW FAIL INCRBY u8 0 1"}, want: []string{
			`setbit k string command: {"$base64":"+g=="} -> {"$base64":"/w=="} [] -1`}},
		{name: "sorted", commands: []string{"RPUSH l 10 9 1", "SORT l STORE d"}, want: []string{`sortstore d list command: null -> ["1","9","10"] [] -1`}},
		{name: "flushed", commands: []string{"SET k v", "FLUSHDB", "SET k w"}, want: []string{`set k string command: null -> "w" [] -1`}},
		{name: "swapped", commands: []string{"SET k v", "SWAPDB 0 1", "SET k w"}, want: []string{`set k string command: null -> "w" [] -1`}},
		{name: "swapped back", commands: []string{"SET k v", "SWAPDB 0 1", "SWAPDB 1 0", "SET k w"}, want: []string{`set k string command: "v" -> "w" [] -1`}},
		{name: "state only", commands: []string{"SADD state:s a", "SREM state:s a"}, want: []string{
			`srem state:s none command: ? -> null ["a"] -2`, `del state:s none command: ? -> null ["a"] -2`}},
		{name: "state only, text", commands: []string{"SET state:k v PXAT @0", "DEL state:k"}, want: []string{`expired state:k none expired: ? -> null [] -2`}},

		{name: "new", config: keyspace.Config{Classes: keyspace.Classes{New: true}}, commands: []string{"RENAME a b", "RPUSH l x", "LMOVE l m LEFT LEFT"}, want: []string{
			`new m list command: null -> ["x"] [] -1`, `lpush m list command: null -> ["x"] [] -1`,
			`lpop l none command: ["x"] -> null [] -2`, `del l none command: ["x"] -> null [] -2`}},
		{name: "overwritten", config: keyspace.Config{Classes: keyspace.Classes{New: true, Overwritten: true}}, commands: []string{"RPUSH k x", "SET k v PXAT @9"}, want: []string{
			`overwritten k string command: ["x"] -> "v" [] 9`, `type_changed k string command: ["x"] -> "v" [] 9`,
			`set k string command: ["x"] -> "v" [] 9`, `expire k string command: ["x"] -> "v" [] 9`}},
		{name: "nothing is new that is not known", config: keyspace.Config{Classes: keyspace.Classes{New: true}}, commands: []string{"MOD.X k", "SET k v"}, want: []string{
			`set k string command: ? -> "v" [] -1`}},

		{name: "places in a circle", commands: []string{"ZADD g 3479099956230698 Palermo 3479447370796909 Catania", "GEORADIUS g 15 37 100 km STORE d"}, want: []string{
			`georadiusstore d zset command: null -> [["Catania",3479447370796909]] [] -1`}},
		{name: "places in a box", commands: []string{"ZADD g 3479099956230698 Palermo 3479447370796909 Catania", "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYBOX 400 400 km DESC COUNT 1"}, want: []string{
			`geosearchstore d zset command: null -> [["Palermo",3479099956230698]] [] -1`}},
		{name: "around a member", commands: []string{"ZADD g 3479099956230698 Palermo 3479447370796909 Catania", "GEORADIUSBYMEMBER g Palermo 170 km STORE d"}, want: []string{
			`georadiusstore d zset command: null -> [["Palermo",3479099956230698],["Catania",3479447370796909]] [] -1`}},
		{name: "no place", commands: []string{"ZADD g 3479099956230698 Palermo 3479447370796909 Catania", "SET d x", "GEORADIUS g 1 1 1 km STORE d"}, want: []string{`del d none command: "x" -> null [] -2`}},
		{name: "distances", commands: []string{"ZADD g 3479099956230698 Palermo 3479447370796909 Catania", "GEORADIUS g 15 37 100 km STOREDIST d"}, want: []string{`georadiusstore d zset command: null -> ? [] -1`}},
		{name: "on the edge", commands: []string{"ZADD g 3479099956230698 Palermo 3479447370796909 Catania", "GEORADIUSBYMEMBER g Palermo 166.2741515 km STORE d"}, want: []string{`georadiusstore d zset command: null -> ? [] -1`}},
		{name: "around itself", commands: []string{"ZADD g 3479099956230698 Palermo 3479447370796909 Catania", "GEORADIUSBYMEMBER g Palermo 0 km STORE d"}, want: []string{
			`georadiusstore d zset command: null -> [["Palermo",3479099956230698]] [] -1`}},
		{name: "no places at all", commands: []string{"ZADD g -1 a", "GEORADIUS g 15 37 100 km STORE d"}, want: []string{`georadiusstore d - command: null -> ? [] 0`}},

		// What cannot be known.
		{name: "known again", commands: []string{"MOD.SET p a", "SET p v"}, want: []string{`set p string command: ? -> "v" [] -1`}},
		{name: "gone for sure", commands: []string{"MOD.SET p a", "DEL p", "SET p v"}, want: []string{`set p string command: null -> "v" [] -1`}},
		{name: "a module's", commands: []string{"SET k v", "MOD.SET k", "SET k w"}, want: []string{`set k string command: ? -> "w" [] -1`}},
		{name: "a value made of a value that is not known", commands: []string{"MOD.SET k", "RENAME k m"}, want: []string{
			`rename_from k none command: ? -> null [] -2`, `rename_to m - command: null -> ? [] 0`}},

		// What no server can have done.
		{name: "too few arguments", commands: []string{"SET k v", "SET k"}, want: []string{`set k string command: "v" -> ? [] 0`}},
		{name: "half a pair", commands: []string{"MSET a 1 b 2", "MSET a 3 b"}, want: []string{
			`set a string command: "1" -> "3" [] -1`, `set b string command: "2" -> ? [] -1`}},
		{name: "half a field", commands: []string{"HSET h f 1 g"}, want: []string{`hset h hash command: null -> ? ["f" "g"] -1`}},
		{name: "half a field of an entry", commands: []string{"XADD x 1-1 f"}, want: []string{`xadd x stream command: null -> ? [] 0`}},
		{name: "of another type", commands: []string{"SET k v", "LPUSH k a"}, want: []string{`lpush k list command: "v" -> ? [] -1`}},
		{name: "no number", commands: []string{"SET k v", "INCR k"}, want: []string{`incrby k string command: "v" -> ? [] -1`}},
		{name: "overflow", commands: []string{"SET k 9223372036854775807", "INCR k"}, want: []string{`incrby k string command: "9223372036854775807" -> ? [] -1`}},
		{name: "overflow of a field", commands: []string{"HSET h f -9223372036854775808", "HINCRBY h f -1"}, want: []string{
			`hincrby h hash command: {"f":"-9223372036854775808"} -> ? ["f"] -1`}},
		{name: "not a number", commands: []string{"ZADD z inf a", "ZINCRBY z -inf a"}, want: []string{`zincr z zset command: [["a","inf"]] -> ? ["a"] -1`}},
		{name: "an offset beyond", commands: []string{"SETRANGE k 99999999999 x"}, want: []string{`setrange k string command: null -> ? [] -1`}},
		{name: "popped from nothing", commands: []string{"LPOP l"}, want: []string{`lpop l - command: null -> ? [] 0`}},
		{name: "no member", commands: []string{"ZADD z XX 1 a"}, want: []string{`zadd z zset command: null -> ? ["a"] 0`}},
		{name: "no field", commands: []string{"HSETEX h FIELDS 0"}, want: []string{`hset h hash command: null -> ? [] 0`}},
		{name: "no elements", commands: []string{"RESTORE k 0 " + dump(0), "LMOVE k k LEFT RIGHT"}, want: []string{`rpush k list command: ? -> ? [] -1`, `lpop k list command: ? -> ? [] -1`}},
		{name: "no payload", commands: []string{"RESTORE k 0 garbage"}, want: []string{`restore k - command: null -> ? [] -1`}},
		{name: "an ID that is none", commands: []string{"XADD x abc f v"}, want: []string{`xadd x stream command: null -> ? [] -1`}},
		{name: "removed twice", commands: []string{"DEL k"}, want: []string{`del k none unknown: null -> null [] -2`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSession(test.config)
			var got []string
			for _, c := range test.commands {
				got = s.do(c)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%q\n got %q\nwant %q", test.commands, got, test.want)
			}
			checkCount(t, s.in)
		})
	}
}

// TestDeadFieldsAreGivenUp: what Valkey has not removed a minute after its deadline was
// removed by the command that named it, as that was read late.
func TestDeadFieldsAreGivenUp(t *testing.T) {
	for _, test := range []struct {
		named string
		want  []string
	}{
		{"f g", []string{`hset h hash command: {"i":"3"} -> {"i":"3","j":"4"} ["j"] -1`}},
		{"f g i", []string{`hset h hash command: ? -> ? ["j"] 0`}},
	} {
		s := newSession(keyspace.Config{Dialect: keyspace.Valkey})
		for _, c := range []string{"HSET h f 1 g 2 i 3", "HPEXPIREAT h @0 FIELDS 1 f", "HDEL h " + test.named} {
			s.do(c)
		}
		s.now = s.now.Add(time.Minute + time.Millisecond)
		if got := s.do("HSET h j 4"); !slices.Equal(got, test.want) {
			t.Errorf("HDEL h %s\n got %q\nwant %q", test.named, got, test.want)
		}
		checkCount(t, s.in)
	}
}

// checkCount holds the mirror's size against one counted anew.
func checkCount(t *testing.T, in *keyspace.Interpreter) {
	t.Helper()
	size, keys := in.Recount()
	if s := in.Stats(); s.MirrorBytes != size || s.MirrorKeys != keys {
		t.Errorf("%d keys of %d bytes are counted, %d of %d are there", s.MirrorKeys, s.MirrorBytes, keys, size)
	}
}

// TestLosses: each reason for a value that is not known is counted.
func TestLosses(t *testing.T) {
	for name, test := range map[string]struct {
		config   keyspace.Config
		commands []string
		want     keyspace.Losses
	}{
		"limit":     {keyspace.Config{MaxMirror: 1000}, []string{"SETRANGE k 5000 x", "SET k " + strings.Repeat("v", 2000)}, keyspace.Losses{Limit: 2}},
		"source":    {keyspace.Config{Need: needOnly("d")}, []string{"SUNIONSTORE d s"}, keyspace.Losses{Source: 1}},
		"mismatch":  {keyspace.Config{}, []string{"SET k v", "INCR k"}, keyspace.Losses{Mismatch: 1}},
		"malformed": {keyspace.Config{}, []string{"SET k v", "GETSET k"}, keyspace.Losses{Malformed: 1}},
		"undecided": {keyspace.Config{}, []string{"ZADD s 1 a", "SORT s BY w* STORE d"}, keyspace.Losses{Undecided: 1}},
		"unknown":   {keyspace.Config{}, []string{"SET p a", "MOD.SET p b"}, keyspace.Losses{Unknown: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession(test.config)
			for _, c := range test.commands {
				s.do(c)
			}
			if got := s.in.Stats().Lost; got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
			checkCount(t, s.in)
		})
	}
}

func needOnly(keys ...string) func(int, []byte) keyspace.Need {
	return func(_ int, key []byte) keyspace.Need {
		if slices.Contains(keys, string(key)) {
			return keyspace.NeedValue
		}
		return keyspace.NeedNothing
	}
}

// TestNotNeeded: nothing is kept of other keys, and their events are as without
// a mirror.
func TestNotNeeded(t *testing.T) {
	s := newSession(keyspace.Config{Need: needOnly("k")})
	for _, c := range []string{"SET other v", "RPUSH l a", "LPOP l", "RENAME other more", "COPY more k", "MSET other 1 k 2", "SWAPDB 1 2"} {
		s.do(c)
	}
	if got := s.in.Stats(); got.MirrorKeys != 1 {
		t.Errorf("stats %+v", got)
	}
	got := s.do("RENAME k other")
	want := []string{`rename_from k none command: "2" -> null [] -2`, `rename_to other - command: ? -> ? [] 0`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.in.Stats(); got.MirrorKeys != 0 || got.MirrorBytes != 0 {
		t.Errorf("stats %+v", got)
	}
}

// TestNoSnapshot: without a snapshot nothing is known until it is set whole.
func TestNoSnapshot(t *testing.T) {
	s := &session{in: keyspace.New(keyspace.Config{Need: needAll}), now: start}
	for _, step := range [][2]string{
		{"INCR k", `incrby k string command: ? -> ? [] 0`},
		{"SET k 5", `set k string command: ? -> "5" [] -1`},
		{"INCR k", `incrby k string command: "5" -> "6" [] -1`},
		{"DEL k", `del k none deleted: "6" -> null [] -2`},
		{"INCR k", `incrby k string command: null -> "1" [] -1`},
		{"RPUSH l a", `rpush l list command: ? -> ? [] 0`},
		{"DEL l", `del l none unknown: ? -> null [] -2`},
		{"SADD d a", `sadd d set command: ? -> ? ["a"] 0`},
		{"FLUSHALL", `flushall - - command: ? -> ? [] 0`},
		{"INCR n", `incrby n string command: null -> "1" [] -1`},
	} {
		if got := s.do(step[0]); len(got) != 1 || got[0] != step[1] {
			t.Errorf("%s: got %q, want %q", step[0], got, step[1])
		}
	}
	checkCount(t, s.in)
}

// TestSetNeed: new rules keep what both need, forget what is not needed, and
// know nothing of the rest.
func TestSetNeed(t *testing.T) {
	s := newSession(keyspace.Config{Need: needOnly("a", "b")})
	for _, c := range []string{"SET a 1", "SET b 2", "SET c 3"} {
		s.do(c)
	}
	s.in.SetNeed(needOnly("a", "c", "d"), keyspace.Classes{})
	for _, step := range [][2]string{
		{"INCR a", `incrby a string command: "1" -> "2" [] -1`},
		{"INCR b", `incrby b string command: ? -> ? [] 0`},
		{"INCR c", `incrby c string command: ? -> ? [] 0`},
		{"SETNX d x", `set d string command: ? -> "x" [] -1`}, // it was not needed, so it may have been there
	} {
		if got := s.do(step[0]); len(got) != 1 || got[0] != step[1] {
			t.Errorf("%s: got %q, want %q", step[0], got, step[1])
		}
	}
	checkCount(t, s.in)
	s.in.SetNeed(nil, keyspace.Classes{})
	if got := s.do("INCR a"); got[0] != `incrby a string command: ? -> ? [] 0` {
		t.Errorf("without need: %q", got)
	}
	if got := s.in.Stats(); got.MirrorKeys != 0 || got.MirrorBytes != 0 {
		t.Errorf("stats %+v", got)
	}
}

// TestNarrowNeed: which keys are not there stays known however often rules change
// that need no more than those before, also of databases that were never met.
func TestNarrowNeed(t *testing.T) {
	s := newSession(keyspace.Config{Need: needOnly("a", "b", "c")})
	s.in.NarrowNeed(needOnly("a", "b"), keyspace.Classes{})
	s.expect(t, "INCR a", `incrby a string command: null -> "1" [] -1`)
	for range 40 {
		s.in.NarrowNeed(needOnly("a", "b"), keyspace.Classes{})
	}
	s.expect(t, "INCR b", `incrby b string command: null -> "1" [] -1`)
	if s.in.Lookup(3, []byte("a")) != event.None || s.in.Lookup(3, []byte("c")) != nil {
		t.Error("in database 3: a is not known to be missing, or c is")
	}
	s.db = 3
	s.expect(t, "INCR b", `incrby b@3 string command: null -> "1" [] -1`)
	s.in.SetNeed(needOnly("a", "c"), keyspace.Classes{}) // of c nothing is known
	s.expect(t, "INCR a", `incrby a@3 string command: null -> "1" [] -1`)
	s.expect(t, "INCR c", `incrby c@3 string command: ? -> ? [] 0`)
	s.db = 4
	s.expect(t, "INCR a", `incrby a@4 string command: null -> "1" [] -1`)
	s.expect(t, "INCR c", `incrby c@4 string command: ? -> ? [] 0`)
	s.in.NarrowNeed(needOnly("c"), keyspace.Classes{}) // less than a and c, and not known from when a and b were needed
	for s.db = range 8 {
		if s.in.Lookup(s.db, []byte("c")) == event.None {
			t.Errorf("c is taken to be missing in database %d", s.db)
		}
	}
	checkCount(t, s.in)
	if lost := s.in.Stats().Lost; lost != (keyspace.Losses{}) {
		t.Errorf("lost %+v", lost)
	}
}

// TestNeedInSnapshot: keys that came before a need was in force, and were not
// kept, are not taken to be missing.
func TestNeedInSnapshot(t *testing.T) {
	for _, was := range []func(int, []byte) keyspace.Need{needOnly("a"), nil} {
		s := newSession(keyspace.Config{Need: needOnly("a")})
		s.in.SetNeed(was, keyspace.Classes{})
		s.in.SnapshotBegin()
		s.in.SetNeed(needOnly("a", "b"), keyspace.Classes{})
		s.in.SnapshotEnd(nil, &keyspace.SnapshotKey{})
		s.expect(t, "INCR b", `incrby b string command: ? -> ? [] 0`)
		s.db = 3
		s.expect(t, "INCR b", `incrby b@3 string command: ? -> ? [] 0`)
	}
}

// TestResync: a snapshot after a gap makes one event for each key that is not
// as it was, with the values on either side.
func TestResync(t *testing.T) {
	in := keyspace.New(keyspace.Config{Need: func(_ int, key []byte) keyspace.Need {
		if string(key) == "none" {
			return keyspace.NeedNothing
		}
		return keyspace.NeedValue
	}})
	snapshot := func(entries ...string) (events []string) {
		t.Helper()
		in.SnapshotBegin()
		spellOut := func(evs []event.Event) {
			for _, ev := range evs {
				if ev.Name == event.Snapshot && string(ev.Key) != "none" && (ev.Before != nil || ev.After == nil || ev.After.Len() != 1) {
					t.Errorf("snapshot event of %q: %s -> %s", ev.Key, plain(ev.Before), plain(ev.After))
				}
				if ev.Name != event.Snapshot {
					events = append(events, fmt.Sprintf("%s %s: %s -> %s %d", describe(&ev), ev.Origin, plain(ev.Before), plain(ev.After), ev.TTL))
				}
			}
		}
		for _, e := range entries {
			key, value, _ := strings.Cut(e, "=")
			k := keyspace.SnapshotKey{Key: []byte(key), Type: "string", Time: start}
			value, expires, _ := strings.Cut(value, " ")
			fmt.Sscan(expires, &k.ExpireAt)
			k.Value = readerAt(t, value)
			spellOut(in.SnapshotKey(nil, &k))
		}
		spellOut(in.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start}))
		checkCount(t, in)
		return events
	}
	if got := snapshot("same=1", "other=1", "gone=1", "old=1 5", "later=1", "none=1"); got != nil {
		t.Errorf("the first snapshot changed %q", got)
	}
	want := []string{
		`changed other - unknown resync: "1" -> "2" -1`,
		`changed later - unknown resync: "1" -> "1" 100`,
		`changed new - unknown resync: null -> "1" -1`,
		`del gone none unknown resync: "1" -> null -2`,
		`expired old none expired resync: "1" -> null -2`,
	}
	got := snapshot("same=1", "other=2", "later=1 "+fmt.Sprint(start.UnixMilli()+100), "new=1", "none=2")
	for i := range got {
		got[i] = strings.Replace(got[i], " string unknown", " - unknown", 1)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := snapshot("same=1", "other=2", "later=1 "+fmt.Sprint(start.UnixMilli()+100), "new=1"); got != nil {
		t.Errorf("the same snapshot changed %q", got)
	}
}

// TestSnapshotAbort: what an incomplete snapshot did not have is not known.
func TestSnapshotAbort(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.do("SET a 1")
	s.do("SET b 1")
	s.in.SnapshotBegin()
	if events := s.in.SnapshotKey(nil, &keyspace.SnapshotKey{Key: []byte("a"), Type: "string", Time: start, Value: readerAt(t, "7")}); len(events) != 2 || events[1].Name != event.Changed {
		t.Errorf("events %v", events)
	}
	s.in.SnapshotAbort()
	for _, step := range [][2]string{
		{"INCR a", `incrby a string command: "7" -> "8" [] -1`},
		{"INCR b", `incrby b string command: ? -> ? [] 0`},
		{"INCR c", `incrby c string command: ? -> ? [] 0`},
	} {
		if got := s.do(step[0]); len(got) != 1 || got[0] != step[1] {
			t.Errorf("%s: got %q, want %q", step[0], got, step[1])
		}
	}
	checkCount(t, s.in)
	s.in.SnapshotBegin()
	s.in.SnapshotAbort()
	if got := s.in.Stats(); got.MirrorKeys != 0 || got.MirrorBytes != 0 {
		t.Errorf("something is left: %+v", got)
	}
}

// readerAt returns a reader that is at a string.
func readerAt(t *testing.T, text string) *rdb.Reader {
	t.Helper()
	r := stringReader(text)
	if r == nil {
		t.Fatal("no reader")
	}
	return r
}

// stringReader does the same; nil if the text is too long.
func stringReader(text string) *rdb.Reader {
	length := string([]byte{0x40 | byte(len(text)>>8), byte(len(text))})
	file := "REDIS0009\x00\x01k" + length + text + "\xff\x00\x00\x00\x00\x00\x00\x00\x00"
	r := rdb.NewReader(strings.NewReader(file))
	if _, err := r.Next(); err != nil {
		return nil
	}
	return r
}

// TestLoad loads the snapshots of real servers of every version, with much
// memory, then again, which changes nothing, and with little: what does not fit
// is counted, and what is kept is within the limit.
func TestLoad(t *testing.T) {
	paths, err := filepath.Glob("../../rdb/testdata/*.rdb")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no snapshots: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			full := keyspace.New(keyspace.Config{Need: needAll})
			if changes := load(t, full, path); len(changes) > 0 {
				t.Errorf("changes %q", changes)
			}
			s := full.Stats()
			if s.SnapshotKeys == 0 || s.MirrorKeys != s.SnapshotKeys || s.Lost.Limit+s.Lost.Malformed > 0 {
				t.Errorf("%+v", s)
			}
			for _, k := range full.Mirror() {
				if known := k.Value != nil; !k.There || known != (k.Type != "") || known && k.Value.Type() != k.Type {
					t.Errorf("%q, a %q, is there: %t, known: %t", k.Key, k.Type, k.There, known)
				}
			}
			checkCount(t, full)
			if changes := load(t, full, path); len(changes) > 0 {
				t.Errorf("the second time it changes %q", changes)
			}
			limit := s.MirrorBytes / 3
			cramped := keyspace.New(keyspace.Config{Need: needAll, MaxMirror: limit})
			load(t, cramped, path)
			if s := cramped.Stats(); s.Lost.Limit == 0 || s.MirrorBytes > limit || s.MirrorKeys == 0 {
				t.Errorf("limit %d: %+v", limit, s)
			}
			checkCount(t, cramped)
		})
	}
}

// TestValkeyEmptiesAHash: the removal of the key that follows in the same
// transaction is announced already.
func TestValkeyEmptiesAHash(t *testing.T) {
	s := newSession(keyspace.Config{Dialect: keyspace.Valkey})
	s.do("HSETEX h PXAT @0 FIELDS 1 f 1")
	s.tx = "id:1"
	got := append(s.do("HDEL h f"), s.do("UNLINK h")...)
	want := []string{`hexpired h none expired: {"f":"1"} -> null ["f"] -2`, `del h none expired: {"f":"1"} -> null ["f"] -2`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestBigChangeIsCheap: a change to a big collection, and looking at what it
// changed, costs no more than one to a small one.
func TestBigChangeIsCheap(t *testing.T) {
	s := newSession(keyspace.Config{})
	const n = 30_000
	for _, kind := range []string{"SADD e", "HSET h", "RPUSH l", "ZADD z"} {
		name, key, _ := strings.Cut(kind, " ")
		args := [][]byte{[]byte(name), []byte(key)}
		for i := range n {
			if key == "z" {
				args = append(args, fmt.Append(nil, i))
			}
			args = append(args, fmt.Append(nil, "member:", i))
			if key == "h" {
				args = append(args, []byte("v"))
			}
		}
		s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
	}
	for i := range n {
		s.in.Command(nil, &keyspace.Command{Args: words(fmt.Sprintf("XADD x %d-1 f v", i+1)), Time: start})
	}
	s.do("SETRANGE big 10000000 x")
	var dst []event.Event
	for _, c := range []string{"SADD e member:7", "SREM e member:8", "HSET h member:7 w", "RPUSH l a", "LPOP l", "ZADD z 3 member:7",
		"LSET l 500 x", "XADD x 999999999-1 f v", "XDEL x 500-1", "SETBIT big 77 1", "APPEND big x"} {
		args := words(c)
		id := 0
		allocs := testing.AllocsPerRun(5, func() {
			if args[0][0] == 'X' && args[0][1] == 'A' {
				id++
				args[2] = fmt.Appendf(nil, "999999999-%d", id)
			}
			dst = s.in.Command(dst[:0], &keyspace.Command{Args: args, Time: start})
			dst[0].Before.Len()
			dst[0].After.Len()
			dst[0].Before.Get([]byte("member:7"))
			event.CloneValue(dst[0].After, 100)
			if kind := dst[0].After.Type(); kind != "string" {
				event.CloneValue(dst[0].Before, 100)
			}
		})
		if allocs > 60 {
			t.Errorf("%s of a collection of %d: %v allocations", c, n, allocs)
		}
		if got := dst[0].After.Len(); got < n-20 {
			t.Errorf("%s: %d elements", c, got)
		}
	}
}

// spoil puts other words, among them those of junk, in place of some of a
// command's, leaves some out or repeats them.
func spoil(g *generator, command []string, junk [][]byte) [][]byte {
	var out [][]byte
	for i, w := range command {
		switch n := g.IntN(40); {
		case i == 0, n > 4:
			out = append(out, []byte(w))
		case n == 0:
			out = append(out, []byte(g.pick("0", "-1", "-0", "1", "nan", "inf", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "4294967296", "")))
		case n == 1 && len(junk) > 0:
			out = append(out, junk[g.IntN(len(junk))])
		case n == 2:
			out = append(out, []byte(g.any()))
		case n == 3:
			out = append(out, []byte(w), []byte(w))
		}
	}
	return out
}

// TestManyKeys: a command that names very many keys, of which some are needed,
// costs each key only once.
func TestManyKeys(t *testing.T) {
	s := newSession(keyspace.Config{Classes: keyspace.Classes{New: true, Overwritten: true}, Need: func(_ int, key []byte) keyspace.Need {
		if len(key)%2 == 0 {
			return keyspace.NeedValue
		}
		return keyspace.NeedNothing
	}})
	const n = 50_000
	set, del := [][]byte{[]byte("MSET")}, [][]byte{[]byte("DEL")}
	for i := range n {
		key := fmt.Appendf(nil, "%06d%s", i, "x"[:i%2])
		set, del = append(set, key, []byte("v")), append(del, key)
	}
	made := 0
	s.all(set, func(ev *event.Event) {
		if made == 0 && ev.Name != "new" || ev.Index != made || (ev.After != nil) != (len(ev.Key)%2 == 0) {
			t.Fatalf("event %d is %s of %q, %d: after %s", made, ev.Name, ev.Key, ev.Index, plain(ev.After))
		}
		made++
	})
	if made != n+n/2 {
		t.Fatalf("MSET has made %d events", made)
	}
	made = 0
	s.all(del, func(ev *event.Event) {
		if ev.Index != made || (ev.Before != nil) != (len(ev.Key)%2 == 0) {
			t.Fatalf("event %d is %s of %q, %d: before %s", made, ev.Name, ev.Key, ev.Index, plain(ev.Before))
		}
		made++
	})
	if made != n {
		t.Fatalf("DEL has made %d events", made)
	}
	if got := s.in.Stats(); got.MirrorKeys != 0 || got.MirrorBytes != 0 {
		t.Errorf("%+v", got)
	}
}

// TestManyDatabases: numbers of databases that no server has cost no memory.
func TestManyDatabases(t *testing.T) {
	s := newSession(keyspace.Config{})
	for db := range 40_000 {
		s.in.Command(nil, &keyspace.Command{Args: words("SET k v"), DB: db, Time: start})
		if db%1000 == 0 {
			s.in.Command(nil, &keyspace.Command{Args: words(fmt.Sprintf("FLUSHDB %d", db)), DB: db + 1_000_000, Time: start})
		}
	}
	checkCount(t, s.in)
	if got := s.in.Stats(); got.MirrorKeys > 1<<14 || got.MirrorKeys < 1000 {
		t.Errorf("%+v", got)
	}
	s.do("SWAPDB 3 999999") // with one that is not mirrored: nothing is known
	if got := s.do("INCR k"); got[0] != `incrby k string command: ? -> ? [] 0` {
		t.Errorf("got %q", got)
	}
	checkCount(t, s.in)
}

// FuzzMirror runs any commands, and spoilt ones of the generator. Mirrors with much memory, little, and without
// texts all count right, keep their limit, and agree in what they know; each
// value before is the one that was after.
func FuzzMirror(f *testing.F) {
	b, err := os.ReadFile("testdata/basic.cmds")
	if err != nil {
		f.Fatal(err)
	}
	g := newGenerator(1)
	lines := strings.Split(string(b), "\n")
	for range 400 {
		lines = append(lines, strings.Join(g.one(), " "))
	}
	for chunk := range slices.Chunk(lines, 20) {
		f.Add([]byte(strings.ReplaceAll(strings.Join(chunk, "\n"), " ", "\x1f")), len(chunk[0])%2 == 0, uint64(len(chunk[1])))
	}
	f.Fuzz(func(t *testing.T, data []byte, valkey bool, seed uint64) {
		var commands [][][]byte
		for _, line := range bytes.SplitN(data, []byte("\n"), 40) {
			commands = append(commands, bytes.Split(line, []byte("\x1f")))
		}
		junk := bytes.FieldsFunc(data, func(r rune) bool { return r == '\n' || r == '\x1f' })
		g := newGenerator(seed)
		for range 150 {
			commands = append(commands, spoil(g, g.one(), junk))
		}
		const limit = 3000
		config := keyspace.Config{Need: needAll, MaxMirror: 1 << 20}
		if valkey {
			config.Dialect = keyspace.Valkey
		}
		full := keyspace.New(config)
		config.MaxMirror = limit
		cramped := keyspace.New(config)
		config.Need = func(int, []byte) keyspace.Need { return keyspace.NeedState }
		state := keyspace.New(config)
		full.SnapshotBegin()
		full.SnapshotEnd(nil, &keyspace.SnapshotKey{Time: start})
		after := map[string]string{}
		for n, line := range commands {
			c := keyspace.Command{Args: line, Time: start, DB: n % 3 / 2, Offset: int64(n)}
			seen := map[string]string{}
			events := full.Command(nil, &c)
			if changesInSilence(line) {
				clear(after)
			}
			for i := range events {
				ev := &events[i]
				if ev.Key == nil {
					clear(after)
					continue
				}
				name := fmt.Sprintf("%d/%s", ev.DB, ev.Key)
				was, ok := after[name]
				if b, again := seen[name]; again {
					was, ok = b, true
				}
				before := asJSON(ev.Before)
				buries := valkey && ev.Before != nil && ev.Before.Type() == "hash" // what is not there before it either
				if ok && was != "unknown" && ev.Before != nil && was != before && !buries {
					t.Fatalf("%q: before %s of %s is %s, was %s", line, ev.Name, name, before, was)
				}
				if _, again := seen[name]; !again {
					seen[name] = before
				}
				if v := ev.Before; v != nil && v.Type() != "string" && v.Type() != "none" {
					if n := len(slices.Collect(v.All())); n != v.Len() {
						t.Fatalf("%q: %d elements of %d before", line, n, v.Len())
					}
				}
				after[name] = asJSON(ev.After)
			}
			for _, ev := range cramped.Command(nil, &c) {
				for j := range events {
					if same := &events[j]; same.DB == ev.DB && bytes.Equal(same.Key, ev.Key) && same.After != nil && ev.After != nil && asJSON(same.After) != asJSON(ev.After) {
						t.Fatalf("%q: %s is %s, or %s", line, ev.Key, asJSON(same.After), asJSON(ev.After))
					}
				}
			}
			state.Command(nil, &c)
			if s := cramped.Stats(); s.MirrorBytes > limit {
				t.Fatalf("%q: %d bytes", line, s.MirrorBytes)
			}
		}
		for _, in := range []*keyspace.Interpreter{full, cramped, state} {
			checkCount(t, in)
		}
	})
}

// TestSetServer: what the server says of itself counts from then on.
func TestSetServer(t *testing.T) {
	s := newSession(keyspace.Config{})
	s.do("XGROUP CREATE x g 0 MKSTREAM")
	order := func() (names string) {
		for _, ev := range s.in.Command(nil, &keyspace.Command{Args: words("MSETEX 1 k v PXAT 9"), Time: start}) {
			names += ev.Name + " "
		}
		return names + fmt.Sprint(len(s.do("XCLAIM x g c 0 1-1")))
	}
	s.in.SetServer(keyspace.Valkey, keyspace.Version{Major: 6})
	if got := order(); got != "set expire 0" {
		t.Errorf("got %q", got)
	}
	s.do("XGROUP DELCONSUMER x g c")
	s.in.SetServer(keyspace.Redis, keyspace.Version{Major: 8})
	if got := order(); got != "expire set 1" {
		t.Errorf("got %q", got)
	}
}
