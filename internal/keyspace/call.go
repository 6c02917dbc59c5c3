package keyspace

import (
	"bytes"
	"slices"
	"time"

	"triggerd/internal/event"
)

// call is the command that is interpreted just now: the events that it makes,
// and what it does to the mirror. Its slices and operands are used again for the
// next command.
type call struct {
	in   *Interpreter
	sent *Command
	cmd  *command
	args [][]byte // of sent

	events    []event.Event
	base      int    // how many in front are not this command's
	number    int    // of its events that were in an earlier slice, see Rest
	name      string // of the command, as events spell it
	cause     event.Cause
	origin    event.Origin
	malformed bool
	many      manyKeys // if cmd.own is set

	// While it works on the mirror:
	mi            *mirror
	lost          *Losses // the interpreter's
	now           int64   // ms, by the primary's clock as far as that is known; 0 if not known
	operands      []*operand
	used          int           // of operands
	stranger      operand       // a key that is not needed, where there are many
	namedElements [][]byte      // that the command names, of all operands
	plain         []event.Event // those without the optional ones
}

// start makes c the call of a command whose events follow those of dst.
func (c *call) start(cmd *command, sent *Command, dst []event.Event) {
	c.cmd, c.sent, c.args = cmd, sent, sent.Args
	c.events, c.base, c.number = dst, len(dst), 0
	c.name, c.cause, c.origin = cmd.name, event.CauseCommand, sent.Origin
	c.malformed = len(c.args) < cmd.words
	if c.origin == "" {
		c.origin = event.FromStream
	}
}

// end gives up what was borrowed, and returns the events.
func (c *call) end() []event.Event {
	events := c.events
	c.sent, c.args, c.events = nil, nil, nil
	return events
}

// announce makes the events that the command alone tells of.
func (c *call) announce() {
	if announce := c.cmd.events.make; announce != nil {
		announce(c)
	}
}

// interpret makes the events of a command, or of a step of it.
func (c *call) interpret(mirrored bool) {
	if mirrored {
		c.perform()
	} else {
		c.announce()
	}
}

// perform makes the events of a command that names mirrored keys, and does to
// them what the command did.
func (c *call) perform() {
	c.begin(c.sent.Time)
	switch cmd := c.cmd; {
	case len(c.args) < cmd.words && !cmd.anyLength:
		c.announce()
		c.loseNamed(&c.lost.Malformed)
	case cmd.follow != nil:
		cmd.follow(c)
	case cmd.apply != nil:
		c.announce()
		cmd.apply(c)
	case cmd.anyArgument:
		c.announce()
		c.loseArguments()
	case cmd.events.make != nil:
		c.announce()
		c.loseNamed(&c.lost.Undecided)
	}
	if c.mi.classes != (Classes{}) {
		c.addOptionalEvents()
	}
	c.finish()
}

// emit makes an event on the key that the argument at index is. If there is no
// such argument the event concerns no key.
func (c *call) emit(index int, name, typ string) {
	c.emitIn(c.sent.DB, index, name, typ)
}

// emitIn makes an event on a key of another database.
func (c *call) emitIn(db, index int, name, typ string) {
	if index >= len(c.args) {
		c.malformed = true
		c.emitKey(nil, db, name, "")
		return
	}
	c.emitKey(notNil(c.args[index]), db, name, typ)
	if c.cmd.own != 0 && c.many.size > 1 {
		c.setOwn(&c.events[len(c.events)-1], index)
	}
}

func (c *call) emitKey(key []byte, db int, name, typ string) {
	sent, n := c.sent, len(c.events)
	if n == cap(c.events) {
		c.events = slices.Grow(c.events, 1)
	}
	c.events = c.events[:n+1]
	ev := &c.events[n] // it may have been another's: each field is set, in place
	ev.Name, ev.Origin, ev.Cause = name, c.origin, c.cause
	ev.DB, ev.Key, ev.Type, ev.Command = db, key, typ, c.name
	ev.Args, ev.Part = sent.Args[1:len(sent.Args):len(sent.Args)], event.Part{}
	ev.Time, ev.Bytes, ev.ReplID, ev.Offset = sent.Time, sent.Bytes, sent.ReplID, sent.Offset
	ev.Index, ev.Tx, ev.Source = c.number+n-c.base, sent.Tx, sent.Source
	ev.Before, ev.After, ev.Changed, ev.TTL, ev.Cut = nil, nil, nil, event.TTLUnknown, false
}

// emitOn makes an event on an operand.
func (c *call) emitOn(k *operand, name, typ string) { c.emitKey(notNil(k.key), k.db, name, typ) }

// emitEach makes one event for each key of a command that does the same to all
// of them.
func (c *call) emitEach(name, typ string) {
	if c.many.size == 0 {
		c.emit(len(c.args), name, "")
		return
	}
	c.malformed = c.malformed || c.many.broken
	for i := range c.many.places() {
		c.emit(i, name, typ)
	}
}

// emitOwn makes an event named after the command for each of its keys, and one
// that concerns no key if there are none.
func (c *call) emitOwn(typ string) {
	if c.cmd.own != 0 && c.many.size > 0 {
		c.emitEach(c.cmd.ownEvent, typ)
		return
	}
	var buf [maxRanges]keyRange
	ranges := c.cmd.appendRanges(buf[:0], c.args)
	for _, r := range ranges {
		for i := r.first; i <= r.last; i += r.step {
			c.emit(i, c.cmd.ownEvent, typ)
		}
	}
	if len(ranges) == 0 {
		c.malformed = c.malformed || len(c.cmd.keys) > 0
		c.emitKey(nil, c.sent.DB, c.cmd.ownEvent, "")
	}
}

// notNil keeps an empty key apart from no key.
func notNil(key []byte) []byte {
	if key == nil {
		return []byte{}
	}
	return key
}

// require counts the command as malformed if it has no argument at index.
func (c *call) require(index int) {
	c.malformed = c.malformed || index >= len(c.args)
}

// arg returns the argument at index, which the command must have; nil if it
// has not.
func (c *call) arg(index int) []byte {
	c.require(index)
	if index >= len(c.args) {
		return nil
	}
	return c.args[index]
}

// begin prepares for work on the mirror, for a command that arrived at a time.
func (c *call) begin(arrival time.Time) {
	mi := c.in.mirror
	c.mi, c.lost = mi, mi.losses
	mi.inUse = true
	if mi.torn {
		mi.loseAll(&mi.losses.Snapshot)
	}
	c.now = 0
	if !arrival.IsZero() {
		c.now = arrival.UnixMilli()
		c.now += mi.clock.at(c.now)
	}
	c.release()
	c.in.lookups.release()
}

// release gives up what the last command has left of its keys: the views of its
// events, and what undoes it.
func (c *call) release() {
	for _, k := range c.operands[:c.used] {
		if k.needed() {
			k.operand = nil
		}
		k.reset()
	}
	c.used = 0
	c.many.release()
	const keep = 1024
	if len(c.operands) > keep {
		c.operands = slices.Clone(c.operands[:keep])
	}
	if cap(c.namedElements) > keep {
		c.namedElements = nil
	}
	clear(c.namedElements)
	c.namedElements = c.namedElements[:0]
}

// finish gives the command's events what is known of their keys, and accounts
// for what it changed.
func (c *call) finish() {
	operands := c.operands[:c.used]
	for _, k := range operands {
		if !k.needed() {
			continue
		}
		if k.value.hollow() { // ZADD XX of a key that was not there
			c.lose(k, maybe, k.value.kind, &c.lost.Mismatch)
		}
		k.after = k.value.view(&k.is, nil)
		k.is.from = k
		k.settle()
	}
	at := 0
	for i := c.base; i < len(c.events); i++ {
		if k := c.operandOf(&c.events[i], &at); k != nil {
			c.setValues(&c.events[i], k)
		}
	}
	for _, k := range operands {
		if k.needed() {
			c.mi.account(k)
		}
	}
}

// key returns the operand that the argument at index names, the same each time.
func (c *call) key(index int) *operand { return c.keyIn(c.sent.DB, c.args[index]) }

// keyIn returns the operand of a key, the same each time.
func (c *call) keyIn(db int, key []byte) *operand {
	mi := c.mi
	d := mi.database(db)
	s := mi.takeFound(d, key)
	if s == nil {
		s = d.keys[string(key)]
	}
	if s != nil && s.operand != nil {
		return s.operand
	}
	need := NeedNothing
	if s == nil && d != &mi.beyond {
		need = mi.need(db, key)
	}
	const few = 64 // commands that look at more keys look at one after another
	if s == nil && need == NeedNothing && c.used >= few {
		c.stranger = operand{key: key, db: db}
		return &c.stranger
	}
	k := c.newOperand()
	k.key, k.db, k.database = key, db, d
	if s == nil {
		if need == NeedNothing {
			return k
		}
		s = mi.newKey(d, key, need)
	} else if mi.journal != nil {
		mi.journal.touch(d, key, s)
	}
	s.operand, k.keyState = k, s
	if s.value.twice {
		s.value.drop()
		mi.losses.Undecided++
	}
	k.existed, k.kindWas = s.value.exists, s.value.kind
	k.before = s.value.view(&k.was, &k.undo)
	k.was.from = k
	k.undo.logs = s.marks.long != nil && !s.marks.long.stale
	switch elements := s.value.elements.(type) {
	case nil:
	case *stream:
		k.undo.count, k.undo.last = elements.len(), elements.last
	case *hash:
		k.undo.count = elements.len()
		if len(elements.dead) > 0 {
			c.settleDead(k, elements)
		}
	default:
		k.undo.count = elements.len()
	}
	return k
}

func (c *call) newOperand() *operand {
	if c.used == len(c.operands) {
		c.operands = append(c.operands, &operand{undo: undo{pace: &c.in.pace}})
	}
	k := c.operands[c.used]
	c.used++
	return k
}

// operandOf returns the operand of an event's key, nil if that is not needed.
// Events come in the order of the operands, nearly: at is where the last one
// was.
func (c *call) operandOf(ev *event.Event, at *int) *operand {
	if ev.Key == nil {
		return nil
	}
	for n := *at; n < min(*at+2, c.used); n++ {
		if k := c.operands[n]; k.needed() && k.db == ev.DB && bytes.Equal(k.key, ev.Key) {
			*at = n
			return k
		}
	}
	if d := c.mi.dbs[ev.DB]; d != nil {
		if s := d.keys[string(ev.Key)]; s != nil {
			return s.operand
		}
	}
	return nil
}

// setValues gives an event what is known of its key.
func (c *call) setValues(ev *event.Event, k *operand) {
	ev.Before, ev.After = k.before, k.after
	if k.named[1] > k.named[0] {
		ev.Changed = c.namedElements[k.named[0]:k.named[1]:k.named[1]]
	}
	switch v := &k.value; {
	case v.exists == no:
		ev.Type, ev.TTL = typeNone, event.TTLGone
		return
	case v.exists == maybe:
		return
	case v.kind != kindUnknown:
		ev.Type = v.kind.String()
	}
	switch {
	case !k.expiry.known:
	case k.expiry.at == 0:
		ev.TTL = event.TTLNone
	case c.now != 0:
		ev.TTL = max(1, k.expiry.at-c.now)
	}
}

// nameElements notes the elements of a key that the command names: args from
// first on, each step-th.
func (c *call) nameElements(k *operand, args [][]byte, first, step int) {
	if !k.needed() || first > len(args) {
		return
	}
	from := len(c.namedElements)
	for i := first; i < len(args); i += step {
		c.namedElements = append(c.namedElements, args[i])
	}
	k.named = [2]int{from, len(c.namedElements)}
}

// lose makes a key's value unknown. exists says what is known of its being
// there, kind what it is.
func (c *call) lose(k *operand, exists tri, kind kind, why *int64) {
	s := k.keyState
	if s == nil {
		return
	}
	if s.value.known {
		*why++
	}
	if s.value.exists == maybe && exists == yes {
		s.expiry.known = false // it may have been made just now
	}
	s.value.exists, s.value.kind = exists, kind
	s.value.drop()
	s.valueReplaced()
	switch exists {
	case no:
		s.value.known, s.expiry.at, s.expiry.known = true, 0, true
	case maybe:
		s.expiry.known = false
	}
}

// loseNamed makes unknown all keys that the command names.
func (c *call) loseNamed(why *int64) {
	var buf [maxRanges]keyRange
	for _, r := range c.cmd.appendRanges(buf[:0], c.args) {
		for i := r.first; i <= r.last; i += r.step {
			c.lose(c.key(i), maybe, kindUnknown, why)
		}
	}
}

// undecided: what the command did to its key only the server knows. The key is
// there afterwards.
func (c *call) undecided() {
	c.loseNamed(&c.lost.Undecided)
	if k := c.key(1); k.needed() {
		k.value.exists, k.expiry.known = yes, k.existed == no
	}
}

// tooLarge drops the value of a key that would grow beyond the limit by n
// bytes, before they are allocated.
func (c *call) tooLarge(k *operand, n int) bool {
	if c.mi.size+int64(n) <= c.mi.limit {
		return false
	}
	if !k.value.known {
		c.lost.Limit++ // it would have been known again
	}
	c.lose(k, yes, kindString, &c.lost.Limit)
	return true
}

// elementsRemoved follows the removal of elements: a collection that is empty
// is removed, which is announced. known says that elements are the value.
func (c *call) elementsRemoved(k *operand, elements collection, known bool) {
	switch {
	case known && isEmpty(elements):
		c.removeWhole(k)
	case !known && k.needed():
		// Perhaps all were. If the key is still there its deadline is as it was.
		k.value.exists = maybe
	}
}

// removeWhole removes a collection of which a command takes all elements: as it
// is, so that neither it nor its view before costs what there was.
func (c *call) removeWhole(k *operand) {
	k.remove()
	c.emitOn(k, "del", typeNone)
}

// storeElements puts the elements that a command has made, which are new, into
// its destination, and announces that under the first of the command's names.
func (c *call) storeElements(dst *operand, kind kind, elements collection) {
	if elements.len() == 0 {
		c.storeNothing(dst)
		return
	}
	dst.setElements(kind, elements)
	c.emitOn(dst, c.cmd.events.names[0], kind.String())
}

// storeNothing: a command that stores has nothing to store. The destination is
// removed, which is announced if it was there.
func (c *call) storeNothing(dst *operand) {
	if !dst.needed() || dst.value.exists != no {
		c.emitOn(dst, "del", typeNone)
	}
	dst.remove()
}

// past reports whether a deadline may have come when the command was run.
func (c *call) past(deadline int64) bool {
	return c.now >= deadline-max(c.mi.grace, c.mi.clock.wide)
}
