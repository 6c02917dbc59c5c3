package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"triggerd/rdb"
)

// sideSnapshot is a snapshot on a connection of its own, for a session that
// resumes and whose consumer does not have the keys as they were. It is asked
// for before the stream, and read when the stream has come to the place where
// it was taken: behind it everything is known.
type sideSnapshot struct {
	l   *link
	p   *payload
	pos Position // where it was taken
}

// newSideSnapshot asks for a snapshot. When it returns the server has taken
// it, and waits for it to be read.
func (n *session) newSideSnapshot(ctx context.Context) (*sideSnapshot, error) {
	s := n.s
	conn, err := s.addr.dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	l := newLink(conn, s.addr, s.cfg.Timeout, &s.heard)
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	side, err := n.askSnapshot(l)
	if err != nil {
		l.close()
		return nil, err
	}
	return side, nil
}

func (n *session) askSnapshot(l *link) (*sideSnapshot, error) {
	cfg := &n.s.cfg
	if err := l.greet(cfg, true); err != nil {
		return nil, err
	}
	// Without the option, which is there since redis 6.2, the server goes on
	// with a stream that nobody reads, until the connection is closed.
	if err := l.replconf("rdb-only", "1"); err != nil {
		return nil, err
	}
	n.s.cfg.Logger.Info("asking for a snapshot of the keys that rules need the values of, before resuming", "server", n.s.addr.text)
	a, err := l.psync(cfg, Position{})
	if err != nil {
		return nil, err
	}
	if !a.full || a.legacy {
		return nil, errors.New("PSYNC: the server sends no snapshot")
	}
	p, err := newPayload(l, "PSYNC")
	if err != nil {
		return nil, err
	}
	return &sideSnapshot{l: l, p: p, pos: a.pos}, nil
}

func (side *sideSnapshot) close() {
	if side != nil {
		side.l.close()
	}
}

// due reports whether the stream has come to the place of the snapshot.
func (side *sideSnapshot) due(pos Position) (bool, error) {
	switch {
	case side == nil:
		return false, nil
	case side.pos.ReplID != pos.ReplID:
		return false, fmt.Errorf("the snapshot is of another history than the stream: %s and %s", side.pos.ReplID, pos.ReplID)
	case pos.Offset > side.pos.Offset:
		return false, fmt.Errorf("the stream went past the snapshot: %s and %s", pos, side.pos)
	}
	return pos.Offset == side.pos.Offset, nil
}

// load hands out a side snapshot's keys.
func (n *session) load(side *sideSnapshot) error {
	s, began := n.s, time.Now()
	rec := Record{Kind: SnapshotBegin, Side: true, ReplID: side.pos.ReplID, Offset: side.pos.Offset, Time: began}
	if !n.yield(&rec) {
		return errStop
	}
	rd := rdb.NewReader(side.p)
	rd.NewerVersions = true
	keys, parsed, err := n.keys(rd, Record{Kind: Key, Side: true, ReplID: side.pos.ReplID, Offset: side.pos.Offset, RDB: rd, Time: began}, nil, nil)
	if err != nil {
		return err
	}
	if side.p.err != nil && side.p.err != io.EOF {
		return fmt.Errorf("read the snapshot: %w", side.p.err)
	}
	n.spoiled(keys, parsed)
	s.cfg.Logger.Info("snapshot read", "server", s.addr.text, "position", side.pos.String(), "keys", keys, "bytes", side.p.n, "took", time.Since(began).Round(time.Millisecond))
	rec = Record{Kind: SnapshotEnd, Side: true, RDB: rd, ReplID: side.pos.ReplID, Offset: side.pos.Offset, Time: time.Now(), Pos: n.pos, Broken: parsed != io.EOF}
	if !n.yield(&rec) {
		return errStop
	}
	return nil
}

// keys hands out the keys of a snapshot, of which the first may have been read
// already. parsed is how reading ended, io.EOF if all is well.
func (n *session) keys(rd *rdb.Reader, rec Record, first *rdb.Entry, parsed error) (keys int, _ error, err error) {
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

// spoiled tells of a snapshot that could not be read to its end.
func (n *session) spoiled(keys int, parsed error) {
	if parsed == nil || parsed == io.EOF {
		return
	}
	n.s.update(func(st *Status) { st.SnapshotErrors++ })
	n.s.cfg.Logger.Error("snapshot cannot be read to its end, the rest of it is skipped; the stream goes on", "keys", keys, "err", masked(n.s.cfg.Secrets, parsed))
}
