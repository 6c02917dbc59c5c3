package tmpl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"
)

// IsJSON reports whether text is meant to be JSON: it begins with { or [, and is
// JSON with a value for each action.
func IsJSON(text string) bool {
	if !strings.Contains(text, "{{") {
		return opensJSON(text) && json.Valid([]byte(text))
	}
	t, err := parseTemplate(text)
	if err != nil {
		return false
	}
	for _, other := range []bool{false, true} {
		s := skeleton{t: t, other: other}
		s.list(t.Root)
		if _, err := wholeJSON(s.text.String()); err == nil && opensJSON(s.text.String()) {
			return true
		}
	}
	return false
}

// opensJSON reports whether a text begins as an object or a list.
func opensJSON(text string) bool {
	begin := strings.TrimLeft(text, " \t\r\n")
	return begin != "" && (begin[0] == '{' || begin[0] == '[')
}

// skeleton is what a template writes with a value for each action, and once round
// each range.
type skeleton struct {
	t     *template.Template
	other bool // of if and with the other branch, not the first: {{if $i}},{{end}}
	text  strings.Builder
	at    place
	depth int
}

func (s *skeleton) list(l *parse.ListNode) {
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			s.write(string(n.Text))
		case *parse.ActionNode:
			switch {
			case len(n.Pipe.Decl) > 0 || s.at.inText:
			case s.at.in == atStart && strings.HasSuffix(s.at.open, "{"):
				s.write(`"name"`)
			default:
				s.write("0")
			}
		case *parse.IfNode:
			s.branch(&n.BranchNode)
		case *parse.WithNode:
			s.branch(&n.BranchNode)
		case *parse.RangeNode:
			s.list(n.List)
		case *parse.TemplateNode:
			if called := s.t.Lookup(n.Name); called != nil && called.Tree != nil && s.depth < maxDepth && s.text.Len() < 1<<20 {
				s.depth++
				s.list(called.Root)
				s.depth--
			}
		}
	}
}

func (s *skeleton) branch(n *parse.BranchNode) {
	switch {
	case !s.other:
		s.list(n.List)
	case n.ElseList != nil:
		s.list(n.ElseList)
	}
}

func (s *skeleton) write(text string) {
	s.text.WriteString(text)
	s.at.joined = false
	if at, err := s.at.after([]byte(text)); err == nil {
		s.at = at
	}
}

var errNotUTF8 = errors.New("template: the JSON is not UTF-8")

// wholeJSON returns text, which must be JSON, without commas before what closes
// an object or a list.
func wholeJSON(text string) (string, error) {
	if !utf8.ValidString(text) { // which json.Valid lets pass in a string
		return "", errNotUTF8
	}
	if json.Valid([]byte(text)) {
		return text, nil
	}
	less := withoutCommas(text)
	if json.Valid([]byte(less)) {
		return less, nil
	}
	var v json.RawMessage
	err := json.Unmarshal([]byte(less), &v)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return "", fmt.Errorf("template: it is no JSON at byte %d: %w", syntax.Offset, err)
	}
	return "", fmt.Errorf("template: it is no JSON: %w", err)
}

// withoutCommas leaves out commas, outside strings, before a bracket that closes.
func withoutCommas(text string) string {
	out := make([]byte, 0, len(text))
	inText, escaped := false, false
	comma := -1 // in out, of one after which only blanks have come
	for i := range len(text) {
		c := text[i]
		switch {
		case escaped:
			escaped = false
		case inText:
			escaped, inText = c == '\\', c != '"'
		case c == '"':
			inText, comma = true, -1
		case c == ',':
			comma = len(out)
		case (c == ']' || c == '}') && comma >= 0:
			out = append(out[:comma], out[comma+1:]...)
			comma = -1
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			comma = -1
		}
		out = append(out, c)
	}
	return string(out)
}
