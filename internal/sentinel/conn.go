package sentinel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"triggerd/internal/resp"
)

// conn is a connection to a Sentinel.
type conn struct {
	net.Conn
	r       *replyReader
	timeout time.Duration
}

// connect connects to a Sentinel, and logs in.
func (g *Group) connect(ctx context.Context, s *Sentinel) (*conn, error) {
	nc, err := s.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &conn{Conn: nc, r: newReplyReader(nc), timeout: g.c.Timeout}
	if g.c.Password == "" {
		return c, nil
	}
	args := []string{"AUTH", g.c.User, g.c.Password}
	if g.c.User == "" {
		args = []string{"AUTH", g.c.Password}
	}
	if _, err := c.do(ctx, args...); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// do sends a command and returns the reply. An error reply is an error with what
// to do about it.
func (c *conn) do(ctx context.Context, args ...string) (any, error) {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(resp.AppendCommand(nil, args...)); err != nil {
		return nil, hangUp(err)
	}
	reply, err := c.r.read()
	if err != nil {
		return nil, hangUp(err)
	}
	if refused, ok := reply.(ReplyError); ok {
		return nil, explain(args[0], refused)
	}
	return reply, nil
}

// plain drops our own address from a network error: the same error is to have the
// same text each time.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// hangUp adds to the error of a connection that ended before there was an answer
// what may be the matter.
func hangUp(err error) error {
	err = plain(err)
	switch text := err.Error(); {
	case strings.Contains(text, "tls: certificate required"):
		return fmt.Errorf("%w: the Sentinel wants a client certificate: add cert=FILE and key=FILE to the URL", err)
	case strings.Contains(text, "tls: bad certificate"), strings.Contains(text, "tls: unknown certificate authority"), strings.Contains(text, "tls: expired certificate"):
		return fmt.Errorf("%w: the Sentinel does not accept the client certificate of the URL (cert, key)", err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: it closed the connection (if it speaks TLS, write rediss+sentinel://; if it wants a client certificate, add cert=FILE and key=FILE)", err)
	}
	return err
}

// explain adds to an error reply what to do about it.
func explain(command string, e ReplyError) error {
	if head, _, cut := strings.Cut(string(e), ", with args beginning"); cut {
		e = ReplyError(head) // servers repeat the arguments, and one of AUTH's is the password
	}
	text := strings.ToLower(string(e))
	switch {
	case e.code() == "NOAUTH":
		return fmt.Errorf("%w: the Sentinel wants a password: set sentinel_password in [source]", e)
	case e.code() == "WRONGPASS", strings.Contains(text, "invalid password"):
		return fmt.Errorf("%w: sentinel_user or sentinel_password in [source] is wrong", e)
	case strings.Contains(text, "without any password configured"), strings.Contains(text, "no password is set"):
		return fmt.Errorf("%w: the Sentinel has no password: take sentinel_password out of [source]", e)
	case e.code() == "NOPERM":
		return fmt.Errorf("%w: allow it to the Sentinel's user: +sentinel|master +sentinel|replicas +sentinel|get-master-addr-by-name +subscribe allchannels", e)
	case e.code() == "DENIED":
		return fmt.Errorf("%w: the Sentinel runs in protected mode: set a password on it, or protected-mode no", e)
	case command == "SENTINEL" && strings.HasPrefix(text, "err unknown command"):
		return fmt.Errorf("%w: it is no Sentinel: write the addresses of the Sentinels, whose port is 26379 by default", e)
	}
	return e
}

// ping asks on a subscribed connection whether the Sentinel is there. The answer
// comes among the messages.
func (c *conn) ping() error {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.Write(resp.AppendCommand(nil, "PING"))
	return plain(err)
}
