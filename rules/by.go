package rules

import (
	"fmt"
	"strings"

	"triggerd/internal/condition"
)

// byExprs are the expressions of a by: a stage keeps a state for each of their
// values. They are compiled like conditions. Without any there is one state for
// all matches.
type byExprs struct {
	field   string   // "throttle.by"
	sources []string // as they are in the file
	parts   []*condition.Value
}

// eval returns the value of a by for the event that e has begun with. A single
// expression gives its own text. Several are joined so that different values
// have different texts. captures are those of the pattern that matched. The
// text borrows the event, or buf, which it extends.
func (b *byExprs) eval(e *condition.Evaluator, captures *condition.Captures, buf *[]byte) (string, error) {
	start := len(*buf)
	for i, part := range b.parts {
		s, err := e.Text(part, captures)
		if err != nil {
			return "", fmt.Errorf("%s: %w", b.field, err)
		}
		if len(b.parts) == 1 {
			return s, nil
		}
		if i > 0 {
			*buf = append(*buf, ',')
		}
		*buf = appendEscaped(*buf, s)
	}
	return text((*buf)[start:]), nil
}

// appendEscaped appends s with a backslash before each comma and backslash.
func appendEscaped(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, `,\`) {
		return append(dst, s...)
	}
	for i := range len(s) {
		if s[i] == ',' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}
