package condition

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/vm/runtime"
)

// number is a number of a condition, or says that there is none. Whole numbers
// are exact as far as the server's are, to 64 bits; all others are float64.
// The two compare by value.
type number struct {
	i    int64
	f    float64
	kind numberKind
}

// numberKind tells which part of a number holds it. The bits of missing and
// unknown are those of truth, so that "or" of two kinds tells what comes of
// both.
type numberKind uint8

const (
	whole    numberKind = 0
	fraction numberKind = 1 // or beyond 64 bits; never NaN
	nothing  numberKind = numberKind(missing)
	notOne   numberKind = numberKind(unknown)
)

func ofInt(i int) number { return number{i: int64(i)} }

// ofFloat returns a float64 as a number: NaN is none.
func ofFloat(f float64) number {
	if f != f {
		return number{kind: notOne}
	}
	return number{f: f, kind: fraction}
}

// none reports whether there is no number.
func (n number) none() bool { return n.kind > fraction }

// neither is what a comparison of kinds that are not both numbers comes to.
func (k numberKind) neither() truth { return truth(k) &^ yes }

// float returns a number that there is as a float64.
func (n number) float() float64 {
	if n.kind == whole {
		return float64(n.i)
	}
	return n.f
}

// or returns the number, or another where there is none.
func (n number) or(otherwise number) number {
	if n.none() {
		return otherwise
	}
	return n
}

func equal(a, b number) truth {
	switch k := a.kind | b.kind; {
	case k == whole:
		return truthOf(a.i == b.i)
	case k > fraction:
		return k.neither()
	}
	return truthOf(compare(a, b) == 0)
}

func less(a, b number) truth {
	switch k := a.kind | b.kind; {
	case k == whole:
		return truthOf(a.i < b.i)
	case k > fraction:
		return k.neither()
	}
	return truthOf(compare(a, b) < 0)
}

// atMost is a <= b.
func atMost(a, b number) truth { return less(b, a).not() }

func more(a, b number) truth    { return less(b, a) }
func atLeast(a, b number) truth { return less(a, b).not() }

// compare compares two numbers that there are, by value.
func compare(a, b number) int {
	switch {
	case a.kind == whole && b.kind == whole:
		return order(a.i, b.i)
	case a.kind == whole:
		return compareWhole(a.i, b.f)
	case b.kind == whole:
		return -compareWhole(b.i, a.f)
	}
	return order(a.f, b.f)
}

func order[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareWhole compares a whole number with a float64, neither of them rounded.
func compareWhole(i int64, f float64) int {
	switch {
	case f >= 1<<63:
		return -1
	case f < -1<<63:
		return 1
	}
	t := math.Trunc(f)
	if c := order(i, int64(t)); c != 0 {
		return c
	}
	return order(t, f)
}

// crossed tells whether a number has reached or passed n on its way from
// before to after.
func crossed(before, after, n number) truth {
	switch k := before.kind | after.kind | n.kind; {
	case k == whole:
		return truthOf(before.i < n.i && n.i <= after.i || after.i <= n.i && n.i < before.i)
	case k > fraction:
		return k.neither()
	}
	b, a := compare(before, n), compare(after, n)
	return truthOf(b < 0 && a >= 0 || b > 0 && a <= 0)
}

func add(a, b number) number {
	k := a.kind | b.kind
	switch {
	case k == whole:
		if sum := a.i + b.i; (sum < a.i) == (b.i < 0) {
			return number{i: sum}
		}
		return number{f: sumFloat(a.i, b.i), kind: fraction}
	case k > fraction:
		return number{kind: numberKind(k.neither())}
	}
	return ofFloat(a.float() + b.float())
}

// sumFloat adds two numbers of one sign whose sum leaves 64 bits.
func sumFloat(a, b int64) float64 {
	sum, carry := bits.Add64(magnitude(a), magnitude(b), 0)
	f := float64(sum)
	if carry != 0 { // of the least number and itself
		f = 1 << 64
	}
	if a < 0 {
		return -f
	}
	return f
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

func subtract(a, b number) number {
	k := a.kind | b.kind
	switch {
	case k == whole:
		if diff := a.i - b.i; (diff > a.i) == (b.i < 0) {
			return number{i: diff}
		}
		// Signs differ here, so the difference is a sum.
		f := float64(magnitude(a.i) + magnitude(b.i))
		if a.i < 0 {
			f = -f
		}
		return number{f: f, kind: fraction}
	case k > fraction:
		return number{kind: numberKind(k.neither())}
	}
	return ofFloat(a.float() - b.float())
}

func multiply(a, b number) number {
	k := a.kind | b.kind
	switch {
	case k == whole:
		hi, lo := bits.Mul64(magnitude(a.i), magnitude(b.i))
		negative := (a.i < 0) != (b.i < 0)
		switch {
		case hi == 0 && lo < 1<<63:
			if negative {
				return number{i: -int64(lo)}
			}
			return number{i: int64(lo)}
		case hi == 0 && lo == 1<<63 && negative:
			return number{i: math.MinInt64}
		}
		f := wideFloat(hi, lo)
		if negative {
			f = -f
		}
		return number{f: f, kind: fraction}
	case k > fraction:
		return number{kind: numberKind(k.neither())}
	}
	return ofFloat(a.float() * b.float())
}

// wideFloat returns the float64 that is nearest to a number of 128 bits.
func wideFloat(hi, lo uint64) float64 {
	if hi == 0 {
		return float64(lo)
	}
	shift := bits.LeadingZeros64(hi)
	top := hi<<shift | lo>>(64-shift)
	if lo<<shift != 0 {
		top |= 1 // below what is rounded: only whether there is something counts
	}
	return math.Ldexp(float64(top), 64-shift)
}

func divide(a, b number) number {
	if k := a.kind | b.kind; k > fraction {
		return number{kind: numberKind(k.neither())}
	}
	return ofFloat(a.float() / b.float())
}

func power(a, b number) number {
	if k := a.kind | b.kind; k > fraction {
		return number{kind: numberKind(k.neither())}
	}
	return ofFloat(math.Pow(a.float(), b.float()))
}

var (
	errDivide  = errors.New("integer divide by zero")
	errNoPlace = errors.New("what is no number is no place in a list or a text")
)

func remainder(a, b number) (number, error) {
	k := a.kind | b.kind
	switch {
	case k > fraction:
		return number{kind: numberKind(k.neither())}, nil
	case b.float() == 0:
		return number{}, errDivide
	case k == whole:
		return number{i: a.i % b.i}, nil
	}
	return ofFloat(math.Mod(a.float(), b.float())), nil
}

func negate(n number) number {
	switch {
	case n.kind == whole && n.i != math.MinInt64:
		n.i = -n.i
	case n.kind == whole:
		return number{f: 1 << 63, kind: fraction}
	case n.kind == fraction:
		n.f = -n.f
	}
	return n
}

// absolute is abs(n).
func absolute(n number) number {
	if n.kind == whole && n.i < 0 || n.kind == fraction && n.f < 0 {
		return negate(n)
	}
	return n
}

func ceiling(n number) number  { return rounded(n, math.Ceil) }
func floor(n number) number    { return rounded(n, math.Floor) }
func round(n number) number    { return rounded(n, math.Round) }
func truncate(n number) number { return rounded(n, math.Trunc) }

// intOf is int(x) of a value of any kind. Unlike num it fails where text is no
// integer, and where the value is neither text nor a number.
func intOf(x any) (number, error) {
	if s, ok := x.(string); ok {
		i, err := intText(s)
		return ofInt(i), err
	}
	n, err := strictNumber("int", x)
	return truncate(n), err
}

// floatOf is float(x) of a value of any kind, as intOf is int(x).
func floatOf(x any) (number, error) {
	if s, ok := x.(string); ok {
		return floatText(s)
	}
	n, err := strictNumber("float", x)
	return inexact(n), err
}

func strictNumber(function string, x any) (number, error) {
	switch x.(type) {
	case int, float64, truth:
		return numberFrom(x), nil
	case nil:
		return number{}, fmt.Errorf("%s(nil): nil is no number; num(x) is for what may be none", function)
	}
	return number{}, fmt.Errorf("%s() of a %s, which is no number", function, valueKind(x))
}

func intText(s string) (int, error) {
	i, err := strconv.Atoi(s)
	if err != nil {
		return 0, notInteger(s)
	}
	return i, nil
}

func notInteger(s string) error {
	return fmt.Errorf("int(%.40q): not an integer; num(x) is for text that may be none", s)
}

func floatText(s string) (number, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return number{}, fmt.Errorf("float(%.40q): not a number; num(x) is for text that may be none", s)
	}
	return ofFloat(f), nil
}

// inexact is float(n): what a float64 holds of it.
func inexact(n number) number {
	if n.kind == whole {
		return ofFloat(float64(n.i))
	}
	return n
}

// rounded returns the number without its fraction, as f does away with it.
func rounded(n number, f func(float64) float64) number {
	if n.kind != fraction {
		return n
	}
	return fromWhole(f(n.f))
}

// fromWhole returns a float64 without a fraction as a number: exact, if that
// has no more than 64 bits.
func fromWhole(f float64) number {
	if f >= -1<<63 && f < 1<<63 {
		return number{i: int64(f)}
	}
	return number{f: f, kind: fraction}
}

// place returns a number as a place in a list or a text.
func (n number) place() (int, error) {
	switch {
	case n.kind == whole:
		return int(n.i), nil
	case n.kind == fraction:
		return 0, fmt.Errorf("%v is no place in a list or a text", n.f)
	}
	return 0, errNoPlace
}

// maxDigits bounds the text of a number.
const maxDigits = 64

// numberOf reads a decimal number, as the server would for INCRBYFLOAT: no
// spaces, no hexadecimal, no infinities, nothing after it.
func numberOf(s string) number {
	if i, ok := smallInt(s); ok {
		return number{i: i}
	}
	if s == "" || len(s) > maxDigits {
		return number{kind: notOne}
	}
	integer := true
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
		case (c == '-' || c == '+') && i == 0:
		case c == '.', c == 'e', c == 'E', c == '-', c == '+':
			integer = false
		default:
			return number{kind: notOne}
		}
	}
	if integer {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return number{i: i}
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return number{kind: notOne}
	}
	const exact = 1 << 53 // below it a float64 holds what is whole
	if !integer && math.Abs(f) >= exact && math.Abs(f) <= 1<<63 {
		if i, ok := wholeDecimal(s); ok {
			return number{i: i}
		}
	}
	return number{f: f, kind: fraction}
}

// smallInt reads what cannot leave 64 bits.
func smallInt(s string) (n int64, ok bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 18 {
		return 0, false
	}
	for i := range len(digits) {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	if len(digits) < len(s) {
		n = -n
	}
	return n, true
}

// wholeDecimal reads a whole number that is written with a point or an
// exponent: "9007199254740993.0".
func wholeDecimal(s string) (int64, bool) {
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// numberFrom is num(x): the number that x is or that its text is as a whole.
func numberFrom(x any) number {
	switch x := x.(type) {
	case nil:
		return number{kind: nothing}
	case string:
		return numberOf(x)
	case int:
		return ofInt(x)
	case float64:
		return ofFloat(x)
	case truth:
		return number{kind: numberKind(x)}
	}
	return number{kind: notOne}
}

// boxed returns a number as expr's machine has values: an int, a float64, or,
// where there is none, a truth that is neither.
func (n number) boxed() any {
	switch n.kind {
	case whole:
		return int(n.i)
	case fraction:
		return n.f
	}
	return truth(n.kind)
}

// text returns a number as decimal text.
func (n number) text() string {
	if n.kind == whole {
		return strconv.FormatInt(n.i, 10)
	}
	return strconv.FormatFloat(n.f, 'f', -1, 64)
}

// boxed returns a truth as expr's machine has values.
func (t truth) boxed() any {
	if t.decided() {
		return t == yes
	}
	return t
}

// truthFrom undoes boxed.
func truthFrom(x any) truth {
	switch x := x.(type) {
	case bool:
		return truthOf(x)
	case truth:
		return x
	}
	return no
}

// equalAny compares two values of any kind. What is no number is equal to
// nothing, and different from nothing.
func equalAny(x, y any) truth {
	a, aNeither := x.(truth)
	b, bNeither := y.(truth)
	if aNeither || bNeither {
		return a | b
	}
	n, m := numericOf(x), numericOf(y)
	if n.none() || m.none() {
		return truthOf(runtime.Equal(x, y))
	}
	return equal(n, m)
}

// equalNumber is equalAny with a number.
func equalNumber(x any, n number) truth {
	if t, ok := x.(truth); ok {
		return t | truth(n.kind)&^yes
	}
	if n.none() {
		return n.kind.neither()
	}
	m := numericOf(x)
	if m.none() {
		return no
	}
	return equal(m, n)
}

// numericOf returns the number that a value is; none where it is something else.
func numericOf(x any) number {
	switch x := x.(type) {
	case int:
		return ofInt(x)
	case float64:
		return ofFloat(x)
	}
	return number{kind: notOne}
}

// numberSet is a list of numbers to find one in, and to run over.
type numberSet struct {
	list      []any   // int and float64
	few       []int64 // the wholes, if they are few: quicker to look at than a map
	wholes    map[int64]struct{}
	fractions map[float64]struct{} // those that are no wholes
}

// setOfNumbers returns the set of a list of int64, int or float64; nil if there
// is something else in it.
func setOfNumbers(list []any) *numberSet {
	s := &numberSet{wholes: map[int64]struct{}{}, fractions: map[float64]struct{}{}}
	for _, x := range list {
		if i, ok := x.(int64); ok {
			x = int(i)
		}
		n := numericOf(x)
		if n.none() {
			return nil
		}
		s.list = append(s.list, n.boxed())
		if n = n.canonical(); n.kind == whole {
			s.wholes[n.i] = struct{}{}
		} else {
			s.fractions[n.f] = struct{}{}
		}
	}
	const few = 8
	if len(s.wholes) <= few {
		s.few = slices.Collect(maps.Keys(s.wholes))
	}
	return s
}

// hasWhole tells whether a whole number is in the set.
func (s *numberSet) hasWhole(i int64) truth {
	if s.few == nil {
		_, ok := s.wholes[i]
		return truthOf(ok)
	}
	for _, have := range s.few {
		if i == have {
			return yes
		}
	}
	return no
}

// canonical returns a number so that of two with the same value both have the
// same kind.
func (n number) canonical() number {
	if n.kind == fraction && n.f == math.Trunc(n.f) {
		return fromWhole(n.f)
	}
	return n
}

// has tells whether a number is in the set: neither, if there is none, but no
// of an empty set.
func (s *numberSet) has(n number) truth {
	if len(s.list) == 0 {
		return no
	}
	switch n = n.canonical(); n.kind {
	case whole:
		return s.hasWhole(n.i)
	case fraction:
		_, ok := s.fractions[n.f]
		return truthOf(ok)
	}
	return n.kind.neither()
}

// hasAny is has of a value of any kind: what is no number is not in the set.
func (s *numberSet) hasAny(x any) truth {
	if t, ok := x.(truth); ok {
		return s.has(numberFrom(t))
	}
	n := numericOf(x)
	if n.none() {
		return no
	}
	return s.has(n)
}

// texts returns the numbers of the set as decimal text.
func (s *numberSet) texts() []string {
	list := make([]string, len(s.list))
	for i, x := range s.list {
		list[i] = numericOf(x).canonical().text()
	}
	return list
}

// typed returns a list of the kind that expr's checker takes for numbers.
func (s *numberSet) typed() any {
	ints := []int{}
	for _, x := range s.list {
		i, ok := x.(int)
		if !ok {
			return []float64{}
		}
		ints = append(ints, i)
	}
	return ints
}

// inAny is x in list: a set, or a list of values of any kind.
func inAny(x, list any) truth {
	switch list := list.(type) {
	case *numberSet:
		return list.hasAny(x)
	case map[string]struct{}:
		return truthOf(inTexts(x, list))
	case []any:
		found := no
		for _, y := range list {
			found = found.or(equalAny(x, y))
		}
		return found
	}
	return no
}
