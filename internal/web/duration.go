package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseDuration parses a duration as people write it: as Go does, and with days,
// as in 2d and 1d12h, which have 24 hours.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil || n > maxDays {
		return 0, fmt.Errorf("%q is no duration", text)
	}
	var d time.Duration
	if rest != "" {
		if d, err = time.ParseDuration(rest); err != nil || d < 0 {
			return 0, fmt.Errorf("%q is no duration", text)
		}
	}
	return time.Duration(n)*24*time.Hour + d, nil
}

// maxDays keeps a duration far from what there is no room for.
const maxDays = 36_500
