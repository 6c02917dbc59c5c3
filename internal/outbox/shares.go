package outbox

// shares divides max_pending among the endpoints. Each endpoint has room for
// its share whatever the others have, and what is left is for those that need
// more. So the backlog of one endpoint does not take the room of another.
//
// A quarter of max is divided evenly; the rest is the pool. An endpoint takes
// at most half of what the others have left of the pool. So a dead endpoint
// fills at most half of max, a second one half of what is left of the pool, and
// so on. A single endpoint may have all of max.
//
// Invariant: beyond is the sum of what the endpoints have over their shares. It
// is at most pool, except just after their number has grown.
type shares struct {
	max   int
	each  int // the share of an endpoint
	pool  int
	among int // number of endpoints

	beyond int
}

// divide computes the shares of so many endpoints. beyond has to be counted
// anew after it.
func (s *shares) divide(among int) {
	s.among, s.beyond = among, 0
	s.each, s.pool = s.max, 0
	if among > 1 {
		s.each = max(s.max/(4*among), 1)
		s.pool = max(s.max-among*s.each, 0)
	}
}

// count adds n, which may be negative, to the firings of an endpoint that had
// pending.
func (s *shares) count(pending, n int) {
	s.beyond += max(pending+n-s.each, 0) - max(pending-s.each, 0)
}

// limit returns how many firings an endpoint may have that has pending.
func (s *shares) limit(pending int) int {
	left := s.pool - (s.beyond - max(pending-s.each, 0))
	return s.each + max(left, 0)/2
}
