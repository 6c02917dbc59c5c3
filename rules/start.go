package rules

import (
	"fmt"
	"slices"
)

// Start says where reading begins when triggerd starts.
type Start string

// The starts.
const (
	StartResume   Start = "resume"   // after the last position; without one, as live
	StartLive     Start = "live"     // with what happens from now on
	StartSnapshot Start = "snapshot" // with the keys that exist now
)

// Starts returns all starts, the default first.
func Starts() []Start { return []Start{StartResume, StartLive, StartSnapshot} }

// ParseStart parses the text of a start.
func ParseStart(text string) (Start, error) {
	if s := Start(text); slices.Contains(Starts(), s) {
		return s, nil
	}
	return "", fmt.Errorf("start %.100q is not one of resume, live, snapshot", text)
}

// String returns the text of s.
func (s Start) String() string { return string(s) }
