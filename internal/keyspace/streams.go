package keyspace

import (
	"bytes"
	"errors"
	"slices"
	"sort"
	"strconv"

	"triggerd/internal/event"
	"triggerd/rdb"
)

// The commands of streams. A stream without entries stays.
var streamCommands = []command{
	{name: "XACK", arity: -4, acl: "@fast @stream @write", keys: firstKey,
		events: silent, apply: (*call).keepStream, instead: insteadNothing},
	{name: "XACKDEL", arity: -6, acl: "@fast @stream @write", keys: firstKey,
		events: onKey("xdel", typeStream), apply: (*call).xackdel},
	{name: "XADD", arity: -5, acl: "@fast @stream @write", keys: firstKey,
		events: madeBy((*call).xaddEvents, "xadd", "xtrim"), follow: (*call).xadd},
	{name: "XAUTOCLAIM", arity: -6, acl: "@fast @stream @write", keys: firstKey,
		events: silentBut("xgroup-createconsumer"), apply: (*call).xclaim, instead: insteadOfReading},
	{name: "XCFGSET", arity: -2, acl: "@fast @stream @write", keys: firstKey,
		events: silent, apply: (*call).keepStream},
	{name: "XCLAIM", arity: -6, acl: "@fast @stream @write", keys: firstKey,
		events: silentBut("xgroup-createconsumer"), apply: (*call).xclaim, tellsTime: true, instead: insteadNothing},
	{name: "XDEL", arity: -3, acl: "@fast @stream @write", keys: firstKey,
		events: onKey("xdel", typeStream), apply: (*call).xdel},
	{name: "XDELEX", arity: -5, acl: "@fast @stream @write", keys: firstKey,
		events: onKey("xdel", typeStream), apply: (*call).xdelex},
	{name: "XGROUP", arity: -2, acl: "@slow @stream @write",
		events: ownName, anyArgument: true}, // of a subcommand that is not known
	{name: "XGROUP CREATE", arity: -5, acl: "@slow @stream @write", keys: secondKey,
		events: onKey("xgroup-create", typeStream), apply: (*call).xgroupCreate},
	{name: "XGROUP CREATECONSUMER", arity: 5, acl: "@slow @stream @write", keys: secondKey,
		events: onKey("xgroup-createconsumer", typeStream), apply: (*call).xgroupCreateconsumer},
	{name: "XGROUP DELCONSUMER", arity: 5, acl: "@slow @stream @write", keys: secondKey,
		events: onKey("xgroup-delconsumer", typeStream), apply: (*call).xgroupDelconsumer},
	{name: "XGROUP DESTROY", arity: 4, acl: "@slow @stream @write", keys: secondKey,
		events: onKey("xgroup-destroy", typeStream), apply: (*call).xgroupDestroy},
	{name: "XGROUP HELP", arity: 2, acl: "@slow @stream"},
	{name: "XGROUP SETID", arity: -5, acl: "@slow @stream @write", keys: secondKey,
		events: madeBy((*call).xgroupSetidEvents, "xgroup-setid"), apply: (*call).xgroupSetid},
	{name: "XIDMPRECORD", arity: 5, acl: "@fast @stream @write", keys: firstKey,
		events: silent, apply: (*call).keepStream},
	{name: "XINFO", arity: -2, acl: "@read @slow @stream"},
	{name: "XINFO CONSUMERS", arity: 4, acl: "@read @slow @stream", keys: secondKey},
	{name: "XINFO GROUPS", arity: 3, acl: "@read @slow @stream", keys: secondKey},
	{name: "XINFO HELP", arity: 2, acl: "@slow @stream"},
	{name: "XINFO STREAM", arity: -3, acl: "@read @slow @stream", keys: secondKey},
	{name: "XLEN", arity: 2, acl: "@fast @read @stream", keys: firstKey},
	{name: "XPENDING", arity: -3, acl: "@read @slow @stream", keys: firstKey},
	{name: "XRANGE", arity: -4, acl: "@read @slow @stream", keys: firstKey},
	{name: "XREAD", arity: -4, acl: "@blocking @read @slow @stream", keys: []keySpec{{keyword: "STREAMS", begin: 1, last: -1, limit: 2}}},
	{name: "XREADGROUP", arity: -7, acl: "@blocking @slow @stream @write", keys: []keySpec{{keyword: "STREAMS", begin: 4, last: -1, limit: 2}},
		events: ownName, instead: insteadOfReading},
	{name: "XREVRANGE", arity: -4, acl: "@read @slow @stream", keys: firstKey},
	{name: "XSETID", arity: -3, acl: "@fast @stream @write", keys: firstKey,
		events: onKey("xsetid", typeStream), apply: (*call).keepStream},
	{name: "XTRIM", arity: -4, acl: "@slow @stream @write", keys: firstKey,
		events: onKey("xtrim", typeStream), apply: (*call).xtrim},
}

// xgroupSetidEvents: XGROUP SETID key group id [ENTRIESREAD n]. With ENTRIESREAD
// it is what XREADGROUP is replicated as, which is not announced. A client that
// says the same in upper case is not told apart.
func (c *call) xgroupSetidEvents() {
	if len(c.args) < 6 || string(c.args[0]) != "XGROUP" || string(c.args[1]) != "SETID" || string(c.args[5]) != "ENTRIESREAD" {
		c.emit(2, "xgroup-setid", typeStream)
	}
}

// keepStream: nothing of the stream changes that is mirrored.
func (c *call) keepStream() { existingCollection[*stream](c, c.key(1)) }

// streamID parses "ms-seq" or "ms".
func streamID(b []byte) (rdb.StreamID, bool) {
	ms, seq, dashed := bytes.Cut(b, []byte("-"))
	var id rdb.StreamID
	var err error
	if id.Ms, err = strconv.ParseUint(string(ms), 10, 64); err != nil {
		return id, false
	}
	if dashed {
		id.Seq, err = strconv.ParseUint(string(seq), 10, 64)
	}
	return id, err == nil
}

// trimming is how XADD and XTRIM trim: by length or by ID.
type trimming struct {
	by     string // "MAXLEN", "MINID", "" for not at all
	limit  []byte
	acked  bool // only what all groups have acknowledged, which is not mirrored
	approx bool

	producer bool // XADD says who adds, so that the server knows a repetition
}

// option takes one option of XADD or XTRIM at args[i] and returns how many
// words it has, 0 if it is none.
func (t *trimming) option(args [][]byte, i int) int {
	switch a := args[i]; {
	case is(a, "NOMKSTREAM"), is(a, "KEEPREF"), is(a, "DELREF"):
		return 1
	case is(a, "ACKED"):
		t.acked = true
		return 1
	case is(a, "LIMIT"):
		return 2
	case is(a, "IDMPAUTO"):
		t.producer = true
		return 2
	case is(a, "IDMP"):
		t.producer = true
		return 3
	case is(a, "MAXLEN"), is(a, "MINID"):
		t.by = "MAXLEN"
		if is(a, "MINID") {
			t.by = "MINID"
		}
		n := 2
		if i+1 < len(args) && len(args[i+1]) == 1 && (args[i+1][0] == '=' || args[i+1][0] == '~') {
			t.approx = args[i+1][0] == '~'
			n = 3
		}
		if i+n-1 < len(args) {
			t.limit = args[i+n-1]
		}
		return n
	}
	return 0
}

// trim trims, and reports how many entries went and whether that is known.
func (t *trimming) trim(s *stream, u *undo) (int, bool) {
	if t.by == "" {
		return 0, true
	}
	if t.approx || t.acked {
		return 0, false
	}
	n := 0
	if t.by == "MINID" {
		id, ok := streamID(t.limit)
		if !ok {
			return 0, false
		}
		n = s.find(id)
	} else {
		longest, ok := int64Of(t.limit)
		if !ok || longest < 0 {
			return 0, false
		}
		n = int(max(0, int64(s.len())-longest))
	}
	s.trim(u, n)
	return n, true
}

// xaddEvents: XADD key [options] ID field value ...
func (c *call) xaddEvents() {
	var t trimming
	if i := t.options(c.args); !t.repeats(c.args, i) {
		c.emit(1, "xadd", typeStream)
	}
}

// options takes the options of XADD, and returns the index of the ID.
func (t *trimming) options(args [][]byte) (id int) {
	i := 2
	for i < len(args) && len(args[i]) > 0 && upper(args[i][0]) >= 'A' {
		n := t.option(args, i)
		if n == 0 {
			break
		}
		i += n
	}
	return i
}

// repeats reports whether an XADD is one that the server had had before (IDMP):
// it replicates it, and adds nothing. Of each other it replicates the real ID.
func (t *trimming) repeats(args [][]byte, id int) bool {
	return t.producer && id < len(args) && string(args[id]) == "*"
}

// xadd: see xaddEvents. The ID is the real one.
func (c *call) xadd() {
	k := c.key(1)
	var t trimming
	i := t.options(c.args)
	if t.repeats(c.args, i) {
		existingCollection[*stream](c, k)
		return
	}
	s, known := collectionForWrite(c, k, kindStream, newStream)
	if !known || i+2 >= len(c.args) || (len(c.args)-i)%2 == 0 {
		c.emit(1, "xadd", typeStream)
		if known {
			c.lose(k, yes, kindStream, &c.lost.Malformed)
		}
		return
	}
	id, ok := streamID(c.args[i])
	e := &streamEntry{id: id}
	if k.value.texts {
		for _, f := range c.args[i+1:] {
			e.fields = append(e.fields, string(f))
		}
	}
	if !ok || !s.append(&k.undo, e) {
		if ok && !idLess(s.last, id) {
			return // a repetition, which the server recognized (IDMP)
		}
		c.emit(1, "xadd", typeStream)
		c.lose(k, yes, kindStream, &c.lost.Mismatch)
		return
	}
	c.emit(1, "xadd", typeStream)
	c.trimAfterAdding(k, s, &t)
}

// trimAfterAdding trims as XADD says, which is announced if an entry goes.
func (c *call) trimAfterAdding(k *operand, s *stream, t *trimming) {
	n, ok := t.trim(s, &k.undo)
	switch {
	case !ok:
		c.lose(k, yes, kindStream, &c.lost.Undecided)
	case n > 0:
		c.emit(1, "xtrim", typeStream)
	}
}

// xtrim: XTRIM key MAXLEN|MINID [=|~] limit [LIMIT n], which is announced
// already.
func (c *call) xtrim() {
	k := c.key(1)
	s, known := existingCollection[*stream](c, k)
	if !known {
		return
	}
	var t trimming
	for i := 2; i < len(c.args); {
		n := t.option(c.args, i)
		if n == 0 {
			t.acked = true // what is not understood is not known
			break
		}
		i += n
	}
	if _, ok := t.trim(s, &k.undo); !ok {
		c.lose(k, yes, kindStream, &c.lost.Undecided)
	}
}

// xdel: XDEL key id...
func (c *call) xdel() { c.deleteEntries(c.args[2:], true) }

func (c *call) xdelex()  { c.deleteSome(2) }
func (c *call) xackdel() { c.deleteSome(3) }

// deleteSome: XDELEX key [KEEPREF|DELREF|ACKED] IDS n id..., and XACKDEL, which
// has a group after the key. What is ACKED only the server knows.
func (c *call) deleteSome(options int) {
	all := true
	for i := options; i+1 < len(c.args); i++ {
		switch {
		case is(c.args[i], "ACKED"):
			all = false
		case is(c.args[i], "IDS"):
			c.deleteEntries(c.args[i+2:], all)
			return
		}
	}
	c.loseNamed(&c.lost.Malformed)
}

// deleteEntries deletes entries, unless the server may have left some: all is
// false then.
func (c *call) deleteEntries(ids [][]byte, all bool) {
	k := c.key(1)
	s, known := existingCollection[*stream](c, k)
	if !known {
		return
	}
	for _, b := range ids {
		if c.in.pace.ask() { // what is removed may be in the midst of very many
			return
		}
		id, ok := streamID(b)
		if !ok || !all {
			c.lose(k, yes, kindStream, &c.lost.Undecided)
			return
		}
		s.remove(&k.undo, id)
	}
}

// xgroupCreate: XGROUP CREATE key group ... The consumers of groups are
// followed, since a new one is announced.
func (c *call) xgroupCreate() {
	k := c.key(2)
	if s, ok := collectionForWrite(c, k, kindStream, newStream); ok {
		s.addGroup(&k.undo, string(c.args[3]))
	}
}

// xgroupDestroy: XGROUP DESTROY key group.
func (c *call) xgroupDestroy() {
	c.editGroups(func(s *stream, u *undo, group string) { s.removeGroup(u, group) })
}

// xgroupCreateconsumer: XGROUP CREATECONSUMER key group consumer.
func (c *call) xgroupCreateconsumer() {
	c.editGroups(func(s *stream, u *undo, group string) { s.addConsumer(u, group, string(c.args[4])) })
}

// xgroupDelconsumer: XGROUP DELCONSUMER key group consumer.
func (c *call) xgroupDelconsumer() {
	c.editGroups(func(s *stream, u *undo, group string) { s.removeConsumer(u, group, string(c.args[4])) })
}

// xgroupSetid: where a group stands is not mirrored.
func (c *call) xgroupSetid() {
	c.editGroups(func(*stream, *undo, string) {})
}

// editGroups changes the groups of a stream that is there.
func (c *call) editGroups(edit func(s *stream, u *undo, group string)) {
	k := c.key(2)
	if s, ok := existingCollection[*stream](c, k); ok {
		edit(s, &k.undo, string(c.args[3]))
	}
}

// xclaim: XCLAIM key group consumer ..., what reading in a group is replicated
// as. A consumer that is new is announced, since Redis 7.0.
func (c *call) xclaim() {
	k := c.key(1)
	s, ok := existingCollection[*stream](c, k)
	if !ok {
		return
	}
	if s.addConsumer(&k.undo, string(c.args[2]), string(c.args[3])) && !c.in.config.Version.before(Version{Major: 7}) {
		c.emit(1, "xgroup-createconsumer", typeStream)
	}
}

// stream is a stream's entries, by ID, and who reads it in groups.
type stream struct {
	entries []*streamEntry
	last    rdb.StreamID
	groups  map[string]map[string]struct{} // consumers of each group
	size    int
	counted
}

// streamEntry is one entry of a stream.
type streamEntry struct {
	id     rdb.StreamID
	fields []string
}

func (e *streamEntry) element() event.Element {
	return event.Element{Name: e.id.String(), Fields: e.fields}
}

// elementWith is element, without a name if that is not asked for: it costs
// something to make.
func (e *streamEntry) elementWith(name bool) event.Element {
	if name {
		return e.element()
	}
	return event.Element{Fields: e.fields}
}

func (e *streamEntry) bytes() int {
	n := streamCost
	for _, f := range e.fields {
		n += len(f) + fieldCost
	}
	return n
}

func newStream() *stream { return &stream{groups: map[string]map[string]struct{}{}} }

func (s *stream) len() int   { return len(s.entries) }
func (s *stream) bytes() int { return s.size + 128 + s.tallies.bytes() }

func idLess(a, b rdb.StreamID) bool {
	if a.Ms != b.Ms {
		return a.Ms < b.Ms
	}
	return a.Seq < b.Seq
}

// find returns the index of the first entry that is not before id.
func (s *stream) find(id rdb.StreamID) int {
	return sort.Search(len(s.entries), func(i int) bool { return !idLess(s.entries[i].id, id) })
}

// append adds an entry, whose ID is the greatest; it reports whether it is.
func (s *stream) append(u *undo, e *streamEntry) bool {
	var top rdb.StreamID
	if n := len(s.entries); n > 0 {
		top = s.entries[n-1].id
		if !idLess(top, e.id) {
			return false
		}
	}
	if u.stops() {
		return false
	}
	if !idLess(s.last, e.id) { // XSETID has put the last ID back, to no less than that of the last entry
		u.last = top
	}
	s.entries = append(s.entries, e)
	s.size += e.bytes()
	s.last = e.id
	if u.logs {
		u.log(opEntry, e.id.Ms, e.id.Seq, e.fields...)
	}
	return true
}

// trim removes the first n entries.
func (s *stream) trim(u *undo, n int) {
	if u.logs && n > 0 {
		u.log(opTrim, uint64(n), 0)
	}
	if n == len(s.entries) && len(u.entries) == 0 { // all that there are need no copy
		for _, e := range s.entries {
			if u.stops() {
				break
			}
			s.size -= e.bytes()
		}
		u.entries, s.entries = s.entries, nil
		return
	}
	for i, e := range s.entries[:n] {
		if u.stops() {
			return
		}
		s.size -= e.bytes()
		u.addEntry(e)
		s.entries[i] = nil
	}
	s.entries = s.entries[n:]
}

func (s *stream) remove(u *undo, id rdb.StreamID) bool {
	i := s.find(id)
	if i == len(s.entries) || s.entries[i].id != id {
		return false
	}
	e := s.entries[i]
	u.addEntry(e)
	s.size -= e.bytes()
	s.entries = append(s.entries[:i], s.entries[i+1:]...)
	if u.logs {
		u.log(opDeleteID, id.Ms, id.Seq)
	}
	return true
}

// addGroup makes a group known.
func (s *stream) addGroup(u *undo, name string) {
	if _, had := s.groups[name]; had {
		return
	}
	s.groups[name] = map[string]struct{}{}
	s.size += len(name) + setCost
	if u.logs {
		u.log(opGroup, 0, 0, name)
	}
}

// removeGroup removes a group.
func (s *stream) removeGroup(u *undo, name string) {
	consumers, had := s.groups[name]
	if !had {
		return
	}
	for c := range consumers {
		s.removeConsumer(u, name, c)
	}
	delete(s.groups, name)
	s.size -= len(name) + setCost
	if u.logs {
		u.log(opNoGroup, 0, 0, name)
	}
}

// removeConsumer removes a consumer of a group.
func (s *stream) removeConsumer(u *undo, group, name string) {
	if _, had := s.groups[group][name]; !had {
		return
	}
	delete(s.groups[group], name)
	s.size -= len(name) + setCost
	if u.logs {
		u.log(opNoConsumer, 0, 0, group, name)
	}
}

// addConsumer makes a consumer of a group known, and reports whether it is new.
func (s *stream) addConsumer(u *undo, group, name string) bool {
	g, ok := s.groups[group]
	if _, had := g[name]; had || !ok {
		return false
	}
	g[name] = struct{}{}
	s.size += len(name) + setCost
	if u.logs {
		u.log(opConsumer, 0, 0, group, name)
	}
	return true
}

func (s *stream) clone(p *pace) collection {
	c := &stream{entries: append([]*streamEntry(nil), s.entries...), last: s.last, size: s.size, groups: map[string]map[string]struct{}{}}
	for name, consumers := range s.groups {
		c.groups[name] = map[string]struct{}{}
		for consumer := range consumers {
			if p.stops() {
				break
			}
			c.groups[name][consumer] = struct{}{}
		}
	}
	return c
}

func (s *stream) equal(other collection, p *pace) bool {
	return slices.EqualFunc(s.entries, other.(*stream).entries, func(a, b *streamEntry) bool {
		return !p.stops() && a.id == b.id && slices.Equal(a.fields, b.fields)
	})
}

func (s *stream) load(e *rdb.Element, l *loader) error {
	switch e.Kind {
	case rdb.KindStreamEntry:
		n := &streamEntry{id: e.ID}
		if l.texts {
			for _, f := range e.Fields {
				n.fields = append(n.fields, string(f))
			}
		}
		if !s.append(&l.undo, n) {
			return errors.New("entries of a stream are not in order")
		}
	case rdb.KindStreamInfo:
		s.last = e.Info.LastID
	case rdb.KindGroup:
		l.group = string(e.Member)
		s.addGroup(&l.undo, l.group)
	case rdb.KindConsumer:
		s.addConsumer(&l.undo, l.group, string(e.Member))
	}
	return nil
}

func (s *stream) do(o *operation, u *undo) bool {
	id := rdb.StreamID{Ms: o.numbers[0], Seq: o.numbers[1]}
	switch o.code {
	case opEntry:
		return s.append(u, &streamEntry{id, slices.Clone(o.texts)})
	case opLastID:
		s.last = id
	case opTrim:
		if o.numbers[0] > uint64(len(s.entries)) {
			return false
		}
		s.trim(u, int(o.numbers[0]))
	case opDeleteID:
		return s.remove(u, id)
	case opGroup:
		s.addGroup(u, o.texts[0])
	case opNoGroup:
		s.removeGroup(u, o.texts[0])
	case opConsumer:
		s.addConsumer(u, o.texts[0], o.texts[1])
	case opNoConsumer:
		s.removeConsumer(u, o.texts[0], o.texts[1])
	default:
		return false
	}
	return true
}

func (s *stream) appendOps(dst []byte, full func([]byte) []byte) []byte {
	for _, e := range s.entries {
		dst = full(appendOp(dst, opEntry, e.id.Ms, e.id.Seq, e.fields...))
	}
	for name, consumers := range s.groups {
		dst = full(appendOp(dst, opGroup, 0, 0, name))
		for consumer := range consumers {
			dst = full(appendOp(dst, opConsumer, 0, 0, name, consumer))
		}
	}
	return full(appendOp[string](dst, opLastID, s.last.Ms, s.last.Seq))
}

// each merges the entries with those removed, but for what was added.
func (s *stream) each(v *view, give func(event.Element) bool) {
	giveOne := func(n *streamEntry) bool { return give(n.element()) }
	removed := s.removedEntries(v)
	for _, n := range s.entries {
		if v.undo != nil && idLess(v.undo.last, n.id) {
			break
		}
		for len(removed) > 0 && idLess(removed[0].id, n.id) {
			if !giveOne(removed[0]) {
				return
			}
			removed = removed[1:]
		}
		if !giveOne(n) {
			return
		}
	}
	for _, n := range removed {
		if !giveOne(n) {
			return
		}
	}
}

// viewAt returns an entry that a view shows by its place; nil if there is none.
func (s *stream) viewAt(v *view, i int) *streamEntry {
	removed, kept := s.removedEntries(v), s.entries
	if v.undo != nil {
		kept = kept[:s.after(v.undo.last)]
	}
	for len(removed) > 0 && len(kept) > 0 && idLess(kept[0].id, removed[len(removed)-1].id) {
		// Of the two kinds, which alternate, those before the next of the other.
		n := sort.Search(len(removed), func(j int) bool { return !idLess(removed[j].id, kept[0].id) })
		if i < n {
			return removed[i]
		}
		removed, i = removed[n:], i-n
		n = sort.Search(len(kept), func(j int) bool { return !idLess(kept[j].id, removed[0].id) })
		if i < n {
			return kept[i]
		}
		kept, i = kept[n:], i-n
	}
	if i < len(removed) {
		return removed[i]
	}
	if i -= len(removed); i < len(kept) {
		return kept[i]
	}
	return nil
}

// after returns the index of the first entry that is after id.
func (s *stream) after(id rdb.StreamID) int {
	i := s.find(id)
	if i < len(s.entries) && s.entries[i].id == id {
		i++
	}
	return i
}

// viewHas reports whether a view shows an entry with this ID.
func (s *stream) viewHas(v *view, name []byte) bool {
	id, ok := streamID(name)
	if !ok || id.String() != string(name) { // "1" and "01-1" are not how an ID is spelled
		return false
	}
	if v.undo != nil {
		if idLess(v.undo.last, id) {
			return false
		}
		for _, n := range v.undo.entries {
			if n.id == id {
				return true
			}
		}
	}
	i := s.find(id)
	return i < len(s.entries) && s.entries[i].id == id
}

// addEntry notes an entry that is removed.
func (u *undo) addEntry(e *streamEntry) {
	n := len(u.entries)
	u.unordered = u.unordered || n > 0 && idLess(e.id, u.entries[n-1].id)
	u.entries = append(u.entries, e)
}

// removedEntries returns the entries that are not there any more, in order.
func (s *stream) removedEntries(v *view) []*streamEntry {
	if v.undo == nil {
		return nil
	}
	if !v.undo.unordered {
		return v.undo.entries[:sort.Search(len(v.undo.entries), func(i int) bool { return idLess(v.undo.last, v.undo.entries[i].id) })]
	}
	var removed []*streamEntry
	for _, n := range v.undo.entries {
		if !idLess(v.undo.last, n.id) { // else the command itself had added it
			removed = append(removed, n)
		}
	}
	slices.SortFunc(removed, func(a, b *streamEntry) int {
		if idLess(a.id, b.id) {
			return -1
		}
		return 1
	})
	return removed
}
