package rules

// Need says how much has to be known of a key, so that the rules that concern
// it get what they ask for. Each need includes those before it. The order and
// the meaning are those of internal/keyspace.
type Need uint8

// The needs.
const (
	NeedNothing Need = iota // events are told by the command alone
	NeedState               // whether the key is there, its type, deadline and the names of its elements
	NeedValue               // also its text: before and after
	NeedOnTime              // also an event at its deadline
)

// Need returns how much the rules of the set need to know of a key, which is
// borrowed. It gives the same answer for the same key each time, allocates
// nothing, and is for one goroutine at a time.
func (s *Set) Need(db int, key []byte) Need { return NeedNothing }

// NeedsSomething reports whether there may be keys for which Need is not
// NeedNothing.
func (s *Set) NeedsSomething() bool { return false }
