package rdb

import (
	"bytes"
	"errors"
	"math"
	"strconv"
)

// Texts of a score that no digits describe.
const (
	scoreNaN    = 253
	scoreInf    = 254
	scoreNegInf = 255
)

// textScore reads a score as formats before version 8 have it: its text, behind
// its length in one byte.
func (r *Reader) textScore() (float64, error) {
	n, err := r.in.byte()
	if err != nil {
		return 0, err
	}
	switch n {
	case scoreNaN:
		return 0, r.in.fault("score is not a number")
	case scoreInf:
		return math.Inf(1), nil
	case scoreNegInf:
		return math.Inf(-1), nil
	}
	text, err := r.in.next(int(n))
	if err != nil {
		return 0, err
	}
	f, ok := parseScore(text)
	if !ok {
		return 0, r.in.fault("score %s", quote(text))
	}
	return f, nil
}

// parseScore reads a score's text.
func parseScore(text []byte) (float64, bool) {
	if f, ok := simpleScore(text); ok {
		return f, true
	}
	// The servers use strtod, which knows no underscores.
	if bytes.IndexByte(text, '_') >= 0 {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return f, f == f
}

var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// simpleScore reads what most scores are: up to fifteen digits, perhaps with a
// point. Such an integer and such a power of ten are exact in a float64, so
// their quotient is correctly rounded.
func simpleScore(text []byte) (float64, bool) {
	digits := text
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	var n int64
	point := len(digits) - 1
	for i, c := range digits {
		if c-'0' <= 9 {
			n = 10*n + int64(c-'0')
		} else if c == '.' && point == len(digits)-1 && i < point {
			point = i
		} else {
			return 0, false
		}
	}
	f := float64(n) / powersOfTen[len(digits)-1-point]
	if negative {
		f = -f
	}
	return f, true
}
