package event

// Counter is a Value that can ask a question of its elements without a copy of
// each. The values of internal/keyspace are.
type Counter interface {
	Value
	// Count asks judge of each element, in the order of All, and returns of how
	// many it said VerdictYes and VerdictUnknown. All elements are in the same
	// memory: judge keeps none. It costs what is asked, and allocates the same
	// however many elements there are.
	Count(judge func(*Element) Verdict) (holds, unknown int)
}

// Verdict is what a question says of an element.
type Verdict uint8

// The verdicts. The zero value is VerdictUnknown.
const (
	VerdictUnknown Verdict = iota // it cannot tell
	VerdictNo
	VerdictYes
	VerdictStop // enough was seen: neither this element nor the rest is counted
)
