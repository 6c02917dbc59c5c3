package outbox

// shares divides max_pending among the endpoints, so that the backlog of one is
// its own: each finds room for its share whatever the others have, and what is
// left is for those that need more.
//
// A quarter of max is divided evenly; the rest is the pool. An endpoint takes at
// most half of what the others have left of the pool: one that is dead fills
// half of max at most, a second one half of what is left of the pool, and so on.
// One alone may have all of it.
//
// Invariant: beyond is the sum of what the endpoints have over their share, and
// no more than pool, but for what they had when they became more.
type shares struct {
	max   int
	each  int
	pool  int
	among int

	beyond int
}

// divide divides max among a number of endpoints. What they have beyond their
// new share has to be counted anew.
func (s *shares) divide(among int) {
	s.among, s.beyond = among, 0
	s.each, s.pool = s.max, 0
	if among > 1 {
		s.each = max(s.max/(4*among), 1)
		s.pool = max(s.max-among*s.each, 0)
	}
}

// count takes n more firings, or fewer, of an endpoint that had pending into
// account.
func (s *shares) count(pending, n int) {
	s.beyond += max(pending+n-s.each, 0) - max(pending-s.each, 0)
}

// limit is how many firings an endpoint may have that has pending.
func (s *shares) limit(pending int) int {
	left := s.pool - (s.beyond - max(pending-s.each, 0))
	return s.each + max(left, 0)/2
}
