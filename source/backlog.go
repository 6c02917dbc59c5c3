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

// Backlog is what the server keeps of its stream for replicas that come back.
// The zero value: not known.
type Backlog struct {
	Bytes  int64     // how many of its last bytes the server keeps
	Offset int64     // of the server's stream
	Rate   float64   // bytes a second that the stream grew by, over the last minute; 0: it did not, or that is not known yet
	At     time.Time // when the server said so
}

// Left returns for how long from now a replica that has the stream up to an
// offset may stay away before the server has no longer what comes next, and
// false where that is not known, or no end of it is to be seen.
func (b *Backlog) Left(offset int64, now time.Time) (time.Duration, bool) {
	if b.Bytes == 0 || b.Rate <= 0 {
		return 0, false
	}
	behind := float64(b.Offset-offset) + b.Rate*now.Sub(b.At).Seconds()
	seconds := (float64(b.Bytes) - max(behind, 0)) / b.Rate
	const longest = 365 * 24 * time.Hour
	return time.Duration(min(max(seconds, 0), longest.Seconds()) * float64(time.Second)), true
}

// watch asks the server about its backlog, and whether it is shutting down,
// until the function it returns is called, on a connection of its own: a
// replica's link takes no questions. Whatever goes wrong with it is no harm to
// the stream.
func (s *Replica) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w := &watcher{s: s}
	go func() {
		defer close(done)
		defer w.hangUp()
		w.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// watcher is a connection that asks, and what it was told.
type watcher struct {
	s     *Replica
	l     *link // nil: not connected
	heard atomic.Int64
	told  []replicationInfo // of the last minute

	looked time.Time // when lookForEnd asked last
	mute   bool      // the server does not answer that

	replica bool // the server is one, as look heard
}

// run asks until ctx is done, or the server does not let it.
func (w *watcher) run(ctx context.Context) {
	var tick, second <-chan time.Time
	if every := w.s.cfg.BacklogInterval; every > 0 {
		ticker, seconds := time.NewTicker(every), time.NewTicker(time.Second)
		defer ticker.Stop()
		defer seconds.Stop()
		tick, second = ticker.C, seconds.C
		if !w.look(ctx) {
			return
		}
	}
	for more := true; more; {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			more = w.look(ctx)
		case <-w.asked():
			w.lookForEnd(ctx)
		case <-second:
			if w.replica && w.asked() != nil {
				w.leaveIfEnding(ctx)
			}
		}
	}
}

func (w *watcher) hangUp() {
	if w.l != nil {
		w.l.close()
		w.l = nil
	}
}

// look asks once, and reports whether to ask again.
func (w *watcher) look(ctx context.Context) (more bool) {
	var info replicationInfo
	text, err := w.ask(ctx, "replication")
	if err == nil {
		info, err = parseReplicationInfo(text)
		info.at = time.Now()
	}
	if err != nil {
		return w.refused(ctx, err, "the server does not say how much of its stream it keeps: how long triggerd may be away is not known")
	}
	w.replica = info.replica
	b := Backlog{Bytes: info.backlog, Offset: info.offset, Rate: w.rate(info), At: info.at}
	w.s.update(func(st *Status) { st.Backlog = b })
	return true
}

// refused deals with a question that was not answered, and reports whether to
// ask again.
func (w *watcher) refused(ctx context.Context, err error, msg string) (more bool) {
	w.hangUp()
	err = masked(w.s.cfg.Secrets, err)
	var refused *ServerError
	switch {
	case ctx.Err() != nil:
		return false
	case errors.As(err, &refused) && !refused.passing():
		w.s.cfg.Logger.Info(msg, "server", w.s.addr.text, "err", err)
		return false
	}
	w.s.cfg.Logger.Debug("server not asked beside the stream", "server", w.s.addr.text, "err", err)
	return true
}

// ask returns a section of the server's INFO.
func (w *watcher) ask(ctx context.Context, section string) (string, error) {
	s := w.s
	if w.l == nil {
		conn, err := s.addr.dial(ctx, s.cfg.DialTimeout)
		if err != nil {
			return "", fmt.Errorf("connect: %w", err)
		}
		w.l = newLink(conn, s.addr, s.cfg.DialTimeout, &w.heard)
		if err := w.l.auth(); err != nil {
			return "", err
		}
	}
	defer context.AfterFunc(ctx, w.l.close)()
	return w.l.bulk("INFO", section)
}

// rate returns how fast the stream grows, by what was told within the last
// minute.
func (w *watcher) rate(now replicationInfo) float64 {
	if n := len(w.told); n > 0 && (w.told[n-1].replID != now.replID || w.told[n-1].offset > now.offset) {
		w.told = w.told[:0]
	}
	w.told = append(w.told, now)
	for len(w.told) > 2 && now.at.Sub(w.told[1].at) >= time.Minute {
		w.told = append(w.told[:0], w.told[1:]...)
	}
	first := w.told[0]
	if past := now.at.Sub(first.at).Seconds(); past > 0 {
		return float64(now.offset-first.offset) / past
	}
	return 0
}

// replicationInfo is what is used of a server's INFO replication.
type replicationInfo struct {
	at      time.Time
	replID  string
	offset  int64
	backlog int64 // bytes
	replica bool  // the server is one
}

// parseReplicationInfo reads the lines of an INFO. One that does not say how
// large the backlog is, is an error.
func parseReplicationInfo(text string) (info replicationInfo, err error) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		switch name {
		case "role":
			info.replica = value == "slave"
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

// maxBulk is more than any answer takes that bulk is asked for.
const maxBulk = 64 << 10

// bulk asks for a text.
func (l *link) bulk(args ...string) (string, error) {
	line, err := l.ask(args[0], args...)
	if err != nil {
		return "", err
	}
	if line[0] != '$' {
		_, err := l.status(args[0], line)
		if err == nil {
			err = fmt.Errorf("%s: answer is not a text: %.60q", args[0], line)
		}
		return "", err
	}
	n, err := strconv.ParseUint(string(line[1:]), 10, 31)
	if err != nil || n > maxBulk {
		return "", fmt.Errorf("%s: a text of length %.60q (at most %d)", args[0], line[1:], maxBulk)
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(l.r, text); err != nil {
		return "", fmt.Errorf("%s: %w", args[0], err)
	}
	return string(text[:n]), nil
}
