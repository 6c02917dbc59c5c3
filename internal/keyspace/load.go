package keyspace

import (
	"errors"
	"io"

	"triggerd/internal/event"
	"triggerd/rdb"
)

var kindOf = map[rdb.Type]kind{
	rdb.TypeString: kindString, rdb.TypeList: kindList, rdb.TypeSet: kindSet,
	rdb.TypeHash: kindHash, rdb.TypeZSet: kindZset, rdb.TypeStream: kindStream,
}

// kindNamed is the kind of a type that TYPE spells so.
func kindNamed(name string) kind {
	for k, n := range kindNames {
		if n == name {
			return kind(k)
		}
	}
	return kindUnknown
}

// errLimit ends the reading of a value that takes more memory than is allowed.
var errLimit = errors.New("over the limit")

var errGivenUp = errors.New("given up")

// loader is the state of loading one value.
type loader struct {
	texts bool
	// sorts tells that the server sorts a hash's fields by their expiries, as it
	// does where the snapshot has them one by one.
	sorts bool
	twice bool   // a member was there twice
	group string // of a stream: the one whose consumers come next
	undo  undo
}

// readValue reads the value that r is at into v. errLimit, or rdb.ErrLimit: it
// takes more than room bytes of memory, and was passed over, before it was
// unpacked if a string in it takes more. errGivenUp: p has said so. limit is what the mirror may take at all,
// and with it a string of which nothing is kept.
func readValue(r *rdb.Reader, v *value, room, limit int64, p *pace) error {
	old := r.Limits
	defer func() { r.Limits = old }()
	r.Limits.MaxString = int(max(limit, 1))
	if v.texts {
		r.Limits.MaxString = int(max(room, 1))
	}
	switch v.kind {
	case kindString:
		if !v.texts {
			return nil
		}
		text, err := r.Bytes()
		if err != nil {
			return err
		}
		if int64(len(text)) > room {
			return errLimit
		}
		v.text = append([]byte{}, text...)
		return nil
	case kindUnknown:
		return nil
	}
	v.elements = newCollection(v.kind)
	l := loader{texts: v.texts, sorts: r.Entry().Encoding == rdb.EncodingHashTable}
	n := 0
	for e, err := range r.Elements() {
		if err != nil {
			return err
		}
		if n++; n%askStop == 0 && r.Stop != nil {
			if err := r.Stop(); err != nil {
				return err
			}
		}
		if err := v.elements.load(e, &l); err != nil {
			return err
		}
		if p.stops() {
			return errGivenUp
		}
		l.undo = undo{elements: l.undo.elements[:0]}
		if int64(v.elements.bytes()) > room {
			return errLimit
		}
	}
	v.twice = l.twice
	if v.hollow() {
		return errors.New("a collection without elements, which no server keeps")
	}
	return nil
}

// askStop is after how many elements the reading of a value may be stopped: they
// may all be in one string, so that r reads nothing meanwhile.
const askStop = 4096

// restore: RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n].
func (c *call) restore() {
	k := c.key(1)
	if !k.needed() {
		return
	}
	ttl, timed := int64Of(c.args[2])
	absolute := false
	for _, a := range c.args[4:] {
		absolute = absolute || is(a, "ABSTTL")
	}
	if timed && ttl != 0 && !absolute {
		timed = c.now != 0 && ttl < 1<<60
		ttl += c.now
	}
	v := &k.value
	*v = value{exists: yes, known: true, texts: v.texts}
	k.valueReplaced()
	k.setDeadline(ttl, timed)
	r, err := rdb.NewDumpReader(c.args[3])
	if err == nil {
		var e *rdb.Entry
		if e, err = r.Next(); err == nil {
			v.kind = kindOf[e.Type]
			err = readValue(r, v, c.mi.limit-c.mi.size, c.mi.limit, &c.in.pace)
		}
	}
	switch {
	case errors.Is(err, errLimit) || errors.Is(err, rdb.ErrLimit):
		c.lose(k, yes, v.kind, &c.lost.Limit)
	case err != nil:
		c.lose(k, yes, v.kind, &c.lost.Unreadable)
	case v.kind == kindUnknown:
		c.lose(k, yes, v.kind, &c.lost.Opaque)
	default:
		c.mi.checkSparseMax(v.text)
	}
}

// SnapshotBegin tells that the keys of a snapshot follow. What is known stays
// known until they contradict it.
func (in *Interpreter) SnapshotBegin() {
	if mi := in.mirror; mi != nil {
		mi.snapshot++
		mi.torn, mi.inside, mi.loading = false, true, mi.coverOf(0)
		mi.markInside(true)
	}
}

// markInside notes in the journal whether keys of a snapshot are being read.
func (mi *mirror) markInside(snapshot bool) {
	if mi.journal != nil {
		mi.journal.inside = snapshot
	}
}

// SnapshotKey appends the event that stands for a key of a snapshot, and, if
// something else was known of the key before, its net change: event.Changed. Of a
// key whose value the snapshot does not have whole, since it is cut or damaged
// there, nothing is told: it comes again with the next one.
func (in *Interpreter) SnapshotKey(dst []event.Event, k *SnapshotKey) []event.Event {
	in.stats.SnapshotKeys++
	ev := event.Event{
		Name: event.Snapshot, Origin: event.FromSnapshot,
		DB: k.DB, Key: notNil(k.Key), Type: k.Type,
		Time: k.Time, Bytes: k.Bytes, ReplID: k.ReplID, Offset: k.Offset, Source: k.Source,
	}
	mi := in.mirror
	if mi == nil {
		return append(dst, ev)
	}
	c := &in.call
	c.begin(k.Time)
	o := c.keyIn(k.DB, k.Key)
	if !o.needed() {
		return append(dst, ev)
	}
	was := *o.keyState
	if err := mi.load(o, k); err != nil {
		mi.account(o)
		return dst
	}
	if h, ok := was.value.elements.(*hash); ok {
		h.stayDead(o.value.elements)
	}
	o.after = o.value.view(&o.is, nil)
	o.is.from = o
	o.settle()
	mi.account(o)
	mi.countEarly(k.DB, k.Key, o.keyState)
	changed := was.value.exists != maybe && !sameState(&was, o.keyState, &in.pace)
	c.setValues(&ev, o)
	ev.Before, ev.Changed = nil, nil
	dst = append(dst, ev)
	if changed {
		ev.Name, ev.Origin, ev.Cause, ev.Before = event.Changed, event.FromResync, event.CauseUnknown, o.before
		dst = append(dst, ev)
		in.stats.Events++
	}
	return dst
}

// load makes a key what the snapshot says of it. The error is that of the
// snapshot, which has nothing more to read.
func (mi *mirror) load(o *operand, k *SnapshotKey) error {
	s := o.keyState
	room := mi.limit - mi.size + int64(s.size)
	s.value = value{exists: yes, kind: kindNamed(k.Type), texts: s.value.texts}
	s.expiry.at, s.expiry.known = k.ExpireAt, true
	s.marks.snapshot = mi.snapshot
	s.valueReplaced()
	v := &s.value
	if v.kind == kindUnknown || k.Value == nil {
		mi.losses.Opaque++
		return nil
	}
	err := readValue(k.Value, v, room, mi.limit, mi.pace)
	if err == nil {
		v.known = true
		mi.checkSparseMax(v.text)
		return nil
	}
	v.drop()
	var damage *rdb.SyntaxError
	switch {
	case errors.Is(err, errLimit) || errors.Is(err, rdb.ErrLimit):
		mi.losses.Limit++
	case errors.As(err, &damage) && !errors.Is(err, io.ErrUnexpectedEOF):
		mi.losses.Unreadable++
	default:
		mi.losses.Snapshot++ // it ended, with the link
	}
	if err := k.Value.Err(); err != nil || k.Value.Stop == nil {
		return err
	}
	return k.Value.Stop()
}

// SnapshotEnd tells that the snapshot is complete. It appends the events of
// keys that were known to be there and are gone: "expired" if their deadline
// has passed, else "del", with the origin FromResync. From now on a key that
// is not mirrored is known not to be there. k says of what snapshot, as for
// SnapshotKey; its key is not looked at.
func (in *Interpreter) SnapshotEnd(dst []event.Event, k *SnapshotKey) []event.Event {
	mi := in.mirror
	if mi == nil {
		return dst
	}
	c := &in.call
	c.begin(k.Time)
	from := len(dst)
	for db, d := range mi.dbs {
		for key, s := range d.keys {
			if s.marks.snapshot == mi.snapshot {
				continue
			}
			if s.value.exists == yes && !s.expiry.wasAnnounced() {
				ev := event.Event{
					Name: "del", Origin: event.FromResync, Cause: event.CauseUnknown, DB: db, Key: []byte(key), Type: typeNone,
					Time: k.Time, ReplID: k.ReplID, Offset: k.Offset, Source: k.Source,
					Before: in.lastView(&s.value), After: event.None, TTL: event.TTLGone,
				}
				if e := &s.expiry; e.known && e.at != 0 && c.now != 0 && c.now >= e.at {
					ev.Name, ev.Cause = "expired", event.CauseExpired
				}
				dst = append(dst, ev)
			}
			mi.forget(d, []byte(key), s)
		}
		mi.setCover(d, coverAs(mi.loading, db))
	}
	mi.absent, mi.inside, mi.loading = mi.loading, false, nil
	mi.markInside(false)
	sortEvents(dst[from:])
	in.stats.Events += int64(len(dst) - from)
	return dst
}

// SnapshotAbort tells that the snapshot ends before its time, or had no keys
// though there are some: those that it did not have are not known any more.
// After a gap for which there is no snapshot at all, SnapshotBegin and
// SnapshotAbort forget everything.
func (in *Interpreter) SnapshotAbort() {
	mi := in.mirror
	if mi == nil {
		return
	}
	if mi.absent != nil {
		mi.losses.Snapshot++
	}
	for _, d := range mi.dbs {
		if d.cover != nil {
			mi.losses.Snapshot++
		}
		mi.setCover(d, nil)
		seen := false
		for _, s := range d.keys {
			seen = seen || s.marks.snapshot == mi.snapshot
		}
		if !seen {
			mi.losses.Snapshot += d.knownValues()
			mi.clear(d)
			continue
		}
		for key, s := range d.keys {
			if s.marks.snapshot != mi.snapshot {
				if s.value.known {
					mi.losses.Snapshot++
				}
				mi.forget(d, []byte(key), s)
			}
		}
	}
	mi.absent, mi.inside, mi.loading = nil, false, nil
	mi.markInside(false)
}
