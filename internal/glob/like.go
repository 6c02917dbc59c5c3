package glob

import (
	"regexp/syntax"
	"slices"
)

// Prefix returns the pattern of keys that begin with s. Like Suffix, Containing
// and OfRegexp it returns nil where every key would match, or the pattern would
// be longer than MaxLen.
func Prefix(s string) *Pattern { return ofParts(append(appendLiteral(nil, s), part{kind: partStar})) }

// Suffix returns the pattern of keys that end with s; nil as Prefix does.
func Suffix(s string) *Pattern { return ofParts(appendLiteral([]part{{kind: partStar}}, s)) }

// Containing returns the pattern of keys that s is in; nil as Prefix does.
func Containing(s string) *Pattern {
	return ofParts(append(appendLiteral([]part{{kind: partStar}}, s), part{kind: partStar}))
}

// OfRegexp returns a pattern that matches every text in which a regular
// expression of package regexp finds a match, and others: its literals, and
// stars for the rest. It returns nil as Prefix does.
func OfRegexp(expr string) *Pattern { return ofParts(regexParts(expr)) }

// ofParts returns the pattern of parts; nil if it says nothing or is too long.
func ofParts(parts []part) *Pattern {
	parts = slices.CompactFunc(parts, func(a, b part) bool { return a.kind == partStar && b.kind == partStar })
	if len(parts) > MaxLen || len(parts) == 1 && parts[0].kind == partStar {
		return nil
	}
	return &Pattern{parts: slices.Clip(parts)}
}

func appendLiteral(parts []part, s string) []part {
	parts = slices.Grow(parts, len(s)+1)
	for i := range len(s) {
		parts = append(parts, part{kind: partByte, c: s[i]})
	}
	return parts
}

func regexParts(expr string) []part {
	star := part{kind: partStar}
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return []part{star}
	}
	re = re.Simplify()
	parts := append([]part{star}, partsOf(re)...)
	parts = append(parts, star)
	if anchored(re, syntax.OpBeginText, 0) {
		parts = parts[1:]
	}
	if anchored(re, syntax.OpEndText, -1) {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// anchored reports whether an expression begins (at 0) or ends (at -1) with op.
func anchored(re *syntax.Regexp, op syntax.Op, at int) bool {
	for re.Op == syntax.OpConcat || re.Op == syntax.OpCapture {
		if at < 0 {
			re = re.Sub[len(re.Sub)-1]
		} else {
			re = re.Sub[0]
		}
	}
	return re.Op == op
}

// partsOf returns parts that match whatever the expression does.
func partsOf(re *syntax.Regexp) []part {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return nil
	case syntax.OpCapture:
		return partsOf(re.Sub[0])
	case syntax.OpConcat:
		var parts []part
		for _, sub := range re.Sub {
			parts = append(parts, partsOf(sub)...)
		}
		return parts
	case syntax.OpLiteral:
		const invalid = '\uFFFD' // also matches a byte that is not UTF-8
		if re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, invalid) {
			return appendLiteral(nil, string(re.Rune))
		}
	case syntax.OpCharClass:
		if set := asciiSet(re.Rune); set != nil {
			return []part{{kind: partSet, set: set}}
		}
	case syntax.OpPlus:
		parts := partsOf(re.Sub[0])
		return append(parts, part{kind: partStar})
	}
	return []part{{kind: partStar}}
}

// asciiSet returns the bytes of a class of runes; nil if not all are ASCII.
func asciiSet(ranges []rune) *byteSet {
	set := &byteSet{}
	for i := 0; i < len(ranges); i += 2 {
		if ranges[i+1] >= 0x80 {
			return nil
		}
		for c := ranges[i]; c <= ranges[i+1]; c++ {
			set.add(byte(c))
		}
	}
	return set
}

// OfPieces returns the pattern of keys that have these pieces, in this order:
// the first at the beginning, the last at the end, and anything between two. One
// piece is a key. It returns nil as Prefix does.
func OfPieces(pieces ...string) *Pattern {
	if len(pieces) == 1 {
		return Literal(pieces[0])
	}
	var parts []part
	for i, s := range pieces {
		if i > 0 {
			parts = append(parts, part{kind: partStar})
		}
		parts = appendLiteral(parts, s)
	}
	return ofParts(parts)
}
