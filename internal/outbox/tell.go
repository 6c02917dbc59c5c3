package outbox

import (
	"time"

	"triggerd/actions"
)

// Watcher is told what becomes of attempts. It is called by the goroutines that
// make them, without a lock, and must not wait.
type Watcher interface {
	Watched() bool // whether it wants to be told, asked before each attempt is told of
	Attempted(*Attempt)
	ConditionChanged(endpoint, condition, why string)
}

// Attempt is one that has ended.
type Attempt struct {
	Endpoint string
	Firing   *actions.Firing // borrowed; nil: it could not be read
	ID       string          // of the firing; "": not known
	Outcome  Outcome
	Text     string // what the receiver said, or the error
	Took     time.Duration
}

// tell tells the watcher of an attempt that has ended.
func (h *host) tell(f *actions.Firing, s *settlement) {
	if h.watcher == nil || !h.watcher.Watched() {
		return
	}
	h.watcher.Attempted(&Attempt{Endpoint: s.endpoint, Firing: f, ID: s.id, Outcome: s.what, Text: s.text, Took: s.took})
}

// tellCondition tells the watcher of an endpoint's new condition.
func (h *host) tellCondition(endpoint string, c condition, why string) {
	if h.watcher != nil && h.watcher.Watched() {
		h.watcher.ConditionChanged(endpoint, string(c), why)
	}
}
