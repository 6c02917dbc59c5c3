package rules

import (
	"strconv"
	"strings"
)

// form is what a text with references in it is, beside text.
type form uint8

const (
	formTemplate form = 1 << iota // what a reference stands for is none of the template
	formURL                       // what a reference stands for is a part of the URL's part that it is in
)

// segment is a piece of a text: written in the file, or a reference.
type segment struct {
	text  string // as it is written; of a reference what it stands for
	isRef bool
}

// expand replaces ${env:NAME}, ${env:NAME:-default}, ${file:/path} and
// ${credential:NAME} in a value; $${ is a literal ${. A URL or a template is
// split first, so that it stays what it is whatever the values are. ok is false
// if a mistake was reported.
func (v view) expand(s string) (out string, ok bool) {
	if !strings.Contains(s, "${") {
		return s, true
	}
	segments, ok := v.segments(s)
	if !ok {
		return "", false
	}
	if v.form&formURL != 0 {
		encodeInURL(segments, v.form&formTemplate != 0)
	}
	if v.form&formTemplate != 0 && !v.quoteInTemplate(segments) {
		return "", false
	}
	var b strings.Builder
	for _, seg := range segments {
		b.WriteString(seg.text)
	}
	return b.String(), true
}

// segments splits a text, and resolves its references.
func (v view) segments(s string) (segments []segment, ok bool) {
	ok = true
	var b strings.Builder
	literal := func() {
		if b.Len() > 0 {
			segments = append(segments, segment{text: b.String()})
			b.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			b.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				v.inString(i).errorf("write $${ for a literal ${", "${ without }")
				return nil, false
			}
			literal()
			value, found := v.resolve(i, s[i+2:i+end])
			segments = append(segments, segment{value, true})
			ok = ok && found
			i += end + 1
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	literal()
	return segments, ok
}

// encodeInURL percent-encodes what references in a URL stand for, as far as it
// would end the part of the URL that the reference is in. What a URL begins
// with, and its host, is left as it is: it may be a whole URL.
func encodeInURL(segments []segment, template bool) {
	const blank = "\x00" // stands for a reference
	var shape strings.Builder
	for _, seg := range segments {
		if seg.isRef {
			shape.WriteString(blank)
		} else {
			shape.WriteString(strings.ReplaceAll(seg.text, blank, " "))
		}
	}
	parts := splitURL(shape.String())
	inside := templateLexer{}
	at := 0
	for i := range segments {
		seg := &segments[i]
		if !seg.isRef {
			inside.read(seg.text)
			at += len(seg.text)
			continue
		}
		if !template || inside.state == lexText {
			seg.text = parts.encode(seg.text, at)
			if template { // braces are no part of a URL, but may begin a template
				seg.text = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(seg.text)
			}
		}
		at += len(blank)
	}
}

// urlParts says where the parts of a URL begin.
type urlParts struct {
	shape                        string
	authority, host, path, query int // where they begin; the length of the shape if they are not there
}

// splitURL splits a URL in which a byte stands for each reference.
func splitURL(shape string) urlParts {
	p := urlParts{shape: shape, authority: len(shape), host: len(shape), path: len(shape), query: len(shape)}
	scheme := strings.Index(shape, "://")
	if scheme < 0 {
		return p
	}
	p.authority = scheme + len("://")
	if i := strings.IndexAny(shape[p.authority:], "/?#"); i >= 0 {
		p.path = p.authority + i
	}
	p.host = p.authority + strings.LastIndexByte(shape[p.authority:p.path], '@') + 1
	if i := strings.IndexByte(shape[p.path:], '?'); i >= 0 {
		p.query = p.path + i
	}
	return p
}

// encode percent-encodes what the reference at a place stands for.
func (p *urlParts) encode(value string, at int) string {
	switch {
	case at < p.authority || at >= p.host && at < p.path:
		return value
	case at < p.host:
		return p.encodeUser(value)
	case at < p.query:
		return percentEncode(value, "/!$&'()*+,;=:@")
	case strings.IndexByte("?&", p.shape[at-1]) >= 0: // name=value, or several of them
		return percentEncode(value, "/?!$&'()*+,;=:@%")
	}
	return percentEncode(value, "")
}

// encodeUser percent-encodes the user, the password, or, where a single
// reference is all of it, both with a colon between them.
func (p *urlParts) encodeUser(value string) string {
	user, password, both := strings.Cut(value, ":")
	if both && p.host-p.authority == len("\x00@") {
		return percentEncode(user, "") + ":" + percentEncode(password, "")
	}
	return percentEncode(value, "")
}

// percentEncode encodes all bytes but letters, digits, "-._~" and those to keep.
func percentEncode(s, keep string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// quoteInTemplate has a template write what references stand for as it is,
// whatever is in it.
func (v view) quoteInTemplate(segments []segment) bool {
	lexer := templateLexer{}
	ok := true
	for i := range segments {
		seg := &segments[i]
		if !seg.isRef {
			lexer.read(seg.text)
			continue
		}
		switch lexer.state {
		case lexText:
			if mayBeTemplate(segments, i) {
				quoteAction(segments, i)
			}
		case lexQuoted:
			quoted := strconv.Quote(seg.text)
			seg.text = quoted[1 : len(quoted)-1]
		case lexComment:
			seg.text = ""
		default:
			v.errorf(`write "${...}", in quotes`, "template: a reference inside of {{ and }} is no part of it")
			ok = false
		}
	}
	return ok
}

// mayBeTemplate reports whether a reference outside of all actions of a template
// would stand for one, or for a part of one, or could lose its outer spaces to
// the actions beside it.
func mayBeTemplate(segments []segment, i int) bool {
	text := segments[i].text
	if strings.Contains(text, "{{") || strings.TrimSpace(text) != text {
		return true
	}
	if i > 0 && strings.HasSuffix(segments[i-1].text, "{") && strings.HasPrefix(text, "{") {
		return true
	}
	return strings.HasSuffix(text, "{") && i+1 < len(segments) && (segments[i+1].isRef || strings.HasPrefix(segments[i+1].text, "{"))
}

// quoteAction makes an action that writes what a reference stands for, and a
// brace before it, which would else be the first of the action's.
func quoteAction(segments []segment, i int) {
	text := segments[i].text
	if i > 0 && !segments[i-1].isRef {
		if before, ok := strings.CutSuffix(segments[i-1].text, "{"); ok {
			segments[i-1].text, text = before, "{"+text
		}
	}
	segments[i].text = "{{" + strconv.Quote(text) + "}}"
}

// lexState is where in a template something is.
type lexState uint8

const (
	lexText    lexState = iota // outside of all actions
	lexAction                  // inside of {{ and }}
	lexQuoted                  // inside of "" in an action
	lexRaw                     // inside of ``, or of a character, in an action
	lexComment                 // inside of {{/* and */}}
)

// templateLexer follows a template from its beginning.
type templateLexer struct {
	state lexState
	end   byte // of lexRaw
}

// read goes on through text.
func (x *templateLexer) read(text string) {
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch x.state {
		case lexText:
			if strings.HasPrefix(rest, "{{") {
				x.state = lexAction
				if comment := strings.TrimPrefix(rest[2:], "- "); strings.HasPrefix(comment, "/*") {
					x.state = lexComment
				}
				i++
			}
		case lexAction:
			switch {
			case strings.HasPrefix(rest, "}}"):
				x.state = lexText
				i++
			case rest[0] == '"':
				x.state = lexQuoted
			case rest[0] == '`' || rest[0] == '\'':
				x.state, x.end = lexRaw, rest[0]
			}
		case lexQuoted:
			if rest[0] == '\\' {
				i++
			} else if rest[0] == '"' {
				x.state = lexAction
			}
		case lexRaw:
			if rest[0] == x.end {
				x.state = lexAction
			}
		case lexComment:
			if strings.HasPrefix(rest, "*/") {
				x.state = lexAction
			}
		}
	}
}
