package glob

import (
	"bytes"
	"math/bits"
	"slices"
)

// Match reports whether the whole key matches. It allocates only for a pattern
// of more than 63 parts that captures.
func (p *Pattern) Match(key []byte) bool {
	if len(p.captures) == 0 {
		return matchStars(p.parts, key)
	}
	if len(p.parts) < 64 {
		return matchBits(p.parts, key)
	}
	return p.run(key, nil)
}

// matchStars matches parts without captures: at a mismatch only the last star
// can take one more byte, for the earlier ones took as little as they could.
func matchStars(parts []part, key []byte) bool {
	p, k := 0, 0
	star, resume := -1, 0
	for k < len(key) {
		switch {
		case p < len(parts) && parts[p].kind == partStar:
			star, resume = p, k
			p++
		case p < len(parts) && parts[p].takes(key[k]):
			p++
			k++
		case star >= 0:
			resume++
			p, k = star+1, resume
		default:
			return false
		}
	}
	for p < len(parts) && parts[p].kind == partStar {
		p++
	}
	return p == len(parts)
}

// matchBits runs all ways through the parts at once: bit i is set when parts
// before i have taken all bytes so far.
func matchBits(parts []part, key []byte) bool {
	at := skipStars(parts, 1)
	for _, c := range key {
		next := uint64(0)
		for live := at; live != 0; live &= live - 1 {
			i := bits.TrailingZeros64(live)
			if i == len(parts) || !parts[i].takes(c) {
				continue
			}
			if parts[i].loops() {
				next |= 1 << i
			}
			if parts[i].kind != partStar {
				next |= 2 << i
			}
		}
		if next == 0 {
			return false
		}
		at = skipStars(parts, next)
	}
	return at>>len(parts)&1 == 1
}

// skipStars adds what follows a star, which may stand for nothing.
func skipStars(parts []part, at uint64) uint64 {
	for i := range parts {
		if parts[i].kind == partStar && at>>i&1 == 1 {
			at |= 2 << i
		}
	}
	return at
}

// Simple reports whether what the names stand for can be found from the left
// with nothing to choose: each name is followed by a ':' or by the end, and no
// star comes before it.
func (p *Pattern) Simple() bool {
	left := len(p.captures)
	for i := range p.parts {
		part := &p.parts[i]
		switch {
		case left == 0:
			return true
		case part.kind == partStar:
			return false
		case part.kind == partCapture:
			if i+1 < len(p.parts) && (p.parts[i+1].kind != partByte || p.parts[i+1].c != ':') {
				return false
			}
			left--
		}
	}
	return true
}

// Captured returns what name stands for in a key that the pattern, a simple
// one, matches. The value is part of the key. ok is false for a name that the
// pattern does not capture.
func (p *Pattern) Captured(key []byte, name string) (value []byte, ok bool) {
	k := 0
	for i := range p.parts {
		part := &p.parts[i]
		if part.kind == partStar || k > len(key) {
			break
		}
		if part.kind != partCapture {
			k++
			continue
		}
		end := len(key)
		if n := bytes.IndexByte(key[k:], ':'); n >= 0 {
			end = k + n
		}
		if p.captures[part.name] == name {
			return key[k:end:end], true
		}
		k = end
	}
	return nil, false
}

// Capture adds what the pattern's names stand for in key to params, and
// reports whether the key matches at all. Where there is a choice an earlier
// part takes as much as it can, as in a regular expression.
func (p *Pattern) Capture(key []byte, params map[string]string) bool {
	if !p.Simple() {
		return p.run(key, params)
	}
	if !p.Match(key) {
		return false
	}
	for _, name := range p.captures {
		v, _ := p.Captured(key, name)
		params[name] = string(v)
	}
	return true
}

// thread is one way through the parts: the next part, and where in the key
// each capture began and ended so far.
type thread struct {
	part int
	caps []int
}

// run matches like matchBits, for any number of parts, with the ways through
// them kept in order of preference. With params it fills in the captures.
func (p *Pattern) run(key []byte, params map[string]string) bool {
	seen := make([]int, len(p.parts)+1) // key offset+1 at which a part was last added
	var cur, next []thread
	add := func(list []thread, t thread, at int) []thread {
		for {
			if seen[t.part] == at+1 {
				return list
			}
			seen[t.part] = at + 1
			list = append(list, t)
			if t.part == len(p.parts) || p.parts[t.part].kind != partStar {
				return list
			}
			t = thread{t.part + 1, t.caps}
		}
	}
	width := 0
	if params != nil {
		width = 2 * len(p.captures)
	}
	cur = add(cur, thread{0, make([]int, width)}, 0)
	for k, c := range key {
		next = next[:0]
		for _, t := range cur {
			if t.part == len(p.parts) || !p.parts[t.part].takes(c) {
				continue
			}
			part := &p.parts[t.part]
			caps := t.caps
			if part.kind == partCapture && params != nil {
				caps = p.extend(t, k)
			}
			if part.loops() {
				// A way that is inside the loop already prefers to stay there.
				next = add(next, thread{t.part, caps}, k+1)
			}
			if part.kind != partStar {
				next = add(next, thread{t.part + 1, caps}, k+1)
			}
		}
		if len(next) == 0 {
			return false
		}
		cur, next = next, cur
	}
	for _, t := range cur {
		if t.part != len(p.parts) {
			continue
		}
		for i, name := range p.captures {
			if params != nil {
				params[name] = string(key[t.caps[2*i]:t.caps[2*i+1]])
			}
		}
		return true
	}
	return false
}

// extend returns t's captures with the byte at k added to the one t is in.
func (p *Pattern) extend(t thread, k int) []int {
	i := p.parts[t.part].name
	caps := slices.Clone(t.caps)
	if caps[2*i+1] == 0 {
		caps[2*i] = k
	}
	caps[2*i+1] = k + 1
	return caps
}
