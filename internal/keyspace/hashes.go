package keyspace

import (
	"maps"
	"strconv"

	"triggerd/internal/event"
	"triggerd/rdb"
)

var hashCommands = []command{
	{name: "HDEL", arity: -3, acl: "@fast @hash @write", keys: firstKey,
		events: madeBy((*call).hdelEvents, "hdel", "hexpired", "del"), follow: (*call).hdel},
	{name: "HEXISTS", arity: 3, acl: "@fast @hash @read", keys: firstKey},
	{name: "HEXPIRE", arity: -6, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hexpire", typeHash), apply: (*call).hexpire, instead: insteadHexpire},
	{name: "HEXPIREAT", arity: -6, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hexpire", typeHash), apply: (*call).hexpireat, instead: insteadHexpire},
	{name: "HEXPIRETIME", arity: -5, acl: "@fast @hash @read", keys: firstKey},
	{name: "HGET", arity: 3, acl: "@fast @hash @read", keys: firstKey},
	{name: "HGETALL", arity: 2, acl: "@hash @read @slow", keys: firstKey},
	{name: "HGETDEL", arity: -5, acl: "@fast @hash @write", keys: firstKey,
		events: onKey("hdel", "", "del"), follow: (*call).hgetdel},
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

// hgetdel: HGETDEL key FIELDS n field...
func (c *call) hgetdel() {
	c.cause = event.CauseDeleted
	fields, _ := fieldsAfter(c.args, 1)
	c.removeFields("hdel", fields)
}

// hdel: HDEL key field... If all of them are past their deadlines it is their
// expiry, and else a client's.
func (c *call) hdel() {
	k, fields := c.key(1), c.args[2:]
	name := "hdel"
	c.cause = event.CauseUnknown
	if h, ok := k.hash(); ok {
		c.cause = event.CauseDeleted
		expired := 0
		for _, f := range fields {
			if at := h.deadline(f); at != 0 && c.now != 0 && c.past(at) {
				expired++
			}
		}
		if expired == len(fields) {
			name, c.cause = "hexpired", event.CauseExpired
		}
	}
	c.removeFields(name, fields)
}

// hash returns the hash that a key holds, if that is known.
func (k *operand) hash() (*hash, bool) {
	if !k.needed() || k.value.exists != yes || !k.value.known {
		return nil, false
	}
	h, ok := k.value.elements.(*hash)
	return h, ok
}

// removeFields removes fields of a hash, which makes an event of a name.
func (c *call) removeFields(name string, fields [][]byte) {
	c.emit(1, name, "")
	k := c.key(1)
	c.nameElements(k, fields, 0, 1)
	h, known := existingCollection[*hash](c, k)
	if known {
		for _, f := range fields {
			h.remove(&k.undo, f)
		}
		if h.len() == 0 {
			c.mi.emptied = emptiedHash{tx: c.sent.Tx.ID, db: k.db, key: string(k.key)}
		}
	}
	c.elementsRemoved(k, h, known)
}

// emptiedHash is a hash that lost its last field: Valkey replicates the removal of
// the key besides, in the same transaction.
type emptiedHash struct {
	tx  string
	db  int
	key string
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
		for _, f := range fields {
			h.expire(&k.undo, f, 0)
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
	if name := increment(c.in.config.Dialect, h, pairs, keep, at); known && name != "" {
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

// increment tells whether an HSETEX is what an increment is replicated as:
// Redis 8 sends HINCRBYFLOAT with KEEPTTL, Valkey 9 HINCRBY and HINCRBYFLOAT
// with the deadline that the field has. It returns the event's name.
func increment(d Dialect, h *hash, pairs [][]byte, keep bool, at int64) string {
	if len(pairs) != 2 || h == nil || !isCanonicalFloat(pairs[1]) {
		return ""
	}
	old, had := h.fields[string(pairs[0])]
	if _, number := floatOf([]byte(old)); had && !number {
		return ""
	}
	switch {
	case d == Redis && keep:
		return "hincrbyfloat"
	case d == Valkey && had && at != 0 && at == h.deadline(pairs[0]):
		if _, ok := int64Of(pairs[1]); ok {
			return "hincrby"
		}
		return "hincrbyfloat"
	}
	return ""
}

// hash is a hash, whose fields may have deadlines.
type hash struct {
	fields  map[string]string
	expires map[string]int64 // ms; only fields that expire
	size    int
}

func newHash() *hash { return &hash{fields: map[string]string{}} }

func (h *hash) len() int   { return len(h.fields) }
func (h *hash) bytes() int { return h.size + 96 }

// set sets a field. Its deadline stays.
func (h *hash) set(u *undo, name []byte, value string) {
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
	if !had {
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

func (h *hash) clone() collection {
	c := &hash{fields: make(map[string]string, len(h.fields)), size: h.size}
	for f, v := range h.fields {
		c.fields[f] = v
	}
	if h.expires != nil {
		c.expires = make(map[string]int64, len(h.expires))
		for f, at := range h.expires {
			c.expires[f] = at
		}
	}
	return c
}

func (h *hash) equal(other collection) bool {
	o := other.(*hash)
	return maps.Equal(h.fields, o.fields) && maps.Equal(h.expires, o.expires)
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
	case opExpireAt:
		h.expire(u, []byte(o.texts[0]), int64(o.numbers[0]))
	default:
		return false
	}
	return true
}

func (h *hash) appendOps(dst []byte, full func([]byte) []byte) []byte {
	for f, value := range h.fields {
		dst = full(appendOp(dst, opField, 0, 0, f, value))
	}
	for f, at := range h.expires {
		dst = full(appendOp(dst, opExpireAt, uint64(at), 0, f))
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
