package tomlpos

import (
	"fmt"
	"strings"
)

// Node is the place of a value: offsets of bytes in the file, and the places of
// what is inside it.
type Node struct {
	Key      int              // where its key begins; -1 if it has none (an element of a list)
	Value    int              // where its value begins: the quote of a string, the '[' of a header
	End      int              // just after the value; for tables of headers, just after the header
	Members  map[string]*Node // of a table
	Elements []*Node          // of a list, or of [[headers]]
}

// MaxDepth bounds lists and tables inside one another, also those of dotted
// keys: what reads them recurses.
const MaxDepth = 32

// DepthError says where a file is nested more than MaxDepth deep.
type DepthError struct{ Offset int }

func (e *DepthError) Error() string {
	return fmt.Sprintf("more than %d lists and tables inside one another", MaxDepth)
}

// Scan returns the places of all of src. The places end where src stops being
// TOML. The error, if any, is a *DepthError: src is nested too deep to be
// parsed safely.
func Scan(src string) (*Node, error) {
	s := &scanner{src: src}
	root := &Node{Key: -1}
	s.document(root)
	if s.deep != nil {
		return root, s.deep
	}
	return root, nil
}

type scanner struct {
	src  string
	pos  int
	segs []segment // of the key at hand
	deep *DepthError
}

func (s *scanner) document(root *Node) {
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
func (s *scanner) header(root *Node) (*Node, bool) {
	start := s.pos
	s.pos++
	list := s.accept('[')
	segs, ok := s.dottedKey()
	if !ok || !s.accept(']') || list && !s.accept(']') {
		return nil, false
	}
	t := root
	for i, seg := range segs {
		child := t.member(seg, start)
		last := i == len(segs)-1
		if last && list {
			child.Elements = append(child.Elements, &Node{Key: seg.off, Value: start, End: s.pos})
		}
		if last && !list {
			child.Value, child.End, child.Key = start, s.pos, seg.off
		}
		t = child
		if n := len(child.Elements); n > 0 {
			t = child.Elements[n-1]
		}
	}
	return t, true
}

// member returns the named member, made if it is not there.
func (n *Node) member(seg segment, value int) *Node {
	if c, ok := n.Members[seg.name]; ok {
		return c
	}
	if n.Members == nil {
		n.Members = map[string]*Node{}
	}
	c := &Node{Key: seg.off, Value: value, End: value}
	n.Members[seg.name] = c
	return c
}

// keyValue reads key = value into table.
func (s *scanner) keyValue(table *Node, depth int) bool {
	segs, ok := s.dottedKey()
	if !ok || !s.accept('=') {
		return false
	}
	s.skipSpace()
	for _, seg := range segs[:len(segs)-1] {
		table = table.member(seg, s.pos)
	}
	n := table.member(segs[len(segs)-1], s.pos)
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
		if s.segs = append(s.segs, seg); len(s.segs) > MaxDepth {
			s.deep = &DepthError{seg.off}
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

func (s *scanner) value(n *Node, depth int) bool {
	n.Value = s.pos
	if s.pos >= len(s.src) {
		return false
	}
	if depth >= MaxDepth {
		s.deep = &DepthError{s.pos}
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
	n.End = s.pos
	return ok
}

func (s *scanner) list(n *Node, depth int) bool {
	s.pos++
	for {
		s.skipBlank()
		if s.accept(']') {
			return true
		}
		elem := &Node{Key: -1}
		if !s.value(elem, depth+1) {
			return false
		}
		n.Elements = append(n.Elements, elem)
		s.skipBlank()
		if !s.accept(',') {
			return s.accept(']')
		}
	}
}

func (s *scanner) inlineTable(n *Node, depth int) bool {
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
