package rules

import (
	"iter"
	"strconv"
	"strings"
)

// didYouMean returns `did you mean "x"?` for the name nearest to got, or ""
// if none is near enough to be meant. Ties go to the first.
func didYouMean(got string, names iter.Seq[string]) string {
	const maxLen = 64 // no name is longer, and the cost is quadratic
	if len(got) == 0 || len(got) > maxLen {
		return ""
	}
	best, bestDistance := "", max(1, len(got)/3)+1
	for name := range names {
		if name == got || len(name) > maxLen {
			continue
		}
		d := 0 // another case only is nearest of all
		if !strings.EqualFold(name, got) {
			d = distance(strings.ToLower(got), strings.ToLower(name))
		}
		if d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + strconv.Quote(best) + "?"
}

// distance is the number of bytes inserted, deleted, replaced or swapped with
// their neighbour that turn a into b (optimal string alignment).
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
