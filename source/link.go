package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"triggerd/internal/resp"
)

// link is one connection to a server. Reading is for one goroutine, writing
// for any.
type link struct {
	addr    *address
	conn    net.Conn
	r       *resp.Reader
	timeout time.Duration    // of silence
	arrived time.Time        // when the last bytes came; the reading goroutine's
	heard   *atomic.Int64    // the same for others, in nanoseconds since 1970
	ahead   []byte           // a line that was read and put back, if not nil
	wake    func() time.Time // see Consumer.NextWake; nil: never
	quiet   time.Time        // since when nothing has come
	idle    bool             // when the read was woken nothing had come for a moment
	poked   atomic.Bool      // the read is to be woken now
	left    atomic.Bool      // it was closed by leave
	drained bool             // the last read took all that was there

	versioned bool // the server was told a version, and minds it

	mu sync.Mutex // one write at a time
}

// newLink returns a link over conn, which it owns.
func newLink(conn net.Conn, addr *address, timeout time.Duration, heard *atomic.Int64) *link {
	l := &link{addr: addr, conn: conn, timeout: timeout, heard: heard, quiet: time.Now()}
	l.r = resp.NewReader(reader{l}, resp.Limits{})
	return l
}

func (l *link) close() { l.conn.Close() }

// leave closes the link because the server waits for it to be able to end. Any
// goroutine may call it.
func (l *link) leave() {
	l.left.Store(true)
	l.close()
}

// moment is how long a server that has more to send does not stay silent.
const moment = 10 * time.Millisecond

// errWake ends a read because the consumer wanted to be woken. Nothing is lost
// by it: reading goes on where it was.
var errWake = errors.New("woken")

// reader reads a link's connection, within its timeout.
type reader struct{ l *link }

func (r reader) Read(p []byte) (int, error) {
	l := r.l
	now := time.Now()
	limit := now.Add(l.timeout)
	if l.quiet.After(l.arrived) {
		limit = l.quiet.Add(l.timeout) // woken in the midst of silence
	}
	until := limit
	if l.wake != nil {
		if at := l.wake(); !at.IsZero() && at.Before(limit) {
			until = at
		}
	}
	if err := l.conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	if l.poked.Load() { // perhaps before the deadline was set
		until = now
		l.conn.SetReadDeadline(now)
	}
	n, err := l.conn.Read(p)
	l.drained = n < len(p)
	if n > 0 {
		l.arrived = time.Now()
		l.quiet = time.Time{}
		l.heard.Store(l.arrived.UnixNano())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if l.poked.Swap(false) {
			until = now
		}
		if n == 0 && until.Before(limit) {
			if l.quiet.IsZero() {
				l.quiet = limit.Add(-l.timeout)
			}
			l.idle = until.After(now) && time.Since(l.arrived) >= moment
			return 0, errWake
		}
		return n, fmt.Errorf("nothing received for %s", l.timeout)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without our port: the same error must read the same each time
	}
	return n, err
}

// poke wakes the read that waits, or the next one. Any goroutine may do it.
func (l *link) poke() {
	l.poked.Store(true)
	l.conn.SetReadDeadline(time.Now())
}

func (l *link) send(args ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	_, err := l.conn.Write(resp.AppendCommand(nil, args...))
	return err
}

// ask sends a command and returns the line of reply; name is what to call the
// command in an error.
func (l *link) ask(name string, args ...string) ([]byte, error) {
	if err := l.send(args...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	line, err := l.line()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return line, nil
}

// do is ask for a line of status, which it returns without its type. An error
// reply is a *ServerError.
func (l *link) do(name string, args ...string) (string, error) {
	line, err := l.ask(name, args...)
	if err != nil {
		return "", err
	}
	return l.status(name, line)
}

func (l *link) status(name string, line []byte) (string, error) {
	switch {
	case line[0] == '+':
		return string(line[1:]), nil
	case line[0] == '-':
		return "", l.addr.refuse(name, string(line[1:]))
	}
	return "", fmt.Errorf("%s: answer is not Redis protocol: %.60q (%s)", name, line, l.guess(line))
}

// line returns the next line that is not empty: bare newlines only say that
// the server is still there.
func (l *link) line() ([]byte, error) {
	if line := l.ahead; line != nil {
		l.ahead = nil
		return line, nil
	}
	for {
		line, err := l.r.ReadLine()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

// guess says what kind of server may have sent line.
func (l *link) guess(line []byte) string {
	switch {
	case len(line) >= 2 && line[0] == 0x15 && line[1] == 3:
		return "this is TLS: use rediss://"
	case bytes.HasPrefix(line, []byte("HTTP/")):
		return "this is an HTTP server"
	}
	return "is this a Redis or Valkey server?"
}

// greet is the handshake up to, and without, PSYNC: one command at a time, as
// servers refuse a PSYNC that comes together with others.
func (l *link) greet(cfg *Config, wantKeys bool) error {
	_, err := l.do("PING", "PING")
	var refused *ServerError
	if errors.As(err, &refused) {
		switch code := refused.code(); {
		case code == "NOAUTH" && l.addr.password != "": // about to come
		case code == "NOPERM" || refused.unknown(): // PING is a courtesy
		default:
			return err
		}
	} else if err != nil {
		return l.explain(err)
	}
	if err := l.auth(); err != nil {
		return err
	}
	if err := l.replconf("listening-port", strconv.Itoa(cfg.ListeningPort)); err != nil {
		return err
	}
	if err := l.replconf("capa", "eof", "capa", "psync2"); err != nil {
		return err
	}
	if wantKeys || cfg.Ack != AckNone {
		if err := l.announceVersion(); err != nil {
			return err
		}
	}
	if !wantKeys {
		return l.replconf("rdb-filter-only", "")
	}
	return nil
}

// announceVersion tells Valkey a version; other servers do not know the option.
// Valkey 9 sends hashes with field expiry only to replicas that have told one,
// and cuts all others off. Of those that have, Valkey 8 and later wait for an
// acknowledgement when a client calls CLUSTER SETSLOT, which fails if none
// comes; so one that acknowledges nothing announces none, but for a snapshot.
func (l *link) announceVersion() error {
	_, err := l.do("REPLCONF version", "REPLCONF", "version", "9.1.0")
	l.versioned = err == nil
	var refused *ServerError
	if errors.As(err, &refused) && refused.code() == "ERR" {
		return nil
	}
	return err
}

// explain adds to the error of the first command why a server may have hung up
// on it without a word.
func (l *link) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	switch {
	case l.addr.network == "unix":
		return fmt.Errorf("%w: server closed the connection", err)
	case l.addr.tls == nil:
		return fmt.Errorf("%w: server closed the connection (if the port speaks TLS, use rediss://)", err)
	case len(l.addr.tls.Certificates) == 0:
		return fmt.Errorf("%w: server closed the connection (if it wants a client certificate, add cert=FILE and key=FILE to the URL)", err)
	}
	return fmt.Errorf("%w: server closed the connection (does it accept the client certificate?)", err)
}

func (l *link) auth() error {
	if l.addr.password == "" {
		return nil
	}
	args := []string{"AUTH", l.addr.user, l.addr.password}
	if l.addr.user == "" {
		args = []string{"AUTH", l.addr.password}
	}
	_, err := l.do("AUTH", args...)
	return err
}

// replconf announces something, which the server need not know.
func (l *link) replconf(args ...string) error {
	_, err := l.do("REPLCONF "+args[0], append([]string{"REPLCONF"}, args...)...)
	var refused *ServerError
	if errors.As(err, &refused) && refused.code() == "ERR" {
		return nil
	}
	return err
}

// attachment is a server's answer to PSYNC.
type attachment struct {
	full    bool // a snapshot follows
	legacy  bool // SYNC: no resuming
	marked  bool // a snapshot of unknown length: the stream begins with an acknowledgement
	renewed bool // it is in the place of another link
	pos     Position
}

// psync asks for the stream behind from, or, if from is zero, for a fresh
// start. It falls back to SYNC where the server has no PSYNC.
func (l *link) psync(cfg *Config, from Position) (attachment, error) {
	id, offset := "?", "-1"
	if !from.IsZero() {
		id, offset = from.ReplID, strconv.FormatInt(from.Offset+1, 10)
	}
	line, err := l.ask("PSYNC", cfg.PsyncCommand, id, offset)
	if err != nil {
		return attachment{}, err
	}
	if line[0] == '$' {
		// A server whose PSYNC was renamed takes it for SYNC under its new name.
		l.ahead = bytes.Clone(line)
		return attachment{full: true, legacy: true}, nil
	}
	reply, err := l.status("PSYNC", line)
	var refused *ServerError
	if errors.As(err, &refused) && refused.unknown() {
		return attachment{full: true, legacy: true}, l.send("SYNC")
	}
	if err != nil {
		return attachment{}, err
	}
	a, err := parseAttachment(reply, from)
	if err != nil {
		return a, fmt.Errorf("PSYNC: %w", err)
	}
	return a, nil
}

// parseAttachment parses "FULLRESYNC id offset [more]" or "CONTINUE [id]".
func parseAttachment(reply string, from Position) (a attachment, err error) {
	words := bytes.Fields([]byte(reply))
	switch {
	case len(words) >= 3 && string(words[0]) == "FULLRESYNC":
		a.full = true
		a.pos.ReplID = string(words[1])
		if a.pos.Offset, err = parseOffset(string(words[2])); err != nil {
			return a, fmt.Errorf("answer %.100q: %w", reply, err)
		}
	case len(words) >= 1 && string(words[0]) == "CONTINUE":
		if from.IsZero() {
			return a, fmt.Errorf("server continues a stream that was not asked for: %.100q", reply)
		}
		a.pos = from
		if len(words) > 1 {
			a.pos.ReplID = string(words[1]) // after a failover the old ID goes on under a new name
		}
	default:
		return a, fmt.Errorf("answer %.100q is not one to PSYNC", reply)
	}
	if err := checkReplID(a.pos.ReplID); err != nil {
		return a, fmt.Errorf("answer %.100q: %w", reply, err)
	}
	return a, nil
}
