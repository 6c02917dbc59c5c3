package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"triggerd/internal/sentinel"
	"triggerd/internal/spool"
)

// receiver is the goroutine that has the link: it attaches, and puts what the
// server sends into the spool. It never waits for who reads that, but while the
// spool is full, and while a full resync's snapshot is read.
type receiver struct {
	n   *session
	pos Position // behind what was received, under the newest name of its history; its DB is not known

	lineage lineage // of what was received
	rename  struct {
		at     int64 // the offset at which the history gets another name; -1: it does not
		replID string
	}
	foreign    foreigner
	primary    *address // that the Sentinels named last
	ofPrimary  history  // what a primary said last of a history that its replica has
	noInfo     string   // the server that does not tell its history, as far as it was asked since a link that worked
	toldNoInfo bool     // that was logged
	changed    string   // the name of a history that a server told, and did not have any more when it answered PSYNC

	forceFull     bool      // what comes behind pos cannot be read: ask for a full resync
	forShutdown   bool      // the last connection was closed so that the server can shut down
	toldDetached  bool      // the spool says that there is no link
	streamSince   time.Time // when the stream of the last connection began; zero: it did not
	streamFrom    int64     // the offset at which it began
	reached       []string  // servers that could be connected to
	lostAt        time.Time // when the last stream ended, of an earlier process when it noted something last; zero: that is not known
	pauses        pauses
	logged        []string      // the reasons for which the link was lost, as far as they were logged; none after a link that worked
	toldAsking    bool          // it was logged that a full resync is asked for; false after a link that worked
	toldDiffer    bool          // it was logged that the Sentinels differ
	toldNoReplica bool          // it was logged that the primary is attached to for want of a replica
	isPrimary     bool          // the Sentinels call the server of the present attempt the primary
	wake          chan struct{} // capacity 1: the Sentinels may name another server
	toldNoAcks    bool          // it was logged that nothing can be acknowledged
}

// run receives until ctx is done, the spool fails, or the first attempt has
// failed with Config.FailFirst.
func (v *receiver) run(ctx context.Context) {
	n, s := v.n, v.n.replica
	for {
		v.takeRestart()
		err := masked(s.cfg.Secrets, v.attach(ctx))
		if ctx.Err() != nil || s.spool.Err() != nil {
			return
		}
		if r := v.takeRestart(); r != nil {
			err = masked(s.cfg.Secrets, r.err)
		}
		if s.cfg.FailFirst && s.Status().Connects == 0 && !isTemporary(err) {
			n.fail(err)
			return
		}
		if !v.waitToReconnect(ctx, err) {
			return
		}
	}
}

// takeRestart does what the reading goroutine has asked for, if it has.
func (v *receiver) takeRestart() *restart {
	r := v.n.restart.Swap(nil)
	if r != nil && !r.pos.IsZero() {
		v.pos, v.forceFull = r.pos, r.full
		v.toldAsking = v.toldAsking && !r.full // this is for another reason
		v.lineage = v.lineage.back(r.pos.Offset)
		if v.lineage == nil {
			v.lineage = lineage{{r.pos.ReplID, 0}}
		}
	}
	return r
}

// waitToReconnect pauses before the next attempt, and reports whether to make
// it.
func (v *receiver) waitToReconnect(ctx context.Context, err error) bool {
	s := v.n.replica
	if !v.streamSince.IsZero() {
		v.lostAt = time.Now()
		v.endStream()
	}
	pause := v.pauses.next(s.cfg.MinBackoff, s.cfg.MaxBackoff)
	if waits, ok := errors.AsType[*foreignError](err); ok {
		pause = min(waits.pause, max(waits.left, 10*time.Millisecond))
	}
	v.logLost(err, pause)
	if !v.toldDetached {
		v.toldDetached = true
		s.spool.Mark(spool.Mark{Kind: spool.Detached}, time.Now())
	}
	if quick := errors.Is(err, errMoved) || errors.Is(err, errNotPrimary) || errors.Is(err, errNotReplica) || errors.Is(err, errLagging) || errors.Is(err, errUnsureReplica); quick {
		pause = min(pause, quickPause)
	}
	return v.sleep(ctx, pause)
}

// quickPause is the longest pause after what is only a matter of moments.
const quickPause = 200 * time.Millisecond

// sleep pauses until it is woken. It returns false if ctx is done first.
func (v *receiver) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-v.wake:
	case <-timer.C:
	}
	return true
}

// endStream notes how the stream of the last connection was. One that brought a
// record, or lasted, has worked.
func (v *receiver) endStream() {
	s, lasted := v.n.replica, time.Since(v.streamSince)
	worked := s.handedOut.Load() > v.streamFrom || lasted > maxRefusedPause
	if !worked {
		return
	}
	v.pauses.worked(lasted > s.cfg.MaxBackoff)
	v.toldAsking, v.noInfo = false, ""
	if !v.toldNoAcks { // else the server ends a link that works, again and again
		v.logged = nil
	}
}

// attach connects, and receives until the link is lost.
func (v *receiver) attach(ctx context.Context) error {
	s := v.n.replica
	v.streamSince = time.Time{}
	v.pauses.begin()
	s.setState(Connecting)
	if v.forShutdown && s.stillShuttingDown(ctx) {
		return errShuttingDown
	}
	v.forShutdown = false
	addr, err := v.locate(ctx)
	if err != nil {
		return err
	}
	ctx, end := s.attempt.begin(ctx, addr.host)
	defer end()
	err = v.attachTo(ctx, addr)
	switch {
	case errors.Is(context.Cause(ctx), errMoved):
		return errMoved
	case !v.isPrimary && s.group != nil && err != nil && v.streamSince.IsZero():
		s.avoided.addFailing(addr.host)
	case !v.isPrimary && s.group != nil && !v.streamSince.IsZero():
		s.avoided.remove(addr.host)
	}
	return err
}

func (v *receiver) attachTo(ctx context.Context, addr *address) error {
	n, s := v.n, v.n.replica
	conn, err := addr.dial(ctx, s.cfg.DialTimeout)
	if err != nil {
		return v.explainUnreachable(fmt.Errorf("connect: %w", err), addr.host)
	}
	v.noteReached(addr.host)
	v.pauses.connected()
	l := newLink(conn, addr, s.cfg.Timeout, &s.lastArrival)
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()

	wantKeys := n.consumer.WantsKeys()
	if err := l.handshake(&s.cfg, wantKeys); err != nil {
		return err
	}
	if l.noReplconf && !v.toldNoAcks {
		v.toldNoAcks = true
		s.cfg.Logger.Warn("the server has no REPLCONF: nothing is acknowledged to it, and so it ends the link after each repl-timeout, which is then resumed", "server", s.server().text)
	}
	return v.syncAndReceive(ctx, l, wantKeys)
}

// syncAndReceive asks for the stream with PSYNC, does the full or partial resync
// that the server answers with, and receives until the link is lost.
func (v *receiver) syncAndReceive(ctx context.Context, l *link, wantKeys bool) error {
	s := v.n.replica
	s.setState(Syncing)
	how, h, told, err := v.examine(ctx, l)
	for began := time.Now(); err == nil && told && how.verdict == lagging && time.Since(began) < lagPatience; {
		if !sleep(ctx, lagPause) {
			return context.Cause(ctx)
		}
		how, h, told, err = v.examine(ctx, l)
	}
	if err != nil {
		return err
	}
	from := v.pos
	switch {
	case told && s.group != nil && v.isPrimary && h.replica:
		return errNotPrimary
	case told && s.group != nil && !v.isPrimary && !h.replica:
		return errNotReplica
	case v.pos.IsZero():
	case v.forceFull:
		from = Position{}
	case !told:
		how.at, how.renamed = v.pos.Offset, -1
	case how.verdict == lagging:
		return errLagging
	case s.group != nil && !v.isPrimary && how.unsure(&h):
		s.avoided.add(l.addr.host, avoidForeign)
		return errUnsureReplica
	case how.verdict == foreign:
		if err := v.waitForeign(&h, l.addr); err != nil {
			return err
		}
		from = Position{}
	case how.verdict == rewind:
		if err := v.waitYoung(&h, l); err != nil {
			return err
		}
		from.ReplID, from.Offset = h.replID, how.at
	case h.exact:
		from.ReplID = h.replID // the replica may not know how far it had its earlier name
	}
	if from.IsZero() {
		v.logAsking()
	}
	a, err := l.psync(&s.cfg, from)
	if err != nil {
		return err
	}
	if err := v.checkReply(&a, &h, told && !from.IsZero()); err != nil {
		return err
	}
	if a.full && !a.legacy && !told && !from.IsZero() && a.pos.ReplID != v.pos.ReplID {
		if err := v.waitUntold(&a, l.addr); err != nil {
			return err
		}
	}
	if a.full {
		v.pauses.resynced()
		if err := v.n.passLink(ctx, l, &a, wantKeys); err != nil {
			return err
		}
		v.forceFull = false
		how = ahead{at: a.pos.Offset, renamed: -1}
		v.lineage = lineage{{a.pos.ReplID, a.pos.Offset}}
	} else {
		s.acks.reset(a.pos)
		s.updateStatus(func(st *Status) { st.PartialResyncs++ })
		if how.verdict == rewind {
			v.logRewind(l, a.pos)
		} else {
			s.cfg.Logger.Info("attached, resuming", "server", l.addr.text, "position", a.pos.String())
		}
	}
	v.foreign, v.changed = foreigner{}, ""
	v.pos, v.streamSince, v.streamFrom, v.toldDetached = a.pos, time.Now(), a.pos.Offset, false
	s.updateStatus(func(st *Status) { // before anything of the link can be handed out, as the mark is
		st.State, st.Since, st.LastError, st.ReplID = Streaming, time.Now(), "", a.pos.ReplID
		st.Connects++
	})
	v.markAttached(&a, how)
	if err := v.takeBuffered(ctx, l); err != nil {
		return err
	}
	if s.cfg.BacklogInterval > 0 || s.cfg.Ack == AckNone {
		defer s.startInquirer()()
	}
	next, err := v.receive(ctx, l, a)
	if next == nil {
		return err
	}
	l.close()
	defer next.close()
	defer context.AfterFunc(ctx, next.close)()
	if err := v.takeBuffered(ctx, next); err != nil {
		return err
	}
	_, err = v.receive(ctx, next, psyncReply{pos: v.pos})
	return err
}

// A replica that has not got as far as receiving has is asked again, so often and
// for so long, before the link is given up.
const (
	lagPause    = 20 * time.Millisecond
	lagPatience = 2 * time.Second
)

// errUnsureReplica: one of several replicas does not know where its history and what
// was received parted. It got its data by a full resync, or lacked the last bytes when
// its primary changed.
var errUnsureReplica = errors.New("the replica does not know where its history and what was received parted: another server is asked")

// errLagging: a replica has not got as far as receiving has.
var errLagging = errors.New("the server is a replica that does not have yet all that was received; triggerd tries again until it has")

// checkReply returns an error if the server's answer to PSYNC is not of the
// history that it has told just before.
func (v *receiver) checkReply(a *psyncReply, h *history, told bool) error {
	if !told || a.legacy || a.pos.ReplID == h.replID || v.changed == h.replID {
		return nil // a server without a backlog takes another name when a replica comes
	}
	v.changed = h.replID
	return errors.New("PSYNC: the server's history has changed in this moment")
}

// logRewind tells that the server's history lacks the last bytes that were
// received.
func (v *receiver) logRewind(l *link, to Position) {
	s, bytes := v.n.replica, v.pos.Offset-to.Offset
	s.updateStatus(func(st *Status) { st.Rewinds++; st.RewoundBytes += bytes })
	s.cfg.Logger.Warn("attached, going back: the server, which has become the primary, had not got the last bytes that were received of the one before. What was written with them is gone",
		"server", l.addr.text, "from", v.pos.String(), "to", to.String(), "bytes", bytes)
}

// markAttached notes in the spool where the link goes on, and under which name.
func (v *receiver) markAttached(a *psyncReply, how ahead) {
	s, back := v.n.replica, !a.full && how.verdict == rewind
	v.rename.at = -1
	place := placeOf(a.pos)
	if !a.full {
		if back {
			v.lineage = v.lineage.back(a.pos.Offset)
		}
		if how.renamed > a.pos.Offset {
			v.rename.at, v.rename.replID = how.renamed, a.pos.ReplID
			place.ReplID = v.lineage.current()
		} else {
			v.lineage = v.lineage.rename(a.pos.ReplID, a.pos.Offset)
		}
	}
	place.DB = -1
	if a.full {
		place.DB = a.pos.DB
	}
	s.spool.Mark(spool.Mark{Kind: spool.Attached, Full: a.full, Back: back, Place: place}, v.streamSince)
	if back {
		v.n.deadStale.Store(true)
	}
}

// beforeRename returns how many of n bytes may be received before the history
// gets another name.
func (v *receiver) beforeRename(n int) int {
	if v.rename.at < 0 {
		return n
	}
	return int(min(int64(n), v.rename.at-v.pos.Offset))
}

// takeName notes in the spool that the history has got its new name.
func (v *receiver) takeName() {
	v.lineage = v.lineage.rename(v.rename.replID, v.rename.at)
	v.n.replica.spool.Mark(spool.Mark{Kind: spool.Renamed, Place: spool.Place{ReplID: v.rename.replID, Offset: v.rename.at, DB: -1}}, time.Now())
	v.rename.at = -1
}

// logAsking logs that a full resync is asked for: someone waits for something to
// happen, and a server may begin seconds later. Attempts that fail do not log it
// again.
func (v *receiver) logAsking() {
	if v.toldAsking {
		return
	}
	v.toldAsking = true
	s := v.n.replica
	if v.forceFull {
		s.cfg.Logger.Error("the stream is unreadable at the same place again and again: asking for a full resync", "server", s.server().text, "position", v.pos.String())
		return
	}
	s.cfg.Logger.Info("asking for a full resync, which a server may begin some seconds later (repl-diskless-sync-delay)", "server", s.server().text)
}

// logLost logs why the link was lost, the same reason once until a link has
// worked.
func (v *receiver) logLost(err error, pause time.Duration) {
	s, level := v.n.replica, slog.LevelWarn
	var refused *ServerError
	if errors.As(err, &refused) && !isTemporary(err) || sentinel.NeedsChange(err) {
		level = slog.LevelError // likely someone has to act
	}
	// Several may take turns: the addresses that Sentinels name.
	switch reason := ownAddress.ReplaceAllString(err.Error(), ""); {
	case slices.Contains(v.logged, reason):
		level = slog.LevelDebug
	case len(v.logged) == maxLogged:
		v.logged = append(v.logged[1:maxLogged:maxLogged], reason)
	default:
		v.logged = append(v.logged, reason)
	}
	s.updateStatus(func(st *Status) { st.LastError, st.State, st.Since = err.Error(), Waiting, time.Now() })
	s.cfg.Logger.Log(context.Background(), level, "not attached to the server, trying again", "server", s.server().text, "err", err, "pause", pause.Round(time.Millisecond))
}

// maxLogged is how many reasons are remembered, so as to log each once.
const maxLogged = 8

// ownAddress is the address of our side in the texts of network errors. Its port
// is another one each time.
var ownAddress = regexp.MustCompile(`\S+->`)

// takeBuffered puts into the spool what was read of the stream together with
// what came before it.
func (v *receiver) takeBuffered(ctx context.Context, l *link) error {
	for {
		b := l.r.Buffered()
		if len(b) == 0 {
			return nil
		}
		room, err := v.n.replica.spool.Room(ctx)
		if err != nil {
			return err
		}
		k := copy(room[:v.beforeRename(len(room))], b)
		l.r.Discard(k)
		v.append(room[:k], l.lastArrival, nil)
	}
}

// append adds to the spool what was read into its room.
func (v *receiver) append(b []byte, at time.Time, asks *getAckFinder) {
	s := v.n.replica
	s.spool.Append(len(b), at)
	before := v.pos.Offset
	v.pos.Offset += int64(len(b))
	s.acks.received.Store(v.pos.Offset)
	if v.pos.Offset == v.rename.at {
		v.takeName()
	}
	if asks == nil {
		return
	}
	if at, ok := asks.find(b); ok {
		s.acks.onGetAck(before + int64(at))
	}
}

// receive puts into the spool what the server sends, until the link is lost, or
// until another one is attached in its place, which it returns.
func (v *receiver) receive(ctx context.Context, l *link, a psyncReply) (next *link, err error) {
	n, s := v.n, v.n.replica
	var asks *getAckFinder
	if (!a.legacy || a.eofMarked) && !l.noReplconf {
		asks = new(getAckFinder)
		s.acks.noneOffset = ackNoneOffset(a)
		stop := s.acks.start(l, s.cfg.Ack, s.spool)
		defer stop()
	}
	defer s.current.set(l)()
	defer n.quietSince.Store(0)
	l.nextWake = func() time.Time { return v.renewalTime(l) }
	for {
		if r := n.restart.Load(); r != nil {
			return nil, r.err
		}
		room, err := s.spool.Room(ctx)
		if err != nil {
			return nil, err
		}
		if v.rename.at >= 0 {
			room = room[:v.beforeRename(len(room))]
		}
		k, err := n.readLink(l, room)
		if k > 0 {
			v.append(room[:k], l.lastArrival, asks)
		}
		switch {
		case err == nil:
		case errors.Is(err, errWoken):
			if next := v.renewLink(ctx, l); next != nil {
				return next, nil
			}
		case l.forShutdown.Load():
			v.forShutdown = true
			return nil, errShuttingDown
		case err == io.EOF:
			return nil, errors.New("read the stream: server closed the connection")
		default:
			return nil, fmt.Errorf("read the stream: %w", err)
		}
	}
}

// readLink reads from a link, and tells meanwhile since when it waits.
func (n *session) readLink(l *link, b []byte) (int, error) {
	n.quietSince.Store(int64(time.Since(n.began)) + 1)
	k, err := linkReader{l}.Read(b)
	n.quietSince.Store(0)
	return k, err
}

// handover is a link at the beginning of a snapshot, which the reading goroutine
// takes when it has handed out all that came before.
type handover struct {
	link     *link
	reply    *psyncReply
	wantKeys bool
	foreign  bool       // the server's history is known to be another one
	done     chan error // receives how it went
}

// passLink has the reading goroutine read a full resync's snapshot, and waits
// until it has.
func (n *session) passLink(ctx context.Context, l *link, a *psyncReply, wantKeys bool) error {
	h := &handover{link: l, reply: a, wantKeys: wantKeys, foreign: n.receiver.foreign.replID != "", done: make(chan error, 1)}
	n.handover.Store(h)
	n.reader.Poke()
	select {
	case err := <-h.done:
		return err
	case <-ctx.Done():
		if n.handover.CompareAndSwap(h, nil) {
			return context.Cause(ctx)
		}
		return <-h.done // it is being read, and the link is closed
	}
}

// restart asks the receiver to attach anew.
type restart struct {
	pos  Position // where what was received already is to be received again; zero: nothing is
	full bool     // by a full resync
	err  error    // why
}

// reattach has the receiver end the link, and attach anew.
func (n *session) reattach(r *restart) {
	n.restart.Store(r)
	n.replica.current.with((*link).close)
}
