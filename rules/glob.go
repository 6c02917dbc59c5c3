package rules

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// maxGlob bounds a pattern: a longer one is not a key pattern, and the cost of
// a match is the pattern's parts times the key's bytes.
const maxGlob = 1024

// partKind is what one part of a glob stands for.
type partKind uint8

const (
	partByte    partKind = iota // one byte
	partAny                     // ?       one byte, whichever
	partSet                     // [a-z]   one byte of a set
	partStar                    // *       any bytes, or none
	partCapture                 // {name}  one or more bytes other than ':'
)

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(c byte)           { s[c>>6] |= 1 << (c & 63) }
func (s *byteSet) contains(c byte) bool { return s[c>>6]&(1<<(c&63)) != 0 }

// part is one part of a glob.
type part struct {
	set  *byteSet // of partSet
	name uint16   // of partCapture: its index among the glob's captures
	kind partKind
	c    byte // of partByte
}

// takes reports whether the part can stand for c, or for bytes of which c is one.
func (p *part) takes(c byte) bool {
	switch p.kind {
	case partByte:
		return p.c == c
	case partSet:
		return p.set.contains(c)
	case partCapture:
		return c != ':'
	}
	return true
}

func (p *part) loops() bool { return p.kind == partStar || p.kind == partCapture }

// glob is a compiled key pattern: Redis' own globs (the server's
// stringmatchlen, with classes compared as unsigned bytes, and with * matching
// the empty key too), and {name} for one or more bytes other than ':'.
type glob struct {
	parts    []part
	captures []string // names, in order
	literal  bool     // bytes only: an exact key
}

// parseGlob compiles a pattern. Every pattern that Redis takes is valid; the
// mistakes are a name captured twice, and a pattern longer than maxGlob.
func parseGlob(pattern string) (*glob, error) {
	if len(pattern) > maxGlob {
		return nil, fmt.Errorf("pattern of %d bytes; at most %d are allowed", len(pattern), maxGlob)
	}
	g := &glob{literal: true}
	for i := 0; i < len(pattern); {
		p, n := parsePart(pattern[i:])
		token := pattern[i : i+n]
		i += n
		if p.kind == partStar && len(g.parts) > 0 && g.parts[len(g.parts)-1].kind == partStar {
			continue
		}
		if p.kind == partCapture {
			name := token[1 : n-1]
			if slices.Contains(g.captures, name) {
				return nil, fmt.Errorf("{%s} is captured twice", name)
			}
			p.name = uint16(len(g.captures))
			g.captures = append(g.captures, name)
		}
		g.literal = g.literal && p.kind == partByte
		g.parts = append(g.parts, p)
	}
	g.parts = slices.Clip(g.parts)
	return g, nil
}

func parsePart(s string) (part, int) {
	switch c := s[0]; {
	case c == '*':
		return part{kind: partStar}, 1
	case c == '?':
		return part{kind: partAny}, 1
	case c == '[':
		set, n := parseClass(s)
		return part{kind: partSet, set: set}, n
	case c == '{':
		if n := captureLen(s); n > 0 {
			return part{kind: partCapture}, n
		}
	case c == '\\' && len(s) > 1:
		return part{kind: partByte, c: s[1]}, 2
	}
	return part{kind: partByte, c: s[0]}, 1
}

// captureLen returns the length of the {name} that s begins with, or 0. What
// is not a name is literal: {} or {a-b}.
func captureLen(s string) int {
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '}':
			if i == 1 {
				return 0
			}
			return i + 1
		case c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 1 && '0' <= c && c <= '9':
		default:
			return 0
		}
	}
	return 0
}

// parseClass reads a class as the server does: a ']' ends it wherever it
// stands, a range may be written backwards and its ends are not escapes, and a
// class that nothing ends goes to the end of the pattern.
func parseClass(s string) (*byteSet, int) {
	set, i := &byteSet{}, 1
	negate := i < len(s) && s[i] == '^'
	if negate {
		i++
	}
	for i < len(s) && s[i] != ']' {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			set.add(s[i+1])
			i += 2
		case i+2 < len(s) && s[i+1] == '-':
			for c, hi := min(int(s[i]), int(s[i+2])), max(s[i], s[i+2]); c <= int(hi); c++ {
				set.add(byte(c))
			}
			i += 3
		default:
			set.add(s[i])
			i++
		}
	}
	if negate {
		for w := range set {
			set[w] = ^set[w]
		}
	}
	return set, min(i+1, len(s))
}

// match reports whether the whole key matches. It allocates nothing for
// patterns without captures, nor for those of up to 63 parts.
func (g *glob) match(key []byte) bool {
	if len(g.captures) == 0 {
		return matchStars(g.parts, key)
	}
	if len(g.parts) < 64 {
		return matchBits(g.parts, key)
	}
	return g.run(key, nil)
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

// simple reports whether what the names stand for can be found from the left
// with nothing to choose: each name is followed by a ':' or by the end, and no
// star comes before it.
func (g *glob) simple() bool {
	left := len(g.captures)
	for i := range g.parts {
		p := &g.parts[i]
		switch {
		case left == 0:
			return true
		case p.kind == partStar:
			return false
		case p.kind == partCapture:
			if i+1 < len(g.parts) && (g.parts[i+1].kind != partByte || g.parts[i+1].c != ':') {
				return false
			}
			left--
		}
	}
	return true
}

// captured returns what name stands for in a key that matches a simple glob.
func (g *glob) captured(key []byte, name string) (value []byte, ok bool) {
	k := 0
	for i := range g.parts {
		p := &g.parts[i]
		if p.kind == partStar || k > len(key) {
			break
		}
		if p.kind != partCapture {
			k++
			continue
		}
		end := len(key)
		if n := bytes.IndexByte(key[k:], ':'); n >= 0 {
			end = k + n
		}
		if g.captures[p.name] == name {
			return key[k:end:end], true
		}
		k = end
	}
	return nil, false
}

// capture adds what the pattern's names stand for in key to params, and
// reports whether the key matches at all. Where there is a choice an earlier
// part takes as much as it can, as in a regular expression.
func (g *glob) capture(key []byte, params map[string]string) bool {
	if !g.simple() {
		return g.run(key, params)
	}
	if !g.match(key) {
		return false
	}
	for _, name := range g.captures {
		v, _ := g.captured(key, name)
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
func (g *glob) run(key []byte, params map[string]string) bool {
	seen := make([]int, len(g.parts)+1) // key offset+1 at which a part was last added
	var cur, next []thread
	add := func(list []thread, t thread, at int) []thread {
		for {
			if seen[t.part] == at+1 {
				return list
			}
			seen[t.part] = at + 1
			list = append(list, t)
			if t.part == len(g.parts) || g.parts[t.part].kind != partStar {
				return list
			}
			t = thread{t.part + 1, t.caps}
		}
	}
	width := 0
	if params != nil {
		width = 2 * len(g.captures)
	}
	cur = add(cur, thread{0, make([]int, width)}, 0)
	for k, c := range key {
		next = next[:0]
		for _, t := range cur {
			if t.part == len(g.parts) || !g.parts[t.part].takes(c) {
				continue
			}
			p := &g.parts[t.part]
			caps := t.caps
			if p.kind == partCapture && params != nil {
				caps = g.extend(t, k)
			}
			if p.loops() {
				// A way that is inside the loop already prefers to stay there.
				next = add(next, thread{t.part, caps}, k+1)
			}
			if p.kind != partStar {
				next = add(next, thread{t.part + 1, caps}, k+1)
			}
		}
		if len(next) == 0 {
			return false
		}
		cur, next = next, cur
	}
	for _, t := range cur {
		if t.part != len(g.parts) {
			continue
		}
		for i, name := range g.captures {
			if params != nil {
				params[name] = string(key[t.caps[2*i]:t.caps[2*i+1]])
			}
		}
		return true
	}
	return false
}

// extend returns t's captures with the byte at k added to the one t is in.
func (g *glob) extend(t thread, k int) []int {
	i := g.parts[t.part].name
	caps := slices.Clone(t.caps)
	if caps[2*i+1] == 0 {
		caps[2*i] = k
	}
	caps[2*i+1] = k + 1
	return caps
}

var errNoCapture = errors.New("a capture has no meaning here; write \\{ for a brace")

// text tells globs apart: two of the same text match the same keys and capture
// the same names.
func (g *glob) text() string {
	return string(append(appendParts(nil, g.parts), strings.Join(g.captures, "{")...))
}

func appendParts(b []byte, parts []part) []byte {
	for i := range parts {
		switch p := &parts[i]; p.kind {
		case partByte:
			b = append(b, 'b', p.c)
		case partAny:
			b = append(b, '?')
		case partSet:
			b = append(b, 's')
			for _, w := range p.set {
				b = binary.BigEndian.AppendUint64(b, w)
			}
		case partStar:
			b = append(b, '*')
		case partCapture:
			b = append(b, '{')
		}
	}
	return b
}

// bytes returns the key that a literal glob matches.
func (g *glob) bytes() string {
	b := make([]byte, len(g.parts))
	for i := range g.parts {
		b[i] = g.parts[i].c
	}
	return string(b)
}

// parsePlainGlob compiles a pattern whose captures nobody could read.
func parsePlainGlob(pattern string) (*glob, error) {
	g, err := parseGlob(pattern)
	if err == nil && len(g.captures) > 0 {
		err = errNoCapture
	}
	return g, err
}
