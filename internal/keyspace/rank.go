package keyspace

import "sort"

// Below is that of event.Ranker.
func (v *view) Below(x float64, orEqual bool) (n int, ok bool) {
	z, ok := v.elements.(*zset)
	if !ok {
		return 0, false
	}
	below := func(score float64) bool { return score < x || orEqual && score == x }
	n = z.rank(below)
	if v.undo == nil {
		return n, true
	}
	for i := range v.undo.elements {
		was := &v.undo.elements[i]
		if first, _ := v.changed(was.name); first != was {
			continue
		}
		if score, has := z.scores[was.name]; has && below(score) {
			n--
		}
		if was.had && below(was.score) {
			n++
		}
	}
	return n, true
}

// rank returns how many members, from the least on, have a score of which below
// says so.
func (z *zset) rank(below func(score float64) bool) int {
	switch n := z.order.Len(); {
	case n == 0 || !below(z.least().score):
		return 0
	case below(z.greatest().score):
		return n
	default:
		return sort.Search(n, func(i int) bool {
			s, _ := z.order.GetAt(i)
			return !below(s.score)
		})
	}
}
