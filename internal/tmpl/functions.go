package tmpl

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"triggerd/internal/event"
)

// functions are those of templates, beside Go's own.
var functions = template.FuncMap{
	"json":       jsonText,
	"b64":        func(v any) string { return base64.StdEncoding.EncodeToString([]byte(asString(v))) },
	"text":       func(v any) string { return string(event.AppendText(nil, asString(v))) },
	"upper":      func(v any) string { return strings.ToUpper(asString(v)) },
	"lower":      func(v any) string { return strings.ToLower(asString(v)) },
	"pathescape": func(v any) string { return Encode(asString(v), unreserved) },
}

func asString(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return fmt.Sprint(v)
}

func jsonText(v any) (string, error) {
	b, err := appendJSONValue(nil, v)
	return string(b), err
}

// appendJSONValue appends one of the values that templates can reach.
// encoding/json alone would put U+FFFD for bytes that are not UTF-8.
func appendJSONValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return event.AppendJSONBytes(dst, v), nil
	case stamp:
		if v.IsZero() {
			return append(dst, "null"...), nil
		}
		return event.AppendJSONBytes(dst, v.String()), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case []string:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = event.AppendJSONBytes(dst, s)
		}
		return append(dst, ']'), nil
	case []map[string]any:
		dst = append(dst, '[')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSONObject(dst, m); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case map[string]string:
		return appendJSONObject(dst, v)
	case map[string]any:
		return appendJSONObject(dst, v)
	}
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func appendJSONObject[V any](dst []byte, m map[string]V) ([]byte, error) {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendJSONBytes(dst, strings.ToValidUTF8(name, "\ufffd"))
		dst = append(dst, ':')
		var err error
		if dst, err = appendJSONValue(dst, m[name]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// Encode percent-encodes every byte but those that keep wants as they are.
func Encode(s string, keep func(byte) bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if keep(c) {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// unreserved reports whether a byte means itself anywhere in a URL (RFC 3986
// section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
