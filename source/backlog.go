package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Backlog describes the server's replication backlog: the last part of its
// stream, which it keeps for partial resyncs. The zero value: not known.
type Backlog struct {
	Bytes  int64     // the backlog's size
	Offset int64     // the server's replication offset
	Rate   float64   // bytes a second by which the offset grew in the last minute; 0: it did not grow, or that is not known yet
	At     time.Time // when the server said so

	Replica bool // the server is a replica itself
}

// TimeLeft returns how long a replica at an offset may stay away before the
// backlog no longer has what comes next. It is counted from now. It returns
// false if that is not known, or if the server's stream does not grow.
func (b *Backlog) TimeLeft(offset int64, now time.Time) (time.Duration, bool) {
	if b.Bytes == 0 || b.Rate <= 0 {
		return 0, false
	}
	behind := float64(b.Offset-offset) + b.Rate*now.Sub(b.At).Seconds()
	seconds := (float64(b.Bytes) - max(behind, 0)) / b.Rate
	const longest = 365 * 24 * time.Hour
	return time.Duration(min(max(seconds, 0), longest.Seconds()) * float64(time.Second)), true
}

// startInquirer starts a goroutine that asks the server for its backlog, and
// whether it is shutting down, until stop is called. It has a connection of its
// own, since a server answers no questions on a replica's link. Its failures do
// not touch the stream.
func (s *Replica) startInquirer() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w := &inquirer{replica: s}
	go func() {
		defer close(done)
		defer w.close()
		w.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// inquirer asks the server with INFO, on a connection of its own.
type inquirer struct {
	replica     *Replica
	link        *link // nil: not connected
	lastArrival atomic.Int64
	samples     []replicationInfo // the answers of the last minute

	lastShutdownCheck time.Time // when leaveIfShuttingDown last asked
	shutdownUnknown   bool      // the server does not answer whether it is shutting down

	serverIsReplica bool // by its last answer to askBacklog
}

// run asks until ctx is done, or until the server refuses for good.
func (w *inquirer) run(ctx context.Context) {
	var tick, second <-chan time.Time
	if every := w.replica.cfg.BacklogInterval; every > 0 {
		ticker, seconds := time.NewTicker(every), time.NewTicker(time.Second)
		defer ticker.Stop()
		defer seconds.Stop()
		tick, second = ticker.C, seconds.C
		if !w.askBacklog(ctx) {
			return
		}
	}
	for more := true; more; {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			more = w.askBacklog(ctx)
		case <-w.ackRequests():
			w.checkShutdown(ctx)
		case <-second:
			if w.serverIsReplica && w.ackRequests() != nil {
				w.leaveIfShuttingDown(ctx)
			}
		}
	}
}

func (w *inquirer) close() {
	if w.link != nil {
		w.link.close()
		w.link = nil
	}
}

// askBacklog asks for the backlog once, and reports whether to ask again.
func (w *inquirer) askBacklog(ctx context.Context) (more bool) {
	var info replicationInfo
	text, err := w.info(ctx, "replication")
	if err == nil {
		info, err = parseReplicationInfo(text)
		info.at = time.Now()
	}
	if err != nil {
		return w.handleFailure(ctx, err, "the server does not say how much of its stream it keeps: how long triggerd may be away is not known")
	}
	w.serverIsReplica = info.isReplica
	b := Backlog{Bytes: info.backlog, Offset: info.offset, Rate: w.growthRate(info), At: info.at, Replica: info.isReplica}
	w.replica.updateStatus(func(st *Status) { st.Backlog = b })
	return true
}

// handleFailure closes the connection after a question without an answer, and
// reports whether to ask again.
func (w *inquirer) handleFailure(ctx context.Context, err error, msg string) (more bool) {
	w.close()
	err = masked(w.replica.cfg.Secrets, err)
	var refused *ServerError
	switch {
	case ctx.Err() != nil:
		return false
	case errors.As(err, &refused) && !refused.temporary():
		w.replica.cfg.Logger.Info(msg, "server", w.replica.server().text, "err", err)
		return false
	}
	w.replica.cfg.Logger.Debug("server not asked beside the stream", "server", w.replica.server().text, "err", err)
	return true
}

// info returns a section of the server's INFO.
func (w *inquirer) info(ctx context.Context, section string) (string, error) {
	s := w.replica
	if w.link == nil {
		conn, err := s.server().dial(ctx, s.cfg.DialTimeout)
		if err != nil {
			return "", fmt.Errorf("connect: %w", err)
		}
		w.link = newLink(conn, s.server(), s.cfg.DialTimeout, &w.lastArrival)
		if err := w.link.auth(); err != nil {
			return "", err
		}
	}
	defer context.AfterFunc(ctx, w.link.close)()
	return w.link.requestText("INFO", section)
}

// growthRate returns by how many bytes a second the stream grew, over the
// samples of the last minute.
func (w *inquirer) growthRate(now replicationInfo) float64 {
	if n := len(w.samples); n > 0 && (w.samples[n-1].replID != now.replID || w.samples[n-1].offset > now.offset) {
		w.samples = w.samples[:0]
	}
	w.samples = append(w.samples, now)
	for len(w.samples) > 2 && now.at.Sub(w.samples[1].at) >= time.Minute {
		w.samples = append(w.samples[:0], w.samples[1:]...)
	}
	first := w.samples[0]
	if past := now.at.Sub(first.at).Seconds(); past > 0 {
		return float64(now.offset-first.offset) / past
	}
	return 0
}

// replicationInfo is the part of INFO replication that is used here.
type replicationInfo struct {
	at        time.Time
	replID    string
	offset    int64
	backlog   int64 // bytes
	isReplica bool  // the server is a replica itself
}

// parseReplicationInfo parses the text of INFO replication. It is an error if
// the backlog's size is not in it.
func parseReplicationInfo(text string) (info replicationInfo, err error) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		switch name {
		case "role":
			info.isReplica = value == "slave"
		case "master_replid":
			info.replID = value
		case "master_repl_offset":
			info.offset, err = parseOffset(value)
		case "repl_backlog_size":
			info.backlog, err = parseOffset(value)
		}
		if err != nil {
			return replicationInfo{}, fmt.Errorf("INFO: %s: %w", name, err)
		}
	}
	if info.backlog == 0 {
		return replicationInfo{}, errors.New("INFO: it does not have repl_backlog_size")
	}
	return info, nil
}

// parseHistory parses the text of INFO replication for what it says of the
// server's history.
func parseHistory(text string) (h history, err error) {
	h.switched = -1
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		switch name {
		case "role":
			h.replica = value == "slave"
		case "master_link_status":
			h.linkDown = h.linkDown || value != "up"
		case "master_sync_in_progress":
			h.linkDown = h.linkDown || value == "1"
		case "master_replid":
			h.replID = value
			err = checkReplID(value)
		case "master_replid2":
			if strings.Trim(value, "0") != "" {
				h.earlier = value
				err = checkReplID(value)
			}
		case "master_repl_offset":
			h.offset, err = parseOffset(value)
		case "second_repl_offset":
			if value != "-1" {
				h.switched, err = parseOffset(value)
				h.switched-- // it is the number of the first byte of the new name
			}
		}
		if err != nil {
			return history{}, fmt.Errorf("INFO: %s: %w", name, err)
		}
	}
	switch {
	case h.replID == "":
		return history{}, errors.New("INFO: it does not have master_replid")
	case h.switched < 0:
		h.earlier = ""
	}
	return h, nil
}

// maxAnswer limits the bytes of an answer; INFO's sections are far shorter.
const maxAnswer = 64 << 10

// requestText sends a command and returns the text that answers it.
func (l *link) requestText(args ...string) (string, error) {
	line, err := l.request(args[0], args...)
	if err != nil {
		return "", err
	}
	return l.parseText(args[0], line)
}

// parseText returns the text that begins with a line: a bulk string, a status or
// a number; "" for none. name is the command that it answers.
func (l *link) parseText(name string, line []byte) (string, error) {
	switch {
	case line[0] == ':':
		return string(line[1:]), nil
	case line[0] != '$':
		return l.parseStatus(name, line)
	case string(line) == "$-1":
		return "", nil
	}
	n, err := strconv.ParseUint(string(line[1:]), 10, 31)
	if err != nil || n > maxAnswer {
		return "", fmt.Errorf("%s: a text of length %.60q (at most %d)", name, line[1:], maxAnswer)
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(l.r, text); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(text[:n]), nil
}
