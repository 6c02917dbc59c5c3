package keyspace

import "triggerd/internal/event"

// operand is one key that the present command works on, with what was known of
// it before.
type operand struct {
	*keyState // nil: the key is not needed
	key       []byte
	db        int
	database  *database

	existed  tri  // before
	kindWas  kind // before
	optional bool // the events of Classes were added at its first event
	was, is  view
	before   event.Value // nil: not known
	after    event.Value
	undo     undo   // what the command has changed of the value
	oldText  []byte // memory for keepText
	named    [2]int // the elements that the command names, as a range of call.namedElements
}

// reset makes an operand that is of no key, and keeps some of its memory.
func (k *operand) reset() {
	k.keyState, k.key, k.db, k.database = nil, nil, 0, nil
	k.existed, k.kindWas, k.optional, k.named = maybe, kindUnknown, false, [2]int{}
	k.was, k.is = view{}, view{}
	k.before, k.after = nil, nil
	k.undo.reset()
}

// keepText has the view before show a copy of the text that is about to be
// overwritten.
func (k *operand) keepText() {
	if text := k.value.text; len(text) > 0 && len(k.was.text) > 0 && &k.was.text[0] == &text[0] {
		k.oldText = append(k.oldText[:0], k.was.text...)
		k.was.text = k.oldText
	}
}

// needed reports whether something is kept of the key.
func (k *operand) needed() bool { return k.keyState != nil }

// remove makes a key be not there.
func (k *operand) remove() {
	if s := k.keyState; s != nil {
		s.value = value{exists: no, known: true, texts: s.value.texts}
		s.expiry = expiry{known: true, onTime: s.expiry.onTime}
		s.valueReplaced()
	}
}

// setText makes a key a string; its deadline is as it was.
func (k *operand) setText(text []byte) {
	if k.needed() {
		k.valueReplaced()
		k.editText(text)
	}
}

// editText does the same with a text that was changed by what undo.log was told.
func (k *operand) editText(text []byte) {
	if s := k.keyState; s != nil {
		v := &s.value
		s.expiry.known = s.expiry.known && v.exists != maybe
		v.exists, v.kind, v.known, v.elements = yes, kindString, true, nil
		if v.texts {
			v.text = text
		}
	}
}

// setDeadline sets when a key expires: 0 for never.
func (k *operand) setDeadline(at int64, known bool) {
	if k.needed() {
		k.expiry.at, k.expiry.known = at, known
	}
}

// setElements makes a key a collection, without a deadline.
func (k *operand) setElements(kind kind, elements collection) {
	if s := k.keyState; s != nil {
		v := &s.value
		v.exists, v.kind, v.known, v.elements, v.text = yes, kind, true, elements, nil
		s.valueReplaced()
		s.expiry.at, s.expiry.known = 0, true
	}
}

// text returns the text of a key that is needed and is a string, or not there
// (""): false if it is not known.
func (k *operand) text() ([]byte, bool) {
	switch {
	case !k.needed() || !k.value.known:
		return nil, false
	case k.value.exists == no:
		return nil, true
	}
	return k.value.text, k.value.kind == kindString && k.value.texts
}

// source returns a collection that a command reads: nil if the key is not
// there, false if that is not known. It may be of another type.
func (k *operand) source() (collection, bool) {
	switch {
	case !k.needed() || !k.value.known:
		return nil, false
	case k.value.exists == no:
		return nil, true
	}
	return k.value.elements, k.value.elements != nil
}

// collectionForWrite returns a key's collection for a command that makes one
// where there is none. false: the key is not needed or not known; it is there
// then, as a collection of that kind.
func collectionForWrite[T collection](c *call, k *operand, kind kind, empty func() T) (T, bool) {
	var none T
	if !k.needed() {
		return none, false
	}
	v := &k.value
	if v.exists == no {
		elements := empty()
		k.setElements(kind, elements)
		return elements, true
	}
	if v.exists == yes && v.known {
		if elements, ok := v.elements.(T); ok {
			return elements, true
		}
		c.lose(k, yes, kind, &c.lost.Mismatch)
		return none, false
	}
	if v.exists == maybe {
		k.expiry.known = false
	}
	v.exists, v.kind = yes, kind
	return none, false
}

// existingCollection returns the collection of a key that the command can only
// have changed if it is there. false: not needed, not known.
func existingCollection[T collection](c *call, k *operand) (T, bool) {
	var none T
	if !k.needed() {
		return none, false
	}
	if k.value.exists == yes && k.value.known {
		if elements, ok := k.value.elements.(T); ok {
			return elements, true
		}
	}
	if k.value.known {
		c.lose(k, maybe, kindUnknown, &c.lost.Mismatch)
	}
	return none, false
}
