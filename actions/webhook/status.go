package webhook

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"triggerd/actions"
)

// verdict is what a status code means for a firing.
type verdict int

const (
	retry verdict = iota
	delivered
	drop
)

// statusRules are the user's own verdicts, by code.
type statusRules map[int]verdict

// of returns the verdict on a code. What the rules do not name follows the
// defaults: 2xx is delivered; a code that says the request itself is wrong, or
// the receiver gone, drops it; all else is tried again: 401, 403 and 404 too,
// because they come of a rotated key or a deployment in progress.
func (s statusRules) of(code int) verdict {
	if v, ok := s[code]; ok {
		return v
	}
	switch code {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusGone, http.StatusLengthRequired,
		http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return drop
	}
	if code >= 200 && code <= 299 {
		return delivered
	}
	return retry
}

// newStatusRules takes success_on, retry_on and drop_on: lists of codes (409)
// and of classes ("5xx"). A code beats a class; the same in two lists is a
// mistake.
func newStatusRules(s *actions.Settings) statusRules {
	codes, classes := statusRules{}, statusRules{}
	for _, field := range []struct {
		name string
		v    verdict
	}{{"success_on", delivered}, {"retry_on", retry}, {"drop_on", drop}} {
		list, _ := s.List(field.name)
		for i, v := range list {
			into, first, n, ok := codes, 0, 1, false
			switch v := v.(type) {
			case int64:
				first, ok = int(v), v >= 200 && v <= 599
			case string:
				digit, isClass := strings.CutSuffix(v, "xx")
				ok = isClass && len(digit) == 1 && strings.Contains("2345", digit)
				if ok {
					into, first, n = classes, int(digit[0]-'0')*100, 100
				}
			}
			if !ok {
				s.Fail(field.name, "element %d must be a status from 200 to 599 or a class such as \"5xx\"", i+1)
				continue
			}
			for code := first; code < first+n; code++ {
				if had, ok := into[code]; ok && had != field.v {
					s.Fail(field.name, "element %d (%v) is in another of success_on, retry_on and drop_on too", i+1, v)
					break
				}
				into[code] = field.v
			}
		}
	}
	for code, v := range codes {
		classes[code] = v
	}
	return classes
}

// maxRetryAfter is the longest that a receiver can have us wait.
const maxRetryAfter = time.Hour

// parseRetryAfter reads a Retry-After header, seconds or a date (RFC 9110
// section 10.2.3), or seconds with a fraction, as Discord has them. It returns 0 for what is neither, and for a time that is not
// in the future.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if digits := strings.TrimLeft(value, "0123456789"); digits == "" && value != "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			seconds = math.MaxInt32 // clamped below
		}
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if digits := strings.TrimLeft(value, "0123456789."); digits == "" && value != "" {
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0
		}
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), maxRetryAfter))
}
