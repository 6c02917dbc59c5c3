package keyspace

import (
	"errors"

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

// errLimit ends the reading of a value that takes more memory than there is.
var errLimit = errors.New("over the limit")

// readValue reads the value that r is at into it, no more than room bytes.
func readValue(r *rdb.Reader, it *item, room int64) error {
	var u undo
	switch it.kind {
	case kindString:
		if !it.texts {
			return nil
		}
		text, err := r.Bytes()
		if err != nil {
			return err
		}
		if int64(len(text)) > room {
			return errLimit
		}
		it.text = append([]byte{}, text...)
		return nil
	case kindUnknown:
		return nil
	}
	it.obj = newCollection(it.kind)
	group := ""
	for e, err := range r.Elements() {
		if err != nil {
			return err
		}
		if e.Kind == rdb.KindGroup {
			group = string(e.Member)
		}
		if err := it.take(e, &u, group); err != nil {
			return err
		}
		u = undo{elements: u.elements[:0]}
		if int64(it.obj.bytes()) > room {
			return errLimit
		}
	}
	if it.hollow() {
		return errors.New("a collection without elements, which no server keeps")
	}
	return nil
}

// hollow reports whether a value has no elements though it is of a type that
// cannot be without: every command that takes the last one removes the key.
func (it *item) hollow() bool {
	return it.obj != nil && it.kind != kindStream && it.obj.len() == 0
}

// take adds one element of a snapshot to the value.
func (it *item) take(e *rdb.Element, u *undo, group string) error {
	switch o := it.obj.(type) {
	case *list:
		o.push(u, false, string(e.Member))
	case *set:
		o.add(u, e.Member)
	case *hash:
		value := ""
		if it.texts {
			value = string(e.Value)
		}
		o.set(u, e.Member, value)
		o.expire(u, e.Member, e.ExpireAt)
	case *zset:
		o.set(u, string(e.Member), e.Score)
	case *stream:
		switch e.Kind {
		case rdb.KindStreamEntry:
			n := &entry{id: e.ID}
			if it.texts {
				for _, f := range e.Fields {
					n.fields = append(n.fields, string(f))
				}
			}
			if !o.add(u, n) {
				return errors.New("entries of a stream are not in order")
			}
		case rdb.KindStreamInfo:
			o.last = e.Info.LastID
		case rdb.KindGroup:
			o.group(u, group)
		case rdb.KindConsumer:
			o.consumer(u, group, string(e.Member))
		}
	}
	return nil
}

// restore: RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n].
func (mi *mirror) restore(m *maker) {
	r := mi.open(m.c.DB, m.args[1])
	if r.it == nil {
		return
	}
	ttl, timed := int64Of(m.args[2])
	absolute := false
	for _, a := range m.args[4:] {
		absolute = absolute || is(a, "ABSTTL")
	}
	if timed && ttl != 0 && !absolute {
		timed = mi.now != 0 && ttl < 1<<60
		ttl += mi.now
	}
	it := r.it
	it.exists, it.known, it.text, it.obj = yes, true, nil, nil
	it.replaced()
	it.expireAt, it.timed = ttl, timed
	it.kind = kindUnknown
	rd, err := rdb.NewDumpReader(m.args[3])
	if err == nil {
		var e *rdb.Entry
		if e, err = rd.Next(); err == nil {
			it.kind = kindOf[e.Type]
			err = readValue(rd, it, mi.limit-mi.size)
		}
	}
	switch {
	case errors.Is(err, errLimit):
		mi.lose(r, yes, it.kind, &mi.losses.Limit)
	case err != nil:
		mi.lose(r, yes, it.kind, &mi.losses.Malformed)
	case it.kind == kindUnknown:
		mi.lose(r, yes, it.kind, &mi.losses.Undecided)
	default:
		mi.witness(it.text)
	}
}

// SnapshotBegin tells that the keys of a snapshot follow. What is known stays
// known until they contradict it.
func (in *Interpreter) SnapshotBegin() {
	if mi := in.mirror; mi != nil {
		mi.snapshot++
		mi.torn = false
		mi.within(true)
	}
}

// within notes whether keys of a snapshot are being read.
func (mi *mirror) within(snapshot bool) {
	if mi.journal != nil {
		mi.journal.inside = snapshot
	}
}

// SnapshotKey appends the event that stands for a key of a snapshot, and, if
// something else was known of the key before, its net change: event.Changed.
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
	mi.begin(&Command{Time: k.Time})
	r := mi.open(k.DB, k.Key)
	it := r.it
	if it == nil {
		return append(dst, ev)
	}
	was := *it
	mi.load(r, k)
	r.after = it.view(&r.is, nil)
	mi.settle(r)
	changed := was.exists != maybe && !same(&was, it)
	mi.attach(&ev, r)
	ev.Before, ev.Changed = nil, nil
	dst = append(dst, ev)
	if changed {
		ev.Name, ev.Origin, ev.Cause, ev.Before = event.Changed, event.FromResync, event.CauseUnknown, r.before
		dst = append(dst, ev)
		in.stats.Events++
	}
	return dst
}

// load makes a key what the snapshot says of it.
func (mi *mirror) load(r *ref, k *SnapshotKey) {
	old := r.it
	room := mi.limit - mi.size + int64(old.size)
	*old = item{
		exists: yes, kind: kindNamed(k.Type), timed: true, expireAt: k.ExpireAt, texts: old.texts, onTime: old.onTime,
		size: old.size, ref: r, seen: mi.snapshot, fired: old.fired, turn: old.turn,
		dirty: old.dirty, stored: old.stored, saved: old.saved,
	}
	old.replaced()
	if old.kind == kindUnknown || k.Value == nil {
		mi.losses.Undecided++
		return
	}
	if err := readValue(k.Value, old, room); err != nil {
		old.text, old.obj = nil, nil
		if errors.Is(err, errLimit) || errors.Is(err, rdb.ErrLimit) {
			mi.losses.Limit++
		} else {
			mi.losses.Malformed++
		}
		return
	}
	old.known = true
	mi.witness(old.text)
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
	mi.begin(&Command{Time: k.Time})
	from := len(dst)
	for db, d := range mi.dbs {
		for key, it := range d.items {
			if it.seen == mi.snapshot {
				continue
			}
			if it.exists == yes && !it.announced() {
				ev := event.Event{
					Name: "del", Origin: event.FromResync, Cause: event.CauseUnknown, DB: db, Key: []byte(key), Type: typeNone,
					Time: k.Time, ReplID: k.ReplID, Offset: k.Offset, Source: k.Source,
					Before: it.view(&view{}, nil), After: event.None, TTL: event.TTLGone,
				}
				if it.timed && it.expireAt != 0 && mi.now != 0 && mi.now >= it.expireAt {
					ev.Name, ev.Cause = "expired", event.CauseExpired
				}
				dst = append(dst, ev)
			}
			mi.forget(d, []byte(key), it)
		}
		mi.setCover(d, mi.coverOf(db))
	}
	mi.flushed = true
	mi.within(false)
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
	for _, d := range mi.dbs {
		mi.setCover(d, nil)
		seen := false
		for _, it := range d.items {
			seen = seen || it.seen == mi.snapshot
		}
		if !seen {
			mi.clear(d)
			continue
		}
		for key, it := range d.items {
			if it.seen != mi.snapshot {
				mi.forget(d, []byte(key), it)
			}
		}
	}
	mi.flushed = false
	mi.within(false)
}
