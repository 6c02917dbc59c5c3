package keyspace

import "triggerd/internal/event"

// keyState is what is known of one mirrored key. A key that is needed and has
// none is not there if its database covers it, and else not known.
type keyState struct {
	value   value
	expiry  expiry
	marks   marks
	size    int      // bytes counted for the key, its name included
	operand *operand // of the present command, if that names the key
}

// tri is whether something is so.
type tri uint8

const (
	maybe tri = iota
	no
	yes
)

// value is whether a key is there, and what it holds.
type value struct {
	text     []byte     // of a string
	elements collection // of all else
	exists   tri
	kind     kind
	known    bool // text or elements are what the server has
	texts    bool // texts are kept, not only the names of elements
	twice    bool // the server has an element twice, of which the first is kept; no command can be followed
}

// expiry is when a key expires, and what has been announced of it.
type expiry struct {
	at        int64 // ms, 0 for never
	announced int64 // the deadline at which its expiry was announced
	turn      int64 // when the schedule looks at it next, 0 for never
	known     bool  // at is
	onTime    bool  // the expiry is announced at the deadline
}

// marks are where a key stands in the journal and in the snapshot.
type marks struct {
	long     *longValue // a long value's place in the journal
	snapshot uint32     // number of the snapshot that had the key last
	epoch    epoch      // in which it is to be told
	stored   bool       // an entry of it was told
	base     uint16     // number of the whole cut that has told it, or that it is newer than
}

// keyCost is what a key costs beyond its bytes and its value's, as measured by
// TestMemory.
const keyCost = 176

// turnCost is what a key's place in the schedule costs beyond its bytes.
const turnCost = 48

// bytes returns how much memory the key takes whose name is so long. Of a text it
// is the length that counts, not what room was made for it: so it is the same for a
// value that was restored, and the same values are dropped where memory ends.
func (s *keyState) bytes(name int) int {
	n := keyCost + name + len(s.value.text)
	if s.expiry.onTime {
		n += turnCost + name
	}
	if s.value.elements != nil {
		n += s.value.elements.bytes()
	}
	return n
}

// valueReplaced tells the journal that the value was replaced as a whole.
func (s *keyState) valueReplaced() {
	if long := s.marks.long; long != nil {
		long.stale, long.ops = true, nil
	}
}

// kept reports whether the value itself is kept. Of a string of which only the
// state is needed it is not.
func (v *value) kept() bool {
	return v.known && (v.elements != nil || v.kind == kindString && v.texts)
}

// drop makes it unknown what the key holds.
func (v *value) drop() { v.known, v.twice, v.text, v.elements = false, false, nil, nil }

// hollow reports whether a value has no elements though it is of a type that
// cannot be without: every command that takes the last one removes the key.
func (v *value) hollow() bool {
	return v.elements != nil && v.kind != kindStream && isEmpty(v.elements)
}

// view makes into a view of the value, as it was before the changes in u.
func (v *value) view(into *view, u *undo) event.Value {
	switch {
	case v.exists == no:
		return event.None
	case v.exists == maybe || !v.known || !v.texts:
		return nil
	}
	*into = view{kind: v.kind, text: v.text, elements: v.elements, undo: u}
	return into
}

// wasAnnounced reports whether the expiry at the present deadline was announced
// already.
func (e *expiry) wasAnnounced() bool { return e.at != 0 && e.announced == e.at }
