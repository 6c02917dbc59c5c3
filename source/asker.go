package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// Asker asks a server questions, on a connection of its own: a replica's link
// answers none. It is for one goroutine at a time.
type Asker struct {
	addr        *address
	link        *link
	bySentinels bool
	lastArrival atomic.Int64
}

// maxListed limits how many elements an answer may have.
const maxListed = 10_000

// NewAsker connects to the server of a Config, or the primary that its Sentinels
// name, and logs in. Of the Config, URL, SentinelUser, SentinelPassword, DialTimeout
// and Secrets are used. Errors have no secrets in them.
func NewAsker(ctx context.Context, cfg Config) (*Asker, error) {
	addr, err := parseAddress(cfg.URL)
	if err != nil {
		return nil, masked(cfg.Secrets, err)
	}
	cfg = cfg.withDefaults()
	addr.secrets = cfg.Secrets.With(addr.password, cfg.SentinelPassword)
	if group := newGroup(&cfg, addr); group != nil {
		answer, err := group.Ask(ctx)
		if err != nil {
			return nil, notNamed{masked(addr.secrets, err)}
		}
		addr = addr.at(answer.Primary)
	}
	return ask(ctx, addr, cfg.DialTimeout)
}

// ask connects to a server, and logs in. No answer may take longer than a timeout.
func ask(ctx context.Context, addr *address, timeout time.Duration) (*Asker, error) {
	a := &Asker{addr: addr, bySentinels: addr.group != nil}
	conn, err := addr.dial(ctx, timeout)
	if err != nil {
		return nil, masked(addr.secrets, fmt.Errorf("connect: %w", err))
	}
	a.link = newLink(conn, addr, timeout, &a.lastArrival)
	defer context.AfterFunc(ctx, a.link.close)()
	if err := a.link.auth(); err != nil {
		a.Close()
		return nil, masked(addr.secrets, err)
	}
	return a, nil
}

// notNamed is an error of asking Sentinels for the server.
type notNamed struct{ error }

func (e notNamed) Unwrap() error { return e.error }

// IsNotNamed reports whether an error of NewAsker is that the Sentinels of the URL
// named no server.
func IsNotNamed(err error) bool {
	_, ok := errors.AsType[notNamed](err)
	return ok
}

// Addr returns the server's address, without credentials.
func (a *Asker) Addr() string { return a.addr.text }

// BySentinels reports whether Sentinels have named the server.
func (a *Asker) BySentinels() bool { return a.bySentinels }

// Close closes the connection.
func (a *Asker) Close() { a.link.close() }

// Text returns the text that answers a command: INFO, ACL WHOAMI. An error reply
// is a *ServerError; after any other error the connection is of no use.
func (a *Asker) Text(ctx context.Context, args ...string) (string, error) {
	defer context.AfterFunc(ctx, a.link.close)()
	text, err := a.link.requestText(args...)
	return text, masked(a.addr.secrets, err)
}

// List returns the texts that answer a command with an array: CONFIG GET, PUBSUB
// NUMSUB. Errors are those of Text.
func (a *Asker) List(ctx context.Context, args ...string) ([]string, error) {
	defer context.AfterFunc(ctx, a.link.close)()
	list, err := a.list(args)
	return list, masked(a.addr.secrets, err)
}

func (a *Asker) list(args []string) ([]string, error) {
	line, err := a.link.request(args[0], args...)
	if err != nil {
		return nil, err
	}
	if line[0] != '*' {
		if _, err := a.link.parseText(args[0], line); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: answer is not a list: %.60q", args[0], line)
	}
	n, err := strconv.ParseUint(string(line[1:]), 10, 31)
	if err != nil || n > maxListed {
		return nil, fmt.Errorf("%s: a list of length %.60q (at most %d)", args[0], line[1:], maxListed)
	}
	list := make([]string, 0, n)
	for range n {
		line, err := a.link.readLine()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", args[0], err)
		}
		text, err := a.link.parseText(args[0], line)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, nil
}
