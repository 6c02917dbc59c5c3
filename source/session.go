package source

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/resp"
	"triggerd/internal/spool"
	"triggerd/rdb"
)

// session is one run of Records. Its goroutine reads what the receiver puts into
// the spool, and hands out the records.
type session struct {
	replica  *Replica
	consumer Consumer
	preparer Preparer // nil: nobody is told of what comes
	yield    func(*Record) bool
	began    time.Time

	reader   *spool.Reader
	decoder  *decoder
	pos      Position  // after the last command or transaction that is complete
	stamp    time.Time // when the bytes up to stampEnd came that are decoded
	stampEnd spool.Address
	ahead    spool.Address // how far addresses of the spool are ahead of offsets
	legacy   bool          // the server has only SYNC: reading cannot resume

	handedOut int64 // offset of the last record
	handOuts  uint  // records so far

	replay       bool      // only what is in the spool is read: there is no receiver
	marked       time.Time // of the last mark
	attached     bool      // what is read next has come, or comes, over a link
	seeking      bool      // what is read is dropped, up to where the stream goes on at pos
	resynced     bool      // a snapshot was read; its mark comes next
	unreadable   int       // how often in a row the stream could not be read behind unreadableAt
	unreadableAt Position
	side         *sideSnapshot // nil: there is none
	scratch      []byte

	// What an earlier process has received behind a snapshot that it did not
	// handle is of no use. cut is where it begins, zero if there is none; live is
	// where this process begins to receive.
	cut, live spool.Address

	dead      *spool.Dead // what comes next, or later, that is no part of the history any more; nil: nothing is known to
	deadLimit spool.Address
	deadStale atomic.Bool // the spool has more of that
	names     names

	receiver receiver

	// What the receiver asks of the reading goroutine, and is asked by it.
	stopped    atomic.Bool // ctx is done
	handover   atomic.Pointer[handover]
	restart    atomic.Pointer[restart]
	failed     atomic.Pointer[error] // why Records is to end
	quietSince atomic.Int64          // since when the receiver waits for the server, in nanoseconds after began; 0: it does not
}

// errStop ends a session because the caller wants no more records, or its
// context is done.
var errStop = errors.New("stopped by the caller")

// errLacksKeys ends a read of the stream though there is more of it: a side snapshot
// is to be asked for first.
var errLacksKeys = errors.New("the consumer lacks keys")

// maxUnreadable is how many times in a row the stream may be unreadable at the
// same offset. After that a full resync is asked for. Otherwise one wrong byte
// in the server's backlog would stop triggerd for good.
const maxUnreadable = 5

// newSession finds from in the spool. If the spool does not have it, it is
// emptied, and the server is asked for what comes behind from.
func (s *Replica) newSession(from Position, c Consumer) (*session, error) {
	from.Events = 0 // the consumer skips these
	if c == nil {
		c = commandsOnly{}
	}
	n := &session{replica: s, consumer: c, pos: from, handedOut: from.Offset, began: time.Now()}
	n.preparer, _ = c.(Preparer)
	n.receiver = receiver{n: n, pos: from}
	n.receiver.rename.at, n.receiver.wake = -1, make(chan struct{}, 1)
	if err := n.open(from); err != nil {
		return nil, err
	}
	if !n.receiver.pos.IsZero() && n.receiver.lineage == nil {
		n.receiver.lineage = lineage{{from.ReplID, 0}}
	}
	s.acks.reset(from)
	s.acks.setDurable(from)
	s.acks.received.Store(n.receiver.pos.Offset)
	n.publishHandedOut()
	s.recordTime.Store(0)
	return n, nil
}

// open begins to read behind from, in the spool, or at its empty end.
func (n *session) open(from Position) error {
	s := n.replica
	at, found := s.spool.Find(placeOf(from))
	if found && !from.IsZero() {
		err := n.readFrom(at, from)
		if err == nil {
			var end spool.Place
			n.live, end = s.spool.End()
			if cut, before, ok := s.spool.FindFull(at); ok {
				n.cut, end = cut, before
			}
			n.receiver.pos = Position{ReplID: end.ReplID, Offset: end.Offset}
			if n.receiver.lineage = lineageOf(s.spool); n.cut != 0 {
				n.receiver.lineage = lineage{{end.ReplID, 0}}
			}
			n.seedNames(from)
			// The link of the process that received this is lost, whatever it had
			// time to say.
			s.spool.Mark(spool.Mark{Kind: spool.Detached}, n.began)
			n.receiver.toldDetached, n.receiver.lostAt = true, s.spool.Recovered()
			return nil
		}
		s.cfg.Logger.Error("the spool cannot be read from the position on, the server is asked for what comes behind it", "position", from.String(), "err", err)
	}
	s.spool.Reset()
	at, _ = s.spool.End()
	return n.readFrom(at, from)
}

// seedNames takes the names that the history had before a position from what was
// received.
func (n *session) seedNames(from Position) {
	for _, a := range n.receiver.lineage {
		if a.from <= from.Offset {
			n.names = n.names.add(Position{ReplID: a.replID, Offset: a.from, DB: from.DB})
		}
	}
	if k := len(n.names); k == 0 || n.names[k-1].ReplID != from.ReplID {
		n.names = names{from} // it is itself no part of the history any more
	}
}

// readFrom begins to read at an address, which is behind pos.
func (n *session) readFrom(at spool.Address, pos Position) (err error) {
	if n.reader, err = n.replica.spool.NewReader(at); err != nil {
		return err
	}
	n.reader.Wake = n.nextWake
	n.ahead = at - spool.Address(pos.Offset)
	n.handedOut = pos.Offset
	n.decoder = n.newDecoder(pos)
	if n.deadLimit == 0 {
		n.deadLimit = math.MaxInt64
	}
	n.findDead(at)
	return nil
}

// findDead finds what comes next, behind an address, that is no part of the
// history any more.
func (n *session) findDead(at spool.Address) {
	n.dead = nil
	if d, ok := n.replica.spool.FindDead(at, n.deadLimit); ok {
		n.dead = &d
	}
}

// passDead goes to the mark behind what is no part of the history any more, if
// reading has come to it, and reports whether it has. offset is that behind what
// was read.
func (n *session) passDead(offset int64) bool {
	if n.deadStale.Load() && n.deadStale.Swap(false) {
		n.findDead(n.reader.At())
	}
	if n.dead == nil || spool.Address(offset)+n.ahead <= n.dead.From {
		return false
	}
	n.reader.Skip(n.dead.Mark)
	n.dead = nil
	return true
}

// newDecoder returns a decoder of what is read from now on.
func (n *session) newDecoder(pos Position) *decoder {
	d := newDecoder(resp.NewReader(spoolReader{n}, resp.Limits{}), pos, n.replica.cfg.MaxTransaction, nil)
	d.now, d.hello = n.arrival, n.replica.cfg.SentinelHello
	if n.preparer != nil {
		d.prepare = n.preparer.Prepare
	}
	n.stampEnd = 0
	return d
}

// arrival returns when the last byte of what was decoded came.
func (n *session) arrival() time.Time {
	if at := spool.Address(n.decoder.offset()) + n.ahead; at > n.stampEnd {
		n.stamp, n.stampEnd = n.reader.Time(at)
		n.replica.recordTime.Store(n.stamp.UnixNano())
	}
	return n.stamp
}

// run hands out records until ctx is done, the caller wants no more, or retrying
// is of no use. Its goroutines have ended when it returns.
func (n *session) run(ctx context.Context) error {
	defer n.reader.Close()
	log := n.replica.spool
	writeCtx, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	var writing sync.WaitGroup
	writing.Go(func() { log.Run(writeCtx) }) // its error is what the reader gets
	defer writing.Wait()
	defer stopWriting()
	ctx, stop := context.WithCancel(ctx)
	var others sync.WaitGroup
	if n.replica.cfg.Announce != "" {
		a, err := n.replica.newAnnouncer()
		if err != nil {
			stop()
			return err
		}
		others.Go(func() { a.run(ctx) })
	}
	others.Go(func() { n.receiver.run(ctx) })
	others.Go(func() { n.wakeOnChange(ctx) })
	if n.replica.group != nil {
		others.Go(func() { n.followSentinels(ctx) })
	}
	defer others.Wait()
	defer stop()
	defer context.AfterFunc(ctx, func() {
		n.stopped.Store(true)
		n.reader.Poke()
	})()
	defer n.closeSide()
	return n.read(ctx)
}

// wakeOnChange wakes the reading goroutine whenever Consumer.Changed receives,
// until ctx is done.
func (n *session) wakeOnChange(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.consumer.Changed():
			n.reader.Poke()
		}
	}
}

// fail ends the session with an error. What is in the spool is handed out before.
func (n *session) fail(err error) {
	n.failed.Store(&err)
	n.reader.Poke()
}

func (n *session) read(ctx context.Context) error {
	for !n.stopped.Load() {
		if n.side != nil {
			if err := n.takeSideSnapshot(ctx); err != nil {
				return err
			}
		}
		if err := n.readOne(ctx); err != nil {
			return err
		}
	}
	return errStop
}

// readOne hands out the next record, or does what has to be done before it.
func (n *session) readOne(ctx context.Context) error {
	if n.dead != nil && !n.seeking && n.passDead(n.handedOut+1) {
		return nil
	}
	rec, err := n.next()
	if err == nil {
		if (n.dead != nil || n.deadStale.Load()) && n.passDead(rec.Offset) {
			return nil
		}
		return n.handOut(rec)
	}
	switch {
	case err == spool.ErrMark:
		return n.passMark()
	case err == spool.ErrWoken:
		return n.wakeUp(ctx)
	case err == errLacksKeys:
		n.openSideSnapshot(ctx)
		return nil
	case isUnreadable(err):
		if !n.seeking && n.passDead(n.decoder.offset()+1) {
			return nil
		}
		return n.receiveAgain(err)
	}
	return err
}

// isUnreadable reports whether an error is of what is read, which may be better
// when it is received again.
func isUnreadable(err error) bool {
	var pe *resp.ProtocolError
	var damage *spool.DamageError
	return errors.As(err, &pe) || errors.As(err, &damage) || errors.Is(err, errInStream)
}

// next returns the next record. While the session seeks, there is none.
func (n *session) next() (*Record, error) {
	if !n.seeking {
		return n.decoder.next()
	}
	if n.scratch == nil {
		n.scratch = make([]byte, 64<<10)
	}
	for !n.stopped.Load() {
		_, err := spoolReader{n}.Read(n.scratch)
		var damage *spool.DamageError
		if errors.As(err, &damage) {
			n.reader.Skip(damage.Next)
		} else if err != nil {
			return nil, err
		}
	}
	return nil, spool.ErrWoken
}

// spoolReader reads the stream of a session.
type spoolReader struct{ n *session }

func (r spoolReader) Read(p []byte) (int, error) {
	n := r.n
	n.publishHandedOut()
	if n.wantsSideSnapshot() {
		return 0, errLacksKeys
	}
	k, err := n.reader.Read(p)
	if n.replica.starved.Load() {
		if k > 0 {
			n.replica.recordTime.Store(n.reader.LastTime().UnixNano())
		}
		n.replica.starved.Store(false)
	}
	return k, err
}

// nextWake is asked when all is read: it returns when to be woken.
func (n *session) nextWake() time.Time {
	if n.replay || n.handover.Load() != nil || n.failed.Load() != nil || n.stopped.Load() || n.wantsSideSnapshot() {
		return n.began
	}
	n.replica.starved.Store(true)
	return n.consumer.NextWake()
}

// publishHandedOutEvery is after how many records their offset is published, and
// whenever more is to be read.
const publishHandedOutEvery = 64

func (n *session) publishHandedOut() { n.replica.handedOut.Store(n.handedOut) }

func (n *session) handOut(rec *Record) error {
	n.handedOut = rec.Offset
	if n.handOuts++; n.handOuts%publishHandedOutEvery == 0 {
		n.publishHandedOut()
	}
	if !rec.Pos.IsZero() {
		n.pos = rec.Pos
	}
	if n.legacy {
		rec.Pos = Position{} // SYNC cannot resume
	}
	if !n.yield(rec) {
		return errStop
	}
	return nil
}

// yieldLinkState hands out a record about the link, unless the consumer wants
// commands only.
func (n *session) yieldLinkState(rec *Record) bool {
	if n.consumer == (commandsOnly{}) {
		return true
	}
	rec.DB, rec.ReplID, rec.Offset = n.pos.DB, n.pos.ReplID, n.pos.Offset
	return n.yield(rec)
}

// wakeUp does what the reader was woken for. There was nothing to read then, but
// the receiver may have gone on since: what ends the stream that is read comes
// after all of it.
func (n *session) wakeUp(ctx context.Context) error {
	if n.stopped.Load() {
		return errStop
	}
	if n.replay {
		return errors.New("the spool ends")
	}
	failed, h := n.failed.Load(), n.handover.Load()
	switch {
	case (failed != nil || h != nil) && !n.reader.AtEnd():
		return nil // the next read does not wait
	case failed != nil:
		return *failed
	case h != nil && n.handover.CompareAndSwap(h, nil):
		return n.takeHandover(ctx, h)
	case n.wantsSideSnapshot():
		n.openSideSnapshot(ctx)
		return nil
	case n.consumer == (commandsOnly{}):
		return nil
	}
	if !n.yield(&Record{Kind: Woken, DB: n.decoder.db, ReplID: n.pos.ReplID, Offset: n.decoder.offset(), Time: n.reader.EmptyAt(), Idle: n.isIdle()}) {
		return errStop
	}
	return nil
}

// isIdle reports whether the server has sent nothing for idleAfter, and nothing
// waits to be received.
func (n *session) isIdle() bool {
	since := n.quietSince.Load()
	return n.attached && since != 0 && time.Since(n.began)-time.Duration(since) >= idleAfter && n.reader.Waited(idleAfter)
}

// readUpTo returns the time up to which everything is handed out: what comes
// next has not come before.
func (n *session) readUpTo() time.Time {
	if n.stamp.After(n.marked) {
		return n.stamp
	}
	return n.marked
}

// passMark goes behind the mark that comes next.
func (n *session) passMark() error {
	if n.cut != 0 && n.reader.At() >= n.cut {
		// The snapshot that was taken here is gone. The stream goes on as the
		// server answers now.
		from := n.reader.At()
		n.reader.Skip(n.live)
		n.ahead += n.reader.At() - from
		n.cut = 0
		return nil
	}
	m, at := n.reader.Mark()
	n.ahead++
	n.marked = at
	switch m.Kind {
	case spool.Attached:
		return n.passAttached(&m, at)
	case spool.Renamed:
		return n.passRenamed(&m, at)
	}
	n.attached = false
	if n.seeking || n.yieldLinkState(&Record{Kind: Detached, Time: at}) {
		return nil
	}
	return errStop
}

// passAttached goes on behind where a link was attached.
func (n *session) passAttached(m *spool.Mark, at time.Time) error {
	received := int64(n.reader.At() - n.ahead)
	switch {
	case n.resynced && m.Full:
		n.resynced = false
	case m.Back:
		return n.passBack(m, at)
	case n.seeking && (m.Full || m.Place.Offset != n.pos.Offset):
		return nil
	case n.seeking:
		n.seeking = false
		n.ahead = n.reader.At() - spool.Address(m.Place.Offset)
		n.decoder = n.newDecoder(n.pos)
	case m.Full || m.Place.Offset != received:
		return n.receiveAgain(fmt.Errorf("%w: the spool goes on at offset %d behind offset %d", errInStream, m.Place.Offset, received))
	}
	n.attached = true
	if !m.Full && m.Place.ReplID != n.pos.ReplID && !n.rename(m.Place.ReplID, at) {
		return errStop
	}
	if !n.yieldLinkState(&Record{Kind: Attached, Time: at}) {
		return errStop
	}
	return nil
}

// passRenamed goes on behind where the history got another name.
func (n *session) passRenamed(m *spool.Mark, at time.Time) error {
	if n.seeking || m.Place.Offset != n.pos.Offset || m.Place.ReplID == n.pos.ReplID || n.rename(m.Place.ReplID, at) {
		return nil
	}
	return errStop
}

// passBack goes on where the history went back to.
func (n *session) passBack(m *spool.Mark, at time.Time) error {
	to := m.Place.Offset
	if n.pos.Offset < to {
		if n.seeking {
			return nil
		}
		return n.receiveAgain(fmt.Errorf("%w: the spool goes back to offset %d, which is behind offset %d", errInStream, to, n.pos.Offset))
	}
	if n.attached { // the mark that says so was not read
		n.attached = false
		if !n.yieldLinkState(&Record{Kind: Detached, Time: at}) {
			return errStop
		}
	}
	n.closeSide()
	rec := Record{Kind: Rewound, From: n.pos, Dead: n.names.spans(n.pos.ReplID, to, n.handedOut), Time: at}
	if n.handedOut == to {
		rec.Kind, rec.From = Heartbeat, Position{}
	}
	renamed := n.pos.ReplID != m.Place.ReplID
	n.pos = Position{ReplID: m.Place.ReplID, Offset: to, DB: n.names.databaseAt(to, n.pos.DB)}
	n.names = n.names.back(to).add(n.pos)
	n.seeking = false
	n.ahead = n.reader.At() - spool.Address(to)
	n.decoder = n.newDecoder(n.pos)
	n.handedOut = to
	n.findDead(n.reader.At())
	n.replica.handedOut.Store(to)
	n.attached = true
	rec.ReplID, rec.DB, rec.Offset, rec.Pos = n.pos.ReplID, n.pos.DB, to, n.pos
	if (rec.Kind == Rewound || renamed) && !n.yield(&rec) || !n.yieldLinkState(&Record{Kind: Attached, Time: at}) {
		return errStop
	}
	return nil
}

// names tells where the history that was handed out has got its names, the oldest
// first. The first is the name of what was before, too.
type names []Position

// maxNames is how many are known, which is far more than servers know.
const maxNames = 64

// add adds a name, unless the history has it already.
func (ns names) add(p Position) names {
	if len(ns) > 0 && ns[len(ns)-1].ReplID == p.ReplID {
		return ns
	}
	if len(ns) == maxNames {
		ns = ns[1:]
	}
	return append(ns, p)
}

// back returns the names up to an offset.
func (ns names) back(to int64) names {
	for len(ns) > 1 && ns[len(ns)-1].Offset >= to {
		ns = ns[:len(ns)-1]
	}
	return ns
}

// spans returns what was handed out between two offsets, by the names that it
// had. last is the newest name, if no other is known.
func (ns names) spans(last string, after, to int64) (spans []Span) {
	for i := len(ns) - 1; i > 0 && to > after; i-- {
		if p := &ns[i]; p.Offset < to {
			spans = append(spans, Span{p.ReplID, max(p.Offset, after), to})
			to = p.Offset
		}
	}
	if to > after {
		if len(ns) > 0 {
			last = ns[0].ReplID
		}
		spans = append(spans, Span{last, after, to})
	}
	slices.Reverse(spans)
	return spans
}

// databaseAt returns which database is selected where the history goes back to,
// if that is known. A server that becomes a primary selects one before its first
// write; so it is of use only where a history goes on under its old name.
func (ns names) databaseAt(offset int64, otherwise int) int {
	for i := range ns {
		if ns[i].Offset == offset {
			return ns[i].DB
		}
	}
	return otherwise
}

// rename gives the history the name that it has got by a failover. The caller
// gets it at once, in a Heartbeat: a server remembers only one earlier name.
func (n *session) rename(replID string, at time.Time) bool {
	n.names = n.names.add(n.pos) // if it is the first
	n.pos.ReplID = replID
	n.names = n.names.add(n.pos)
	n.decoder.rename(replID)
	rec := Record{Kind: Heartbeat, DB: n.pos.DB, ReplID: replID, Offset: n.pos.Offset, Time: at, Pos: n.pos}
	if n.decoder.tx.open && n.decoder.tx.spilled {
		rec.Pos = Position{}
	}
	return n.yield(&rec)
}

// receiveAgain has what comes behind the position received again, since it could
// not be read. An earlier process may have done so.
func (n *session) receiveAgain(why error) error {
	if n.decoder.tx.open && n.decoder.tx.spilled && !n.yieldLinkState(&Record{Kind: Detached, Time: time.Now(), Aborted: true}) {
		return errStop
	}
	s := n.replica
	n.seeking, n.attached, n.handedOut = true, false, n.pos.Offset
	if at, ok := s.spool.FindAttached(n.reader.At(), n.pos.Offset); ok {
		s.cfg.Logger.Warn("the stream cannot be read, and goes on where it was received again", "position", n.pos.String(), "err", why)
		n.reader.Skip(at)
		return nil
	}
	if n.replay {
		return why
	}
	s.updateStatus(func(st *Status) { st.ProtocolErrors++ })
	if n.pos != n.unreadableAt {
		n.unreadable, n.unreadableAt = 0, n.pos
	}
	n.unreadable++
	r := &restart{pos: n.pos, err: fmt.Errorf("read the stream: %w", why)}
	if n.unreadable >= maxUnreadable {
		r.full, n.unreadable = true, 0
	}
	n.reattach(r)
	return nil
}

// takeHandover reads the snapshot of a full resync. The receiver goes on with
// the link as soon as that is read.
func (n *session) takeHandover(ctx context.Context, h *handover) error {
	answer := func(err error) {
		select {
		case h.done <- err:
		default: // it has been given
		}
	}
	defer answer(errStop)
	if r := n.restart.Load(); r != nil && !r.full && !r.pos.IsZero() {
		// It was asked for behind bytes that turned out to be unreadable. The
		// server may well have what comes behind the position.
		answer(r.err)
		return nil
	}
	end, begun, err := n.fullResync(ctx, h)
	if err == errStop {
		return err
	}
	if err != nil {
		answer(err)
		if begun && !n.yieldLinkState(&Record{Kind: Detached, Time: time.Now(), Aborted: true}) {
			return errStop
		}
		return nil
	}
	n.closeSide()
	n.restart.Store(nil) // what was to be received again is not any more
	n.seeking, n.resynced, n.legacy = false, true, h.reply.legacy
	n.names = names{n.pos}
	n.findDead(n.reader.At())
	n.ahead = n.reader.At() - spool.Address(n.pos.Offset)
	n.decoder = n.newDecoder(n.pos)
	n.handedOut = n.pos.Offset
	n.publishHandedOut()
	answer(nil)
	if !n.yield(end) {
		return errStop
	}
	return nil
}

// fullResync reads the snapshot, hands out its keys if they are wanted, and
// sets the position after it. It returns the record of its end, and whether its
// beginning was handed out.
func (n *session) fullResync(ctx context.Context, h *handover) (end *Record, begun bool, err error) {
	s, began := n.replica, time.Now()
	l, a, wantKeys := h.link, h.reply, h.wantKeys
	asked := "PSYNC"
	if a.legacy {
		asked = "SYNC"
	}
	p, err := newSnapshotReader(l, asked)
	if err != nil {
		return nil, false, err
	}
	a.eofMarked = p.mark != nil
	rd := rdb.NewReader(p)
	rd.Stop = ctx.Err
	rd.Strict = true
	rd.NewerVersions = true // a value that cannot be read is no reason to refuse the snapshot: the rest is dropped, and the stream goes on
	first, err := n.readHeader(rd, a)
	if err != nil && p.err != nil && p.err != io.EOF {
		return nil, false, p.drain()
	}
	// A server that lost its backlog but not its history may have nothing new.
	gap := !n.pos.IsZero() && (n.pos.ReplID != a.pos.ReplID || n.pos.Offset != a.pos.Offset)
	mark := Record{Kind: SnapshotBegin, ReplID: a.pos.ReplID, Offset: a.pos.Offset, From: n.pos, Gap: gap, Time: l.lastArrival, RDB: rd}
	if !n.yield(&mark) {
		return nil, true, errStop
	}
	keys := 0
	if wantKeys {
		var stopped error
		keys, err, stopped = n.yieldKeys(rd, Record{Kind: Key, ReplID: a.pos.ReplID, Offset: a.pos.Offset, RDB: rd, Time: began}, first, err)
		if stopped != nil {
			return nil, true, stopped
		}
	}
	parsed := err
	if err := p.drain(); err != nil {
		return nil, true, err
	}
	n.reportUnreadable(keys, parsed)
	from := n.pos
	n.pos = a.pos
	s.acks.reset(a.pos)
	s.updateStatus(func(st *Status) {
		st.FullResyncs++
		if gap {
			st.Gaps++
		}
	})
	s.cfg.Logger.Info("attached, full resync", "server", s.server().text, "position", a.pos.String(), "keys", keys, "bytes", p.total, "took", time.Since(began).Round(time.Millisecond))
	if a.legacy {
		s.cfg.Logger.Warn("the server has no PSYNC, only SYNC: each time the link is lost, changes will be missed", "server", s.server().text)
	}
	if gap {
		s.cfg.Logger.Error(n.whyMissed(from, h), "from", from.String(), "to", a.pos.String())
	}
	mark.Kind, mark.Pos, mark.Time = SnapshotEnd, a.pos, time.Now()
	mark.Incomplete = !wantKeys || parsed != io.EOF
	return &mark, true, nil
}

// whyMissed returns what to say of the changes that a full resync missed.
func (n *session) whyMissed(from Position, h *handover) string {
	switch a := h.reply; {
	case n.seeking:
		return "what came after the last position could not be read: changes were missed"
	case a.legacy:
		return "with SYNC the server cannot go on after the last position: changes were missed"
	case a.pos.ReplID == from.ReplID && a.pos.Offset < from.Offset:
		return "the server's history is shorter than the last position: it went back, and changes may have been missed"
	}
	if h.foreign {
		return "the server's history is another one than that of the last position: changes were missed"
	}
	return "the server no longer had what came after the last position: changes were missed"
}

// readHeader reads up to the first key, which it returns. From the fields
// before it, it takes the selected database and, for SYNC, the replication ID
// and offset.
func (n *session) readHeader(rd *rdb.Reader, a *psyncReply) (*rdb.Entry, error) {
	first, err := rd.Next()
	if db, ok := auxInt(rd, "repl-stream-db"); ok && db > 0 {
		a.pos.DB = int(db)
	}
	if a.legacy {
		a.pos.ReplID = "sync-" + crand.Text() // unless the server says it
		if id, ok := rd.Aux("repl-id"); ok && checkReplID(id) == nil {
			a.pos.ReplID = id
		}
		a.pos.Offset, _ = auxInt(rd, "repl-offset")
	}
	return first, err
}

func auxInt(rd *rdb.Reader, name string) (int64, bool) {
	v, ok := rd.Aux(name)
	if !ok {
		return 0, false
	}
	n, err := parseOffset(v)
	return n, err == nil
}
