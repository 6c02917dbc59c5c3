package source

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// renewable reports whether a link that has told a version, for the sake of a
// snapshot, can be given up now: the snapshot is read, and so is the stream as
// far as it has come.
func (n *session) renewable(l *link, d *decoder, side *sideSnapshot) bool {
	return n.toRenew(l) && side == nil && !time.Now().Before(n.since.Add(renewAfter)) &&
		l.drained && len(l.r.Buffered()) == 0 && d.offset() == n.pos.Offset
}

func (n *session) toRenew(l *link) bool { return l.versioned && n.s.cfg.Ack == AckNone }

// renewAfter is how long after its snapshot a link is kept: a server that has
// not seen its child end would kill it.
const renewAfter = 300 * time.Millisecond

// wake returns when the read of a link has to be woken, for the consumer or to
// renew it; zero: never.
func (n *session) wake(l *link) time.Time {
	at := n.consumer.NextWake()
	if due := n.since.Add(renewAfter); n.toRenew(l) && time.Now().Before(due) && (at.IsZero() || due.Before(at)) {
		at = due
	}
	return at
}

// renew attaches a second link, which tells no version, where the first one
// stands: so the server's CLUSTER SETSLOT does not wait for triggerd longer
// than a snapshot takes. If that does not work the first one goes on.
func (n *session) renew(ctx context.Context, old *link) *link {
	s := n.s
	old.versioned = false // it is tried once
	l, err := n.second(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("link not renewed: until the next one, CLUSTER SETSLOT on this server waits for triggerd in vain", "server", s.addr.text, "err", err)
		}
		return nil
	}
	s.cfg.Logger.Debug("link renewed, without a version", "server", s.addr.text, "position", n.pos.String())
	return l
}

func (n *session) second(ctx context.Context) (*link, error) {
	s := n.s
	conn, err := s.addr.dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	l := newLink(conn, s.addr, s.cfg.DialTimeout, &s.heard)
	defer context.AfterFunc(ctx, l.close)()
	err = l.greet(&s.cfg, false)
	var a attachment
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
