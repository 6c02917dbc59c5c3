package source

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// needsRenewal reports whether a link has told the server a version, which it
// did to get a snapshot, and is to be replaced.
func (v *receiver) needsRenewal(l *link) bool { return l.toldVersion && v.n.replica.cfg.Ack == AckNone }

// renewAfter is how long a link is kept after its snapshot. If a link closes
// before the server has seen its child process end, the server kills the child.
const renewAfter = 300 * time.Millisecond

// renewalTime returns when the read of a link has to be woken to renew the link;
// zero: never.
func (v *receiver) renewalTime(l *link) time.Time {
	if !v.needsRenewal(l) {
		return time.Time{}
	}
	return v.streamSince.Add(renewAfter)
}

// renewLink attaches a second link at the same byte, one that tells no version.
// So CLUSTER SETSLOT waits for triggerd no longer than a snapshot takes. If that
// fails it returns nil, and the first link stays.
func (v *receiver) renewLink(ctx context.Context, old *link) *link {
	s := v.n.replica
	old.toldVersion = false // it is tried once
	l, err := v.dialRenewed(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("link not renewed: until the next one, CLUSTER SETSLOT on this server waits for triggerd in vain", "server", s.server().text, "err", err)
		}
		return nil
	}
	s.cfg.Logger.Debug("link renewed, without a version", "server", s.server().text, "position", v.pos.String())
	return l
}

func (v *receiver) dialRenewed(ctx context.Context) (*link, error) {
	s := v.n.replica
	conn, err := s.server().dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	l := newLink(conn, s.server(), s.cfg.DialTimeout, &s.lastArrival)
	defer context.AfterFunc(ctx, l.close)()
	err = l.handshake(&s.cfg, false)
	var a psyncReply
	if err == nil {
		a, err = l.psync(&s.cfg, v.pos)
	}
	if err == nil && (a.full || a.pos != v.pos) {
		err = errors.New("PSYNC: the server does not resume where the first link stands")
	}
	if err != nil {
		l.close()
		return nil, err
	}
	l.timeout = s.cfg.Timeout
	return l, nil
}
