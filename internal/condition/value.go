package condition

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"triggerd/internal/event"
)

// What conditions ask of a key's value. The closures ask it of event.Value, of
// which only what is asked for is looked at; expr's machine asks through a
// side. A value that is not known is an error, and so is one that was cut when
// the event was copied, where what is missing could decide.

var (
	errBefore    = errors.New("before is not known")
	errAfter     = errors.New("after is not known")
	errBeforeCut = errors.New("before is not known whole")
	errAfterCut  = errors.New("after is not known whole")
	errTTL       = errors.New("ttl is not known")
)

// side is `before` or `after` as expr's machine sees it.
type side struct {
	v     event.Value
	after bool
	other bool   // the value of another key, whose name is key
	key   string // of other
	scope *scope
	whole any // v as a value of expr, once it was asked for
	made  bool
}

// String names the side.
func (s *side) String() string {
	if s.other {
		return "value(" + strconv.Quote(s.key) + ")"
	}
	if s.after {
		return "after"
	}
	return "before"
}

// value returns the value, or an error if it is not known.
func (s *side) value() (event.Value, error) {
	switch {
	case s.v != nil:
		return s.v, nil
	case s.other:
		return nil, s.errUnknownKey("")
	case s.after:
		return nil, errAfter
	}
	return nil, errBefore
}

func (s *side) cut() error {
	if s.other {
		return s.errUnknownKey(" whole")
	}
	if s.after {
		return errAfterCut
	}
	return errBeforeCut
}

// all returns the value if all of it is known.
func (s *side) all() (event.Value, error) {
	v, err := s.value()
	if err == nil && v.Truncated() {
		return nil, s.cut()
	}
	return v, err
}

// absent reports whether v stands for a key that is not there.
func absent(v event.Value) bool { return v == event.None || v.Type() == "none" }

// materialise returns the value as expr has values: nil, a string, a
// map[string]any of texts, a []string, or a []any of what elementOf gives.
func (s *side) materialise() (any, error) {
	if s.made {
		return s.whole, nil
	}
	v, err := s.all()
	if err != nil {
		return nil, err
	}
	whole, err := s.scope.wholeOf(v)
	if err != nil {
		return nil, err
	}
	s.whole, s.made = whole, true
	return s.whole, nil
}

// wholeOf makes a value whole, unless it is given up.
func (s *scope) wholeOf(v event.Value) (any, error) {
	switch typ := v.Type(); typ {
	case "none":
		return nil, nil
	case "string":
		return text(v.Bytes()), nil
	case "hash":
		m := make(map[string]any, v.Len())
		for e := range v.All() {
			if s.stops() {
				return nil, ErrStopped
			}
			m[e.Name] = e.Value
		}
		return m, nil
	case "list", "set":
		list := make([]string, 0, v.Len())
		for e := range v.All() {
			if s.stops() {
				return nil, ErrStopped
			}
			list = append(list, e.Name)
		}
		return list, nil
	default:
		list := make([]any, 0, v.Len())
		for e := range v.All() {
			if s.stops() {
				return nil, ErrStopped
			}
			list = append(list, elementOf(typ, e))
		}
		return list, nil
	}
}

// elementOf returns one element, as a predicate and an index see it.
func elementOf(typ string, e event.Element) any {
	switch typ {
	case "zset":
		return map[string]any{"member": e.Name, "score": ofFloat(e.Score).boxed()}
	case "stream":
		return map[string]any{"id": e.Name, "fields": e.Fields}
	case "hash":
		return map[string]any{"field": e.Name, "value": e.Value}
	}
	return e.Name
}

// elements returns what a predicate over the value runs over.
func (s *side) elements() (any, error) {
	v, err := s.all()
	switch {
	case err != nil:
		return nil, err
	case absent(v):
		return []any{}, nil
	case v.Type() == "string":
		return nil, s.noElements()
	case v.Type() == "hash":
		list := make([]any, 0, v.Len())
		for e := range v.All() {
			if s.scope.stops() {
				return nil, ErrStopped
			}
			list = append(list, elementOf("hash", e))
		}
		return list, nil
	}
	return s.materialise()
}

func (s *side) noElements() error {
	return fmt.Errorf("%s is a string: a predicate runs over a hash, list, set, zset or stream", s.String())
}

// at is before.f and before["f"], or before[0]: nil where there is no such
// field, member or place, or no key.
func (s *side) at(name any) (any, error) {
	v, err := s.value()
	if err != nil || absent(v) {
		return nil, err
	}
	switch v.Type() {
	case "hash", "zset":
		name, ok := name.(string)
		if !ok {
			return nil, fmt.Errorf("%s is a %s: its elements have names, not numbers", s, v.Type())
		}
		found, ok, err := s.get(v, name)
		if !ok || err != nil {
			return nil, err
		}
		if v.Type() == "hash" {
			return text(found), nil
		}
		score, err := strconv.ParseFloat(text(found), 64)
		return ofFloat(score).boxed(), err
	case "list", "stream":
		if _, named := name.(string); named {
			return nil, fmt.Errorf("%s is a %s: its elements have numbers, not names", s, v.Type())
		}
		i, err := numberFrom(name).place()
		if err != nil {
			return nil, err
		}
		return s.place(v, i)
	case "set":
		return nil, fmt.Errorf("%s is a set: has(%s, x) finds a member", s, s)
	}
	return nil, fmt.Errorf("%s is a %s, which has no parts; json(%s, \"path\") looks into JSON", s, v.Type(), s)
}

// get finds a named element. One that a cut value does not have may have been
// cut away.
func (s *side) get(v event.Value, name string) ([]byte, bool, error) {
	found, ok := v.Get(bytesOf(name))
	if !ok && v.Truncated() {
		return nil, false, s.cut()
	}
	return found, ok, nil
}

// place returns an element by its place, below 0 from the end.
func (s *side) place(v event.Value, i int) (any, error) {
	if i < 0 {
		i += v.Len()
	}
	if i < 0 || i >= v.Len() {
		return nil, nil
	}
	e, ok := v.At(i)
	if !ok {
		return nil, s.cut()
	}
	return elementOf(v.Type(), e), nil
}

// has tells whether a hash has a field, a set or zset a member, a list an
// item, a stream an entry. item is the predicate that an item is of this name,
// if the name is always the same: a list may have counted for it.
func (s *side) has(name string, item *event.Predicate) (bool, error) {
	v, err := s.value()
	if err != nil || absent(v) {
		return false, err
	}
	switch v.Type() {
	case "string":
		return false, fmt.Errorf("%s is a string: contains looks into text", s)
	case "list":
		if c, ok := v.(event.Counter); ok && item != nil {
			if n, ok := c.Count(item); ok {
				return n.Yes > 0, nil
			}
		}
		for e := range v.All() {
			if s.scope.stops() {
				return false, ErrStopped
			}
			if e.Name == name {
				return true, nil
			}
		}
		if v.Truncated() {
			return false, s.cut()
		}
		return false, nil
	}
	_, ok, err := s.get(v, name)
	return ok, err
}

// size is the number of a string's bytes, of elements of all else, 0 where
// there is no key.
func (s *side) size() (int, error) {
	v, err := s.value()
	if err != nil {
		return 0, err
	}
	return v.Len(), nil
}

// length is size, but counts the characters of a string.
func (s *side) length() (int, error) {
	v, err := s.value()
	if err != nil {
		return 0, err
	}
	if v.Type() != "string" {
		return v.Len(), nil
	}
	if v.Truncated() {
		return 0, s.cut()
	}
	return utf8.RuneCount(v.Bytes()), nil
}

// number is num(before): none where the value is no text that is a number.
func (s *side) number() (number, error) {
	v, err := s.value()
	switch {
	case err != nil:
		return number{}, err
	case v.Type() != "string" || v.Len() > maxDigits:
		if absent(v) {
			return number{kind: nothing}, nil
		}
		return number{kind: notOne}, nil
	case v.Truncated():
		return number{}, s.cut()
	}
	return numberOf(text(v.Prefix(maxDigits))), nil
}

// text is the value in a place where only text can be: "" for no key.
func (s *side) text() (string, error) {
	v, err := s.all()
	switch {
	case err != nil || absent(v):
		return "", err
	case v.Type() != "string":
		return "", fmt.Errorf("%s is a %s, not text", s, v.Type())
	}
	return text(v.Bytes()), nil
}

// is tells whether the value is a string of this text.
func (s *side) is(want string) (bool, error) {
	v, err := s.value()
	switch {
	case err != nil:
		return false, err
	case v.Type() != "string" || v.Len() != len(want):
		return false, nil
	case v.Truncated():
		return false, s.cut()
	}
	return text(v.Bytes()) == want, nil
}

// fieldIs tells whether the value is a hash whose field has this text.
func (s *side) fieldIs(field, want string) (bool, error) {
	v, err := s.value()
	if err != nil || v.Type() != "hash" {
		return false, err
	}
	found, ok, err := s.get(v, field)
	return ok && string(found) == want, err
}

// textOf is a value of any kind where only text can be: "" for nil.
func textOf(x any) (string, error) {
	switch x := x.(type) {
	case nil:
		return "", nil
	case string:
		return x, nil
	}
	return "", fmt.Errorf("a %s is not text", valueKind(x))
}

func valueKind(x any) string {
	switch reflect.ValueOf(x).Kind() {
	case reflect.Map:
		return "hash or an entry"
	case reflect.Slice:
		return "list"
	case reflect.Bool:
		return "bool"
	}
	return "number"
}

// inTexts tells whether x is one of the texts of a set.
func inTexts(x any, set any) bool {
	s, ok := x.(string)
	texts, also := set.(map[string]struct{})
	if !ok || !also {
		return false // numbers of a list are no texts
	}
	_, found := texts[s]
	return found
}

// crossedSides is crossed(n).
func crossedSides(before, after *side, n number) (truth, error) {
	b, err := before.number()
	if err != nil {
		return no, err
	}
	a, err := after.number()
	return crossed(b, a, n), err
}

// changedTo is changed_to(v): the value is this text and was not.
func changedTo(before, after *side, v string) (bool, error) {
	was, err := before.is(v)
	if err != nil {
		return false, err
	}
	is, err := after.is(v)
	return is && !was, err
}

// became is became(field, v): the hash's field has this text and had not.
func became(before, after *side, field, v string) (bool, error) {
	was, err := before.fieldIs(field, v)
	if err != nil {
		return false, err
	}
	is, err := after.fieldIs(field, v)
	return is && !was, err
}

// sameValue is before == after, without making either whole.
func sameValue(before, after *side) (bool, error) {
	a, err := before.all()
	if err != nil {
		return false, err
	}
	b, err := after.all()
	if err != nil {
		return false, err
	}
	typ := a.Type()
	if typ != b.Type() || a.Len() != b.Len() {
		return false, nil
	}
	if a, ok := a.(event.Comparer); ok {
		if same, ok := a.Same(b); ok {
			return same, nil
		}
	}
	switch typ {
	case "none":
		return true, nil
	case "string":
		return text(a.Bytes()) == text(b.Bytes()), nil
	case "hash", "set":
		for e := range a.All() {
			if before.scope.stops() {
				return false, ErrStopped
			}
			found, ok := b.Get(bytesOf(e.Name))
			if !ok || typ == "hash" && text(found) != e.Value {
				return false, nil
			}
		}
		return true, nil
	}
	return before.scope.sameInOrder(a, b)
}

// sameInOrder compares two lists, sorted sets or streams of the same length.
func (s *scope) sameInOrder(a, b event.Value) (bool, error) {
	next, end := iter.Pull(b.All())
	defer end()
	for e := range a.All() {
		if s.stops() {
			return false, ErrStopped
		}
		other, ok := next()
		if !ok || e.Name != other.Name || e.Score != other.Score || !slices.Equal(e.Fields, other.Fields) {
			return false, nil
		}
	}
	return true, nil
}

// ttlOf is ttl: milliseconds, -1 for no deadline, -2 for no key.
func ttlOf(ms int) (int, error) {
	if int64(ms) == event.TTLUnknown {
		return 0, errTTL
	}
	return ms, nil
}
