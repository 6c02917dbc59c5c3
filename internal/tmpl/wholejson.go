package tmpl

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

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
