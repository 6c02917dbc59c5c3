package preset

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxValue is how many characters of a key, a field or a value are shown.
const maxValue = 80

// shown returns a text of the data for people, on one line: the first characters,
// with what is not printable escaped, and bytes that are not UTF-8 as \xff.
// Marks that turn the direction of a text around are not printable.
func shown[T ~string | ~[]byte](data T) string { return printable(data, maxValue) }

// shownValue is shown of a text that may be empty, or look like nothing.
func shownValue[T ~string | ~[]byte](data T) string {
	if len(data) < maxValue && strings.TrimSpace(string(data)) == "" {
		return strconv.Quote(string(data))
	}
	return shown(data)
}

// printable is shown of as many characters as limit says; 0: all.
func printable[T ~string | ~[]byte](data T, limit int) string {
	text := string(data)
	if limit > 0 {
		text = string(data[:min(len(data), limit*utf8.UTFMax)])
	}
	var b strings.Builder
	for n := 0; len(text) > 0; n++ {
		if limit > 0 && n == limit {
			return b.String() + "…"
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			const digits = "0123456789abcdef"
			b.WriteString(`\x` + string(digits[text[0]>>4]) + string(digits[text[0]&15]))
		case strconv.IsPrint(r):
			b.WriteString(text[:size])
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}

// dialect is how a service reads a text: what has a meaning in it, and how its
// length is counted.
type dialect struct {
	escape func(r rune) string // nil: nothing has a meaning
	size   func(s string) int
}

// plain is a text that is shown as it is.
var plain = dialect{size: utf16Len}

// utf16Len returns the length of a text in UTF-16. Services count characters,
// and do not say how: no way of counting gives more.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 1<<16 {
			n++
		}
	}
	return n
}

// text returns s escaped.
func (d dialect) text(s string) string {
	if d.escape == nil {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteString(d.escape(r))
	}
	return b.String()
}

// cut returns s escaped, and cut so that it is no longer than limit, between the
// characters of s.
func (d dialect) cut(s string, limit int) string {
	const more = "…"
	whole := d.text(s)
	if d.size(whole) <= limit {
		return whole
	}
	limit -= d.size(more)
	var b strings.Builder
	for _, r := range s {
		piece := d.text(string(r))
		if limit -= d.size(piece); limit < 0 {
			break
		}
		b.WriteString(piece)
	}
	return b.String() + more
}

// fit returns those of lines that fit into limit, escaped, and how many are
// missing as a line of its own. Of the first at least the beginning is there.
func (d dialect) fit(lines []string, limit int) []string {
	out := make([]string, 0, len(lines))
	room := limit
	for i, line := range lines {
		need := 0
		if i+1 < len(lines) {
			need = d.size(moreLines(len(lines))) + 1 // for what follows not to fit
		}
		escaped := d.text(line)
		size := d.size(escaped) + 1
		switch {
		case size <= room-need:
			out = append(out, escaped)
			room -= size
		case i == 0:
			out = append(out, d.cut(line, room-need-1))
			room = 0
		default:
			return append(out, moreLines(len(lines)-i))
		}
	}
	return out
}

func moreLines(n int) string { return "and " + strconv.Itoa(n) + " more" }
