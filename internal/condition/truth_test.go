package condition

import "testing"

// TestTruth checks the tables of Kleene: "and" is the lesser, "or" the greater,
// with what is neither in the middle.
func TestTruth(t *testing.T) {
	all := []truth{no, yes, missing, unknown}
	rank := func(v truth) int {
		switch v {
		case no:
			return 0
		case yes:
			return 2
		}
		return 1
	}
	for _, a := range all {
		if got := rank(a.not()); got != 2-rank(a) {
			t.Errorf("not %d is %d", a, got)
		}
		if a.not().not() != a {
			t.Errorf("not not %d is %d", a, a.not().not())
		}
		for _, b := range all {
			if got := rank(a.and(b)); got != min(rank(a), rank(b)) {
				t.Errorf("%d and %d is %d", a, b, got)
			}
			if got := rank(a.or(b)); got != max(rank(a), rank(b)) {
				t.Errorf("%d or %d is %d", a, b, got)
			}
			same := no
			switch {
			case !a.decided() || !b.decided():
				same = missing
			case a == b:
				same = yes
			}
			if got := rank(a.same(b)); got != rank(same) {
				t.Errorf("%d == %d is %d", a, b, got)
			}
			for _, op := range []func(truth, truth) truth{truth.and, truth.or, truth.same} {
				if got := op(a, b); got != op(b, a) {
					t.Errorf("the order of %d and %d decides", a, b)
				} else if !got.decided() && (got == unknown) != (a == unknown || b == unknown) {
					t.Errorf("%d and %d come to %d", a, b, got)
				}
			}
		}
	}
}
