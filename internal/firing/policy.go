package firing

import (
	"fmt"
	"slices"
	"strings"
)

// Order says which firings of an endpoint wait for one another.
type Order string

// The orders. A rule has OrderKey unless it says otherwise.
const (
	OrderKey  Order = "key"  // those of a key, one after another
	OrderNone Order = "none" // none
)

// Orders returns all orders, the default first.
func Orders() []Order { return []Order{OrderKey, OrderNone} }

// ParseOrder reads the text of an order.
func ParseOrder(text string) (Order, error) { return parse("order", text, Orders()) }

// String returns the text of o.
func (o Order) String() string { return string(o) }

// Overflow says what becomes of a firing for which there is no room.
type Overflow string

// The ways to deal with it. A rule has Block unless it says otherwise.
const (
	Block   Overflow = "block"    // it waits a little, and is dropped then
	DropNew Overflow = "drop_new" // it is dropped
	DropOld Overflow = "drop_old" // the oldest of its endpoint that waits is dropped
)

// Overflows returns all of them, the default first.
func Overflows() []Overflow { return []Overflow{Block, DropNew, DropOld} }

// ParseOverflow reads the text of an overflow.
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
