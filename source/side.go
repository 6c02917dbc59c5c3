package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"triggerd/rdb"
)

// sideSnapshot is a snapshot on a second connection, for a consumer that lacks
// keys. Its keys are handed out when reading reaches the offset at which it was
// taken. While it is asked for nothing is read; what the server sends waits in
// the spool.
type sideSnapshot struct {
	link    *link
	content *snapshotReader
	pos     Position // where it was taken
}

// nearlyRead is how many bytes may be unread when a side snapshot is asked for:
// the server does not wait long for one to be read.
const nearlyRead = 1 << 20

// wantsSideSnapshot reports whether a side snapshot is to be asked for now. It is
// not if a full resync's comes.
func (n *session) wantsSideSnapshot() bool {
	return n.attached && !n.seeking && n.side == nil && n.handover.Load() == nil && n.consumer.LacksKeys() && n.replica.spool.Stats().Unread < nearlyRead
}

// openSideSnapshot asks for a side snapshot. If that fails the link is ended,
// and it is asked for again when there is another.
func (n *session) openSideSnapshot(ctx context.Context) {
	n.replica.syncingAside.Store(true)
	side, err := n.dialSideSnapshot(ctx)
	if err != nil {
		n.sideFailed(err)
		return
	}
	n.side = side
}

func (n *session) sideFailed(err error) {
	n.closeSide()
	n.attached = false // the spool says so soon
	n.reattach(&restart{err: err})
}

func (n *session) closeSide() {
	if n.side != nil {
		n.side.link.close()
	}
	n.side = nil
	n.replica.syncingAside.Store(false)
}

// dialSideSnapshot connects and asks for a snapshot. When it returns the server
// has taken the snapshot, and waits for it to be read.
func (n *session) dialSideSnapshot(ctx context.Context) (*sideSnapshot, error) {
	s := n.replica
	conn, err := s.server().dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	l := newLink(conn, s.server(), s.cfg.Timeout, &s.lastArrival)
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	side, err := n.requestSideSnapshot(l)
	if err != nil {
		l.close()
		return nil, err
	}
	return side, nil
}

func (n *session) requestSideSnapshot(l *link) (*sideSnapshot, error) {
	cfg := &n.replica.cfg
	if err := l.handshake(cfg, true); err != nil {
		return nil, err
	}
	// Servers before redis 6.2 do not know the option. They go on with a stream
	// that nobody reads, until the connection is closed.
	if err := l.replconf("rdb-only", "1"); err != nil {
		return nil, err
	}
	n.replica.cfg.Logger.Info("asking for a snapshot of the keys that rules need the values of, beside the stream", "server", n.replica.server().text)
	a, err := l.psync(cfg, Position{})
	if err != nil {
		return nil, err
	}
	if !a.full || a.legacy {
		return nil, errors.New("PSYNC: the server sends no snapshot")
	}
	p, err := newSnapshotReader(l, "PSYNC")
	if err != nil {
		return nil, err
	}
	return &sideSnapshot{link: l, content: p, pos: a.pos}, nil
}

// reached reports whether the stream has come to the snapshot's offset. It is
// an error if it never will.
func (side *sideSnapshot) reached(pos Position) (bool, error) {
	switch {
	case side.pos.ReplID != pos.ReplID && pos.Offset < side.pos.Offset:
		return false, nil // the stream may get the name on the way there
	case side.pos.ReplID != pos.ReplID:
		return false, fmt.Errorf("the snapshot is of another history than the stream: %s and %s", side.pos.ReplID, pos.ReplID)
	case pos.Offset > side.pos.Offset:
		return false, fmt.Errorf("the stream went past the snapshot: %s and %s", pos, side.pos)
	}
	return pos.Offset == side.pos.Offset, nil
}

// takeSideSnapshot hands out the side snapshot, if reading has come to it.
func (n *session) takeSideSnapshot(ctx context.Context) error {
	due, err := n.side.reached(n.pos)
	if due {
		stop := context.AfterFunc(ctx, n.side.link.close)
		err = n.yieldSideSnapshot(ctx, n.side)
		stop()
	}
	switch {
	case err == errStop:
		return err
	case err != nil:
		if due && !n.yieldLinkState(&Record{Kind: Detached, Time: time.Now(), Aborted: true}) {
			return errStop
		}
		n.sideFailed(err)
	case due:
		n.closeSide()
	}
	return nil
}

// yieldSideSnapshot hands out the keys of a side snapshot.
func (n *session) yieldSideSnapshot(ctx context.Context, side *sideSnapshot) error {
	s, began, at := n.replica, time.Now(), n.readUpTo()
	rec := Record{Kind: SnapshotBegin, Side: true, ReplID: side.pos.ReplID, Offset: side.pos.Offset, Time: at}
	if !n.yield(&rec) {
		return errStop
	}
	rd := rdb.NewReader(side.content)
	rd.Stop = ctx.Err
	rd.Strict, rd.NewerVersions = true, true
	keys, parsed, err := n.yieldKeys(rd, Record{Kind: Key, Side: true, ReplID: side.pos.ReplID, Offset: side.pos.Offset, RDB: rd, Time: at}, nil, nil)
	if err != nil {
		return err
	}
	if side.content.err != nil && side.content.err != io.EOF {
		return fmt.Errorf("read the snapshot: %w", side.content.err)
	}
	n.reportUnreadable(keys, parsed)
	s.cfg.Logger.Info("snapshot read", "server", side.link.addr.text, "position", side.pos.String(), "keys", keys, "bytes", side.content.total, "took", time.Since(began).Round(time.Millisecond))
	rec = Record{Kind: SnapshotEnd, Side: true, RDB: rd, ReplID: side.pos.ReplID, Offset: side.pos.Offset, Time: at, Pos: n.pos, Incomplete: parsed != io.EOF}
	if !n.yield(&rec) {
		return errStop
	}
	return nil
}

// yieldKeys hands out the keys of a snapshot. If first is not nil it is the
// first of them, already read; parsed is the error of that read. It returns how
// many there were, how parsing ended (io.EOF if all went well), and errStop if
// the caller wants no more.
func (n *session) yieldKeys(rd *rdb.Reader, rec Record, first *rdb.Entry, parsed error) (keys int, _ error, err error) {
	e := first
	if e == nil && parsed == nil {
		e, parsed = rd.Next()
	}
	for ; parsed == nil; e, parsed = rd.Next() {
		keys++
		rec.DB, rec.Entry = e.DB, e
		if !n.yield(&rec) {
			return keys, parsed, errStop
		}
	}
	return keys, parsed, nil
}

// reportUnreadable counts and logs a snapshot that could not be parsed to its
// end.
func (n *session) reportUnreadable(keys int, parsed error) {
	if parsed == nil || parsed == io.EOF {
		return
	}
	n.replica.updateStatus(func(st *Status) { st.SnapshotErrors++ })
	n.replica.cfg.Logger.Error("snapshot cannot be read to its end, the rest of it is skipped; the stream goes on", "keys", keys, "err", masked(n.replica.cfg.Secrets, parsed))
}
