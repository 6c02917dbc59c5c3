package rules

import "triggerd/internal/event"

// Match appends the rules that match ev to dst, in file order, and returns
// the extended slice. The matches borrow ev.
func (s *Set) Match(dst []Match, ev *event.Event) []Match { return dst }

// Params returns what the rule's key pattern and key_regex captured of the
// event's key: raw bytes by name, a new map each time. It is nil if the rule
// captures nothing.
func (m *Match) Params() map[string]string { return nil }
