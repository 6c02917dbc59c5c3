package secret

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// stream is the text, or what it is after escapes were undone.
type stream struct {
	text string
	at   []int32 // where in the text each byte comes from, and where the text ends; nil: from its own place
}

// add appends a part of the stream as a span of the text: whole escapes.
func (s *stream) add(found []span, from, to int) []span {
	from, to = max(from, 0), min(to, len(s.text))
	at := span{from, to}
	if s.at != nil {
		for to < len(s.text) && s.at[to] == s.at[to-1] { // one escape made more than one byte
			to++
		}
		at = span{int(s.at[from]), int(s.at[to])}
	}
	if n := len(found); n > 0 && found[n-1].from <= at.from && at.from <= found[n-1].to {
		found[n-1].to = max(found[n-1].to, at.to)
		return found
	}
	return append(found, at)
}

// escape is one way to write characters as others.
type escape struct {
	begin byte // what each begins with
	max   int  // how long one may be, where a text that is cut off may end in the middle of it

	// read decodes the escape that text begins with, and appends what it stands
	// for. size is its length; 0: it is none. before is what comes before text.
	read func(dst []byte, text, before string) (out []byte, size int)
}

// maxEscape is the length of the longest escape: of a character outside of the
// basic plane in JSON.
const maxEscape = 12

var escapes = [...]escape{
	{'%', 3, readPercent},
	{'\\', maxEscape, readBackslash},
	{'&', maxEntity, readEntity},
	{'\n', 0, readWrap},
	{'\r', 0, readWrap},
}

// undo returns the stream with one kind of escape undone, and false if there is
// none in it. cut tells that the text was cut off at its end: what may be the
// beginning of an escape is left out there.
func (s *stream) undo(e *escape, cut bool) (plain stream, ok bool) {
	at := strings.IndexByte(s.text, e.begin)
	if at < 0 {
		return plain, false
	}
	var out, got []byte
	var origins []int32
	done := 0 // of s, what is in out
	copyTo := func(end int) {
		if origins == nil {
			out, origins = make([]byte, 0, len(s.text)), make([]int32, 0, len(s.text)+1)
		}
		out = append(out, s.text[done:end]...)
		for ; done < end; done++ {
			origins = append(origins, s.origin(done))
		}
	}
	end := len(s.text)
	for at >= 0 {
		var size int
		got, size = e.read(got[:0], s.text[at:], s.text[:at])
		switch {
		case size > 0:
			copyTo(at)
			out = append(out, got...)
			for range got {
				origins = append(origins, s.origin(at))
			}
			done = at + size
		case cut && len(s.text)-at < e.max:
			copyTo(at)
			end = at
		}
		from := at + max(size, 1)
		if at = strings.IndexByte(s.text[min(from, end):end], e.begin); at >= 0 {
			at += from
		}
	}
	if origins == nil {
		return plain, false
	}
	copyTo(end)
	origins = append(origins, s.origin(len(s.text)))
	return stream{string(out), origins}, true
}

func (s *stream) origin(i int) int32 {
	if s.at == nil {
		return int32(i)
	}
	return s.at[i]
}

// readPercent reads %41 (RFC 3986 section 2.1).
func readPercent(dst []byte, text, _ string) ([]byte, int) {
	r, ok := hexRune(text, 1, 2)
	if !ok {
		return dst, 0
	}
	return append(dst, byte(r)), 3
}

// readBackslash reads an escape of JSON (RFC 8259 section 7), Go, Python, C or
// a shell.
func readBackslash(dst []byte, text, _ string) ([]byte, int) {
	if len(text) < 2 {
		return dst, 0
	}
	switch c := text[1]; c {
	case 'x':
		if r, ok := hexRune(text, 2, 2); ok {
			return append(dst, byte(r)), 4
		}
	case 'u':
		return readUnicode(dst, text)
	case 'U':
		if r, ok := hexRune(text, 2, 8); ok {
			return utf8.AppendRune(dst, r), 10
		}
	case '0', '1', '2', '3':
		if len(text) < 4 {
			break
		}
		if n, err := strconv.ParseUint(text[1:4], 8, 8); err == nil {
			return append(dst, byte(n)), 4
		}
	default:
		if i := strings.IndexByte("abefnrtv", c); i >= 0 {
			return append(dst, "\a\b\x1b\f\n\r\t\v"[i]), 2
		}
		return append(dst, c), 2
	}
	return dst, 0
}

// readUnicode reads \u0041, and the two that make one character. Python writes
// a byte that is no UTF-8 as \udc80 and more.
func readUnicode(dst []byte, text string) ([]byte, int) {
	r, ok := hexRune(text, 2, 4)
	switch {
	case !ok:
		return dst, 0
	case r >= 0xdc80 && r <= 0xdcff:
		return append(dst, byte(r)), 6
	case r < 0xd800 || r > 0xdfff:
		return utf8.AppendRune(dst, r), 6
	}
	low, ok := hexRune(text, 8, 4)
	if !ok || text[6:8] != `\u` || low < 0xdc00 || low > 0xdfff {
		return dst, 0
	}
	return utf8.AppendRune(dst, (r-0xd800)<<10|(low-0xdc00)+0x10000), 12
}

// entities are those that every escaping of HTML writes.
var entities = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}

// maxEntity is the length of the longest entity that is read, &#x10FFFF; with a
// zero before it.
const maxEntity = 11

// readEntity reads &amp; and &#38; and &#x26;.
func readEntity(dst []byte, text, _ string) ([]byte, int) {
	name, _, ok := strings.Cut(text[1:min(len(text), maxEntity)], ";")
	if !ok {
		return dst, 0
	}
	size := len(name) + 2
	digits, numeric := strings.CutPrefix(name, "#")
	if !numeric {
		plain, known := entities[name]
		if !known {
			return dst, 0
		}
		return append(dst, plain...), size
	}
	base := 10
	if digits != "" && digits[0]|0x20 == 'x' {
		digits, base = digits[1:], 16
	}
	r, err := strconv.ParseUint(digits, base, 21)
	if err != nil {
		return dst, 0
	}
	return utf8.AppendRune(dst, rune(r)), size
}

// minWrap is the length from which a line may be one of wrapped base64: PEM has
// 64 characters, MIME 76.
const minWrap = 60

// readWrap reads the end of a line of base64 that goes on in the next.
func readWrap(dst []byte, text, before string) ([]byte, int) {
	size := 1
	if text[0] == '\r' {
		if size = 2; !strings.HasPrefix(text, "\r\n") {
			return dst, 0
		}
	}
	if len(before) < minWrap {
		return dst, 0
	}
	for i := range minWrap {
		if !isBase64(before[len(before)-1-i]) {
			return dst, 0
		}
	}
	return dst, size
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_'
}

// hexRune reads n hex digits of text from at on.
func hexRune(text string, at, n int) (rune, bool) {
	if len(text) < at+n {
		return 0, false
	}
	v, err := strconv.ParseUint(text[at:at+n], 16, 32)
	return rune(v), err == nil
}
