package tmpl

import (
	"errors"
	"fmt"
	"strings"
)

// place is where in JSON a template is, between two of its nodes.
type place struct {
	open   string // what is open, outermost first: '{' and '['
	inText bool   // in a string
	escape int    // in a string: characters of an escape that are to come
	in     position
	joined bool // an action's value is right before
	bare   bool // after a colon: on one way at least, nothing has been written
}

// position is what was last, outside a string.
type position uint8

const (
	atStart position = iota // what opens, or a comma: a name or a value is next
	afterColon
	afterValue
	inToken // a number, true, false, null: more of it may come
)

// after returns the place behind a text.
func (p place) after(text []byte) (place, error) {
	for i, c := range text {
		var err error
		switch {
		case p.inText:
			p = p.inString(c)
		case p.joined && strings.IndexByte(" \t\r\n,:]}", c) < 0:
			return p, fmt.Errorf("in JSON, %q is right behind the value of an action; put both into quotes", text[i:min(i+10, len(text))])
		default:
			if p, err = p.outside(c); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func (p place) inString(c byte) place {
	switch {
	case p.escape == escapeBegins && c == 'u':
		p.escape = 4
	case p.escape == escapeBegins:
		p.escape = 0
	case p.escape > 0:
		p.escape--
	case c == '\\':
		p.escape = escapeBegins
	case c == '"':
		p.inText, p.in = false, afterValue
	}
	return p
}

// escapeBegins is the place right behind a backslash.
const escapeBegins = 5

var errNoValue = errors.New("in JSON, a name may have no value, since a branch of if, with or range writes none; write one, such as null, after {{else}}")

func (p place) outside(c byte) (place, error) {
	p.joined = false
	if p.bare && strings.IndexByte(",]}", c) >= 0 {
		return p, errNoValue
	}
	p.bare = p.bare && strings.IndexByte(" \t\r\n", c) >= 0
	switch c {
	case ' ', '\t', '\r', '\n':
		if p.in == inToken {
			p.in = afterValue
		}
	case '{', '[':
		p.open += string(c)
		p.in = atStart
	case '}', ']':
		if p.open == "" || p.open[len(p.open)-1] != map[byte]byte{'}': '{', ']': '['}[c] {
			return p, fmt.Errorf("the JSON has a %c that nothing opens", c)
		}
		p.open = p.open[:len(p.open)-1]
		p.in = afterValue
	case ',':
		p.in = atStart
	case ':':
		p.in, p.bare = afterColon, true
	case '"':
		p.inText = true
	default:
		p.in = inToken
	}
	return p, nil
}

// write returns the function that writes an action's value here, and the place
// behind it.
func (p place) write() (function string, after place, err error) {
	switch {
	case p.inText && p.escape > 0:
		return "", p, errors.New("in JSON, an action is right behind a backslash")
	case p.inText:
		return stringFunction, p, nil
	case p.in == inToken || p.joined:
		return "", p, errors.New("in JSON, an action is right behind a value; put both into quotes")
	}
	function = valueFunction
	if p.in == atStart && strings.HasSuffix(p.open, "{") {
		function = keyFunction
	}
	p.in, p.joined, p.bare = afterValue, true, false
	return function, p, nil
}

// agrees reports whether two ways through a template end in the same place.
func (p place) agrees(q place) bool {
	return p.inText == q.inText && p.escape == q.escape && p.open == q.open
}

// or is the place after one of two ways, which agree.
func (p place) or(q place) place {
	p.joined, p.bare = p.joined || q.joined, p.bare || q.bare
	p.in = min(p.in, q.in) // with a comma or without: a name may be next
	if q.in == inToken || p.in == inToken {
		p.in = max(p.in, q.in)
	}
	return p
}
