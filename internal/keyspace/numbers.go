package keyspace

import "strconv"

// parseInt parses a decimal number of at most nine digits: a count of keys, a
// database. No command can hold more.
func parseInt(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// int64Of parses a decimal number.
func int64Of(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// floatOf parses a number as strtod does.
func floatOf(b []byte) (float64, bool) {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return f, f != 0 && (f > 1 || f < -1) // beyond the range: infinite, as strtod has it
	}
	return f, f == f
}

// addInt64 returns the sum of two numbers, and false if it does not fit.
func addInt64(a, b int64) (sum int64, fits bool) {
	sum = a + b
	return sum, b == 0 || (sum > a) == (b > 0)
}

// span makes indexes of n elements of what may count from the end: first to
// last, none if first > last.
func span(from, to int64, n int) (first, last int) {
	if from < 0 {
		from = max(from+int64(n), 0)
	}
	if to < 0 {
		to += int64(n)
	}
	to = min(to, int64(n)-1)
	if from > to {
		return 1, 0
	}
	return int(from), int(to)
}
