package source

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// scriptedConn is a connection on which a server has said everything already.
type scriptedConn struct {
	net.Conn // nil: whatever else is called is a bug
	said     chunked
}

func (c *scriptedConn) Read(p []byte) (int, error)       { return c.said.Read(p) }
func (c *scriptedConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *scriptedConn) Close() error                     { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }

// outcome is what came of a conversation.
type outcome struct {
	recs   []seen
	pos    Position
	status Status
	err    error
}

// converse plays what a server says after PSYNC, in pieces of chunk bytes.
func converse(t testing.TB, said string, chunk int, from Position, wantKeys bool) outcome {
	t.Helper()
	s, err := NewReplica(Config{URL: "redis://h"})
	if err != nil {
		t.Fatal(err)
	}
	var o outcome
	l := newLink(&scriptedConn{said: chunked{[]byte(said), chunk}}, s.addr, time.Minute, &s.lastArrival)
	o.pos, o.err = playLink(t, s, from, l, wantKeys, func(r *Record) bool {
		o.recs = append(o.recs, see(r))
		return true
	})
	o.status = s.Status()
	return o
}

// playLink asks for the stream behind from over a link, and reads until the link
// is lost, and all is read. It returns how far that is, and why the link was
// lost.
func playLink(t testing.TB, s *Replica, from Position, l *link, wantKeys bool, yield func(*Record) bool) (Position, error) {
	t.Helper()
	n, err := s.newSession(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.yield = yield
	n.receiver.noInfo = l.addr.text // what is said begins with the answer to PSYNC
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.fail(n.receiver.syncAndReceive(t.Context(), l, wantKeys))
	}()
	err = n.read(t.Context())
	<-done
	if r := n.restart.Load(); r != nil {
		err = r.err
	}
	return n.pos, err
}

const (
	mark    = "0123456789abcdef0123456789abcdef01234567"
	rdbHead = "REDIS0009"
	rdbEnd  = "\xff\x00\x00\x00\x00\x00\x00\x00\x00" // without a checksum
)

// rdbKey is a string key of a snapshot.
func rdbKey(key, value string) string {
	return "\x00" + string(rune(len(key))) + key + string(rune(len(value))) + value
}

func sized(rdb string) string  { return fmt.Sprintf("$%d\r\n%s", len(rdb), rdb) }
func marked(rdb string) string { return "$EOF:" + mark + "\r\n" + rdb + mark }

const fullresync = "+FULLRESYNC id 1000\r\n"

func TestFullResync(t *testing.T) {
	none := Position{}
	begin := seen{Kind: SnapshotBegin, Offset: 1000}
	keyA, keyB := seen{Kind: Key, Args: `"a"`, Offset: 1000}, seen{Kind: Key, Args: `"b"`, DB: 2, Offset: 1000}
	end := seen{Kind: SnapshotEnd, Offset: 1000, Pos: at(1000, 0)}
	live := seen{Kind: Command, Args: "SET c 3", Offset: 1027, Bytes: 27, Pos: at(1027, 0)}
	rdb := rdbHead + rdbKey("a", "1") + "\xfe\x02" + rdbKey("b", "2") + rdbEnd
	gap := func(s seen, from Position) seen { s.Gap, s.From = true, from; return s }

	for _, c := range []struct {
		name   string
		said   func(frame func(string) string) string
		from   Position
		keys   bool
		want   []seen
		broken bool // the snapshot
	}{
		{"keys", func(f func(string) string) string { return fullresync + f(rdb) }, none, true,
			[]seen{begin, keyA, keyB, end, live}, false},
		{"keys not wanted", func(f func(string) string) string { return fullresync + f(rdb) }, none, false,
			[]seen{begin, end, live}, false},
		{"keepalive coalesced with the framing", func(f func(string) string) string { return "\n\n" + fullresync + "\n\n\n" + f(rdb) }, none, true,
			[]seen{begin, keyA, keyB, end, live}, false},
		{"more tokens", func(f func(string) string) string {
			return "+FULLRESYNC id 1000 7 applied_info{} 0\r\n" + f(rdb)
		}, none, true, []seen{begin, keyA, keyB, end, live}, false},
		{"database of the stream", func(f func(string) string) string {
			return fullresync + f(rdbHead+"\xfa\x0erepl-stream-db\x017"+rdbEnd)
		}, none, true, []seen{begin, {Kind: SnapshotEnd, Offset: 1000, Pos: at(1000, 7)},
			{Kind: Command, Args: "SET c 3", DB: 7, Offset: 1027, Bytes: 27, Pos: at(1027, 7)}}, false},
		{"gap", func(f func(string) string) string { return fullresync + f(rdb) }, at(900, 1), true,
			[]seen{gap(begin, at(900, 1)), keyA, keyB, gap(end, at(900, 1)), live}, false},
		{"no gap where nothing was missed", func(f func(string) string) string { return fullresync + f(rdb) }, at(1000, 0), false,
			[]seen{{Kind: SnapshotBegin, Offset: 1000, From: at(1000, 0)}, {Kind: SnapshotEnd, Offset: 1000, From: at(1000, 0), Pos: at(1000, 0)}, live}, false},
		{"unknown type", func(f func(string) string) string {
			return fullresync + f(rdbHead+rdbKey("a", "1")+"\xc8"+strings.Repeat("what is this?", 1000))
		}, none, true, []seen{begin, keyA, end, live}, true},
		{"unknown format", func(f func(string) string) string { return fullresync + f("LZ4-"+strings.Repeat("compressed", 1000)) }, none, true,
			[]seen{begin, end, live}, true},
		{"empty", func(f func(string) string) string { return fullresync + f("") }, none, true,
			[]seen{begin, end, live}, true},
		{"wrong checksum", func(f func(string) string) string {
			return fullresync + f(rdbHead+rdbKey("a", "1")+"\xff12345678")
		}, none, true, []seen{begin, keyA, end, live}, true},
		{"ends too early", func(f func(string) string) string { return fullresync + f(rdbHead+rdbKey("a", "1")+"\x00\x01bc") }, none, true,
			[]seen{begin, keyA, {Kind: Key, Args: `"b"`, Offset: 1000}, end, live}, true},
		{"looks like its own framing", func(f func(string) string) string {
			return fullresync + f(rdbHead+rdbKey("a", mark[:39])+"\xfe\x02"+rdbKey("b", "$EOF:"+mark[:20]+mark[:20])+rdbEnd)
		}, none, true, []seen{begin, keyA, keyB, end, live}, false},
	} {
		for framing, frame := range map[string]func(string) string{"len": sized, "eof": marked} {
			said := c.said(frame) + cmd("SET c 3")
			// Every split of a short conversation at one place is among pieces of
			// 1 to its length.
			chunks := []int{0, 1, 2, 3, 7, 39, 40, 41, 64, 1000}
			if len(said) < 400 {
				for n := range len(said) {
					chunks = append(chunks, n)
				}
			}
			for _, chunk := range chunks {
				o := converse(t, said, chunk, c.from, c.keys)
				if !slices.Equal(o.recs, c.want) {
					t.Errorf("%s, %s, pieces of %d:\ngot  %+v\nwant %+v", c.name, framing, chunk, o.recs, c.want)
				}
				if want := "read the stream: server closed the connection"; o.err == nil || o.err.Error() != want {
					t.Errorf("%s, %s, pieces of %d: got error %v, want %s", c.name, framing, chunk, o.err, want)
				}
				if got := o.status.SnapshotErrors > 0; got != c.broken || o.status.FullResyncs != 1 || (o.status.Gaps == 1) != o.recs[0].Gap {
					t.Errorf("%s, %s, pieces of %d: status %+v", c.name, framing, chunk, o.status)
				}
				if o.status.LastData.IsZero() {
					t.Errorf("%s: Status.LastData is not set", c.name)
				}
			}
		}
	}
}

// TestMarkSplitAtEveryByte gives the end mark in two pieces, cut everywhere.
func TestMarkSplitAtEveryByte(t *testing.T) {
	said := fullresync + marked(rdbHead+rdbKey("a", mark[:30])+rdbEnd) + cmd("SET c 3")
	for cut := 1; cut < len(said); cut++ {
		s, _ := NewReplica(Config{URL: "redis://h"})
		var kinds []Kind
		conn := struct {
			net.Conn
			io.Reader
		}{&scriptedConn{}, io.MultiReader(strings.NewReader(said[:cut]), strings.NewReader(said[cut:]))}
		l := newLink(readFrom{conn.Conn, conn.Reader}, s.addr, time.Minute, &s.lastArrival)
		playLink(t, s, Position{}, l, true, func(r *Record) bool { kinds = append(kinds, r.Kind); return true }) // it ends with the script
		if want := []Kind{SnapshotBegin, Key, SnapshotEnd, Command}; !slices.Equal(kinds, want) {
			t.Errorf("cut at %d: got %v, want %v", cut, kinds, want)
		}
	}
}

// readFrom is a connection that reads from something else.
type readFrom struct {
	net.Conn
	r io.Reader
}

func (c readFrom) Read(p []byte) (int, error) { return c.r.Read(p) }

func TestPartialResync(t *testing.T) {
	live := seen{Kind: Command, Args: "SET c 3", DB: 3, Offset: 1027, Bytes: 27, Pos: at(1027, 3)}
	for _, c := range []struct {
		name, said string
		want       []seen
	}{
		{"same history", "+CONTINUE\r\n", []seen{live}},
		{"same history, named", "+CONTINUE id\r\n", []seen{live}},
		{"after keepalives", "\n\n\n+CONTINUE\r\n", []seen{live}},
		{"new name for the history", "+CONTINUE id2\r\n", []seen{
			{Kind: Heartbeat, DB: 3, Offset: 1000, Pos: Position{ReplID: "id2", Offset: 1000, DB: 3}},
			{Kind: Command, Args: "SET c 3", DB: 3, Offset: 1027, Bytes: 27, Pos: Position{ReplID: "id2", Offset: 1027, DB: 3}}}},
	} {
		for _, chunk := range []int{0, 1, 7} {
			o := converse(t, c.said+cmd("SET c 3"), chunk, start, false)
			if !slices.Equal(o.recs, c.want) || o.status.PartialResyncs != 1 || o.status.FullResyncs != 0 {
				t.Errorf("%s:\ngot  %+v, status %+v\nwant %+v", c.name, o.recs, o.status, c.want)
			}
		}
	}
}

func TestAttachmentErrors(t *testing.T) {
	for _, c := range []struct{ name, said, want string }{
		{"nothing", "", "PSYNC: EOF"},
		{"no line", "+FULLRESYNC id 10", "PSYNC: unexpected EOF"},
		{"not an answer", "+OK\r\n", `answer "OK" is not one to PSYNC`},
		{"other type", ":5\r\n", "answer is not Redis protocol"},
		{"FULLRESYNC without offset", "+FULLRESYNC id\r\n", "is not one to PSYNC"},
		{"FULLRESYNC with a wrong offset", "+FULLRESYNC id x\r\n", "not an offset"},
		{"FULLRESYNC with a negative offset", "+FULLRESYNC id -1\r\n", "not an offset"},
		{"FULLRESYNC with an offset over all limits", "+FULLRESYNC id 9223372036854775807\r\n", "not an offset"},
		{"FULLRESYNC with a wrong ID", "+FULLRESYNC i/d 1\r\n", "not a replication ID"},
		{"CONTINUE with a wrong ID", "+CONTINUE i/d\r\n", "not a replication ID"},
		{"dual channel that was not asked for", "+DUALCHANNELSYNC\r\n", "is not one to PSYNC"},
		{"endless line", "+" + strings.Repeat("x", 70<<10), "line of more than"},
		{"error", "-NOMASTERLINK Can't SYNC while not connected with my master\r\n", "lost its own primary"},
		{"no snapshot", fullresync, "wait for the snapshot: EOF"},
		{"error instead of a snapshot, and more", fullresync + "-ERR BGSAVE failed\r\n$5\r\nhello*x\r\n", `PSYNC: server said "ERR BGSAVE failed"`},
		{"length over all limits", fullresync + "$9223372036854775808\r\n", "does not open one"},
		{"negative length", fullresync + "$-1\r\n", "does not open one"},
		{"no length", fullresync + "$\r\n", "does not open one"},
		{"length with rubbish", fullresync + "$1x\r\n", "does not open one"},
		{"mark too short", fullresync + "$EOF:" + mark[:39] + "\r\n", "does not open one"},
		{"mark too long", fullresync + "$EOF:" + mark + "0\r\n", "does not open one"},
		{"command instead of a snapshot", fullresync + cmd("PING"), "does not open one"},
		{"snapshot cut short", fullresync + sized(rdbHead + rdbKey("a", "1") + rdbEnd)[:15], "read the snapshot: unexpected EOF"},
		{"huge snapshot cut short", fullresync + "$9223372036854775807\r\n" + rdbHead + rdbKey("a", "1"), "read the snapshot: unexpected EOF"},
		{"mark never comes", fullresync + "$EOF:" + mark + "\r\n" + rdbHead + rdbKey("a", "1") + rdbEnd + mark[:39], "read the snapshot: unexpected EOF"},
		{"unreadable snapshot cut short", fullresync + "$100\r\nwhat is this?", "read the snapshot: unexpected EOF"},
	} {
		for _, chunk := range []int{0, 1, 7} {
			for _, keys := range []bool{true, false} {
				o := converse(t, c.said, chunk, start, keys)
				if o.err == nil || !strings.Contains(o.err.Error(), c.want) {
					t.Errorf("%s, pieces of %d:\ngot  %v\nwant %s", c.name, chunk, o.err, c.want)
				}
				if o.pos != start || o.status.Connects != 0 {
					t.Errorf("%s: position %v, status %+v", c.name, o.pos, o.status)
				}
			}
		}
	}
	t.Run("CONTINUE that was not asked for", func(t *testing.T) {
		o := converse(t, "+CONTINUE\r\n", 0, Position{}, false)
		if o.err == nil || !strings.Contains(o.err.Error(), "was not asked for") {
			t.Errorf("got %v", o.err)
		}
	})
}

// TestSyncOfOldServer plays the answers of a server that has no PSYNC.
func TestSyncOfOldServer(t *testing.T) {
	const unknown = "-ERR unknown command 'PSYNC'\r\n"
	t.Run("position from the snapshot", func(t *testing.T) {
		rdb := rdbHead + "\xfa\x07repl-id\x05other\xfa\x0brepl-offset\x04\x34\x30\x30\x30" + rdbKey("a", "1") + rdbEnd
		o := converse(t, unknown+"\n\n"+sized(rdb)+cmd("SET c 3"), 1, Position{}, true)
		want := []seen{
			{Kind: SnapshotBegin, Offset: 4000}, {Kind: Key, Args: `"a"`, Offset: 4000},
			{Kind: SnapshotEnd, Offset: 4000, Pos: Position{ReplID: "other", Offset: 4000, DB: 0}},
			{Kind: Command, Args: "SET c 3", Offset: 4027, Bytes: 27}}
		if !slices.Equal(o.recs, want) {
			t.Errorf("got  %+v\nwant %+v", o.recs, want)
		}
		if want := (Position{ReplID: "other", Offset: 4027, DB: 0}); o.pos != want {
			t.Errorf("position %v, want %v: a gap would be told to begin too early", o.pos, want)
		}
	})
	t.Run("position made up, each time another", func(t *testing.T) {
		ids := map[string]bool{}
		for range 3 {
			o := converse(t, unknown+sized(rdbHead+rdbEnd), 0, Position{}, true)
			if !strings.HasPrefix(o.pos.ReplID, "sync-") || o.pos.Offset != 0 {
				t.Errorf("position %v", o.pos)
			}
			ids[o.pos.ReplID] = true
		}
		if len(ids) != 3 {
			t.Errorf("got %v", ids)
		}
	})
	t.Run("no SYNC either", func(t *testing.T) {
		o := converse(t, unknown+"-ERR unknown command 'SYNC'\r\n", 0, Position{}, true)
		var refused *ServerError
		if !errors.As(o.err, &refused) || refused.Command != "SYNC" || !strings.Contains(refused.Hint, "psync_command") {
			t.Errorf("got %v", o.err)
		}
	})
}

// FuzzHandshake checks that how the answers to PSYNC arrive does not matter,
// and that records come in an order that makes sense.
func FuzzHandshake(f *testing.F) {
	rdb := rdbHead + rdbKey("a", "1") + "\xfe\x02" + rdbKey("b", "2") + rdbEnd
	for _, s := range []string{
		"\n" + fullresync + "\n" + sized(rdb) + cmd("SET c 3", "MULTI", "SET d 4", "EXEC"),
		fullresync + marked(rdb+mark[:39]) + cmd("SET c 3"),
		fullresync + marked(rdbHead+rdbKey("a", "1")+"\xc8???") + cmd("SET c 3"),
		"+CONTINUE id2\r\n" + cmd("SET c 3"), "+CONTINUE\r\n-ERR\r\n",
		"-ERR unknown command\r\n" + sized(rdb) + cmd("SET c 3"),
		"\n" + sized(rdb) + cmd("SET c 3"), "$0\r\n" + cmd("SET c 3"),
		fullresync + sized(strings.TrimSuffix(rdb, rdbEnd)+"\xff12345678") + "*x\r\n",
		"-ERR unknown command\r\n-ERR unknown command\r\n", "-LOADING\r\n",
		fullresync + "$9223372036854775807\r\n", "+FULLRESYNC id 4611686018427387904\r\n$0\r\n\n",
	} {
		f.Add([]byte(s), uint8(0), true, true)
		f.Add([]byte(s), uint8(6), false, false)
	}
	f.Fuzz(func(t *testing.T, said []byte, chunk uint8, resume, keys bool) {
		var from Position
		if resume {
			from = start
		}
		all := converse(t, string(said), 0, from, keys)
		split := converse(t, string(said), int(chunk)+1, from, keys)
		if len(all.recs) > 0 && strings.HasPrefix(all.pos.ReplID, "sync-") {
			return // made up anew each time
		}
		if !slices.Equal(all.recs, split.recs) || all.err.Error() != split.err.Error() || all.pos != split.pos {
			t.Errorf("in pieces of %d: got %+v, %v\nat once: %+v, %v", chunk+1, split.recs, split.err, all.recs, all.err)
		}
		last, inside := from, false
		for i, r := range all.recs {
			switch r.Kind {
			case SnapshotBegin:
				inside = true
			case SnapshotEnd:
				if !inside || r.Pos.IsZero() || r.From != from || r.Gap != (!from.IsZero() && (r.Pos.ReplID != from.ReplID || r.Pos.Offset != from.Offset)) {
					t.Errorf("record %d: %+v", i, r)
				}
				inside, last = false, r.Pos
			default:
				if inside != (r.Kind == Key) || inside && !keys || inside && !r.Pos.IsZero() {
					t.Errorf("record %d is out of place: %+v", i, r)
				}
			}
			if r.Pos.IsZero() {
				continue
			}
			if r.Pos.ReplID == last.ReplID && r.Pos.Offset < last.Offset || r.Pos.Offset < 0 {
				t.Errorf("record %d: position %v after %v", i, r.Pos, last)
			}
			last = r.Pos
		}
		if all.pos != last && all.status.Connects > 0 && !strings.HasPrefix(string(said), "-") {
			t.Errorf("the session resumes at %v, the caller was told %v", all.pos, last)
		}
	})
}
