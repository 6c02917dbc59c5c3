package event

import (
	"strconv"
	"unique"
)

// Counter is a Value that can tell how many of its elements a predicate holds
// for without looking at each: what it counted once it keeps up to date as
// elements come and go. The values of internal/keyspace are.
type Counter interface {
	Value
	// Count counts what p says of the elements. ok is false where the value
	// does not count, because it has few elements or there is no room: then the
	// elements are to be looked at one by one. The first time it looks at all
	// elements; from then on it costs the same however many there are.
	Count(p *Predicate) (n Counts, ok bool)
}

// Ranker is a Value whose elements are in the order of their scores.
type Ranker interface {
	Value
	// Below returns how many elements have a score below x, or, with orEqual,
	// one of at most x. ok is false if the value is no zset. It costs the
	// logarithm of the number of elements, and what the command has changed.
	Below(x float64, orEqual bool) (n int, ok bool)
}

// Comparer is a Value that may know, without looking at all of it, whether it is
// the same as another.
type Comparer interface {
	Value
	// Same tells whether the two are the same. ok is false where it cannot tell.
	Same(other Value) (same, ok bool)
}

// Changer is a Value that may know what a command has changed of its elements.
type Changer interface {
	Value
	// Changes gives the elements that differ in after, the value after the
	// command, each as it was and as it is: before is nil where it was not
	// there, after where it is not. The items of a list and the entries of a
	// stream are told as they were removed and added: one that moves from end to
	// end is both. It ends early if give returns false. Both are in e, or are
	// valid until the next is given. ok is false where it does not know, as where
	// the command has put a new value in place of the old one: then it gives
	// nothing. It costs what the command changed.
	Changes(after Value, e *ChangedElement, give func(before, after *Element) bool) (ok bool)
}

// ChangedElement is memory for an element before and after a command.
type ChangedElement struct{ Was, Now Element }

// Finder is a Value that finds an element of a hash, set or zset as it is.
type Finder interface {
	Value
	// Find returns the element of a name, false if there is none, or for all
	// other types. It makes no text of a score.
	Find(name string) (Element, bool)
}

// Find returns the element that a hash, set or zset has under a name; false if
// there is none, and for all other types.
func Find(v Value, name string) (Element, bool) {
	if f, ok := v.(Finder); ok {
		return f.Find(name)
	}
	typ := v.Type()
	if typ != "hash" && typ != "set" && typ != "zset" {
		return Element{}, false
	}
	text, ok := v.Get([]byte(name))
	if !ok {
		return Element{}, false
	}
	e := Element{Name: name}
	switch typ {
	case "hash":
		e.Value = string(text)
	case "zset":
		e.Score, _ = strconv.ParseFloat(string(text), 64)
	}
	return e, true
}

// Predicate is a question about one element that reads nothing but the element,
// so that its answers can be counted. It does not change.
type Predicate struct {
	Text  unique.Handle[string] // predicates of the same text judge alike
	Names bool                  // it reads Name: that of a stream's entry costs something to make
	// Judge makes what asks the question of the elements of values of a type,
	// for one goroutine at a time.
	Judge func(typ string) Judge
}

// Judge says of an element whether a predicate holds for it. It keeps nothing of
// the element, which is in the same memory each time.
type Judge func(*Element) Verdict

// Verdict is what a predicate says of an element.
type Verdict uint8

// The verdicts.
const (
	VerdictNo      Verdict = iota // it does not hold
	VerdictYes                    // it holds
	VerdictMissing                // neither it nor its opposite: what should be a number is not there
	VerdictUnknown                // neither it nor its opposite: what should be a number is something else
	VerdictFailed                 // it cannot be told
)

// Counts is of how many elements a predicate said what. Of all others it said
// that it does not hold.
type Counts struct{ Yes, Missing, Unknown, Failed int }

// Add counts a verdict n times; n may be below 0.
func (c *Counts) Add(v Verdict, n int) {
	switch v {
	case VerdictYes:
		c.Yes += n
	case VerdictMissing:
		c.Missing += n
	case VerdictUnknown:
		c.Unknown += n
	case VerdictFailed:
		c.Failed += n
	}
}
