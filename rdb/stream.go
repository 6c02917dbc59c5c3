package rdb

import (
	"encoding/binary"
	"strconv"
)

// StreamID is the ID of a stream's entry.
type StreamID struct {
	Ms  uint64 // milliseconds since 1970, unless the client chose otherwise
	Seq uint64
}

// String returns the ID as the servers write it: "ms-seq".
func (id StreamID) String() string { return string(id.Append(nil)) }

// Append appends the ID's text to dst.
func (id StreamID) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, id.Ms, 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, id.Seq, 10)
}

// StreamInfo is what a snapshot says of a whole stream.
type StreamInfo struct {
	// Length is the number of entries as the server counted them. It may
	// differ from the entries that are there.
	Length uint64
	// LastID is the ID of the last entry ever added.
	LastID StreamID
	// HasHistory tells that the three fields below are in the snapshot: Redis
	// 7.0 and later.
	HasHistory   bool
	FirstID      StreamID // of the first entry
	MaxDeletedID StreamID // the greatest ID that was deleted
	EntriesAdded uint64   // ever
	// HasProducers tells that the fields below, and elements of kind
	// KindProducer, are in the snapshot: Redis 8.6 and later.
	HasProducers bool
	IDMPDuration uint64 // for how many seconds what a producer sent is remembered
	IDMPMax      uint64 // how much of each producer is remembered
	IIDsAdded    uint64 // ever
	IIDsRepeated uint64 // ever refused, as sent before
}

// Flags of an entry in a stream's listpack (t_stream.c).
const (
	streamDeleted    = 1
	streamSameFields = 2
)

// maxStreamFields is how many fields an entry may have. Each takes more memory
// here than in a listpack, which may have been unpacked from much less. The
// servers' own limit for the arguments of a command is a million by default.
const maxStreamFields = 1 << 19

func (r *Reader) stream(yield yieldFunc) error {
	const keep = 1 << 16
	if cap(r.fields) > keep || cap(r.master) > keep {
		r.fields, r.master, r.texts, r.masterTexts = nil, nil, nil, nil
	}
	nodes, err := r.in.length()
	if err != nil {
		return err
	}
	var last StreamID
	for ; nodes > 0; nodes-- {
		id, err := r.streamNodeID()
		if err != nil {
			if err = r.pass(err); err == nil {
				err = r.in.skipString()
			}
			return r.passNodes(err, nodes-1)
		}
		if last != (StreamID{}) && !last.before(id) {
			return r.in.fault("stream node %v after %v", id, last)
		}
		last = id
		if err := r.pass(r.streamNode(id, yield)); err != nil || r.stopped {
			return r.passNodes(err, nodes-1)
		}
	}
	return r.streamTail(yield)
}

// passNodes passes over all that follows a node of a stream, n nodes to begin
// with, if err is nil.
func (r *Reader) passNodes(err error, n uint64) error {
	if err != nil {
		return err
	}
	if err := r.skipStreamNodes(n); err != nil {
		return err
	}
	return r.skipStreamTail()
}

func (id StreamID) before(other StreamID) bool {
	return id.Ms < other.Ms || id.Ms == other.Ms && id.Seq < other.Seq
}

func parseID(b []byte) StreamID {
	return StreamID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// streamNodeID reads the key of a listpack: the ID its entries' IDs are counted
// from.
func (r *Reader) streamNodeID() (StreamID, error) {
	start := r.in.offset()
	b, err := r.in.str(0)
	if err != nil {
		return StreamID{}, err
	}
	if len(b) != 16 {
		return StreamID{}, r.in.faultAt(start, "stream node key of %d bytes", len(b))
	}
	return parseID(b), nil
}

// lpReader walks a listpack entry by entry and remembers the first fault.
type lpReader struct {
	c   compact
	b   []byte // c.b without its end mark
	i   int    // place of the next entry
	n   int    // entries read
	at  int    // place of the last one
	bad bool
}

// int reads an integer; streams have them in the places that make their form.
func (l *lpReader) int() int64 {
	s, v, next := lpNext(l.b, l.i)
	l.at = l.i
	if next < 0 || s != nil {
		l.bad = true
		return 0
	}
	l.i = next
	l.n++
	return v
}

// text reads a field or value; an integer becomes text at the end of *texts.
func (l *lpReader) text(texts *[]byte) []byte {
	s, v, next := lpNext(l.b, l.i)
	l.at = l.i
	if next < 0 {
		l.bad = true
		return nil
	}
	l.i = next
	l.n++
	if s == nil {
		n := len(*texts)
		*texts = strconv.AppendInt(*texts, v, 10)
		s = (*texts)[n:len(*texts):len(*texts)]
	}
	return s
}

// streamNode reads the entries of one listpack. The first, the master entry,
// has the number of entries and of deleted ones, and the fields that entries
// may have in common:
//
//	count deleted n field... 0
//	flags ms seq [n field value ... | value...] length
//
// ms and seq are added to id. length is the number of listpack entries that
// came before it, for reading from behind.
func (r *Reader) streamNode(id StreamID, yield yieldFunc) error {
	c, err := r.listpack()
	if err != nil {
		return err
	}
	l := &r.lp
	*l = lpReader{c: c, b: c.b[:len(c.b)-1], i: lpHeader}
	count, deleted, nMaster := l.int(), l.int(), l.int()
	// A field takes two bytes at least.
	if l.bad || count < 0 || deleted < 0 || nMaster < 0 || nMaster > int64(len(l.b))/2 {
		return r.compactFault(c, l.at, "stream node: bad master entry")
	}
	if nMaster > maxStreamFields {
		return r.compactFault(c, l.at, "stream node of %d fields: %w of %d", nMaster, ErrLimit, maxStreamFields)
	}
	r.master, r.masterTexts = room(r.master, int(nMaster)), r.masterTexts[:0]
	for range nMaster {
		r.master = append(r.master, l.text(&r.masterTexts))
		if l.bad {
			return r.lpFault(c, l.at)
		}
	}
	if l.int() != 0 || l.bad {
		return r.compactFault(c, l.at, "stream node: master entry without end")
	}
	el := &r.el
	for l.i < len(l.b) {
		start := l.i
		gone, err := r.streamEntry(id)
		if err != nil {
			return err
		}
		if gone {
			deleted--
			continue
		}
		if count--; count < 0 {
			return r.compactFault(c, start, "stream node: more entries than it says")
		}
		if !yield(el, nil) {
			return r.stop(nil)
		}
	}
	if count != 0 || deleted != 0 {
		return r.compactFault(c, lpHeader, "stream node: entries or deleted entries are not as many as it says")
	}
	return r.lpCount(c, l.n)
}

// room returns s without what is in it, with room for n more.
func room(s [][]byte, n int) [][]byte {
	if n <= cap(s) {
		return s[:0]
	}
	return make([][]byte, 0, n)
}

// streamEntry reads one entry into r.el; gone tells that it is a deleted one.
func (r *Reader) streamEntry(id StreamID) (gone bool, err error) {
	l, el := &r.lp, &r.el
	first := l.n
	flags := l.int()
	ms, seq := l.int(), l.int()
	if l.bad || flags&^(streamDeleted|streamSameFields) != 0 {
		return false, r.compactFault(l.c, l.at, "stream entry: bad head")
	}
	r.texts = r.texts[:0]
	if flags&streamSameFields != 0 {
		r.fields = room(r.fields, 2*len(r.master))
		for _, field := range r.master {
			r.fields = append(r.fields, field, l.text(&r.texts))
			if l.bad {
				return false, r.lpFault(l.c, l.at)
			}
		}
	} else {
		n := l.int()
		if l.bad || n < 0 || n > int64(len(l.b))/4 {
			return false, r.compactFault(l.c, l.at, "stream entry: bad number of fields")
		}
		if n > maxStreamFields {
			return false, r.compactFault(l.c, l.at, "stream entry of %d fields: %w of %d", n, ErrLimit, maxStreamFields)
		}
		r.fields = room(r.fields, 2*int(n))
		for range n {
			r.fields = append(r.fields, l.text(&r.texts), l.text(&r.texts))
			if l.bad {
				return false, r.lpFault(l.c, l.at)
			}
		}
	}
	items := l.n - first
	if l.int() != int64(items) || l.bad {
		return false, r.compactFault(l.c, l.at, "stream entry: bad length")
	}
	el.Kind, el.Fields = KindStreamEntry, r.fields
	el.ID = StreamID{id.Ms + uint64(ms), id.Seq + uint64(seq)}
	return flags&streamDeleted != 0, nil
}

// lengths reads numbers into dst.
func (r *Reader) lengths(dst ...*uint64) (err error) {
	for _, p := range dst {
		if *p, err = r.in.length(); err != nil {
			return err
		}
	}
	return nil
}

// streamTail reads what follows the entries.
func (r *Reader) streamTail(yield yieldFunc) error {
	info := &r.info
	*info = StreamInfo{}
	err := r.lengths(&info.Length, &info.LastID.Ms, &info.LastID.Seq)
	if err == nil && r.typ != typStream {
		info.HasHistory = true
		err = r.lengths(&info.FirstID.Ms, &info.FirstID.Seq,
			&info.MaxDeletedID.Ms, &info.MaxDeletedID.Seq, &info.EntriesAdded)
	}
	if err != nil {
		return err
	}
	groups, err := r.in.length()
	if err != nil {
		return err
	}
	if !r.yieldInfo(KindStreamInfo, yield) {
		return r.skipGroups(groups)
	}
	r.beginMembers(64)
	for ; groups > 0; groups-- {
		if err := r.group(groups, yield); err != nil {
			return err
		}
		if r.stopped {
			return r.skipGroups(groups - 1)
		}
	}
	if r.typ < typStream4 {
		return nil
	}
	return r.producers(yield)
}

func (r *Reader) yieldInfo(kind Kind, yield yieldFunc) bool {
	r.el.Kind, r.el.Info = kind, &r.info
	r.stopped = !yield(&r.el, nil)
	return !r.stopped
}

// Tags of what is there once in a stream, or once in group g.
func tagGroup() uint64            { return 0 }
func tagPending(g uint64) uint64  { return 3*g + 1 }
func tagConsumer(g uint64) uint64 { return 3*g + 2 }
func tagOwned(g uint64) uint64    { return 3*g + 3 }

// group reads a group; g is a number that no other group of the stream has.
func (r *Reader) group(g uint64, yield yieldFunc) error {
	start := r.in.offset()
	name, err := r.in.str(0)
	if err != nil {
		if err = r.pass(err); err == nil {
			err = r.skipGroup()
		}
		return err
	}
	if r.addMember(tagGroup(), name) {
		return r.twice("group", name, start)
	}
	el := &r.el
	el.Kind, el.Member, el.Count = KindGroup, name, -1
	r.hold(el)
	if err := r.lengths(&el.ID.Ms, &el.ID.Seq); err != nil {
		return err
	}
	if r.typ != typStream {
		read, err := r.in.length()
		if err != nil {
			return err
		}
		el.Count = int64(read)
	}
	if !yield(el, nil) {
		return r.stop(r.skipGroupBody())
	}
	pending, err := r.groupPending(g, yield)
	if err != nil || r.stopped {
		return err
	}
	if err := r.consumers(g, pending, yield); err != nil || r.stopped || r.typ < typStream5 {
		return err
	}
	nacked, err := r.in.length()
	if err != nil {
		return err
	}
	return r.ids(KindGroupNacked, nacked, yield)
}

// hold copies the element's name: more than one number is read after it.
func (r *Reader) hold(el *Element) {
	r.texts = append(r.texts[:0], el.Member...)
	el.Member = r.texts[:len(r.texts):len(r.texts)]
}

func (r *Reader) groupPending(g uint64, yield yieldFunc) (pending uint64, err error) {
	pending, err = r.in.length()
	if err != nil {
		return 0, err
	}
	el := &r.el
	for n := pending; n > 0; n-- {
		b, err := r.in.next(24)
		if err != nil {
			return 0, err
		}
		el.Kind = KindPending
		el.ID = parseID(b)
		if r.addMember(tagPending(g), b[:16]) {
			return 0, r.in.faultAt(r.in.offset()-24, "pending entry %v of a group is there twice", el.ID)
		}
		el.Time = int64(binary.LittleEndian.Uint64(b[16:]))
		count, err := r.in.length()
		if err != nil {
			return 0, err
		}
		el.Count = int64(count)
		if !yield(el, nil) {
			r.stopped = true
			return 0, r.skipPending(n - 1)
		}
	}
	return pending, nil
}

func (r *Reader) consumers(g, pending uint64, yield yieldFunc) error {
	n, err := r.in.length()
	if err != nil {
		return err
	}
	for ; n > 0; n-- {
		owned, err := r.consumer(g, pending, yield)
		if err != nil {
			return err
		}
		if r.stopped {
			return r.skipConsumers(n - 1)
		}
		pending -= owned
	}
	if pending > 0 && r.valkey && r.typ < typStream5 {
		return r.in.fault("%d pending entries of a group have no consumer", pending)
	}
	return nil
}

// consumer reads a consumer, who may have so many entries pending.
func (r *Reader) consumer(g, pending uint64, yield yieldFunc) (owned uint64, err error) {
	el := &r.el
	start := r.in.offset()
	if el.Member, err = r.in.str(0); err != nil {
		if err = r.pass(err); err == nil {
			err = r.skipConsumer()
		}
		return 0, err
	}
	if r.addMember(tagConsumer(g), el.Member) {
		return 0, r.twice("consumer", el.Member, start)
	}
	el.Kind, el.Active = KindConsumer, 0
	r.hold(el)
	seen, err := r.in.uint64le()
	if err != nil {
		return 0, err
	}
	el.Time = int64(seen)
	if r.typ >= typStream3 {
		active, err := r.in.uint64le()
		if err != nil {
			return 0, err
		}
		el.Active = int64(active)
	}
	owned, err = r.in.length()
	if err != nil {
		return 0, err
	}
	if !yield(el, nil) {
		return 0, r.stop(r.skipIDs(owned))
	}
	return owned, r.owned(g, owned, pending, yield)
}

// owned reads the IDs of n pending entries that are a consumer's; pending of its
// group, which is g, may be.
func (r *Reader) owned(g, n, pending uint64, yield yieldFunc) error {
	el := &r.el
	for ; n > 0; n-- {
		start := r.in.offset()
		b, err := r.in.next(16)
		if err != nil {
			return err
		}
		el.Kind, el.ID = KindConsumerPending, parseID(b)
		if pending == 0 {
			return r.in.faultAt(start, "consumers have more entries pending than their group")
		}
		pending--
		if !r.hasMember(tagPending(g), b) {
			return r.in.faultAt(start, "pending entry %v of consumer %s is not one of its group", el.ID, quote(el.Member))
		}
		if r.addMember(tagOwned(g), b) {
			return r.in.faultAt(start, "pending entry %v of consumer %s is there twice", el.ID, quote(el.Member))
		}
		if !yield(el, nil) {
			return r.stop(r.skipIDs(n - 1))
		}
	}
	return nil
}

// ids reads n IDs of 16 bytes.
func (r *Reader) ids(kind Kind, n uint64, yield yieldFunc) error {
	for ; n > 0; n-- {
		b, err := r.in.next(16)
		if err != nil {
			return err
		}
		r.el.Kind, r.el.ID = kind, parseID(b)
		if !yield(&r.el, nil) {
			return r.stop(r.skipIDs(n - 1))
		}
	}
	return nil
}

// producers reads what skipProducers passes over.
func (r *Reader) producers(yield yieldFunc) error {
	info := &r.info
	info.HasProducers = true
	if err := r.lengths(&info.IDMPDuration, &info.IDMPMax); err != nil {
		return err
	}
	n, err := r.in.length()
	if err != nil {
		return err
	}
	for ; n > 0; n-- {
		if err := r.producer(yield); err != nil {
			return err
		}
		if r.stopped {
			return r.skipProducerList(n - 1)
		}
	}
	if err := r.lengths(&info.IIDsAdded, &info.IIDsRepeated); err != nil {
		return err
	}
	r.yieldInfo(KindProducers, yield)
	return nil
}

func (r *Reader) producer(yield yieldFunc) error {
	el := &r.el
	name, err := r.in.str(0)
	if err != nil {
		if err = r.pass(err); err == nil {
			err = r.skipProducer()
		}
		return err
	}
	el.Kind, el.Member = KindProducer, name
	r.hold(el)
	sent, err := r.in.length()
	if err != nil {
		return err
	}
	if !yield(el, nil) {
		return r.stop(r.skipProduced(sent))
	}
	for ; sent > 0; sent-- {
		if el.Member, err = r.in.str(0); err != nil {
			if err = r.pass(err); err == nil {
				err = r.skipLengths(2)
			}
			if err == nil {
				err = r.skipProduced(sent - 1)
			}
			return err
		}
		el.Kind = KindProduced
		r.hold(el)
		if err := r.lengths(&el.ID.Ms, &el.ID.Seq); err != nil {
			return err
		}
		if !yield(el, nil) {
			return r.stop(r.skipProduced(sent - 1))
		}
	}
	return nil
}
