package source

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"triggerd/internal/resp"
)

// announcer answers Sentinels, which take triggerd for a replica that is down as
// long as it does not: as a replica that is well, that is never to be promoted, and
// that is not to be told to clients. It knows no data, and does nothing that it is
// told but to say of which primary it is a replica.
type announcer struct {
	replica  *Replica
	listener net.Listener
	runID    string

	mu      sync.Mutex // guards what follows
	host    string     // of the primary that Sentinels have named
	port    string
	hearers map[net.Conn]bool // that have subscribed
}

// Limits of what may be connected.
const (
	maxAnnounced  = 64              // connections: two of each Sentinel
	announcedIdle = 2 * time.Minute // a Sentinel says something each second
	maxQueued     = 64              // commands of a transaction: a Sentinel has five
)

// listenAnnounced listens at an address under which others reach us. Where that is
// none of this machine's, as behind NAT, it listens at the port.
func listenAnnounced(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil && errors.Is(err, syscall.EADDRNOTAVAIL) {
		_, port, _ := net.SplitHostPort(addr)
		return net.Listen("tcp", ":"+port)
	}
	return l, err
}

// run answers until ctx is done.
func (a *announcer) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { a.listener.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, maxAnnounced)
	for {
		conn, err := a.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			if !sleep(ctx, 100*time.Millisecond) { // too many files are open
				return
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		all.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			a.serve(conn)
		})
	}
}

// serve answers what comes over a connection.
func (a *announcer) serve(conn net.Conn) {
	defer a.forget(conn)
	r := resp.NewReader(deadlineReader{conn}, resp.Limits{Args: 64, Bulk: 64 << 10, Command: 64 << 10})
	queued := -1 // commands since MULTI; -1: there is none
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return
		}
		if len(args) == 0 {
			continue
		}
		answer := a.answer(conn, args, &queued)
		a.mu.Lock()                                            // others publish to this connection
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // nobody else is answered meanwhile
		_, err = io.WriteString(conn, answer)
		a.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// deadlineReader reads a connection, which is given up after a silence.
type deadlineReader struct{ net.Conn }

func (r deadlineReader) Read(p []byte) (int, error) {
	if err := r.SetReadDeadline(time.Now().Add(announcedIdle)); err != nil {
		return 0, err
	}
	return r.Conn.Read(p)
}

// answer returns what to say to a command.
func (a *announcer) answer(conn net.Conn, args [][]byte, queued *int) string {
	name := strings.ToUpper(string(args[0]))
	switch name {
	case "MULTI":
		*queued = 0
		return "+OK\r\n"
	case "EXEC":
		n := max(*queued, 0)
		*queued = -1
		return "*" + strconv.Itoa(n) + "\r\n" + strings.Repeat("+OK\r\n", n)
	case "SLAVEOF", "REPLICAOF":
		if len(args) == 3 {
			a.follow(string(args[1]), string(args[2]))
		}
	}
	switch {
	case name == "PING":
		return "+PONG\r\n"
	case name == "INFO":
		text := a.info()
		return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
	case name == "SUBSCRIBE" && len(args) == 2:
		return a.subscribe(conn, string(args[1]))
	case name == "PUBLISH" && len(args) == 3:
		return ":" + strconv.Itoa(a.publish(args[1], args[2])) + "\r\n"
	}
	switch name {
	case "AUTH", "CLIENT", "CONFIG", "SLAVEOF", "REPLICAOF", "SCRIPT":
	default:
		return "-ERR triggerd is no server: it answers Sentinels only\r\n"
	}
	if *queued >= maxQueued {
		return "-ERR too many commands in a transaction\r\n"
	}
	if *queued >= 0 {
		*queued++
		return "+QUEUED\r\n"
	}
	return "+OK\r\n"
}

// follow notes of which primary a Sentinel wants it to be a replica.
func (a *announcer) follow(host, port string) {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || len(host) > 255 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.host, a.port = host, port
}

// info is what Sentinels read of INFO.
func (a *announcer) info() string {
	a.mu.Lock()
	host, port := a.host, a.port
	a.mu.Unlock()
	if host == "" {
		host, port, _ = net.SplitHostPort(a.replica.server().host)
	}
	return fmt.Sprintf("# Server\r\nrun_id:%s\r\n# Replication\r\nrole:slave\r\nmaster_host:%s\r\nmaster_port:%s\r\nmaster_link_status:up\r\nslave_repl_offset:%d\r\nslave_priority:0\r\nreplica_announced:0\r\n",
		a.runID, host, port, a.replica.acks.received.Load())
}

func (a *announcer) subscribe(conn net.Conn, channel string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hearers == nil {
		a.hearers = map[net.Conn]bool{}
	}
	a.hearers[conn] = channel == helloChannel
	return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(channel), channel)
}

// publish hands on what one Sentinel tells the others, and returns to how many.
func (a *announcer) publish(channel, message []byte) (n int) {
	text := resp.AppendCommand(nil, "message", string(channel), string(message))
	a.mu.Lock()
	defer a.mu.Unlock()
	for conn, hears := range a.hearers {
		if !hears || string(channel) != helloChannel {
			continue
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write(text); err != nil {
			conn.Close() // its own goroutine forgets it
			continue
		}
		n++
	}
	return n
}

func (a *announcer) forget(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.hearers, conn)
}

// newAnnouncer listens where Config.Announce says.
func (s *Replica) newAnnouncer() (*announcer, error) {
	l, err := listenAnnounced(s.cfg.Announce)
	if err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	id := make([]byte, 20)
	crand.Read(id) // it never fails
	return &announcer{replica: s, listener: l, runID: hex.EncodeToString(id)}, nil
}

// checkAnnounce returns what is wrong with Config.Announce.
func (c *Config) checkAnnounce(addr *address) error {
	host, port, err := net.SplitHostPort(c.Announce)
	n, numErr := strconv.ParseUint(port, 10, 16)
	switch {
	case c.Announce == "":
		return nil
	case err != nil || host == "" || numErr != nil || n == 0:
		return fmt.Errorf("announce %q is not host:port", c.Announce)
	case addr.tls != nil:
		return errors.New("announce: Sentinels that use TLS want it of a replica too, which triggerd does not speak there")
	}
	return nil
}
