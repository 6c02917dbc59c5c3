package source

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"triggerd/internal/spool"
)

// lacking is a consumer that wants all records, and may lack keys.
type lacking struct {
	replaying
	keys bool
}

func (c *lacking) LacksKeys() bool { return c.keys }

// attachedSession is a session with a link that begins behind offset 1000, and
// whose reading goroutine is the test's. It has read all.
func attachedSession(t *testing.T, c Consumer, yield func(*Record) bool) *session {
	t.Helper()
	s, err := NewReplica(Config{URL: "redis://h"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.newSession(Position{}, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.reader.Close)
	n.yield = yield
	n.pos, n.resynced = at(1000, 0), true
	if err := n.readFrom(n.reader.At(), n.pos); err != nil {
		t.Fatal(err)
	}
	n.receiver.pos = n.pos
	n.receiver.markAttached(&psyncReply{pos: n.pos, full: true}, ahead{})
	if err := n.readOne(t.Context()); err != nil || !n.attached {
		t.Fatalf("not attached: %v", err)
	}
	return n
}

// receiveBytes puts into the spool what a link would have brought.
func (n *session) receiveBytes(t *testing.T, b string) {
	t.Helper()
	room, err := n.replica.spool.Room(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.receiver.append(room[:copy(room, b)], time.Now(), nil)
}

// settleNow has the session find that all is read, as it does before it is woken.
func (n *session) settleNow(t *testing.T) {
	t.Helper()
	n.reader.Poke()
	if rec, err := n.next(); err != spool.ErrWoken {
		t.Fatalf("got %v, %v, want that there is nothing", rec, err)
	}
}

// What comes after the session has found that all is read, and before it looks
// why it was woken, is handed out before the session ends.
func TestReceivedBeforeFailure(t *testing.T) {
	var got []seen
	n := attachedSession(t, nil, func(r *Record) bool {
		got = append(got, see(r))
		return true
	})
	n.settleNow(t)
	n.receiveBytes(t, cmd("SET c 3"))
	lost := errors.New("the link is lost")
	n.fail(lost)
	err := n.wakeUp(t.Context())
	if err == nil {
		err = n.read(t.Context())
	}
	if want := []seen{{Kind: Command, Args: "SET c 3", Offset: 1027, Bytes: 27, Pos: at(1027, 0)}}; !slices.Equal(got, want) || err != lost {
		t.Errorf("got %+v, %v, want %+v, %v", got, err, want, lost)
	}
}

// Likewise, it is handed out before the snapshot of a link that was attached
// meanwhile is read, though the consumer has come to lack keys: it is of the
// history before, and at its offsets.
func TestReceivedBeforeResync(t *testing.T) {
	for name, settles := range map[string]bool{"all was read": true, "not all was read": false} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			var n *session
			var got []seen
			c := new(lacking)
			n = attachedSession(t, c, func(r *Record) bool {
				if r.Kind == Woken {
					return true
				}
				got = append(got, see(r))
				if r.Kind == SnapshotEnd {
					c.keys = false
				}
				return r.Offset != 5027
			})
			if got = nil; settles {
				n.settleNow(t)
			}
			n.receiveBytes(t, cmd("SET c 3"))
			n.replica.spool.Mark(spool.Mark{Kind: spool.Detached}, time.Now())
			reply := psyncReply{pos: Position{ReplID: "other", Offset: 5000}, full: true}
			l := newLink(&scriptedConn{said: chunked{[]byte(sized(rdbHead + rdbKey("a", "1") + rdbEnd)), 0}}, n.replica.addr, time.Minute, &n.replica.lastArrival)
			received := make(chan error, 1)
			go func() {
				err := n.passLink(ctx, l, &reply, true)
				if err == nil {
					n.receiver.pos = reply.pos
					n.receiver.markAttached(&reply, ahead{})
					room, _ := n.replica.spool.Room(ctx)
					n.receiver.append(room[:copy(room, cmd("SET d 4"))], time.Now(), nil)
				}
				received <- err
			}()
			for n.handover.Load() == nil && ctx.Err() == nil {
				time.Sleep(time.Millisecond) // it tells nobody
			}
			c.keys = true
			var err error
			if settles {
				err = n.wakeUp(ctx)
			}
			if err == nil {
				err = n.read(ctx)
			}
			if err != errStop {
				t.Errorf("the session ends with %v", err)
			}
			stop()
			if err := <-received; err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("the snapshot was not taken: %v", err)
			}
			began := at(1027, 0)
			end := Position{ReplID: "other", Offset: 5000}
			want := []seen{
				{Kind: Command, Args: "SET c 3", Offset: 1027, Bytes: 27, Pos: began},
				{Kind: Detached, Offset: 1027},
				{Kind: SnapshotBegin, Offset: 5000, Gap: true, From: began},
				{Kind: Key, Args: `"a"`, Offset: 5000},
				{Kind: SnapshotEnd, Offset: 5000, Gap: true, From: began, Pos: end},
				{Kind: Attached, Offset: 5000},
				{Kind: Command, Args: "SET d 4", Offset: 5027, Bytes: 27, Pos: Position{ReplID: "other", Offset: 5027}},
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%+v, want\n%+v", got, want)
			}
		})
	}
}
