package keyspace_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"triggerd/internal/keyspace"
)

// A command that looks at very many elements asks whether it is to be given up
// as it goes. Once it is, its loops end.
func TestGivenUp(t *testing.T) {
	const n = 5_000 // of which each 4,096 are to be asked for
	many := func(command string, each ...string) [][]byte {
		args := words(command)
		for i := range n {
			for _, e := range each {
				args = append(args, []byte(strings.ReplaceAll(e, "*", strconv.Itoa(i))))
			}
		}
		return args
	}
	entries := [][][]byte{}
	for i := range n {
		entries = append(entries, words(fmt.Sprintf("XADD stream %d-1 f v", i+1)))
	}
	prepared := map[string][][][]byte{ // by what a command has to name
		"list": {many("RPUSH list", "*")}, "set": {many("SADD set", "*")}, "other": {many("SADD other", "*")},
		"hash": {many("HSET hash", "*", "v")}, "zset": {many("ZADD zset", "*", "*")}, "same": {many("ZADD same", "7", "*")},
		"geo": {many("ZADD geo", "3479099956230698", "*")}, "text": {words("SETRANGE text 5000 x")}, "stream": entries,
		"key:1": {many("MSET", "key:*", "v")}, "0": {many("MSET", "key:*", "v")}, "FLUSHALL": {many("MSET", "key:*", "v")},
	}
	for _, command := range [][][]byte{
		many("RPUSH list", "*"), many("LPUSH new", "*"), many("SADD new", "*"), many("SREM set", "*"), many("HSET hash", "*", "w"), many("HDEL hash", "*"),
		many("ZADD new", "*", "*"), many("ZREM zset", "*"), many("MSET", "new:*", "v"), many("DEL", "new:*"), many("XDEL stream", "*-1"),
		words("LPOP list 4999"), words("RPOP list 4999"), words("LTRIM list 4998 -1"), words("LREM list 0 4999"), words("LREM list -1 0"),
		words("LINSERT list BEFORE 4999 x"), words("SORT list ALPHA STORE dst"), words("SORT set STORE dst"), words("SORT zset STORE dst"), words("SORT zset BY x STORE dst"),
		words("SORT list BY x STORE dst"), words("COPY list dst"), words("COPY set dst"), words("COPY hash dst"), words("COPY zset dst"),
		words("SUNIONSTORE dst set other"), words("SINTERSTORE dst set other"), words("SDIFFSTORE dst set other"), words("SDIFFSTORE dst set none"),
		words("ZUNIONSTORE dst 2 set zset"), words("ZINTERSTORE dst 2 set zset"), words("ZDIFFSTORE dst 2 zset none"),
		words("ZRANGESTORE dst zset 0 -1"), words("ZRANGESTORE dst zset 0 -1 REV"), words("ZRANGESTORE dst zset -inf +inf BYSCORE"),
		words("ZRANGESTORE dst same - + BYLEX"), words("ZREMRANGEBYRANK zset 1 -1"), words("ZREMRANGEBYSCORE zset 1 30000"), words("ZREMRANGEBYLEX same [1 +"),
		words("ZPOPMIN zset 4999"), words("ZPOPMAX zset 4999"), words("GEOSEARCHSTORE dst geo FROMLONLAT 15 37 BYRADIUS 900 km"),
		words("XTRIM stream MAXLEN 1"), words("XADD stream MAXLEN 1 30000-1 f v"), words("XDEL stream 1-1"),
		words("RESTORE dst 0 " + dump(5000)), words("BITOP NOT dst text"), words("BITOP OR dst text text"), words("BITOP ONE dst text text"), many("DEL", "key:*"), words("SWAPDB 0 1"), words("FLUSHALL"), words("TRIMSLOTS RANGES 1 0 16383"),
	} {
		name := string(bytes.Join(command[:min(3, len(command))], []byte(" ")))
		t.Run(name, func(t *testing.T) {
			asked, stop := 0, false
			s := newSession(keyspace.Config{Stopped: func() bool { asked++; return stop }})
			do := func(args [][]byte) {
				s.in.Command(nil, &keyspace.Command{Args: args, Time: start})
				for len(s.in.Rest(nil)) > 0 {
				}
			}
			done := map[string]bool{}
			for _, name := range command {
				if of := string(name); !done[of] {
					done[of] = true
					for _, args := range prepared[of] {
						do(args)
					}
				}
			}
			asked, stop = 0, true
			do(command)
			if !s.in.GaveUp() || asked == 0 {
				t.Fatalf("asked %d times, given up: %t", asked, s.in.GaveUp())
			}
			if asked > 2*n {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}
