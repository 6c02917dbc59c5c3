package tomlpos

import (
	"strings"
	"unicode/utf8"
)

// quoteOf returns the quote that a string token begins with, and how many
// bytes open it: 1, or 3 for a string of many lines.
func quoteOf(token string) (quote byte, open int) {
	if token == "" || token[0] != '"' && token[0] != '\'' {
		return 0, 0
	}
	if strings.HasPrefix(token, strings.Repeat(token[:1], 3)) {
		return token[0], 3
	}
	return token[0], 1
}

// Offset returns how many bytes of a string token of TOML, with its quotes,
// come before the byte that is at an offset of the text that the token stands
// for. It is 0 if the token is no string.
func Offset(token string, text int) int {
	_, n := unquote(token, text)
	return n
}

// unquote decodes a string token of TOML. With stop >= 0 it stops when that
// many bytes are decoded; n is how much of the token was read until then.
func unquote(token string, stop int) (s string, n int) {
	quote, open := quoteOf(token)
	if open == 0 {
		return "", 0
	}
	end := max(open, len(token)-open)
	i := open
	if open == 3 {
		i += len(token[i:end]) - len(strings.TrimPrefix(strings.TrimPrefix(token[i:end], "\r"), "\n"))
	}
	var b []byte
	for i < end && (stop < 0 || len(b) < stop) {
		if token[i] != '\\' || quote != '"' {
			b = append(b, token[i])
			i++
			continue
		}
		var size int
		b, size = appendEscape(b, token[i:end])
		i += size
	}
	return string(b), i
}

// appendEscape decodes the escape that s begins with, and returns its length.
func appendEscape(b []byte, s string) ([]byte, int) {
	if len(s) < 2 {
		return append(b, s...), len(s)
	}
	switch c := s[1]; c {
	case 'b':
		return append(b, '\b'), 2
	case 't':
		return append(b, '\t'), 2
	case 'n':
		return append(b, '\n'), 2
	case 'f':
		return append(b, '\f'), 2
	case 'r':
		return append(b, '\r'), 2
	case 'e':
		return append(b, 0x1b), 2
	case 'x', 'u', 'U':
		size := 2 + map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		if len(s) < size {
			return b, len(s)
		}
		var r rune
		for _, h := range []byte(s[2:size]) {
			r = r<<4 | rune(unhex(h))
		}
		return utf8.AppendRune(b, r), size
	case ' ', '\t', '\r', '\n': // a line that goes on: the white space to the next word is nothing
		return b, len(s) - len(strings.TrimLeft(s[1:], " \t\r\n"))
	default:
		return append(b, c), 2
	}
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
