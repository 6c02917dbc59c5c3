package condition

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// interesting are numbers at which something changes.
var interesting = []float64{0, 1, -1, 2.5, -0.5, 1e-300, 1 << 53, 1<<53 + 2, -1 << 53, 1 << 62, 1 << 63, -1 << 63, 1<<63 - 1024, 1 << 64, 1e300, math.MaxFloat64}

func randomNumber(rng *rand.Rand) number {
	f := interesting[rng.IntN(len(interesting))]
	switch rng.IntN(4) {
	case 0:
		return ofFloat(f)
	case 1:
		return ofFloat(math.Nextafter(f, float64(rng.IntN(3)-1)*1e9))
	case 2:
		return number{i: rng.Int64() >> rng.IntN(64) * (1 - 2*int64(rng.IntN(2)))}
	}
	if n := fromWhole(math.Trunc(f)); n.kind == whole {
		n.i += int64(rng.IntN(5)) - 2
		return n
	}
	return ofFloat(f)
}

func exactly(n number) *big.Rat {
	if n.kind == whole {
		return new(big.Rat).SetInt64(n.i)
	}
	return new(big.Rat).SetFloat64(n.f)
}

// TestNumbers holds what is done with numbers against arithmetic without limits.
func TestNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 0))
	operations := []struct {
		name string
		of   func(a, b number) number
		want func(z, x, y *big.Rat) *big.Rat
	}{{"+", add, (*big.Rat).Add}, {"-", subtract, (*big.Rat).Sub}, {"*", multiply, (*big.Rat).Mul}}
	var left [3]int
	for range 200_000 {
		a, b := randomNumber(rng), randomNumber(rng)
		x, y := exactly(a), exactly(b)
		if got, want := compare(a, b), x.Cmp(y); got != want {
			t.Fatalf("%v and %v: %d, want %d", a, b, got, want)
		}
		if equal(a, b) != truthOf(x.Cmp(y) == 0) || less(a, b) != truthOf(x.Cmp(y) < 0) || more(a, b) != truthOf(x.Cmp(y) > 0) ||
			atMost(a, b) != truthOf(x.Cmp(y) <= 0) || atLeast(a, b) != truthOf(x.Cmp(y) >= 0) {
			t.Fatalf("%v and %v compare wrongly", a, b)
		}
		set := setOfNumbers([]any{b.boxed()})
		if set.has(a) != equal(a, b) {
			t.Fatalf("%v in [%v] is %d", a, b, set.has(a))
		}
		for i, op := range operations {
			if a.kind != whole || b.kind != whole {
				break
			}
			got, want := op.of(a, b), op.want(new(big.Rat), x, y)
			if want.Num().IsInt64() {
				if got.kind != whole || got.i != want.Num().Int64() {
					t.Fatalf("%d %s %d is %v, want %v", a.i, op.name, b.i, got, want)
				}
				continue
			}
			left[i]++
			if nearest, _ := want.Float64(); got.kind != fraction || got.f != nearest {
				t.Fatalf("%d %s %d is %v, want %v", a.i, op.name, b.i, got, nearest)
			}
		}
		if n := negate(a); compare(n, number{}) != -compare(a, number{}) || exactly(n).Cmp(x.Neg(x)) != 0 {
			t.Fatalf("-%v is %v", a, n)
		}
	}
	if left[0] < 1000 || left[1] < 1000 || left[2] < 1000 {
		t.Errorf("left 64 bits %d times: the test tests too little", left)
	}
}

// TestNumberOf checks which texts are numbers, and that these are exact as far
// as the server's are.
func TestNumberOf(t *testing.T) {
	tests := []struct {
		text string
		want number
	}{
		{"0", number{}}, {"-0", number{}}, {"5", number{i: 5}}, {"+5", number{i: 5}}, {"007", number{i: 7}},
		{"9007199254740993", number{i: 1<<53 + 1}},
		{"999999999999999999", number{i: 999999999999999999}},
		{"9223372036854775807", number{i: math.MaxInt64}}, {"-9223372036854775808", number{i: math.MinInt64}},
		{"9223372036854775808", ofFloat(1 << 63)}, {"-9223372036854775809", ofFloat(-1 << 63)},
		{"1.5", ofFloat(1.5)}, {"-1.5e-3", ofFloat(-0.0015)}, {"5.0", ofFloat(5)}, {"1e3", ofFloat(1000)},
		{"9007199254740993.0", number{i: 1<<53 + 1}}, {"9007199254740993e3", number{i: 9007199254740993000}},
		{"90071992547409930e-1", number{i: 1<<53 + 1}}, {"9007199254740993.5", ofFloat(9007199254740994)},
		{"1e308", ofFloat(1e308)}, {".5", ofFloat(0.5)}, {"5.", ofFloat(5)},
	}
	for _, test := range tests {
		if got := numberOf(test.text); got != test.want {
			t.Errorf("%s is %v, want %v", test.text, got, test.want)
		}
	}
	for _, text := range []string{"", "-", "+", ".", "e", "abc", " 5", "5 ", "5x", "0x10", "1_000", "inf", "nan", "1e309", "--5", "1e", "5-5", "é",
		"00000000000000000000000000000000000000000000000000000000000000001"} {
		if got := numberOf(text); got.kind != notOne {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// TestReadNumber checks what is said of numbers that are not held exactly.
func TestReadNumber(t *testing.T) {
	tests := []struct {
		text string
		want any
		near string // "" for exactly
	}{
		{"5", int64(5), ""}, {"0.1", 0.1, ""}, {"1.50", 1.5, ""}, {"1_000", int64(1000), ""}, {"1e3", 1000.0, ""},
		{"9007199254740993", int64(1<<53 + 1), ""}, {"9007199254740993.0", int64(1<<53 + 1), ""},
		{"9223372036854775807", int64(math.MaxInt64), ""}, {"9223372036854775808", 9223372036854775808.0, ""}, {"18446744073709551616", 18446744073709551616.0, ""},
		{"9223372036854775809", 9223372036854775808.0, "9223372036854775808"},
		{"18446744073709551615", 18446744073709551616.0, "18446744073709551616"},
		{"9007199254740993.5", 9007199254740994.0, "9007199254740994"},
		{"0.1000000000000000055511151231257827", 0.1, "0.1"}, {"1.00000000000000000001", 1.0, "1"},
		{"1e23", 1e23, "99999999999999991611392"},
		{"0x10", nil, ""}, {"1e999", nil, ""}, {"x", nil, ""},
	}
	for _, test := range tests {
		got, warning := ReadNumber(test.text)
		want := ""
		if test.near != "" {
			want = test.text + " is taken for " + test.near + ", the nearest number that there is"
		}
		if got != test.want || warning != want {
			t.Errorf("%s: %v %q, want %v %q", test.text, got, warning, test.want, want)
		}
	}
}
