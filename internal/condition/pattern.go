package condition

import (
	"errors"
	"fmt"
	"regexp"
	re "regexp/syntax"
	"strings"
)

// maxPattern limits one regular expression, in instructions, of about 40 bytes
// each: a few bytes of text may ask for many, and a text is compared at the cost of
// all of them a byte.
const maxPattern = 50_000

// errPatterns is why a regular expression is not compiled that would be one too many.
var errPatterns = errors.New("the regular expressions are too large altogether")

// Pattern compiles a regular expression. The error says what is wrong with it, or
// that it is too large: by itself, or with all before it: see Config.MaxPatterns.
func (c *Compiler) Pattern(text string) (*regexp.Regexp, error) {
	parsed, err := re.Parse(text, re.Perl)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	size := patternSize(parsed)
	if size > maxPattern {
		return nil, fmt.Errorf("the expression has %d parts, once its repeats are written out; at most %d are allowed", size, maxPattern)
	}
	if c.patterns += size; c.of.MaxPatterns > 0 && c.patterns > c.of.MaxPatterns {
		return nil, errPatterns
	}
	return regexp.Compile(text)
}

// patternSize returns about how many instructions an expression is compiled to. A
// parsed one is not deep, and its repeats multiply to 1000 at most.
func patternSize(of *re.Regexp) int {
	size := 1
	for _, sub := range of.Sub {
		size += patternSize(sub)
	}
	switch of.Op {
	case re.OpLiteral:
		size += len(of.Rune)
	case re.OpRepeat:
		size *= max(of.Min, of.Max, 1)
	}
	return size
}
