package glob

// Covers reports whether p is known to match every key that q matches. It may
// be false though p does: of "?*" and "*?" neither is known to cover the other.
func (p *Pattern) Covers(q *Pattern) bool {
	ours, theirs := p.sets(), q.sets()
	return walk(p, q, func(i, j int, from func(i, j int) bool) bool {
		switch {
		case i == len(p.parts):
			return j == len(q.parts)
		case p.parts[i].kind == partStar:
			return from(i+1, j) || j < len(q.parts) && from(i, j+1)
		case j == len(q.parts) || q.parts[j].kind == partStar || !ours[i].includes(&theirs[j]):
			return false
		case p.parts[i].kind == partCapture:
			return from(i+1, j+1) || from(i, j+1)
		}
		return q.parts[j].kind != partCapture && from(i+1, j+1)
	})
}

// Overlaps reports whether there is a key that both patterns match.
func (p *Pattern) Overlaps(q *Pattern) bool {
	ours, theirs := p.sets(), q.sets()
	return walk(p, q, func(i, j int, from func(i, j int) bool) bool {
		if i == len(p.parts) && j == len(q.parts) {
			return true
		}
		if i < len(p.parts) && p.parts[i].kind == partStar && from(i+1, j) ||
			j < len(q.parts) && q.parts[j].kind == partStar && from(i, j+1) {
			return true // a star stands for nothing
		}
		if i == len(p.parts) || j == len(q.parts) || !ours[i].meets(&theirs[j]) {
			return false
		}
		return from(i+1, j+1) || p.parts[i].loops() && from(i, j+1) || q.parts[j].loops() && from(i+1, j)
	})
}

// AnyKey returns the pattern that every key matches.
func AnyKey() *Pattern { return &Pattern{parts: []part{{kind: partStar}}} }

// walk calls step for each pair of places in two patterns, the last places
// first, and returns its answer for the first. from gives step the answers for
// pairs behind its own.
func walk(p, q *Pattern, step func(i, j int, from func(i, j int) bool) bool) bool {
	width := len(q.parts) + 1
	answers := make([]bool, (len(p.parts)+1)*width)
	from := func(i, j int) bool { return answers[i*width+j] }
	for i := len(p.parts); i >= 0; i-- {
		for j := len(q.parts); j >= 0; j-- {
			answers[i*width+j] = step(i, j, from)
		}
	}
	return from(0, 0)
}

// sets returns the bytes that each part takes.
func (p *Pattern) sets() []byteSet {
	sets := make([]byteSet, len(p.parts))
	for i := range p.parts {
		for c := range 256 {
			if p.parts[i].takes(byte(c)) {
				sets[i].add(byte(c))
			}
		}
	}
	return sets
}

func (s *byteSet) includes(other *byteSet) bool {
	for i := range s {
		if other[i]&^s[i] != 0 {
			return false
		}
	}
	return true
}

func (s *byteSet) meets(other *byteSet) bool {
	for i := range s {
		if other[i]&s[i] != 0 {
			return true
		}
	}
	return false
}
