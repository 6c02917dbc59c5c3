package firing

import (
	"fmt"
	"slices"
	"strings"
)

// Order says which firings of an endpoint are delivered one after another.
type Order string

// The orders. OrderKey is the default.
const (
	OrderKey  Order = "key"  // those of one key
	OrderNone Order = "none" // none
)

// Orders returns all orders, the default first.
func Orders() []Order { return []Order{OrderKey, OrderNone} }

// ParseOrder parses the text of an order.
func ParseOrder(text string) (Order, error) { return parse("order", text, Orders()) }

// String returns the text of o.
func (o Order) String() string { return string(o) }

// Overflow says what happens to a firing for which there is no room.
type Overflow string

// The overflows. Block is the default.
const (
	Block   Overflow = "block"    // it waits a little, and is dropped if there is still no room
	DropNew Overflow = "drop_new" // it is dropped
	DropOld Overflow = "drop_old" // it takes the place of its endpoint's oldest firing that waits, which is dropped
)

// Overflows returns all overflows, the default first.
func Overflows() []Overflow { return []Overflow{Block, DropNew, DropOld} }

// ParseOverflow parses the text of an overflow.
func ParseOverflow(text string) (Overflow, error) { return parse("overflow", text, Overflows()) }

// String returns the text of o.
func (o Overflow) String() string { return string(o) }

func parse[T ~string](what, text string, known []T) (T, error) {
	if v := T(text); slices.Contains(known, v) {
		return v, nil
	}
	words := make([]string, len(known))
	for i, v := range known {
		words[i] = string(v)
	}
	return "", fmt.Errorf("%s %.100q is not one of %s", what, text, strings.Join(words, ", "))
}
