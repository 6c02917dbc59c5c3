package suggest

import (
	"iter"
	"strconv"
	"strings"
)

// maxLen bounds what is compared, in bytes: the cost is quadratic.
const maxLen = 64

// DidYouMean returns `did you mean "x"?` for the name nearest to what was
// written, or "" if none is near enough to be meant. Ties go to the first.
func DidYouMean(written string, names iter.Seq[string]) string {
	lower := strings.ToLower(written) // which may be longer
	if lower == "" || len(lower) > maxLen {
		return ""
	}
	best, bestDistance := "", max(1, len(lower)/3)+1
	for name := range names {
		candidate := strings.ToLower(name)
		if name == written || len(candidate) > maxLen {
			continue
		}
		if d := distance(lower, candidate); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + strconv.Quote(best) + "?"
}

// distance is the number of edits that turn a into b. Where one begins with
// the other it is one at most: "warning" for "warn".
func distance(a, b string) int {
	const short = 3 // letters begin too much
	n := edits(a, b)
	if min(len(a), len(b)) > short && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
		return min(n, 1)
	}
	return n
}

// edits is the number of bytes inserted, deleted, replaced or swapped with
// their neighbour that turn a into b (optimal string alignment).
func edits(a, b string) int {
	var rows [3][maxLen + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
