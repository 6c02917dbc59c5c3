package condition

import (
	"io"
	"regexp"
	"unicode/utf8"
)

// longText is from how many bytes on a text is so long that looking for a pattern
// in it may be given up: a server's text may have half a gigabyte, for which that
// takes many seconds.
const longText = 1 << 20

// matches is re.MatchString, unless it is given up. A pattern that begins with
// some text is found too fast for that to be needed.
func (s *scope) matches(re *regexp.Regexp, t string) bool {
	if len(t) < longText {
		return re.MatchString(t)
	}
	if prefix, _ := re.LiteralPrefix(); prefix != "" {
		return re.MatchString(t)
	}
	return re.MatchReader(&textReader{s, t})
}

// textReader gives the runes of a text, and none any more once reading is given
// up.
type textReader struct {
	s    *scope
	text string
}

// ReadRune is that of io.RuneReader.
func (r *textReader) ReadRune() (c rune, size int, err error) {
	if r.text == "" || r.s.stops() {
		return 0, 0, io.EOF
	}
	c, size = utf8.DecodeRuneInString(r.text)
	r.text = r.text[size:]
	return c, size, nil
}
