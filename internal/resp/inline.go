package resp

import "errors"

var errQuotes = errors.New("unbalanced quotes")

// SplitInline splits a line into arguments as a server splits a command that is
// typed. The caller owns them.
func SplitInline(line []byte) ([][]byte, error) {
	text, spans, err := splitInline(nil, nil, line)
	if err != nil {
		return nil, err
	}
	args := make([][]byte, len(spans))
	for i, s := range spans {
		args[i] = text[s.from:s.to:s.to]
	}
	return args, nil
}

// splitInline splits a line into arguments as the server does: at white space,
// with "..." (escapes \n \r \t \b \a \xHH \\ \") and '...' (escape \') around
// arguments that hold any. It appends the arguments' bytes to dst and where
// each lies to spans.
func splitInline(dst []byte, spans []span, line []byte) ([]byte, []span, error) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return dst, spans, nil
		}
		from := len(dst)
		for i < len(line) && !isSpace(line[i]) {
			q := line[i]
			if q != '"' && q != '\'' {
				dst = append(dst, q)
				i++
				continue
			}
			var ok bool
			dst, i, ok = unquote(dst, line, i)
			if !ok || i < len(line) && !isSpace(line[i]) {
				return dst, spans, errQuotes
			}
		}
		spans = append(spans, span{from, len(dst)})
	}
}

// unquote appends the quoted text that starts at line[i], and returns the
// position behind its closing quote.
func unquote(dst, line []byte, i int) ([]byte, int, bool) {
	q := line[i]
	for i++; i < len(line); i++ {
		c := line[i]
		switch {
		case c == q:
			return dst, i + 1, true
		case c != '\\' || i+1 == len(line):
			dst = append(dst, c)
		case q == '\'':
			if line[i+1] == '\'' {
				i++
			}
			dst = append(dst, line[i])
		case line[i+1] == 'x' && i+3 < len(line) && hex(line[i+2]) >= 0 && hex(line[i+3]) >= 0:
			dst = append(dst, byte(hex(line[i+2])<<4|hex(line[i+3])))
			i += 3
		default:
			i++
			dst = append(dst, unescape(line[i]))
		}
	}
	return dst, i, false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
