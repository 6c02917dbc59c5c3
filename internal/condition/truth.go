package condition

// truth is what a condition comes to, after Kleene: no, yes, or neither, where
// something that it compares is no number.
//
// The bits are chosen so that what is neither stays so under "or" of the bits,
// and unknown wins over missing.
type truth uint8

const (
	no      truth = 0
	yes     truth = 1
	missing truth = 2     // neither: what should be a number is not there
	unknown truth = 2 | 4 // neither: what should be a number is something else
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// decided reports whether t is no or yes.
func (t truth) decided() bool { return t <= yes }

// not turns no and yes around, and keeps what is neither.
func (t truth) not() truth {
	if t.decided() {
		return t ^ yes
	}
	return t
}

// and is no if one of the two is, else neither if one of them is.
func (t truth) and(u truth) truth {
	switch {
	case t == no || u == no:
		return no
	case t == yes:
		return u
	case u == yes:
		return t
	}
	return t | u
}

// or is yes if one of the two is, else neither if one of them is.
func (t truth) or(u truth) truth {
	if t == yes || u == yes {
		return yes
	}
	return t | u
}

// same is yes if both are the same, and neither if one of them is.
func (t truth) same(u truth) truth {
	if t.decided() && u.decided() {
		return truthOf(t == u)
	}
	return (t | u) &^ yes
}
