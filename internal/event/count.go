package event

import "unique"

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
