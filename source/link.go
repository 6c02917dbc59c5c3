package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"triggerd/internal/resp"
)

// link is one connection to a server. One goroutine may read; any may write.
type link struct {
	addr          *address
	conn          net.Conn
	r             *resp.Reader
	timeout       time.Duration    // a server that is silent for so long is dead
	lastArrival   time.Time        // when bytes last arrived; only for the goroutine that reads it
	sharedArrival *atomic.Int64    // lastArrival for other goroutines, in nanoseconds since 1970
	putBack       []byte           // a line that was read and is to be read again, if not nil
	nextWake      func() time.Time // when to wake the read; nil: never
	silentSince   time.Time        // since when nothing has arrived; zero: something has since the last wake
	forShutdown   atomic.Bool      // closeForShutdown was called

	toldVersion bool // the server was told a version, and accepted it
	noReplconf  bool // the server does not have the command: it answers an acknowledgement with an error, amid the stream, or ends the link

	mu sync.Mutex // one write at a time
}

// newLink returns a link over conn, which it owns.
func newLink(conn net.Conn, addr *address, timeout time.Duration, heard *atomic.Int64) *link {
	l := &link{addr: addr, conn: conn, timeout: timeout, sharedArrival: heard, silentSince: time.Now()}
	l.r = resp.NewReader(linkReader{l}, resp.Limits{})
	return l
}

func (l *link) close() { l.conn.Close() }

// closeForShutdown closes the link because the server waits for it before it
// shuts down. Any goroutine may call it.
func (l *link) closeForShutdown() {
	l.forShutdown.Store(true)
	l.close()
}

// idleAfter is a silence longer than any of a server that has more to send.
const idleAfter = 10 * time.Millisecond

// errWoken ends a read because its time has come. No bytes are lost: the next
// read goes on where this one was.
var errWoken = errors.New("woken")

// linkReader reads a link's connection. It ends with an error after the link's
// timeout, and with errWoken at the link's nextWake.
type linkReader struct{ l *link }

func (r linkReader) Read(p []byte) (int, error) {
	l := r.l
	now := time.Now()
	limit := now.Add(l.timeout)
	if l.silentSince.After(l.lastArrival) {
		limit = l.silentSince.Add(l.timeout) // the silence began before this read
	}
	until := limit
	if l.nextWake != nil {
		if at := l.nextWake(); !at.IsZero() && at.Before(limit) {
			until = at
		}
	}
	if err := l.conn.SetReadDeadline(until); err != nil {
		return 0, err
	}
	n, err := l.conn.Read(p)
	if n > 0 {
		l.lastArrival = time.Now()
		l.silentSince = time.Time{}
		l.sharedArrival.Store(l.lastArrival.UnixNano())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if n == 0 && until.Before(limit) {
			if l.silentSince.IsZero() {
				l.silentSince = limit.Add(-l.timeout)
			}
			return 0, errWoken
		}
		return n, fmt.Errorf("nothing received for %s", l.timeout)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without our port: the same error must have the same text each time
	}
	return n, err
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

// request sends a command and returns the first line of the reply. name is what
// errors call the command.
func (l *link) request(name string, args ...string) ([]byte, error) {
	if err := l.send(args...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	line, err := l.readLine()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return line, nil
}

// requestStatus sends a command and returns the status that it is answered
// with, without the leading "+". An error reply is a *ServerError.
func (l *link) requestStatus(name string, args ...string) (string, error) {
	line, err := l.request(name, args...)
	if err != nil {
		return "", err
	}
	return l.parseStatus(name, line)
}

func (l *link) parseStatus(name string, line []byte) (string, error) {
	switch {
	case line[0] == '+':
		return string(line[1:]), nil
	case line[0] == '-':
		return "", l.addr.serverError(name, string(line[1:]))
	}
	return "", fmt.Errorf("%s: answer is not Redis protocol: %.60q (%s)", name, line, l.guessServer(line))
}

// readLine returns the next line that is not empty. A server sends bare
// newlines only to show that it is alive.
func (l *link) readLine() ([]byte, error) {
	if line := l.putBack; line != nil {
		l.putBack = nil
		return line, nil
	}
	for {
		line, err := l.r.ReadLine()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

// guessServer says, for an error message, what kind of server may have sent
// line.
func (l *link) guessServer(line []byte) string {
	switch {
	case len(line) >= 2 && line[0] == 0x15 && line[1] == 3:
		return "this is TLS: use rediss://"
	case bytes.HasPrefix(line, []byte("HTTP/")):
		return "this is an HTTP server"
	}
	return "is this a Redis or Valkey server?"
}

// handshake sends what comes before PSYNC. It sends one command at a time,
// since servers refuse a PSYNC that arrives together with others.
func (l *link) handshake(cfg *Config, wantKeys bool) error {
	_, err := l.requestStatus("PING", "PING")
	var refused *ServerError
	if errors.As(err, &refused) {
		switch code := refused.code(); {
		case code == "NOAUTH" && l.addr.password != "": // AUTH comes next
		case code == "NOPERM" || refused.unknown(): // PING is not needed
		default:
			return err
		}
	} else if err != nil {
		return l.explainHangUp(err)
	}
	if err := l.auth(); err != nil {
		return err
	}
	host, port := "", strconv.Itoa(cfg.ListeningPort)
	if cfg.Announce != "" {
		host, port, _ = net.SplitHostPort(cfg.Announce)
	}
	if err := l.replconf("listening-port", port); err != nil {
		return err
	}
	if l.noReplconf {
		return nil
	}
	if host != "" {
		if err := l.replconf("ip-address", host); err != nil {
			return err
		}
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

// announceVersion tells the server a version. Only Valkey knows the option.
//
// Valkey 9 sends hashes with field expiry only to replicas that have told a
// version, and disconnects the others. But Valkey 8 and later wait for such a
// replica's acknowledgement when a client calls CLUSTER SETSLOT, which fails if
// none comes. So a replica that acknowledges nothing tells a version only to
// get a snapshot.
func (l *link) announceVersion() error {
	_, err := l.requestStatus("REPLCONF version", "REPLCONF", "version", "9.1.0")
	l.toldVersion = err == nil
	var refused *ServerError
	if errors.As(err, &refused) && refused.code() == "ERR" {
		return nil
	}
	return err
}

// explainHangUp adds to err why the server may have closed the connection at
// the first command.
func (l *link) explainHangUp(err error) error {
	if text := err.Error(); l.addr.tls != nil && strings.Contains(text, "tls: certificate required") {
		return fmt.Errorf("%w: the server wants a client certificate: add cert=FILE and key=FILE to the URL", err)
	} else if l.addr.tls != nil && len(l.addr.tls.Certificates) > 0 && (strings.Contains(text, "tls: bad certificate") || strings.Contains(text, "tls: unknown certificate authority") || strings.Contains(text, "tls: expired certificate")) {
		return fmt.Errorf("%w: the server does not accept the client certificate of the URL (cert, key)", err)
	}
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
	_, err := l.requestStatus("AUTH", args...)
	return err
}

// replconf announces something that the server need not understand.
func (l *link) replconf(args ...string) error {
	_, err := l.requestStatus("REPLCONF "+args[0], append([]string{"REPLCONF"}, args...)...)
	var refused *ServerError
	if errors.As(err, &refused) && refused.code() == "ERR" {
		l.noReplconf = refused.unknownCommand()
		return nil
	}
	return err
}

// psyncReply is a server's answer to PSYNC.
type psyncReply struct {
	full      bool // a snapshot follows
	legacy    bool // the server has only SYNC: reading cannot resume
	eofMarked bool // the snapshot's length is unknown, an EOF mark ends it: the server sends the stream only after an acknowledgement
	pos       Position
}

// psync asks for the stream after from. If from is zero it asks for a full
// resync. It falls back to SYNC if the server has no PSYNC.
func (l *link) psync(cfg *Config, from Position) (psyncReply, error) {
	id, offset := "?", "-1"
	if !from.IsZero() {
		id, offset = from.ReplID, strconv.FormatInt(from.Offset+1, 10)
	}
	line, err := l.request("PSYNC", cfg.PsyncCommand, id, offset)
	if err != nil {
		return psyncReply{}, err
	}
	if line[0] == '$' {
		// A server on which PSYNC is renamed may take the new name for SYNC.
		l.putBack = bytes.Clone(line)
		return psyncReply{full: true, legacy: true}, nil
	}
	reply, err := l.parseStatus("PSYNC", line)
	var refused *ServerError
	if errors.As(err, &refused) && refused.unknown() {
		return psyncReply{full: true, legacy: true}, l.send("SYNC")
	}
	if err != nil {
		return psyncReply{}, err
	}
	a, err := parsePsyncReply(reply, from)
	if err != nil {
		return a, fmt.Errorf("PSYNC: %w", err)
	}
	return a, nil
}

// parsePsyncReply parses "FULLRESYNC id offset [more]" or "CONTINUE [id]".
func parsePsyncReply(reply string, from Position) (a psyncReply, err error) {
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
