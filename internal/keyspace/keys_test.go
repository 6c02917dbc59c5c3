package keyspace

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// written holds at least one line for each write command that has keys.
var written = strings.Split(strings.TrimSpace(`
APPEND k v
BITFIELD k SET u8 0 1 INCRBY u8 0 1
BITOP AND d a b c
BITOP NOT d a
BLMOVE a b LEFT RIGHT 0
BLMPOP 0 2 a b LEFT COUNT 3
BLPOP a b c 0
BRPOP a b 0
BRPOPLPUSH a b 0
BZMPOP 0 2 a b MIN
BZPOPMAX a b 0
BZPOPMIN a 0
COPY a b DB 3 REPLACE
DECR k
DECRBY k 2
DEL a
DEL a b c
DELEX k IFEQ v
DELIFEQ k v
EXPIRE k 10 NX
EXPIREAT k 10
GEOADD g 1 2 m
GEORADIUS g 1 2 3 km
GEORADIUS g 1 2 3 km STORE d
GEORADIUS g 1 2 3 km COUNT 3 ANY ASC STOREDIST d
GEORADIUSBYMEMBER g m 3 km
GEORADIUSBYMEMBER g m 3 km store d
GEOSEARCHSTORE d g FROMMEMBER m BYRADIUS 10 km
GETDEL k
GETEX k EX 10
GETSET k v
HDEL h f g
HEXPIRE h 10 FIELDS 1 f
HEXPIREAT h 10 FIELDS 1 f
HGETDEL h FIELDS 2 f g
HGETEX h EX 10 FIELDS 1 f
HINCRBY h f 1
HINCRBYFLOAT h f 1
HMSET h f v
HPERSIST h FIELDS 1 f
HPEXPIRE h 10 FIELDS 1 f
HPEXPIREAT h 10 FIELDS 1 f
HSET h f v g w
HSETEX h PXAT 10 FIELDS 1 f v
HSETNX h f v
INCR k
INCRBY k 1
INCRBYFLOAT k 1
LINSERT l BEFORE a b
LMOVE a b LEFT RIGHT
LMPOP 3 a b c LEFT
LPOP l 2
LPUSH l a b
LPUSHX l a
LREM l 0 a
LSET l 0 a
LTRIM l 0 1
MIGRATE host 6379 k 0 100
MIGRATE host 6379 "" 0 100 COPY REPLACE KEYS a b c
MIGRATE host 6379 "" 0 100 AUTH pass KEYS a
MOVE k 3
MSET a 1 b 2 c 3
MSETEX 2 a 1 b 2 PXAT 100
MSETEX 1 a 1
MSETNX a 1 b 2
PERSIST k
PEXPIRE k 10
PEXPIREAT k 10 GT
PFADD p a b
PFDEBUG GETREG p
PFMERGE d
PFMERGE d a b
PSETEX k 10 v
RENAME a b
RENAMENX a b
RESTORE k 0 payload ABSTTL
RESTORE-ASKING k 0 payload
RPOP l
RPOPLPUSH a b
RPUSH l a
RPUSHX l a
SADD s a b
SDIFFSTORE d a b
SET k v PXAT 10
SET k STORE
SETBIT k 1 1
SETEX k 10 v
SETNX k v
SETRANGE k 1 v
SINTERSTORE d a b
SMOVE a b m
SORT l
SORT l BY nosort GET # LIMIT 0 10 ALPHA STORE d
SORT l GET STORE STORE d
SORT l store a STORE b
SPOP s 2
SREM s a b
SUNIONSTORE d a
UNLINK a b
VADD v VALUES 1 1 e
VREM v e
VSETATTR v e {}
XACK x g 1-1 1-2
XACKDEL x g IDS 1 1-1
XADD x MAXLEN = 3 1-1 f v
XAUTOCLAIM x g c 0 0
XCFGSET x IDMP-DURATION 100
XCLAIM x g c 0 1-1 JUSTID
XDEL x 1-1
XDELEX x IDS 1 1-1
XGROUP CREATE x g $ MKSTREAM
XGROUP CREATECONSUMER x g c
XGROUP DELCONSUMER x g c
XGROUP DESTROY x g
XGROUP SETID x g 1-1
XIDMPRECORD x p i 1-1
XREADGROUP GROUP g c COUNT 2 STREAMS x y > >
XREADGROUP GROUP STREAMS c STREAMS x 0
XSETID x 1-1
XTRIM x MAXLEN = 1
ZADD z 1 a 2 b
ZDIFFSTORE d 2 a b
ZINCRBY z 1 a
ZINTERSTORE d 2 a b WEIGHTS 1 2
ZMPOP 2 a b MIN COUNT 1
ZPOPMAX z 2
ZPOPMIN z
ZRANGESTORE d a 0 -1
ZREM z a
ZREMRANGEBYLEX z - +
ZREMRANGEBYRANK z 0 1
ZREMRANGEBYSCORE z 0 1
ZUNIONSTORE d 3 a b c AGGREGATE MAX
EVAL script 2 a b c
EVALSHA sha 1 a
FCALL f 2 a b c
PFCOUNT a b
PUBLISH ch m
SPUBLISH ch m
SWAPDB 0 1
FLUSHALL ASYNC
FUNCTION LOAD code
`), "\n")

// TestKeysAgainstServers asks running servers which keys a command has: for
// the commands above and for all that were recorded.
func TestKeysAgainstServers(t *testing.T) {
	lines := slices.Concat(written, recordedStreams(t))
	checked, all := map[*command]bool{}, 0
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		all++
		client := redistest.Dial(t, srv)
		asked := 0
		for _, line := range lines {
			words := strings.Split(line, " ")
			for i, w := range words {
				if w == `""` {
					words[i] = ""
				}
			}
			want, known := getKeys(t, client, words)
			if !known {
				continue
			}
			asked++
			args := byteArgs(words...)
			cmd := commandOf(args)
			checked[cmd] = true
			var got []string
			for _, key := range keysOf(cmd, args) {
				got = append(got, string(key))
			}
			if srv.Program.Name == "redis-6.0" {
				if cmd.name == "PFDEBUG" {
					continue // it has keys since 7.0
				}
				slices.Sort(got) // it names the destination of ZUNIONSTORE last
				slices.Sort(want)
			}
			if !slices.Equal(got, want) {
				t.Errorf("keys of %q: got %q, want %q", words, got, want)
			}
		}
		if asked < len(lines)/2 {
			t.Errorf("the server answered for %d of %d commands", asked, len(lines))
		}
	})
	if all < len(redistest.All) {
		return // some were left out, and what only they know
	}
	said := readDumps(t)
	for _, cmd := range commands {
		if said[cmd.name].writes() && len(cmd.keys) > 0 && !checked[cmd] && !t.Failed() {
			t.Errorf("no server was asked for the keys of %s", cmd.name)
		}
	}
}

// getKeys asks for the keys of a command; known is false where the server does
// not know the command, or finds fault with its arguments.
func getKeys(t *testing.T, client *servers.Client, words []string) (keys []string, known bool) {
	t.Helper()
	reply, err := client.Do(append([]string{"COMMAND", "GETKEYS"}, words...)...)
	var refused servers.ReplyError
	if errors.As(err, &refused) {
		return nil, strings.Contains(refused.Error(), "no key arguments")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range reply.([]any) {
		keys = append(keys, key.(string))
	}
	return keys, true
}

func byteArgs(words ...string) [][]byte {
	var args [][]byte
	for _, w := range words {
		args = append(args, []byte(w))
	}
	return args
}

// keysOf returns the keys of a command, as sub-slices of args.
func keysOf(cmd *command, args [][]byte) [][]byte {
	var keys [][]byte
	for _, r := range cmd.appendRanges(nil, args) {
		for i := r.first; i <= r.last; i += r.step {
			keys = append(keys, args[i])
		}
	}
	return keys
}
