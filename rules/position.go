package rules

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// The TOML library says where a syntax error is, but not where the keys and
// values of a valid file are (and what it says of keys inside [[rule]] is the
// last one's place). So the file is scanned a second time, here, for places
// only: the scanner accepts every valid file, and stops at the first thing it
// does not understand, which is then the library's to explain.

// node is the place of a value: offsets into the file, and the places of what
// is inside it.
type node struct {
	key   int              // where its key begins; -1 if it has none (an element of a list)
	val   int              // where its value begins: the quote of a string, the '[' of a header
	end   int              // just after the value; for tables of headers, just after the header
	kids  map[string]*node // of a table
	elems []*node          // of a list, or of [[headers]]
}

// maxDepth bounds lists and tables inside one another, also those of dotted
// keys: what reads them recurses.
const maxDepth = 32

// tooDeep is where a file is nested more than maxDepth deep.
type tooDeep struct{ off int }

type scanner struct {
	src  string
	pos  int
	segs []segment // of the key at hand
	deep *tooDeep
}

// scan returns the places of all of src. The places end where src stops being
// TOML. deep is not nil if src is nested too deep to be parsed safely.
func scan(src string) (root *node, deep *tooDeep) {
	s := &scanner{src: src}
	root = &node{key: -1}
	s.document(root)
	return root, s.deep
}

func (s *scanner) document(root *node) {
	table := root
	for {
		s.skipBlank()
		if s.pos >= len(s.src) {
			return
		}
		ok := false
		if s.src[s.pos] == '[' {
			table, ok = s.header(root)
		} else {
			ok = s.keyValue(table, 0)
		}
		if !ok {
			return
		}
	}
}

// segment is one part of a dotted key.
type segment struct {
	name string
	off  int
}

// header reads [a.b] or [[a.b]] and returns the table that it opens.
func (s *scanner) header(root *node) (*node, bool) {
	start := s.pos
	s.pos++
	list := s.accept('[')
	segs, ok := s.dottedKey()
	if !ok || !s.accept(']') || list && !s.accept(']') {
		return nil, false
	}
	t := root
	for i, seg := range segs {
		child := t.kid(seg, start)
		last := i == len(segs)-1
		if last && list {
			child.elems = append(child.elems, &node{key: seg.off, val: start, end: s.pos})
		}
		if last && !list {
			child.val, child.end, child.key = start, s.pos, seg.off
		}
		t = child
		if n := len(child.elems); n > 0 {
			t = child.elems[n-1]
		}
	}
	return t, true
}

// kid returns the named child, made if it is not there.
func (n *node) kid(seg segment, val int) *node {
	if c, ok := n.kids[seg.name]; ok {
		return c
	}
	if n.kids == nil {
		n.kids = map[string]*node{}
	}
	c := &node{key: seg.off, val: val, end: val}
	n.kids[seg.name] = c
	return c
}

// keyValue reads key = value into table.
func (s *scanner) keyValue(table *node, depth int) bool {
	segs, ok := s.dottedKey()
	if !ok || !s.accept('=') {
		return false
	}
	s.skipSpace()
	for _, seg := range segs[:len(segs)-1] {
		table = table.kid(seg, s.pos)
	}
	n := table.kid(segs[len(segs)-1], s.pos)
	return s.value(n, depth)
}

// dottedKey returns the parts of a key, valid until the next call.
func (s *scanner) dottedKey() ([]segment, bool) {
	s.segs = s.segs[:0]
	for {
		s.skipSpace()
		seg, ok := s.simpleKey()
		if !ok {
			return nil, false
		}
		if s.segs = append(s.segs, seg); len(s.segs) > maxDepth {
			s.deep = &tooDeep{seg.off}
			return nil, false
		}
		s.skipSpace()
		if !s.accept('.') {
			return s.segs, true
		}
	}
}

func (s *scanner) simpleKey() (segment, bool) {
	start := s.pos
	if s.pos >= len(s.src) {
		return segment{}, false
	}
	if c := s.src[s.pos]; c == '"' || c == '\'' {
		if !s.str() {
			return segment{}, false
		}
		name, _ := unquote(s.src[start:s.pos], -1)
		return segment{name, start}, true
	}
	for s.pos < len(s.src) && !strings.ContainsRune(" \t\r\n.=[]{},#\"'", rune(s.src[s.pos])) {
		s.pos++
	}
	return segment{s.src[start:s.pos], start}, s.pos > start
}

func (s *scanner) value(n *node, depth int) bool {
	n.val = s.pos
	if s.pos >= len(s.src) {
		return false
	}
	if depth >= maxDepth {
		s.deep = &tooDeep{s.pos}
		return false
	}
	ok := true
	switch s.src[s.pos] {
	case '"', '\'':
		ok = s.str()
	case '[':
		ok = s.list(n, depth)
	case '{':
		ok = s.inlineTable(n, depth)
	default:
		for s.pos < len(s.src) && !strings.ContainsRune(",]}#\r\n", rune(s.src[s.pos])) {
			s.pos++
		}
	}
	n.end = s.pos
	return ok
}

func (s *scanner) list(n *node, depth int) bool {
	s.pos++
	for {
		s.skipBlank()
		if s.accept(']') {
			return true
		}
		elem := &node{key: -1}
		if !s.value(elem, depth+1) {
			return false
		}
		n.elems = append(n.elems, elem)
		s.skipBlank()
		if !s.accept(',') {
			return s.accept(']')
		}
	}
}

func (s *scanner) inlineTable(n *node, depth int) bool {
	s.pos++
	for {
		s.skipBlank()
		if s.accept('}') {
			return true
		}
		if !s.keyValue(n, depth+1) {
			return false
		}
		s.skipBlank()
		if !s.accept(',') {
			return s.accept('}')
		}
	}
}

// str skips a string of any of the four kinds.
func (s *scanner) str() bool {
	quote, open := quoteOf(s.src[s.pos:])
	s.pos += open
	multi := open == 3
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case c == '\\' && quote == '"':
			s.pos += 2
		case c == '\n' && !multi:
			return false
		case c == quote && !multi:
			s.pos++
			return true
		case c == quote:
			run := 0
			for s.pos+run < len(s.src) && s.src[s.pos+run] == quote && run < 5 {
				run++
			}
			s.pos += run
			if run >= 3 {
				return true
			}
		default:
			s.pos++
		}
	}
	s.pos = len(s.src)
	return false
}

func (s *scanner) accept(c byte) bool {
	if s.pos < len(s.src) && s.src[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.src) && (s.src[s.pos] == ' ' || s.src[s.pos] == '\t') {
		s.pos++
	}
}

// skipBlank skips space, line ends and comments.
func (s *scanner) skipBlank() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		case '#':
			for s.pos < len(s.src) && s.src[s.pos] != '\n' {
				s.pos++
			}
		default:
			return
		}
	}
}

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

// lineIndex turns offsets into lines and columns.
type lineIndex []int // offset of each line's first byte

func newLineIndex(src string) lineIndex {
	lines := lineIndex{0}
	for i := range len(src) {
		if src[i] == '\n' {
			lines = append(lines, i+1)
		}
	}
	return lines
}

// place returns the 1-based line and column of an offset.
func (l lineIndex) place(off int) (line, col int) {
	line = sort.SearchInts(l, off+1)
	return line, off - l[line-1] + 1
}

// text returns a line without its end.
func (l lineIndex) text(src string, line int) string {
	if line < 1 || line > len(l) {
		return ""
	}
	end := len(src)
	if line < len(l) {
		end = l[line] - 1
	}
	return strings.TrimSuffix(src[l[line-1]:end], "\r")
}
