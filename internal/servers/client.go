package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Limits on what a server may make a Client hold.
const (
	maxLine  = 64 << 10  // bytes of a line
	maxBulk  = 512 << 20 // bytes of a string: the server's own limit
	maxDepth = 16        // arrays in arrays
)

// ReplyError is an error that the server replied: "ERR unknown command ...".
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// Client is a connection to a server, for tests and the demo: RESP2, no
// reconnecting, no pool. It is not safe for concurrent use. After an error
// that is not a ReplyError it is of no more use than to be closed.
type Client struct {
	// Timeout bounds each Flush and each Receive; 0 means 10 seconds. Raise it
	// for commands that block.
	Timeout time.Duration

	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

// Dial connects to addr: "host:port", or the path of a unix socket.
func Dial(ctx context.Context, addr string) (*Client, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return NewClient(conn), nil
}

// NewClient returns a client that speaks over conn, which it owns: a TLS
// connection, a pipe.
func NewClient(conn net.Conn) *Client {
	return &Client{conn: conn, r: bufio.NewReaderSize(conn, maxLine), w: bufio.NewWriter(conn)}
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Do sends one command and returns its reply, as Receive does.
func (c *Client) Do(args ...string) (any, error) {
	if err := c.Send(args...); err != nil {
		return nil, err
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	return c.Receive()
}

// Send adds a command to what the next Flush sends. Each arg is sent as the
// bytes it is.
func (c *Client) Send(args ...string) error {
	c.setDeadline() // a full buffer is sent at once
	fmt.Fprintf(c.w, "*%d\r\n", len(args))
	var err error
	for _, a := range args {
		_, err = fmt.Fprintf(c.w, "$%d\r\n%s\r\n", len(a), a)
	}
	return err // a bufio.Writer repeats its first error
}

// Flush sends the commands that Send gathered.
func (c *Client) Flush() error {
	c.setDeadline()
	return c.w.Flush()
}

// Receive returns the next reply: a string for a status or a string, an int64,
// an []any, or nil for a null. An error reply is returned as a ReplyError;
// inside an array it is an element.
func (c *Client) Receive() (any, error) {
	c.setDeadline()
	v, err := readReply(c.r, maxDepth)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	if e, ok := v.(ReplyError); ok {
		return nil, e
	}
	return v, nil
}

func (c *Client) setDeadline() {
	d := c.Timeout
	if d == 0 {
		d = 10 * time.Second
	}
	_ = c.conn.SetDeadline(time.Now().Add(d)) // if it is closed, a reply may still be in the buffer
}

// readReply reads one RESP2 reply, whose arrays are at most depth deep. The
// error is io.EOF only if there was nothing to read.
func readReply(r *bufio.Reader, depth int) (any, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, errors.New("empty line")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return ReplyError(rest), nil
	case ':', '$', '*':
	default:
		return nil, fmt.Errorf("unknown reply type %q", kind)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("number after %q: %w", kind, err)
	}
	switch {
	case kind == ':':
		return n, nil
	case n == -1:
		return nil, nil
	case n < 0:
		return nil, fmt.Errorf("length %d", n)
	case kind == '$':
		return readBulk(r, n)
	}
	return readArray(r, n, depth)
}

func readBulk(r *bufio.Reader, n int64) (any, error) {
	if n > maxBulk {
		return nil, fmt.Errorf("string of %d bytes, at most %d are allowed", n, maxBulk)
	}
	var b strings.Builder // grows as the bytes arrive
	if _, err := io.CopyN(&b, r, n+2); err != nil {
		return nil, unexpected(err)
	}
	s, ok := strings.CutSuffix(b.String(), "\r\n")
	if !ok {
		return nil, errors.New("string does not end with CRLF")
	}
	return s, nil
}

func readArray(r *bufio.Reader, n int64, depth int) (any, error) {
	if depth == 0 {
		return nil, fmt.Errorf("arrays more than %d deep", maxDepth)
	}
	array := []any{} // grows as the elements arrive
	for range n {
		v, err := readReply(r, depth-1)
		if err != nil {
			return nil, unexpected(err)
		}
		array = append(array, v)
	}
	return array, nil
}

// readLine reads up to CRLF, which it does not return. A line that does not
// fit r's buffer is an error.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if len(line) > 0 {
			err = unexpected(err)
		}
		return "", err
	}
	s, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return "", fmt.Errorf("line %q does not end with CRLF", line)
	}
	return s, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
