package keyspace

import (
	"maps"
	"strconv"

	"triggerd/internal/event"
	"triggerd/rdb"
)

var hashCommands = []command{
	{name: "HDEL", arity: -3, acl: "@fast @hash @write", keys: firstKey,
		events: madeBy((*call).hdelEvents, "hdel", "hexpired", "hset", "del"), follow: (*call).hdel},
	{name: "HEXISTS", arity: 3, acl: "@fast @hash @read", keys: firstKey},
	{name: "HEXPIRE", arity: -6, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hexpire", typeHash), apply: (*call).hexpire, instead: insteadHexpire},
	{name: "HEXPIREAT", arity: -6, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hexpire", typeHash), apply: (*call).hexpireat, instead: insteadHexpire},
	{name: "HEXPIRETIME", arity: -5, acl: "@fast @hash @read", keys: firstKey},
	{name: "HGET", arity: 3, acl: "@fast @hash @read", keys: firstKey},
	{name: "HGETALL", arity: 2, acl: "@hash @read @slow", keys: firstKey},
	{name: "HGETDEL", arity: -5, acl: "@fast @hash @write", keys: firstKey,
		events: madeBy((*call).hgetdelEvents, "hdel", "del"), follow: (*call).hgetdel},
	{name: "HGETEX", arity: -5, acl: "@fast @hash @write", keys: firstKey,
		events: ownName, instead: `event "hexpire" or "hpersist" (it arrives as HPEXPIREAT or HPERSIST)`},
	{name: "HINCRBY", arity: 4, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hincrby", typeHash), apply: (*call).hincrby},
	{name: "HINCRBYFLOAT", arity: 4, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hincrbyfloat", typeHash), instead: `command ["HSET", "HSETEX"] (it arrives as one of them)`},
	{name: "HKEYS", arity: 2, acl: "@hash @read @slow", keys: firstKey},
	{name: "HLEN", arity: 2, acl: "@fast @hash @read", keys: firstKey},
	{name: "HMGET", arity: -3, acl: "@fast @hash @read", keys: firstKey},
	{name: "HMSET", arity: -4, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hset", typeHash, "hexpired"), follow: (*call).hset},
	{name: "HPERSIST", arity: -5, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hpersist", typeHash), apply: (*call).hpersist},
	{name: "HPEXPIRE", arity: -6, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hexpire", typeHash), apply: (*call).hpexpire, instead: insteadHexpire},
	{name: "HPEXPIREAT", arity: -6, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hexpire", typeHash), apply: (*call).hpexpireat},
	{name: "HPEXPIRETIME", arity: -5, acl: "@fast @hash @read", keys: firstKey},
	{name: "HPTTL", arity: -5, acl: "@fast @hash @read", keys: firstKey},
	{name: "HRANDFIELD", arity: -2, acl: "@hash @read @slow", keys: firstKey},
	{name: "HSCAN", arity: -3, acl: "@hash @read @slow", keys: firstKey},
	{name: "HSET", arity: -4, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hset", typeHash, "hexpired"), follow: (*call).hset},
	{name: "HSETEX", arity: -6, acl: "@fast @hash @write", keys: firstKey,
		events: madeBy((*call).hsetexEvents, "hset", "hexpire", "hexpired", "hincrby", "hincrbyfloat"), follow: (*call).hsetex},
	{name: "HSETNX", arity: 4, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hset", typeHash, "hexpired"), follow: (*call).hset},
	{name: "HSTRLEN", arity: 3, acl: "@fast @hash @read", keys: firstKey},
	{name: "HTTL", arity: -5, acl: "@fast @hash @read", keys: firstKey},
	{name: "HVALS", arity: 2, acl: "@hash @read @slow", keys: firstKey},
}

// hdelEvents: a client's HDEL, or fields that have expired.
func (c *call) hdelEvents() {
	c.cause = event.CauseUnknown
	if !c.ownSpelling() {
		c.cause = event.CauseDeleted
	}
	c.emit(1, "hdel", "")
}

// hgetdelEvents: a client's.
func (c *call) hgetdelEvents() {
	c.cause = event.CauseDeleted
	c.emit(1, "hdel", "")
}

// hsetexEvents: HSETEX key [FNX|FXX] [EX|PX|EXAT|PXAT t|KEEPTTL] FIELDS n field
// value ...
func (c *call) hsetexEvents() {
	c.emit(1, "hset", typeHash)
	for i := 2; i < len(c.args)-1 && !is(c.args[i], "FIELDS"); i++ {
		if isDeadline(c.args[i]) {
			c.emit(1, "hexpire", typeHash)
			return
		}
	}
}

// fieldsAfter returns what follows FIELDS n, of which each field takes width
// arguments.
func fieldsAfter(args [][]byte, width int) ([][]byte, bool) {
	for i := 2; i+1 < len(args); i++ {
		if !is(args[i], "FIELDS") {
			continue
		}
		n, ok := parseInt(args[i+1])
		if !ok || n*width != len(args)-i-2 {
			return nil, false
		}
		return args[i+2:], true
	}
	return nil, false
}

// storedValue is what is kept of a field's value.
func (k *operand) storedValue(value []byte) string {
	if !k.value.texts {
		return ""
	}
	return string(value)
}

// hset: HSET key field value..., which takes the deadlines of fields away.
func (c *call) hset() {
	k := c.key(1)
	c.nameElements(k, c.args, 2, 2)
	h, ok := collectionForWrite(c, k, kindHash, newHash)
	if ok && c.in.config.Dialect == Valkey {
		c.announceReplaced(h, c.args[2:], 2)
	}
	c.announce()
	if !ok {
		return
	}
	for i := 2; i+1 < len(c.args); i += 2 {
		h.set(&k.undo, c.args[i], k.storedValue(c.args[i+1]))
		h.expire(&k.undo, c.args[i], 0)
	}
	if len(c.args)%2 != 0 { // half a pair
		c.lose(k, yes, kindHash, &c.lost.Malformed)
	}
}

// announceReplaced announces, as Valkey does, the expiry of fields that are replaced.
func (c *call) announceReplaced(h *hash, args [][]byte, width int) {
	for i := 0; i < len(args); i += width {
		if at := h.deadline(args[i]); at != 0 && c.now != 0 && c.now >= at {
			cause := c.cause
			c.cause = event.CauseExpired
			c.emit(1, "hexpired", typeHash)
			c.cause = cause
			return
		}
	}
}

// hincrby: HINCRBY key field number.
func (c *call) hincrby() {
	k := c.key(1)
	c.nameElements(k, c.args[:3], 2, 1)
	h, ok := collectionForWrite(c, k, kindHash, newHash)
	if !ok {
		return
	}
	if !k.value.texts {
		if _, had := h.fields[string(c.args[2])]; !had {
			h.set(&k.undo, c.args[2], "")
		}
		return
	}
	var n int64
	old, had := h.fields[string(c.args[2])]
	by, ok := int64Of(c.args[3])
	if had {
		var err error
		n, err = strconv.ParseInt(old, 10, 64)
		ok = ok && err == nil
	}
	sum, fits := addInt64(n, by)
	if !ok || !fits {
		c.lose(k, yes, kindHash, &c.lost.Mismatch)
		return
	}
	h.set(&k.undo, c.args[2], strconv.FormatInt(sum, 10))
}

// hgetdel: HGETDEL key FIELDS n field..., as Valkey replicates it.
func (c *call) hgetdel() {
	c.cause = event.CauseDeleted
	fields, ok := fieldsAfter(c.args, 1)
	if !ok {
		c.announce()
		c.loseNamed(&c.lost.Malformed)
		return
	}
	c.buryPast(c.key(1), fields)
	c.removeFields("hdel", fields)
}

// hdel: HDEL key field..., of a client, or what a server replicates of its own
// accord: the expiry of fields, and an HSETEX in the past.
func (c *call) hdel() {
	k, fields := c.key(1), c.args[2:]
	h, known := k.hash()
	if !known && !(k.needed() && k.value.exists == no) {
		c.hdelEvents()
		c.removeNamed(k, fields)
		return
	}
	there, past := h.count(fields, c)
	switch own := c.ownSpelling(); {
	case own && there == 0 && c.hsetexInThePast(k):
		return
	case own && known && past == there && c.mayExpire(there, len(fields)):
		c.cause = event.CauseExpired
		for _, f := range fields {
			h.removeDead(&k.undo, f)
		}
		c.removeFields("hexpired", fields)
		return
	case past < there:
		c.buryPast(k, fields)
	}
	c.cause = event.CauseDeleted
	c.removeFields("hdel", fields)
}

// count returns how many of some fields a hash has, and how many of these are past
// their deadlines. What is buried counts as both.
func (h *hash) count(fields [][]byte, c *call) (there, past int) {
	if h == nil {
		return 0, 0
	}
	for _, f := range fields {
		_, dead := h.dead[string(f)]
		if _, had := h.fields[string(f)]; !had && !dead {
			continue
		}
		there++
		if at := h.deadline(f); dead || at != 0 && c.now != 0 && c.past(at) {
			past++
		}
	}
	return there, past
}

// mayExpire reports whether a server lets so many fields expire with one HDEL.
// Redis replicates one HDEL a field. Valkey replicates a client's HDEL only if it
// found a field that lives, so that one which finds none here is no client's.
func (c *call) mayExpire(there, named int) bool {
	if c.in.config.Dialect == Valkey {
		return true
	}
	return there > 0 && (named == 1 || c.in.config.Version.Major == 0)
}

// hsetexInThePast deals with an HDEL of fields that are not there: an HSETEX with a
// deadline in the past, which Redis 8 replicates so, and announces as what it
// does: the field is set and deleted, and with it the key if it was made for it.
// Of several fields each is an HDEL, in one transaction.
func (c *call) hsetexInThePast(k *operand) bool {
	config := &c.in.config
	if config.Dialect != Redis || config.Version.before(Version{Major: 8}) {
		return false
	}
	r := &c.mi.removal
	if !r.isBefore(c.sent.Tx, k) {
		if c.mi.classes.New && k.value.exists == no {
			c.emit(1, "new", typeHash)
		}
		c.emit(1, "hset", typeHash)
		c.cause = event.CauseDeleted
		c.emit(1, "hdel", "")
		if k.value.exists == no {
			c.emit(1, "del", typeNone)
		}
	}
	c.nameElements(k, c.args, 2, 1)
	r.note(c.sent.Tx, k, k.value.exists == no)
	return true
}

// buryPast buries the fields that are past their deadlines: Valkey's commands, but
// for those that set a field, take them for not there, and the server removes
// them some time later.
func (c *call) buryPast(k *operand, fields [][]byte) {
	h, known := k.hash()
	if !known || c.in.config.Dialect != Valkey {
		return
	}
	for _, f := range fields {
		if c.hasPassed(h, f) {
			h.bury(&k.undo, f)
		}
	}
}

// lingers is how long after its deadline, in milliseconds, a server may be about to
// remove a field.
const lingers = 60_000

// settleDead gives up buried fields whose removal has not come. The command that
// named them may have found them alive, since it was read late, and have removed
// them itself. If nothing else is left the key may have gone with them.
func (c *call) settleDead(k *operand, h *hash) {
	for f := range h.dead {
		if c.in.pace.stops() {
			break
		}
		if name := []byte(f); c.now > h.deadline(name)+lingers {
			h.removeDead(&k.undo, name)
		}
	}
	if isEmpty(h) {
		c.lose(k, maybe, kindHash, &c.lost.Undecided)
		k.before = nil
	}
}

// dropPast removes the fields of a copy that are past their deadlines, which Valkey
// does not copy.
func (c *call) dropPast(h *hash) {
	var u undo // that of the key is of the value before
	for f := range h.expires {
		if c.in.pace.stops() {
			break
		}
		if name := []byte(f); c.hasPassed(h, name) {
			h.remove(&u, name)
			h.removeDead(&u, name)
		}
	}
}

// hasPassed reports whether a field's deadline has passed for sure.
func (c *call) hasPassed(h *hash, field []byte) bool {
	at := h.deadline(field)
	return at != 0 && c.now != 0 && c.now >= at
}

// hash returns the hash that a key holds, if that is known.
func (k *operand) hash() (*hash, bool) {
	if !k.needed() || k.value.exists != yes || !k.value.known {
		return nil, false
	}
	h, ok := k.value.elements.(*hash)
	return h, ok
}

// removeFields removes fields of a hash that are not buried, which makes an event
// of a name.
func (c *call) removeFields(name string, fields [][]byte) {
	c.emit(1, name, "")
	c.removeNamed(c.key(1), fields)
}

func (c *call) removeNamed(k *operand, fields [][]byte) {
	c.nameElements(k, fields, 0, 1)
	h, known := existingCollection[*hash](c, k)
	if known {
		for _, f := range fields {
			h.remove(&k.undo, f)
		}
		c.mi.removal.note(c.sent.Tx, k, isEmpty(h))
	}
	c.elementsRemoved(k, h, known)
}

// removal is a command of a transaction that removed fields of a hash. If it
// removed the last one, Valkey replicates the removal of the key besides, in the
// same transaction.
type removal struct {
	tx      string // "": none
	index   int
	db      int
	key     string
	emptied bool
}

func (r *removal) note(tx event.Tx, k *operand, emptied bool) {
	if tx.ID == "" {
		r.tx = ""
		return
	}
	*r = removal{tx: tx.ID, index: tx.Index, db: k.db, key: string(k.key), emptied: emptied}
}

// sameKey reports whether it was of a key in a transaction.
func (r *removal) sameKey(tx string, k *operand) bool {
	return r.tx != "" && r.tx == tx && r.db == k.db && r.key == string(k.key)
}

// isBefore reports whether it was of a key and just before a command of a
// transaction.
func (r *removal) isBefore(tx event.Tx, k *operand) bool {
	return r.sameKey(tx.ID, k) && r.index+1 == tx.Index
}

func (c *call) hexpire()    { c.expireFields("EX") }
func (c *call) hexpireat()  { c.expireFields("EXAT") }
func (c *call) hpexpire()   { c.expireFields("PX") }
func (c *call) hpexpireat() { c.expireFields("PXAT") }

// expireFields: HPEXPIREAT key time [NX|XX|GT|LT] FIELDS n field..., the time in
// a unit. Redis leaves out the fields that do not meet the condition, Valkey
// does not.
func (c *call) expireFields(unit string) {
	fields, ok := fieldsAfter(c.args, 1)
	k := c.key(1)
	c.nameElements(k, fields, 0, 1)
	h, known := existingCollection[*hash](c, k)
	if !known {
		return
	}
	at, timed := c.deadline(unit, c.args[2])
	if !ok || !timed {
		c.lose(k, yes, kindHash, &c.lost.Mismatch)
		return
	}
	c.buryPast(k, fields)
	condition := c.args[3]
	for _, f := range fields {
		old := h.deadline(f)
		if _, had := h.fields[string(f)]; !had ||
			is(condition, "NX") && old != 0 || is(condition, "XX") && old == 0 ||
			is(condition, "GT") && (old == 0 || at <= old) || is(condition, "LT") && old != 0 && at >= old {
			continue
		}
		h.expire(&k.undo, f, at)
	}
}

// hpersist: HPERSIST key FIELDS n field...
func (c *call) hpersist() {
	fields, ok := fieldsAfter(c.args, 1)
	k := c.key(1)
	c.nameElements(k, fields, 0, 1)
	h, known := existingCollection[*hash](c, k)
	switch {
	case !known:
	case !ok:
		c.lose(k, yes, kindHash, &c.lost.Malformed)
	default:
		c.buryPast(k, fields)
		for _, f := range fields {
			if !c.hasPassed(h, f) { // of Redis it is still there, and will expire
				h.expire(&k.undo, f, 0)
			}
		}
	}
}

// hsetex: see hsetexEvents.
func (c *call) hsetex() {
	k := c.key(1)
	pairs, ok := fieldsAfter(c.args, 2)
	c.nameElements(k, pairs, 0, 2)
	h, known := collectionForWrite(c, k, kindHash, newHash)
	var at int64
	keep, timed := false, true
	for i := 2; i < len(c.args)-1 && !is(c.args[i], "FIELDS"); i++ {
		switch {
		case is(c.args[i], "KEEPTTL"):
			keep = true
		case isDeadline(c.args[i]):
			at, timed = c.deadlineOption(c.args[i], c.args[i+1])
			i++
		}
	}
	if name := c.increment(h, pairs, at); known && name != "" {
		c.emit(1, name, typeHash)
	} else {
		if known && c.in.config.Dialect == Valkey {
			c.announceReplaced(h, pairs, 2)
		}
		c.announce()
	}
	if !known {
		return
	}
	if !ok || !timed {
		c.lose(k, yes, kindHash, &c.lost.Malformed)
		return
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.set(&k.undo, pairs[i], k.storedValue(pairs[i+1]))
		if !keep {
			h.expire(&k.undo, pairs[i], at)
		}
	}
}

// increment tells whether an HSETEX is what an increment is replicated as, in
// these very words: Redis from 8.0.6 on sends HINCRBYFLOAT with KEEPTTL, Valkey 9
// HINCRBY and HINCRBYFLOAT with the deadline that the field has. It returns the
// event's name.
func (c *call) increment(h *hash, pairs [][]byte, at int64) string {
	if h == nil || len(pairs) != 2 || !c.ownSpelling() || !isCanonicalFloat(pairs[1]) {
		return ""
	}
	old, had := h.fields[string(pairs[0])]
	if _, number := floatOf([]byte(old)); had && !number {
		return ""
	}
	switch config := &c.in.config; {
	case config.Dialect == Redis && !config.Version.before(Version{8, 0, 6}) && c.isSpelt("KEEPTTL", "FIELDS", "1"):
		return "hincrbyfloat"
	case config.Dialect == Valkey && had && at != 0 && at == h.deadline(pairs[0]) && c.isSpelt("PXAT", "", "FIELDS", "1"):
		if _, ok := int64Of(pairs[1]); ok {
			return "hincrby"
		}
		return "hincrbyfloat"
	}
	return ""
}

// isSpelt reports whether between its key and the last two arguments a command
// has just these words, of which an empty one may be any.
func (c *call) isSpelt(words ...string) bool {
	if len(c.args) != len(words)+4 {
		return false
	}
	for i, w := range words {
		if w != "" && string(c.args[2+i]) != w {
			return false
		}
	}
	return true
}

// hash is a hash, whose fields may have deadlines.
type hash struct {
	fields  map[string]string
	expires map[string]int64 // ms; only fields that expire, and those of dead
	// dead are fields that are past their deadlines and count as not there, though
	// the server has not removed them. As long as it has one the key is there.
	dead map[string]struct{}
	size int
	counted
}

func newHash() *hash { return &hash{fields: map[string]string{}} }

func (h *hash) len() int   { return len(h.fields) }
func (h *hash) bytes() int { return h.size + 104 + h.tallies.bytes() }

// set sets a field. Its deadline stays.
func (h *hash) set(u *undo, name []byte, value string) {
	if u.stops() {
		return
	}
	if len(h.dead) > 0 {
		h.exhume(name)
	}
	old, had := h.fields[string(name)]
	n := string(name)
	u.elements = append(u.elements, oldElement{name: n, value: old, had: had})
	if had {
		h.size += len(value) - len(old)
	} else {
		h.size += len(n) + len(value) + hashCost
	}
	h.fields[n] = value
	if u.logs {
		u.log(opField, 0, 0, n, value)
	}
}

func (h *hash) remove(u *undo, name []byte) bool {
	old, had := h.fields[string(name)]
	if !had || u.stops() {
		return false
	}
	u.elements = append(u.elements, oldElement{name: string(name), value: old, had: true})
	h.expire(u, name, 0)
	delete(h.fields, string(name))
	h.size -= len(name) + len(old) + hashCost
	if u.logs {
		u.log(opDelete, 0, 0, string(name))
	}
	return true
}

// removeDead removes a field that is buried.
func (h *hash) removeDead(u *undo, name []byte) {
	if !h.exhume(name) {
		return
	}
	h.expire(u, name, 0)
	if u.logs {
		u.log(opDelete, 0, 0, string(name))
	}
}

// bury makes a field that is past its deadline be not there, before the command
// either.
func (h *hash) bury(u *undo, name []byte) {
	old, had := h.fields[string(name)]
	if !had {
		return
	}
	delete(h.fields, string(name))
	if h.dead == nil {
		h.dead = map[string]struct{}{}
	}
	h.dead[string(name)] = struct{}{}
	h.size -= len(old)
	u.count--
	if u.logs {
		u.log(opBury, 0, 0, string(name))
	}
}

// exhume takes a field from dead, and reports whether it was there.
func (h *hash) exhume(name []byte) bool {
	if _, ok := h.dead[string(name)]; !ok {
		return false
	}
	delete(h.dead, string(name))
	h.size -= len(name) + hashCost
	return true
}

// expire sets a field's deadline; 0 takes it away.
func (h *hash) expire(u *undo, name []byte, at int64) {
	_, had := h.expires[string(name)]
	if u.logs && (had || at != 0) {
		u.log(opExpireAt, uint64(at), 0, string(name))
	}
	switch {
	case at == 0 && had:
		delete(h.expires, string(name))
		h.size -= len(name) + expireCost
	case at != 0:
		if h.expires == nil {
			h.expires = map[string]int64{}
		}
		if !had {
			h.size += len(name) + expireCost
		}
		h.expires[string(name)] = at
	}
}

// deadline returns a field's deadline, 0 if it has none.
func (h *hash) deadline(name []byte) int64 { return h.expires[string(name)] }

func (h *hash) clone(p *pace) collection {
	c := &hash{fields: make(map[string]string, len(h.fields)), dead: maps.Clone(h.dead), size: h.size}
	for f, v := range h.fields {
		if p.stops() {
			break
		}
		c.fields[f] = v
	}
	if h.expires != nil {
		c.expires = make(map[string]int64, len(h.expires))
		for f, at := range h.expires {
			if p.stops() {
				break
			}
			c.expires[f] = at
		}
	}
	return c
}

func (h *hash) equal(other collection, p *pace) bool {
	o := other.(*hash)
	return sameMaps(h.fields, o.fields, p) && sameMaps(h.expires, o.expires, p)
}

// stayDead buries in a later state of the hash, which a snapshot has as the server
// keeps it, what is buried in this one.
func (h *hash) stayDead(later collection) {
	l, ok := later.(*hash)
	if !ok {
		return
	}
	for f := range h.dead {
		if name := []byte(f); l.deadline(name) == h.deadline(name) {
			l.bury(&undo{}, name)
		}
	}
}

// load adds a field. Where Redis takes one that is there twice, its commands find
// the first: of fields that it sorts, which are those of a hash with expiries, the
// one that expires first, and of two at once the later.
func (h *hash) load(e *rdb.Element, l *loader) error {
	if _, twice := h.fields[string(e.Member)]; twice {
		l.twice = true
		at := h.deadline(e.Member)
		if !l.sorts || e.ExpireAt == 0 || at != 0 && at < e.ExpireAt {
			return nil
		}
	}
	value := ""
	if l.texts {
		value = string(e.Value)
	}
	h.set(&l.undo, e.Member, value)
	h.expire(&l.undo, e.Member, e.ExpireAt)
	return nil
}

func (h *hash) do(o *operation, u *undo) bool {
	switch o.code {
	case opField:
		h.set(u, []byte(o.texts[0]), o.texts[1])
	case opDelete:
		h.remove(u, []byte(o.texts[0]))
		h.removeDead(u, []byte(o.texts[0]))
	case opExpireAt:
		h.expire(u, []byte(o.texts[0]), int64(o.numbers[0]))
	case opBury:
		h.bury(u, []byte(o.texts[0]))
	default:
		return false
	}
	return true
}

func (h *hash) appendOps(dst []byte, full func([]byte) []byte) []byte {
	for f, value := range h.fields {
		dst = full(appendOp(dst, opField, 0, 0, f, value))
	}
	for f := range h.dead {
		dst = full(appendOp(dst, opField, 0, 0, f, ""))
	}
	for f, at := range h.expires {
		dst = full(appendOp(dst, opExpireAt, uint64(at), 0, f))
	}
	for f := range h.dead {
		dst = full(appendOp(dst, opBury, 0, 0, f))
	}
	return dst
}

func (h *hash) each(v *view, give func(event.Element) bool) {
	asItIs := v.asItIs()
	for f, value := range h.fields {
		if !asItIs {
			if _, changed := v.changed(f); changed {
				continue
			}
		}
		if !give(event.Element{Name: f, Value: value}) {
			return
		}
	}
	v.giveOldElements(give)
}
