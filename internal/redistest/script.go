package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// stepTimeout is how long a peer may take to do what a step expects.
const stepTimeout = 30 * time.Second

// Script is one conversation, step by step, from the primary's side. After
// the last step the connection is closed as Close does, unless it ended with
// Reset or Hang.
//
//	redistest.Script{
//		redistest.Expect("PING"), redistest.Send("+PONG\r\n"),
//		redistest.Expect("REPLCONF", "listening-port", "*"), redistest.Send("+OK\r\n"),
//		redistest.Expect("PSYNC", "?", "-1"), redistest.Send("+FULLRESYNC "),
//		redistest.Reset(),
//	}
type Script []Step

// Step is one step of a Script.
type Step struct {
	name string
	run  func(*conversation) error
}

// Run plays the script over conn, which it closes, for tests that bring their
// own connection: a net.Pipe in a synctest bubble. It returns where and how the
// peer deviated, or ctx's error if that was done; Hang ends when the peer
// closes or ctx is done.
func (s Script) Run(ctx context.Context, conn net.Conn) error {
	return s.play(ctx, conn, func() {})
}

// Expect reads one command, in RESP or inline, and compares it with args: the
// first without regard to case, the others exactly. "*" matches any one
// argument, and "..." as the last one any further ones. Unless it is what is
// expected, a REPLCONF ACK is passed over, since it may come at any time, and an
// INFO is refused, as by a server whose user may not look.
func Expect(args ...string) Step {
	return Step{"expect " + showCommand(args), func(c *conversation) error {
		for {
			got, err := c.readCommand()
			if err != nil {
				return err
			}
			if matches(got, args) {
				return nil
			}
			switch {
			case strings.EqualFold(got[0], "INFO"):
				if _, err := io.WriteString(c.conn, "-NOPERM this user has no permissions to run the 'info' command\r\n"); err != nil {
					return err
				}
			case !isAck(got):
				return fmt.Errorf("got:  %s\nwant: %s", showCommand(got), showCommand(args))
			}
		}
	}}
}

// ExpectAck waits for a REPLCONF ACK with this offset. It passes over ACKs of
// lower offsets; one of a higher offset, or another command, is a deviation.
func ExpectAck(offset int64) Step {
	want := []string{"REPLCONF", "ACK", strconv.FormatInt(offset, 10)}
	return Step{"expect " + showCommand(want), func(c *conversation) error {
		for {
			got, err := c.readCommand()
			if err != nil {
				return err
			}
			n := int64(-1)
			if isAck(got) {
				n, err = strconv.ParseInt(got[2], 10, 64)
			}
			switch {
			case err == nil && n == offset:
				return nil
			case err != nil || n < 0 || n > offset:
				return fmt.Errorf("got:  %s\nwant: %s", showCommand(got), showCommand(want))
			}
		}
	}}
}

// Send sends data as it is.
func Send(data string) Step { return SendChunks(len(data), data) }

// SendChunks sends data in writes of n bytes.
func SendChunks(n int, data string) Step {
	return Step{"send " + show(data), func(c *conversation) error {
		c.note("> ", show(data))
		for rest := data; rest != ""; {
			k := min(max(n, 1), len(rest))
			if _, err := io.WriteString(c.conn, rest[:k]); err != nil {
				return err
			}
			rest = rest[k:]
		}
		return nil
	}}
}

// Close closes the connection in good order (FIN) and waits until the peer has
// closed it too. What the peer still sends is passed over.
func Close() Step {
	return Step{"close", func(c *conversation) error {
		if c.ended {
			return nil
		}
		c.ended = true
		half, ok := c.conn.(interface{ CloseWrite() error })
		if !ok {
			return c.conn.Close()
		}
		if err := half.CloseWrite(); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, c.r); err != nil && !isReset(err) {
			return fmt.Errorf("wait for the peer to close: %w", err)
		}
		return nil
	}}
}

// Reset closes the connection with RST. It needs a TCP connection.
func Reset() Step {
	return Step{"reset", func(c *conversation) error {
		c.ended = true
		tcp, ok := c.conn.(*net.TCPConn)
		if !ok {
			return fmt.Errorf("a %T cannot be reset", c.conn)
		}
		return reset(tcp)
	}}
}

// Hang keeps the connection open and silent until the peer closes it or the
// test ends. REPLCONF ACKs are passed over; another command is a deviation.
func Hang() Step {
	return Step{"hang", func(c *conversation) error {
		c.ended = true
		c.settled()
		_ = c.conn.SetDeadline(time.Time{}) // if it is closed, what was read before may still do
		for {
			got, err := c.readCommand()
			if err != nil && (c.ctx.Err() != nil || errors.Is(err, io.EOF) || isReset(err)) {
				return nil
			}
			if err != nil {
				return err
			}
			if !isAck(got) {
				return fmt.Errorf("got:  %s\nwant: nothing but REPLCONF ACK", showCommand(got))
			}
		}
	}}
}

// Call calls f, to meet with the test: f may wait for the test or tell it that
// the script got here. ctx is done after half a minute.
func Call(f func(ctx context.Context) error) Step {
	return Step{"call", func(c *conversation) error {
		ctx, cancel := context.WithTimeoutCause(c.ctx, stepTimeout, fmt.Errorf("not done within %v", stepTimeout))
		defer cancel()
		return f(ctx)
	}}
}

// conversation is a script being played.
type conversation struct {
	ctx     context.Context
	conn    net.Conn
	r       *bufio.Reader
	settled func()   // tells that the rest is not waited for
	ended   bool     // there is nothing more to say
	said    []string // both ways, for the error
}

func (s Script) play(ctx context.Context, conn net.Conn, settled func()) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c := &conversation{ctx: ctx, conn: conn, r: bufio.NewReader(conn), settled: settled}
	for i, step := range s {
		if err := c.do(step); err != nil {
			return c.explain(fmt.Sprintf("step %d of %d, %s", i+1, len(s), step.name), err)
		}
	}
	if err := c.do(Close()); err != nil {
		return c.explain("after the last step, close", err)
	}
	return nil
}

func (c *conversation) do(step Step) error {
	_ = c.conn.SetDeadline(time.Now().Add(stepTimeout)) // if it is closed, what was read before may still do
	err := step.run(c)
	switch {
	case c.ctx.Err() != nil && (err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)):
		return context.Cause(c.ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing within %v: %w", stepTimeout, err)
	}
	return err
}

// explain adds to err where it happened and what was said before.
func (c *conversation) explain(where string, err error) error {
	return fmt.Errorf("%s:\n%w\nsaid before (< peer, > script):\n\t%s", where, err, strings.Join(c.said, "\n\t"))
}

// note keeps the last lines of what was said.
func (c *conversation) note(direction, text string) {
	const most = 20
	if len(c.said) == most {
		c.said = append(c.said[:0], c.said[1:]...)
	}
	c.said = append(c.said, direction+text)
}

// Limits on what a peer may make a conversation hold.
const (
	maxCommandArgs = 1024
	maxCommandArg  = 1 << 20 // bytes
)

// readCommand reads one command.
func (c *conversation) readCommand() ([]string, error) {
	args, err := parseCommand(c.r)
	if err != nil {
		return nil, fmt.Errorf("read command: %w", err)
	}
	c.note("< ", showCommand(args))
	return args, nil
}

// parseCommand reads one command: an array of strings, or words on a line.
func parseCommand(r *bufio.Reader) ([]string, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		if args := strings.Fields(line); len(args) > 0 {
			return args, nil
		}
		return nil, errors.New("empty line")
	}
	n, err := parseLength(line, '*', maxCommandArgs)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("empty array")
	}
	args := make([]string, n)
	for i := range args {
		if args[i], err = parseArg(r); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i, err)
		}
	}
	return args, nil
}

func parseArg(r *bufio.Reader) (string, error) {
	line, err := readLine(r)
	if err != nil {
		return "", err
	}
	n, err := parseLength(line, '$', maxCommandArg)
	if err != nil {
		return "", err
	}
	buf := make([]byte, n+2)
	if _, err := io.ReadFull(r, buf); err != nil {
		return "", err
	}
	arg, ok := strings.CutSuffix(string(buf), "\r\n")
	if !ok {
		return "", fmt.Errorf("%s is not followed by CRLF", show(string(buf[:n])))
	}
	return arg, nil
}

func parseLength(line string, kind byte, most int) (int, error) {
	if line == "" || line[0] != kind {
		return 0, fmt.Errorf("got %s, want a line that starts with %c", show(line), kind)
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("got %s, want a length from 0 to %d", show(line), most)
	}
	return n, nil
}

// readLine reads up to CRLF, which it does not return, or LF. The line has to
// fit r's buffer.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
}

func matches(got, want []string) bool {
	for i, w := range want {
		if w == "..." && i == len(want)-1 {
			return true
		}
		if i >= len(got) || w != "*" && w != got[i] && !(i == 0 && strings.EqualFold(w, got[i])) {
			return false
		}
	}
	return len(got) == len(want)
}

func isAck(args []string) bool {
	return len(args) >= 3 && strings.EqualFold(args[0], "REPLCONF") && strings.EqualFold(args[1], "ACK")
}

// showCommand returns args for a person to read: quoted where they need it.
func showCommand(args []string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if q := show(a); a != "" && q == `"`+a+`"` && !strings.Contains(a, " ") {
			b.WriteString(a)
		} else {
			b.WriteString(q)
		}
	}
	return b.String()
}

// show quotes s and leaves out the middle of a long one.
func show(s string) string {
	const most = 120
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q...(%d bytes)...%q", s[:most/2], len(s)-most, s[len(s)-most/2:])
}
