package glob

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MaxLen is how many bytes a pattern has at most: a longer one is not a key
// pattern, and the cost of a match is the pattern's parts times the key's bytes.
const MaxLen = 1024

// Pattern is a compiled glob. It does not change, and may be used by several
// goroutines.
type Pattern struct {
	parts    []part
	captures []string // names, in order
	literal  bool     // bytes only: an exact key
}

// partKind is what one part of a pattern stands for.
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

// part is one part of a pattern.
type part struct {
	set  *byteSet // of partSet
	name uint16   // of partCapture: its index among the pattern's captures
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

// Parse compiles a glob of the server's. The only mistake is a pattern longer
// than MaxLen.
func Parse(pattern string) (*Pattern, error) { return parse(pattern, false) }

// ParseKey compiles a glob in which {name} captures. What is not a name in
// braces is literal, and so is \{. The mistakes are a name captured twice, and
// a pattern longer than MaxLen.
func ParseKey(pattern string) (*Pattern, error) { return parse(pattern, true) }

var errNoCapture = errors.New("a capture has no meaning here; write \\{ for a brace")

// ParsePlain compiles a glob as ParseKey does, where nobody could read what it
// captures: a {name} is a mistake.
func ParsePlain(pattern string) (*Pattern, error) {
	p, err := parse(pattern, true)
	if err == nil && len(p.captures) > 0 {
		err = errNoCapture
	}
	return p, err
}

// Literal returns the pattern of exactly one key.
func Literal(key string) *Pattern {
	return &Pattern{parts: appendLiteral(nil, key), literal: true}
}

func parse(pattern string, capturing bool) (*Pattern, error) {
	if len(pattern) > MaxLen {
		return nil, fmt.Errorf("pattern of %d bytes; at most %d are allowed", len(pattern), MaxLen)
	}
	p := &Pattern{literal: true}
	for i := 0; i < len(pattern); {
		part, n := parsePart(pattern[i:], capturing)
		token := pattern[i : i+n]
		i += n
		if part.kind == partStar && len(p.parts) > 0 && p.parts[len(p.parts)-1].kind == partStar {
			continue
		}
		if part.kind == partCapture {
			name := token[1 : n-1]
			if slices.Contains(p.captures, name) {
				return nil, fmt.Errorf("{%s} is captured twice", name)
			}
			part.name = uint16(len(p.captures))
			p.captures = append(p.captures, name)
		}
		p.literal = p.literal && part.kind == partByte
		p.parts = append(p.parts, part)
	}
	p.parts = slices.Clip(p.parts)
	return p, nil
}

// parsePart reads the part that s begins with, and returns its length.
func parsePart(s string, capturing bool) (part, int) {
	switch c := s[0]; {
	case c == '*':
		return part{kind: partStar}, 1
	case c == '?':
		return part{kind: partAny}, 1
	case c == '[':
		set, n, _ := parseClass(s)
		return part{kind: partSet, set: set}, n
	case c == '{' && capturing:
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
// class that nothing ends goes to the end of the pattern: closed is false then.
func parseClass(s string) (set *byteSet, n int, closed bool) {
	set = &byteSet{}
	i := 1
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
	return set, min(i+1, len(s)), i < len(s)
}

// Captures returns the names that the pattern captures, in order; not to be
// changed.
func (p *Pattern) Captures() []string { return p.captures }

// Key returns the key that the pattern matches if it matches one only.
func (p *Pattern) Key() (key string, ok bool) {
	if !p.literal {
		return "", false
	}
	b := make([]byte, len(p.parts))
	for i := range p.parts {
		b[i] = p.parts[i].c
	}
	return string(b), true
}

// Selectivity estimates how few keys match: of two patterns, that of the
// higher number matches fewer.
func (p *Pattern) Selectivity() int {
	const exact = 1 << 20
	if p.literal {
		return exact
	}
	n := 0
	for i := range p.parts {
		if p.parts[i].kind == partByte {
			n++
		}
	}
	if len(p.parts) > 0 && p.parts[0].kind == partByte {
		n++ // a prefix ends most keys early
	}
	return n
}

// Identity returns a text that tells patterns apart: two of the same text
// match the same keys and capture the same names. It is not for people.
func (p *Pattern) Identity() string {
	return string(append(appendParts(nil, p.parts), strings.Join(p.captures, "{")...))
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

// BeginsWithText reports whether all keys that match begin with the same byte,
// which is written in the pattern.
func (p *Pattern) BeginsWithText() bool {
	return p.literal || len(p.parts) > 0 && p.parts[0].kind == partByte
}

// String returns the pattern as it could be written.
func (p *Pattern) String() string {
	var b []byte
	for i := range p.parts {
		switch part := &p.parts[i]; part.kind {
		case partByte:
			if strings.IndexByte(`*?[\{`, part.c) >= 0 {
				b = append(b, '\\')
			}
			b = append(b, part.c)
		case partAny:
			b = append(b, '?')
		case partStar:
			b = append(b, '*')
		case partCapture:
			b = append(append(append(b, '{'), p.captures[part.name]...), '}')
		case partSet:
			b = part.set.appendClass(b)
		}
	}
	return string(b)
}

// appendClass appends a class of the bytes in the set.
func (s *byteSet) appendClass(b []byte) []byte {
	b = append(b, '[')
	for c := 0; c < 256; c++ {
		if !s.contains(byte(c)) {
			continue
		}
		end := c
		for end < 255 && s.contains(byte(end+1)) {
			end++
		}
		if end-c > 2 && c != '\\' && c != '^' && c != ']' && c != '-' {
			b = append(b, byte(c), '-', byte(end))
			c = end
			continue
		}
		if c == '\\' || c == '^' || c == ']' || c == '-' {
			b = append(b, '\\')
		}
		b = append(b, byte(c))
	}
	return append(b, ']')
}
