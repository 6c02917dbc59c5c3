package condition

import (
	"io"
	"regexp"
	"strings"
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

// contains is strings.Contains, piece by piece, unless it is given up. A part as long
// as a piece is looked for at once: that takes less than a second.
func (s *scope) contains(t, part string) bool {
	for len(t) >= 2*longText && len(part) <= longText {
		if strings.Contains(t[:longText+max(len(part), 1)-1], part) {
			return true
		}
		if s.givesUp() {
			return false
		}
		t = t[longText:]
	}
	return strings.Contains(t, part)
}

// cased is f, which is strings.ToLower or strings.ToUpper, piece by piece, unless it is
// given up.
func (s *scope) cased(f func(string) string, t string) string {
	if len(t) < 2*longText {
		return f(t)
	}
	made := make([]byte, 0, len(t))
	for len(t) > 0 {
		cut := min(longText, len(t))
		for back := 0; back < utf8.UTFMax-1 && cut < len(t) && !utf8.RuneStart(t[cut]); back++ {
			cut--
		}
		made = append(made, f(t[:cut])...)
		if t = t[cut:]; s.givesUp() {
			return ""
		}
	}
	return text(made)
}

// givesUp is stops of what takes long: it asks each time.
func (s *scope) givesUp() bool {
	if s.stopped != nil && s.stopped() {
		s.err = ErrStopped
	}
	return s.err == ErrStopped
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
