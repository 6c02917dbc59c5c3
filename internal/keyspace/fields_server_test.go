package keyspace_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"triggerd/internal/keyspace"
	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

// TestPastFields: of a field that is past its deadline and that the server has not
// removed yet, events and values are the server's, whatever command names it.
func TestPastFields(t *testing.T) {
	far := fmt.Sprint(time.Now().Add(time.Hour).Unix())
	commands := []string{
		"HDEL h a b", "hdel h b a", "HDEL h a b c", "hdel h a", "HDEL h a nothing",
		"HGETDEL h FIELDS 2 a b", "HGETDEL h FIELDS 1 a", "HGETDEL h FIELDS 3 a b c",
		"HPERSIST h FIELDS 2 a c", "hpersist h FIELDS 1 a", "HPEXPIRE h 100000000 FIELDS 2 a b", "HEXPIREAT h " + far + " FIELDS 2 a c",
		"HEXPIRE h 1000 XX FIELDS 2 a c", "HGETEX h EX 1000 FIELDS 2 a b", "HGETEX h PERSIST FIELDS 2 a c",
		"HSET h a new", "HSETNX h a new", "HMSET h a new d 4", "HINCRBY h a 5", "HINCRBYFLOAT h a 1.5",
		"HSETEX h FNX EX 1000 FIELDS 1 a new", "HSETEX h FXX EX 1000 FIELDS 2 a new b new", "HSETEX h KEEPTTL FIELDS 2 a new b new",
		"COPY h h2", "RENAME h h2", "HSET h d 1", "RESTORE",
	}
	redistest.Each(t, []string{"redis-8.0", "redis-8.6", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		if !knows(t, srv, "HPEXPIRE") {
			return
		}
		d := startDifferential(t, srv)
		d.fieldsExpire.Store(true)
		redistest.Do(t, srv, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
		for i, command := range commands {
			if srv.Program.Name == "redis-8.0" && strings.HasPrefix(command, "HSETEX h F") {
				continue // it removes the field, and does not say so
			}
			// One after the other, so that events that a command causes later do not mix.
			key := fmt.Sprintf("h:%d.", i)
			if strings.HasPrefix(command, "HINCRBYFLOAT") {
				key = "hf:1" // see exempt
			}
			words := strings.Fields(command)
			for j := range words {
				if words[j] == "h" || words[j] == "h2" {
					words[j] = strings.Replace(words[j], "h", key, 1)
				}
			}
			d.send([][]string{
				{"HSET", key, "a", "1", "b", "2", "c", "3"}, {"HEXPIREAT", key, far, "FIELDS", "1", "c"},
				{"HPEXPIRE", key, "1", "FIELDS", "1", "a"},
			})
			set := serverTime(t, d.client)
			await(t, func() bool { return serverTime(t, d.client) > set+2 }) // a look at the field might remove it
			if command == "RESTORE" {
				d.restore(key, key+"2", false)
			} else {
				d.send([][]string{words})
			}
			redistest.Do(t, srv, "DEBUG", "SET-ACTIVE-EXPIRE", "1")
			for _, k := range []string{key, key + "2"} {
				await(t, func() bool {
					all, _ := d.client.Do("HGETALL", k)
					n, _ := d.client.Do("HLEN", k)
					return n == int64(len(list(all))/2)
				})
			}
			redistest.Do(t, srv, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
		}
		d.finish()
	}, "--enable-debug-command", "yes")
}

// serverTime is a server's clock, in milliseconds.
func serverTime(t *testing.T, c *servers.Client) int64 {
	t.Helper()
	reply, err := c.Do("TIME")
	if err != nil {
		t.Fatal(err)
	}
	var seconds, micros int64
	fmt.Sscan(fmt.Sprintln(list(reply)...), &seconds, &micros)
	return seconds*1000 + micros/1000
}

// knows reports whether a server, which the environment may have named, knows a
// command.
func knows(t *testing.T, srv *servers.Server, command string) bool {
	t.Helper()
	return list(redistest.Do(t, srv, "COMMAND", "INFO", command))[0] != nil
}

// await waits until something is so.
func await(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(end) {
			t.Fatal("not so after a minute")
		}
	}
}

// TestHsetexInThePast: Redis replicates an HSETEX whose deadline has passed as an
// HDEL of fields that may not have been there.
func TestHsetexInThePast(t *testing.T) {
	redistest.Each(t, []string{"redis-8.0", "redis-8.6"}, func(t *testing.T, srv *servers.Server) {
		if !knows(t, srv, "HSETEX") || dialect(srv.Program.Name) == keyspace.Valkey {
			return
		}
		d := startDifferential(t, srv)
		var commands [][]string
		for _, line := range []string{
			"HSETEX h:1 PXAT 1 FIELDS 1 a 1", "HSETEX h:1 EXAT 1 FIELDS 2 a 1 b 2", "HSETEX h:1 PXAT 1 FIELDS 2 a 1 a 2",
			"HSET h:1 a 1", "HSETEX h:1 PXAT 1 FIELDS 1 b 1", "HSETEX h:1 FNX PXAT 1 FIELDS 2 b 1 c 2", "HSET h:1 a 2",
			"MULTI", "HSETEX h:2 PXAT 1 FIELDS 1 a 1", "SET s 1", "HSETEX h:2 PXAT 1 FIELDS 1 a 1", "HSET h:2 a 1", "HSETEX h:2 PXAT 1 FIELDS 2 x 1 y 1", "EXEC",
			"HSET h:2 b 1", "HDEL h:2 a b", "HSET h:state a 1", "HSETEX state:h PXAT 1 FIELDS 1 a 1",
		} {
			commands = append(commands, strings.Fields(line))
		}
		d.send(commands)
		d.finish()
	})
}
