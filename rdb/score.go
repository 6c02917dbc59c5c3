package rdb

import (
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
		return 0, r.in.fault("score %q", text)
	}
	return f, nil
}

// parseScore reads a score's text.
func parseScore(text []byte) (float64, bool) {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return f, f == f
}
