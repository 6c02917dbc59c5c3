package source

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// canRenew reports whether a link that told the server a version, to get a
// snapshot, can be replaced now. That is so once the snapshot and all that the
// server has sent are read.
func (n *session) canRenew(l *link, d *decoder, side *sideSnapshot) bool {
	return n.needsRenewal(l) && side == nil && !time.Now().Before(n.streamSince.Add(renewAfter)) &&
		l.readAll && len(l.r.Buffered()) == 0 && d.offset() == n.pos.Offset
}

func (n *session) needsRenewal(l *link) bool { return l.toldVersion && n.replica.cfg.Ack == AckNone }

// renewAfter is how long a link is kept after its snapshot. If a link closes
// before the server has seen its child process end, the server kills the child.
const renewAfter = 300 * time.Millisecond

// nextWake returns when the read of a link has to be woken, for the consumer or
// to renew the link; zero: never.
func (n *session) nextWake(l *link) time.Time {
	at := n.consumer.NextWake()
	if due := n.streamSince.Add(renewAfter); n.needsRenewal(l) && time.Now().Before(due) && (at.IsZero() || due.Before(at)) {
		at = due
	}
	return at
}

// renewLink attaches a second link at the same position, one that tells no
// version. So CLUSTER SETSLOT waits for triggerd no longer than a snapshot
// takes. If that fails it returns nil, and the first link stays.
func (n *session) renewLink(ctx context.Context, old *link) *link {
	s := n.replica
	old.toldVersion = false // it is tried once
	l, err := n.dialRenewed(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("link not renewed: until the next one, CLUSTER SETSLOT on this server waits for triggerd in vain", "server", s.addr.text, "err", err)
		}
		return nil
	}
	s.cfg.Logger.Debug("link renewed, without a version", "server", s.addr.text, "position", n.pos.String())
	return l
}

func (n *session) dialRenewed(ctx context.Context) (*link, error) {
	s := n.replica
	conn, err := s.addr.dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	l := newLink(conn, s.addr, s.cfg.DialTimeout, &s.lastArrival)
	defer context.AfterFunc(ctx, l.close)()
	err = l.handshake(&s.cfg, false)
	var a psyncReply
	if err == nil {
		a, err = l.psync(&s.cfg, n.pos)
	}
	if err == nil && (a.full || a.pos != n.pos) {
		err = errors.New("PSYNC: the server does not resume where the first link stands")
	}
	if err != nil {
		l.close()
		return nil, err
	}
	l.timeout = s.cfg.Timeout
	return l, nil
}
