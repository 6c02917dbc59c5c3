package actions

import (
	"fmt"
	"strings"
)

// didYouMean returns a ready half-sentence naming the candidate nearest to a
// misspelt word, or "" where none is near.
func didYouMean(word string, candidates []string) string {
	best, least := "", max(1, min(len(word)/3, 3))+1
	word = strings.ToLower(word)
	for _, c := range candidates {
		n := editDistance(word, c)
		if len(word) > 2 && (strings.HasPrefix(word, c) || strings.HasPrefix(c, word)) {
			n = min(n, 1) // "warning" for "warn"
		}
		if n < least {
			best, least = c, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance counts the insertions, deletions, substitutions and swaps of
// neighbours that make b of a (optimal string alignment). Words that are far
// too long to be a slip are not looked at.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	var before, last, row [65]int
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
		before, last = last, row
	}
	return last[len(b)]
}
