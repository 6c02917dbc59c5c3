package glob

// Patterns of several stars would make an automaton of all of them remember, for
// each, which of its stars were passed: as many states as there are subsets.
// So a pattern is given to the automaton with one star inside at most, as one
// that matches more: what comes before its first star, and the one piece
// between its stars that fewest other patterns have. What the automaton then
// finds is checked with the pattern itself.

// relaxed is a pattern as the automaton gets it.
type relaxed struct {
	parts []part
	exact bool // matches what the pattern matches; else more, to be checked
}

// relax returns what the automaton gets for each pattern.
func relax(patterns []*Pattern) []relaxed {
	out := make([]relaxed, len(patterns))
	pieces := make([][]piece, len(patterns))
	seen := map[string]int{} // pieces of patterns that have several stars
	for i, p := range patterns {
		parts, exact := loosen(p)
		out[i] = relaxed{parts, exact}
		if innerStars(parts) > 1 {
			pieces[i] = piecesOf(parts)
			for _, piece := range pieces[i] {
				seen[piece.text]++
			}
		}
	}
	for i := range out {
		if pieces[i] != nil {
			out[i] = relaxed{parts: onePiece(out[i].parts, pieces[i], seen)}
		}
	}
	return out
}

// loosen replaces each {name} that could float by a star: one that a star
// comes before, or that is not followed by a ':' or the end.
func loosen(pattern *Pattern) (parts []part, exact bool) {
	if len(pattern.captures) == 0 {
		return pattern.parts, true
	}
	exact = true
	floating := false
	for i := range pattern.parts {
		p := pattern.parts[i]
		if p.kind == partCapture {
			last := i+1 == len(pattern.parts)
			if floating || !last && (pattern.parts[i+1].kind != partByte || pattern.parts[i+1].c != ':') {
				p, exact = part{kind: partStar}, false
			}
		}
		if p.kind == partStar {
			if floating = true; len(parts) > 0 && parts[len(parts)-1].kind == partStar {
				continue
			}
		}
		parts = append(parts, p)
	}
	return parts, exact
}

// innerStars counts the stars that something follows.
func innerStars(parts []part) int {
	n := 0
	for i := range parts {
		if parts[i].kind == partStar && i < len(parts)-1 {
			n++
		}
	}
	return n
}

// piece is a run of parts without a star, from first to before end.
type piece struct {
	first, end int
	text       string // what tells it from other pieces
}

// piecesOf returns the pieces after the first star.
func piecesOf(parts []part) []piece {
	var list []piece
	begin := -1
	for i := 0; i <= len(parts); i++ {
		if i < len(parts) && parts[i].kind != partStar {
			continue
		}
		if begin >= 0 && i > begin {
			list = append(list, piece{begin, i, string(appendParts(nil, parts[begin:i]))})
		}
		begin = i + 1
	}
	return list
}

// onePiece returns the parts up to the first star and the piece that is
// rarest, the longest of those.
func onePiece(parts []part, pieces []piece, seen map[string]int) []part {
	best := pieces[0]
	for _, p := range pieces[1:] {
		if n, m := seen[p.text], seen[best.text]; n < m || n == m && len(p.text) > len(best.text) {
			best = p
		}
	}
	star := 0
	for parts[star].kind != partStar {
		star++
	}
	out := append(parts[:star+1:star+1], parts[best.first:best.end]...)
	if best.end < len(parts) {
		out = append(out, part{kind: partStar})
	}
	return out
}
