package actions

import (
	"slices"

	"triggerd/internal/suggest"
)

// didYouMean returns a ready half-sentence naming the candidate nearest to a
// misspelt word, or "" where none is near.
func didYouMean(word string, candidates []string) string {
	if hint := suggest.DidYouMean(word, slices.Values(candidates)); hint != "" {
		return "; " + hint
	}
	return ""
}
