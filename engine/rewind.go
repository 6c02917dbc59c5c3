package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/delivered"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/keyspace"
	"triggerd/internal/outbox"
	"triggerd/internal/wire"
	"triggerd/source"
)

// A primary that fails takes with it what it had sent to nobody but triggerd. The
// stream goes back to where its successor stands, and what came after that is
// dead: no server has it. What it fired is told; the mirror and what time rules
// wait for go back as well.

// deadSpans are parts of histories that are dead, the oldest first.
type deadSpans []source.Span

// maxDeadSpans is how many are known. What fired in an earlier one has long been
// delivered.
const maxDeadSpans = 64

// has reports whether a command that ends at an offset is dead.
func (d deadSpans) has(replID string, offset int64) bool {
	for i := range d {
		if s := &d[i]; s.ReplID == replID && s.After < offset && offset <= s.To {
			return true
		}
	}
	return false
}

// hasEvent reports whether an event is one of a dead command.
func (d deadSpans) hasEvent(ev *event.Event) bool {
	return len(d) > 0 && ev != nil && ev.Origin == event.FromStream && d.has(ev.ReplID, ev.Offset)
}

// without returns the spans but for those of a history behind an offset, which
// lives again: a failover was undone.
func (d deadSpans) without(replID string, after int64) (rest deadSpans) {
	for _, s := range d {
		if s.ReplID == replID {
			s.To = min(s.To, after)
		}
		if s.After < s.To {
			rest = append(rest, s)
		}
	}
	return rest
}

func (d deadSpans) append(dst []byte) []byte {
	dst = append(dst, 1)
	dst = binary.AppendUvarint(dst, uint64(len(d)))
	for _, s := range d {
		dst = wire.AppendText(dst, s.ReplID)
		dst = binary.AppendVarint(binary.AppendVarint(dst, s.After), s.To)
	}
	return dst
}

func parseDeadSpans(b []byte) (d deadSpans, err error) {
	in := wire.NewCursor(b)
	if in.Byte() != 1 {
		return nil, wire.ErrDamaged
	}
	for range in.Count(3) {
		d = append(d, source.Span{ReplID: in.Text(), After: in.Varint(), To: in.Varint()})
	}
	return d, in.End()
}

// deadEntry is the key of the entry with the dead spans of a stream.
var deadEntry = []byte("dead")

// disowned is what of all streams is dead.
type disowned struct {
	mu    sync.Mutex                // one that adds at a time
	spans atomic.Pointer[deadSpans] // nil: nothing is
}

func (d *disowned) load() deadSpans {
	if spans := d.spans.Load(); spans != nil {
		return *spans
	}
	return nil
}

func (d *disowned) change(change func(deadSpans) deadSpans) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := change(slices.Clone(d.load()))
	d.spans.Store(&all)
}

func (d *disowned) add(spans []source.Span) {
	d.change(func(all deadSpans) deadSpans { return append(all, spans...).newest() })
}

// newest returns as many of the spans as are known.
func (d deadSpans) newest() deadSpans { return d[max(0, len(d)-maxDeadSpans):] }

// isRewound is the outbox's question: is a firing one of a dead command.
func (e *Engine) isRewound(f *firing.Firing) (rewound, cancel bool) {
	rewound = e.disowned.load().hasEvent(f.Event)
	return rewound, rewound && e.cfg.CancelRewound
}

// recentFirings are those that were planned last, to be told if they turn out to
// be of dead commands.
type recentFirings struct {
	ring []recentFiring
	next int
}

type recentFiring struct {
	replID string
	offset int64
	id     firing.ID
}

// maxRecent is how many firings are known. In the second or two of a planned
// failover a busy server has thousands of writes.
const maxRecent = 16 << 10

func (r *recentFirings) add(ev *event.Event, id firing.ID) {
	f := recentFiring{ev.ReplID, ev.Offset, id}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, f)
		return
	}
	r.ring[r.next] = f
	r.next = (r.next + 1) % maxRecent
}

// dead returns the firings of dead commands, the oldest first, and whether those
// are all of them.
func (r *recentFirings) dead(spans deadSpans) (ids []firing.ID, all bool) {
	n := len(r.ring)
	for i := range n {
		if f := &r.ring[(r.next+i)%n]; spans.has(f.replID, f.offset) {
			ids = append(ids, f.id)
		}
	}
	return ids, n < maxRecent || !spans.has(r.ring[r.next].replID, r.ring[r.next].offset)
}

// loadDead loads which parts of the stream's histories are dead.
func (s *stream) loadDead() error {
	saved, found, err := readEntry(s.e.store, s.spaces.state, deadEntry)
	if err != nil || !found {
		return err
	}
	if s.dead, err = parseDeadSpans(saved); err != nil {
		s.e.log.Error("what was lost in earlier failovers cannot be read: what still waits of it is delivered unmarked", "stream", s.name, "err", err)
		return nil
	}
	s.e.disowned.add(s.dead)
	return nil
}

// keepDead has what is dead committed with the position.
func (s *stream) keepDead() {
	if s.unsaved.durable {
		s.unsaved.changes.Add(s.spaces.state, outbox.PutEntry, deadEntry, s.dead.append(nil))
	}
}

// followName notes under which name the stream goes on. It may be one that parts of
// it were dead under: a failover was undone, and they come again.
func (s *stream) followName(rec *source.Record) {
	s.replID = rec.ReplID
	alive := s.dead.without(rec.ReplID, rec.Offset)
	if slices.Equal(alive, s.dead) {
		return
	}
	s.dead = alive
	s.e.disowned.change(func(all deadSpans) deadSpans { return all.without(rec.ReplID, rec.Offset) })
	s.keepDead()
	s.e.log.Warn("a failover was undone: writes that were lost in it are there again, and come again under the IDs that they had", "stream", s.name, "replid", rec.ReplID, "offset", rec.Offset)
}

// rewind goes back to where the stream goes on, and adds the events that tell of
// it.
func (s *stream) rewind(rec *source.Record) {
	st := &s.unsaved
	st.inside, st.inSnapshot, st.eventsAfterBase, st.skipEvents = false, false, 0, 0
	spans := deadSpans(rec.Dead)
	s.dead = append(s.dead, spans...).newest()
	s.e.disowned.add(spans)
	s.keepDead()
	ids, all := s.recent.dead(spans)
	if all = all && spans[0].After >= s.from.Offset; !all {
		ids = s.addEarlier(ids, spans)
	}
	how := s.rewindMirror(rec, spans)
	bytes := int64(0)
	for _, d := range spans {
		bytes += d.To - d.After
	}
	attrs := []any{"stream", s.name, "from", rec.From.String(), "to", rec.Pos.String(), "bytes", bytes, "firings", len(ids), "all_known", all, "values", how}
	if counted := s.timing.counted(); len(counted) > 0 {
		attrs = append(attrs, "counts_stay_of", counted)
	}
	s.e.log.Warn("the stream goes back: what was read behind is lost in a failover, no server has it", attrs...)
	s.e.tellState(s.name, event.Rewound, rec.From.String()+" to "+rec.Pos.String())
	s.addRewoundEvents(rec, bytes, ids)
}

// maxSearched is how many firings that wait, and deliveries that were made, are looked
// at for dead ones; searchTime is how long the deliveries are searched.
const (
	maxSearched = 20_000
	searchTime  = time.Second
)

// addEarlier adds the firings of dead commands that an earlier process has planned:
// those that wait in the store, and those that were delivered and are kept.
func (s *stream) addEarlier(ids []firing.ID, spans deadSpans) []firing.ID {
	known := make(map[firing.ID]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	add := func(id firing.ID) {
		if !known[id] {
			known[id] = true
			ids = append(ids, id)
		}
	}
	searched := 0
	for _, name := range s.e.outbox.Names() {
		for w, err := range s.e.outbox.Waiting(name, 0) {
			if searched++; err != nil || searched > maxSearched {
				break
			}
			if f := w.Firing; spans.hasEvent(f.Event) {
				add(f.ID)
			}
		}
	}
	if s.e.cfg.Kept == nil {
		return ids
	}
	searched = 0
	enough := func() bool { return searched > maxSearched }
	pick := func(h *delivered.Head) bool {
		searched++
		return enough() || spans.hasTrigger(firing.ID(h.ID).Trigger())
	}
	ctx, cancel := context.WithTimeout(context.Background(), searchTime)
	defer cancel()
	for r, err := range s.e.cfg.Kept.Latest(ctx, delivered.Query{Pick: pick}) {
		if err != nil || enough() {
			break
		}
		add(firing.ID(r.ID))
	}
	return ids
}

// hasTrigger reports whether a firing's trigger is an event of a dead command.
func (d deadSpans) hasTrigger(t firing.Trigger) bool {
	replID, place, _ := strings.Cut(string(t), ":")
	offset, index, _ := strings.Cut(place, "/")
	n, err := strconv.ParseInt(offset, 10, 64)
	return err == nil && !strings.HasPrefix(index, "s") && d.has(replID, n)
}

// idsOfEvent is how many firings an event of a rewind names.
const idsOfEvent = 500

// addRewoundEvents adds the events that tell of a rewind: one, or more where it
// has more firings than one names. Their arguments are the positions before and
// after, the number of bytes, the number of firings, and the IDs of the firings.
func (s *stream) addRewoundEvents(rec *source.Record, bytes int64, ids []firing.ID) {
	head := [][]byte{
		[]byte(rec.From.String()), []byte(rec.Pos.String()),
		strconv.AppendInt(nil, bytes, 10), strconv.AppendInt(nil, int64(len(ids)), 10),
	}
	for index := 0; index == 0 || len(ids) > 0; index++ {
		part := ids[:min(len(ids), idsOfEvent)]
		ids = ids[len(part):]
		args := slices.Clone(head)
		for _, id := range part {
			args = append(args, []byte(id))
		}
		s.events = append(s.events, event.Event{
			Name: event.Rewound, Origin: event.FromResync, Args: args, Time: rec.Time,
			ReplID: rec.ReplID, Offset: rec.Offset, Index: index, Source: s.addr,
		})
	}
}

// rewindMirror makes the mirror what it was where the stream goes on, and returns
// how. Where that cannot be done, values that may be of dead commands are not
// known, and are asked for anew.
func (s *stream) rewindMirror(rec *source.Record, spans deadSpans) string {
	if !s.needsMirror() {
		s.writeback.forget()
		return "none"
	}
	err := s.writeback.rewind(rec, spans)
	if err == nil {
		return "as they were"
	}
	torn := err != errNoFiles && err != errFilesDead && err != errNoReplay // the mirror is as it was otherwise
	s.writeback.forget()
	s.writeback.asked = true
	defer s.requestKeys()
	if !torn {
		if err = s.loseDead(spans); err == nil {
			return "unknown of the keys that it named"
		}
	}
	s.e.log.Info("the values of keys cannot be made again as they were before a failover: none is known until they are read anew", "stream", s.name, "err", err)
	s.interpreter.SnapshotBegin()
	s.interpreter.SnapshotAbort()
	s.unsaved.mirrorIncomplete = true
	return "unknown"
}

// loseDead makes the values unknown of all keys that dead commands name, as the
// spool still has them.
func (s *stream) loseDead(spans deadSpans) error {
	spooler, ok := s.src.(source.Spooler)
	if !ok {
		return errNoReplay
	}
	last := spans[len(spans)-1]
	from := source.Position{ReplID: spans[0].ReplID, Offset: spans[0].After}
	for rec, err := range spooler.Replay(context.Background(), from, source.Position{ReplID: last.ReplID, Offset: last.To}, nil) {
		switch {
		case err != nil:
			return err
		case rec.Kind == source.Rewound: // it ended inside a transaction
			return nil
		case rec.Kind == source.Command:
			s.interpreter.Lose(&keyspace.Command{Args: rec.Args, Time: rec.Time})
		}
	}
	return nil
}

// Why the mirror of an earlier position cannot be made again; errNoReplay is
// another reason.
var (
	errNoFiles   = errors.New("none were written yet")
	errFilesDead = errors.New("they were written after it")
)

// rewind makes the mirror that of the position of a rewind: out of the files, and
// of what the spool has from there on. An error leaves it with anything.
func (w *writeback) rewind(rec *source.Record, spans deadSpans) error {
	s, server := w.s, w.s.server
	if !w.enabled() || w.replay == nil {
		return errNoReplay
	}
	if w.phase == writing {
		w.writer.Wait(context.Background()) // what it wrote is of a position that may be dead
	}
	w.phase = idle
	if len(w.state.files) == 0 {
		return errNoFiles
	}
	from, err := source.ParsePosition(w.state.meta.Position)
	if err != nil {
		return err
	}
	if spans.has(from.ReplID, from.Offset) {
		return errFilesDead
	}
	s.interpreter.SetNeed(nil, keyspace.Classes{})
	s.useRules(s.gen)
	if _, err := w.load(context.Background(), &w.state); err != nil {
		return err
	}
	w.dropTicks(rec.Pos.Offset)
	to := source.Position{ReplID: spans[0].ReplID, Offset: spans[0].After, DB: -1}
	if _, err := w.play(context.Background(), from, to, w.made); err != nil {
		return err
	}
	w.position = from
	s.setServer(server)
	if complete := w.state.meta.Need != "" && w.state.meta.Need == s.gen.needText; !complete {
		s.unsaved.mirrorIncomplete = true
		s.requestKeys()
	}
	return nil
}

// dropTicks forgets the ticks behind an offset, which are dead.
func (w *writeback) dropTicks(offset int64) {
	n := len(w.made)
	for n > 0 && w.made[n-1].offset > offset {
		n--
	}
	if n == len(w.made) {
		return
	}
	first := w.ticks - uint64(len(w.made)-n)
	w.s.unsaved.changes.Add(w.s.spaces.state, outbox.DeleteFrom, tickKey(first), tickEnd)
	w.made, w.ticks = w.made[:n:n], first
}
