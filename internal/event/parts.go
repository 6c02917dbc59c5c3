package event

// Parts is a set of the parts of an event that may not be known of a key,
// unless somebody asked for them before.
type Parts uint8

// The parts. The first four take the key's state, the last two its value.
const (
	PartType    Parts = 1 << iota // its type
	PartTTL                       // how long it has to live
	PartChanged                   // which of its elements changed
	PartCause                     // whether a deletion is an expiry
	PartBefore                    // its value before
	PartAfter                     // its value after
)

// Has reports whether some of these parts are in the set.
func (p Parts) Has(some Parts) bool { return p&some != 0 }
