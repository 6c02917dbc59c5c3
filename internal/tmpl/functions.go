package tmpl

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"triggerd/internal/event"
)

func base64Text(s string) string  { return base64.StdEncoding.EncodeToString([]byte(s)) }
func queryEscape(s string) string { return url.QueryEscape(s) }

// asTextsTo is asTextTo of several values, as Go's own functions take them.
func (r *run) asTextsTo(change func(string) string) func(...any) (string, error) {
	return func(vs ...any) (string, error) {
		s, err := r.print(vs...)
		if err != nil {
			return "", err
		}
		return r.gives(change(s))
	}
}

// plain returns values as Go's print functions take them, and how long they are.
func (r *run) plain(vs []any) ([]any, error) {
	list := make([]any, len(vs))
	n := 0
	for i, v := range vs {
		switch v := opened(v).(type) {
		case string, int, int64, float64, bool:
			list[i] = v
			if s, ok := v.(string); ok {
				n += len(s)
			}
		default:
			s, err := asText(v, maxMade)
			if err != nil {
				return nil, err
			}
			list[i] = s
			n += len(s)
		}
	}
	return list, r.takes(n)
}

func (r *run) print(vs ...any) (string, error) {
	list, err := r.plain(vs)
	if err != nil {
		return "", err
	}
	return r.gives(fmt.Sprint(list...))
}

func (r *run) println(vs ...any) (string, error) {
	list, err := r.plain(vs)
	if err != nil {
		return "", err
	}
	return r.gives(fmt.Sprintln(list...))
}

// printf is Go's, verb by verb, so that neither a width nor an argument that is
// named again and again makes more than is counted. A width may have three
// digits, and none may be an argument.
func (r *run) printf(format string, vs ...any) (string, error) {
	if err := r.takes(len(format)); err != nil {
		return "", err
	}
	args, err := r.plain(vs)
	if err != nil {
		return "", err
	}
	var out []byte
	next := 0
	for format != "" {
		head, verb, rest, err := cutVerb(format)
		if err != nil {
			return "", err
		}
		out, format = append(out, head...), rest
		switch {
		case verb.text == "":
			continue
		case verb.text == "%%":
			out = append(out, '%')
			continue
		case verb.arg > 0:
			next = verb.arg - 1
		}
		if next >= len(args) {
			return "", fmt.Errorf("%s has no argument", verb.text)
		}
		out = appendVerb(out, verb.text, args[next])
		next++
		if err := r.step(1); err != nil {
			return "", err
		}
		if len(out) > maxMade-r.made {
			return "", errTooMuch
		}
	}
	return r.gives(string(out))
}

// appendVerb appends an argument as a verb says it. Values of keys are text, and
// num makes a whole number of what is one, so a verb for numbers takes each that
// there is, and writes what is none as the text that it is.
func appendVerb(dst []byte, verb string, arg any) []byte {
	flags, letter := verb[:len(verb)-1], verb[len(verb)-1]
	var n any
	switch letter {
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if n = num(arg); n != nil {
			n = floatOf(n)
		}
	case 'b', 'c', 'd', 'o', 'O', 'U':
		n = num(arg)
		if f, ok := n.(float64); ok && letter != 'b' {
			if f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
				return fmt.Appendf(dst, numberless(flags)+"v", f)
			}
			n = int64(f)
		}
	case 's', 'q':
		text, _ := asText(arg, maxMade)
		return fmt.Appendf(dst, verb, text)
	case 't':
		if _, ok := arg.(bool); !ok {
			break
		}
		return fmt.Appendf(dst, verb, arg)
	default:
		return fmt.Appendf(dst, verb, arg)
	}
	if n == nil {
		return fmt.Appendf(dst, numberless(flags)+"v", arg)
	}
	return fmt.Appendf(dst, verb, n)
}

// numberless is the flags of a verb without those that only numbers have.
func numberless(flags string) string {
	width, _, _ := strings.Cut(flags, ".")
	return "%" + strings.TrimLeft(strings.TrimPrefix(width, "%"), "+# 0")
}

// verb is one verb of a format, without the number of its argument.
type verb struct {
	text string // "": none
	arg  int    // 1 for the first; 0: the next one
}

// cutVerb cuts a format behind its first verb.
func cutVerb(format string) (head string, v verb, rest string, err error) {
	head, rest, found := strings.Cut(format, "%")
	if !found {
		return head, v, "", nil
	}
	i := len(rest) - len(strings.TrimLeft(rest, "+-# 0123456789.[]*"))
	flags, rest := rest[:i], rest[i:]
	if rest == "" {
		return "", v, "", fmt.Errorf("the format ends in %%%s", flags)
	}
	if open := strings.IndexByte(flags, '['); open >= 0 {
		n, after, ok := strings.Cut(flags[open+1:], "]")
		if v.arg, err = strconv.Atoi(n); err != nil || !ok || v.arg < 1 || after != "" {
			return "", v, "", fmt.Errorf("%%%s is not understood", flags)
		}
		flags = flags[:open]
	}
	digits := 0
	for i := range len(flags) {
		if digits++; flags[i] < '0' || flags[i] > '9' {
			digits = 0
		}
		if digits > 3 || flags[i] == '*' || flags[i] == ']' {
			return "", v, "", fmt.Errorf("%%%s: a width is three digits at most", flags)
		}
	}
	_, size := utf8.DecodeRuneInString(rest)
	v.text = "%" + flags + rest[:size]
	if rest[0] == '%' {
		v.text = "%%"
	}
	return head, v, rest[size:], nil
}

// maxLayout is how long the layout of a time may be, of which each character may
// become several.
const maxLayout = 256

var errLayout = fmt.Errorf("the layout of a time has at most %d bytes", maxLayout)

// date formats a time: that of an event, milliseconds or seconds since 1970, or
// a text in RFC 3339. What is none is no text.
func (r *run) date(layout string, v any) (string, error) {
	if err := r.step(1); err != nil {
		return "", err
	}
	if len(layout) > maxLayout {
		return "", errLayout
	}
	t, ok := timeOf(v)
	if !ok {
		return "", nil
	}
	return r.gives(t.Format(layout))
}

func timeOf(v any) (time.Time, bool) {
	switch v := opened(v).(type) {
	case stamp:
		return v.t, !v.IsZero()
	case string:
		if t, err := time.Parse(time.RFC3339, v); err == nil {
			return t.UTC(), true
		}
	}
	var n int64
	switch v := num(v).(type) {
	case int64:
		n = v
	case float64:
		if math.IsNaN(v) || math.Abs(v) > 1e15 {
			return time.Time{}, false
		}
		n = int64(v)
	default:
		return time.Time{}, false
	}
	if -1e11 < n && n < 1e11 {
		return time.Unix(n, 0).UTC(), true
	}
	return time.UnixMilli(n).UTC(), true
}

// duration returns milliseconds as people write them: "1m30s".
func (r *run) duration(v any) (string, error) {
	if err := r.step(1); err != nil {
		return "", err
	}
	var d time.Duration
	switch n := num(v).(type) {
	case int64:
		if n < 0 || n > math.MaxInt64/int64(time.Millisecond) {
			return "", nil
		}
		d = time.Duration(n) * time.Millisecond
	case float64:
		if !(n >= 0 && n < 9e12) {
			return "", nil
		}
		d = time.Duration(n * float64(time.Millisecond))
	default:
		return "", nil
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return r.gives(text)
}

// round rounds to a number of digits behind the point: round 2 .x, or none:
// round .x. What is no number is nil.
func (r *run) round(vs ...any) (any, error) {
	if err := r.step(1); err != nil {
		return nil, err
	}
	digits := int64(0)
	switch len(vs) {
	case 1:
	case 2:
		n, ok := num(vs[0]).(int64)
		if !ok || n < 0 || n > 15 {
			return nil, fmt.Errorf("round: the digits are 0 to 15, not %v", vs[0])
		}
		digits = n
	default:
		return nil, errors.New("round: takes a number, or how many digits and a number")
	}
	n := num(vs[len(vs)-1])
	f, ok := n.(float64)
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return n, nil
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
	return num(strconv.FormatFloat(rounded, 'f', -1, 64)), nil
}

// num returns a value as a number: an int64 where that has it whole, else a
// float64, nil where it is none.
func num(v any) any {
	switch v := opened(v).(type) {
	case int:
		return int64(v)
	case int64, float64:
		return v
	case string:
		return numOfText(v)
	case raw:
		return numOfText(string(v))
	}
	return nil
}

func numOfText(s string) any {
	s = strings.TrimSpace(s)
	if len(s) > 400 {
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if strings.ContainsAny(s, "xXpP_") { // no number of Redis
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) {
		return nil
	}
	return f
}

// orDefault returns v, or other where there is none: nil, no text, no elements.
func orDefault(other, v any) any {
	v = opened(v)
	switch x := v.(type) {
	case nil:
		return other
	case string, []string, hash, zset, stream, map[string]string, []map[string]any:
		if length(x) == 0 {
			return other
		}
	case stamp:
		if x.IsZero() {
			return other
		}
	}
	return v
}

// length is how many characters a text has, or elements another value.
func length(v any) int {
	if h, ok := v.(held); ok && h.Value != nil && h.Type() != "string" {
		return h.Len()
	}
	switch v := opened(v).(type) {
	case string:
		return utf8.RuneCountInString(v)
	case raw:
		return utf8.RuneCountInString(string(v))
	case []string:
		return len(v)
	case hash:
		return len(v)
	case zset:
		return len(v)
	case stream:
		return len(v)
	case map[string]any:
		return len(v)
	case map[string]string:
		return len(v)
	case []map[string]any:
		return len(v)
	}
	return 0
}

// join joins the elements of a list.
func (r *run) join(between string, v any) (string, error) {
	list, ok := opened(v).([]string)
	if !ok {
		s, err := r.textOf(v)
		if err != nil {
			return "", err
		}
		return r.gives(s)
	}
	n := 0
	for _, s := range list {
		n += len(s) + len(between)
		if n > maxMade+len(between) {
			return "", errTooLarge
		}
	}
	if err := r.takes(n); err != nil {
		return "", err
	}
	return r.gives(strings.Join(list, between))
}

// truncate cuts a text after so many characters, the last of which then is "…".
func (r *run) truncate(n int, v any) (string, error) {
	s, err := r.textOf(v)
	if err != nil || n < 1 {
		return "", err
	}
	chars := 0
	last := 0
	for i := range s {
		if chars++; chars == n {
			last = i
		}
		if chars > n {
			return r.gives(s[:last] + "…")
		}
	}
	return r.gives(s)
}

// slice is a part of a text, by characters, or of a list; bounds that are not
// there are those of the value.
func (r *run) slice(v any, bounds ...int) (any, error) {
	if err := r.step(1); err != nil {
		return nil, err
	}
	if len(bounds) > 2 {
		return nil, errors.New("slice: takes two bounds at most")
	}
	v = opened(v)
	n := length(v)
	from, to := 0, n
	if len(bounds) > 0 {
		from = min(max(bounds[0], 0), n)
	}
	if len(bounds) > 1 {
		to = min(max(bounds[1], from), n)
	}
	switch v := v.(type) {
	case string:
		return characters(v, from, to), nil
	case raw:
		return characters(string(v), from, to), nil
	case []string:
		return v[from:to], nil
	case zset:
		return v[from:to], nil
	case stream:
		return v[from:to], nil
	case []map[string]any:
		return v[from:to], nil
	}
	return nil, nil
}

// characters is the part of a text that begins with one of its characters and
// ends before another; what is not UTF-8 is one for each byte.
func characters(s string, from, to int) string {
	begin, n := len(s), 0
	for i := range s {
		if n == from {
			begin = i
		}
		if n == to {
			return s[min(begin, i):i]
		}
		n++
	}
	return s[begin:]
}

// index is an element of a list by its number, a character of a text, or what is
// in a map by its name. It is nil where there is none: how many arguments there are
// is for the event to say.
func (r *run) index(v any, at ...any) (any, error) {
	for _, where := range at {
		if err := r.step(1); err != nil {
			return nil, err
		}
		var err error
		if s, ok := opened(v).(string); ok {
			if err := r.takes(len(s)); err != nil {
				return nil, err
			}
		}
		if v, err = indexOne(v, opened(where)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func indexOne(v, where any) (any, error) {
	if name, ok := where.(string); ok {
		return fieldOf(v, name)
	}
	n, ok := num(where).(int64)
	if !ok {
		return nil, fmt.Errorf("cannot index with %v", where)
	}
	v = opened(v)
	if n < 0 || n >= int64(length(v)) {
		return nil, nil
	}
	switch v := v.(type) {
	case []string:
		return v[n], nil
	case zset:
		return v[n], nil
	case stream:
		return v[n], nil
	case []map[string]any:
		return v[n], nil
	case string:
		return characters(v, int(n), int(n)+1), nil
	}
	return nil, nil
}

// equal reports whether a is one of the others: as numbers if one of the two is a
// number, else as what they are as JSON. It never fails for what they are.
func (r *run) equal(a any, others ...any) (bool, error) {
	if len(others) == 0 {
		return false, errors.New("missing argument for comparison")
	}
	for _, b := range others {
		if same, err := r.same(opened(a), opened(b)); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

func (r *run) same(a, b any) (bool, error) {
	if err := r.step(1); err != nil {
		return false, err
	}
	if a == nil || b == nil { // what is not there is an empty text
		return (a == nil || a == "") && (b == nil || b == ""), nil
	}
	if isNumber(a) || isNumber(b) {
		order, ok := compareNumbers(a, b)
		return ok && order == 0, nil
	}
	s, aText := a.(string)
	t, bText := b.(string)
	if aText && bText {
		return s == t, r.takes(min(len(s), len(t)))
	}
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false, nil
	}
	x, err := r.json(a)
	if err != nil {
		return false, err
	}
	y, err := r.json(b)
	return x == y, err
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, int64, float64:
		return true
	}
	return false
}

// compares reports what is says of the order of a and b: of numbers if one is a
// number, else of texts. What is not there is in no order.
func (r *run) compares(a, b any, is func(int) bool) (bool, error) {
	if err := r.step(1); err != nil {
		return false, err
	}
	a, b = opened(a), opened(b)
	s, aText := a.(string)
	t, bText := b.(string)
	if aText && bText {
		return is(strings.Compare(s, t)), r.takes(min(len(s), len(t)))
	}
	order, ok := compareNumbers(a, b)
	return ok && is(order), nil
}

// compareNumbers returns the order of what is a number, or can be read as one.
// Whole numbers are compared as they are, however large.
func compareNumbers(a, b any) (order int, ok bool) {
	x, y := num(a), num(b)
	if x == nil || y == nil {
		return 0, false
	}
	i, whole := x.(int64)
	j, both := y.(int64)
	if whole && both {
		return cmp.Compare(i, j), true
	}
	return cmp.Compare(floatOf(x), floatOf(y)), true
}

func floatOf(n any) float64 {
	if i, ok := n.(int64); ok {
		return float64(i)
	}
	return n.(float64)
}

// json is a value as JSON.
func (r *run) json(v any) (raw, error) {
	b, err := appendJSONValue(nil, v, maxMade-r.made)
	if err == nil {
		err = r.takes(len(b))
	}
	if err != nil {
		return "", err
	}
	s, err := r.gives(string(b))
	return raw(s), err
}

// appendJSONValue appends one of the values that templates can reach, and fails
// when dst is longer than limit. encoding/json alone would put U+FFFD for bytes
// that are not UTF-8.
func appendJSONValue(dst []byte, v any, limit int) ([]byte, error) {
	if len(dst) > limit {
		return dst, errTooMuch
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case held:
		return event.AppendJSONValue(dst, v.Value), nil
	case raw:
		return append(dst, v...), nil
	case string:
		if len(v) > limit {
			return dst, errTooMuch
		}
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
	case float64:
		return appendFloat(dst, v), nil
	case []string:
		return appendJSONList(dst, v, limit)
	case []map[string]any:
		return appendJSONList(dst, v, limit)
	case zset:
		return appendPairs(dst, v, "name", "score", limit)
	case stream:
		return appendPairs(dst, v, "id", "fields", limit)
	case hash:
		return appendJSONObject(dst, v, limit)
	case map[string]string:
		return appendJSONObject(dst, v, limit)
	case map[string]any:
		return appendJSONObject(dst, v, limit)
	}
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

// appendFloat appends a number; null for one that JSON does not have.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return event.AppendScore(dst, f)
}

func appendJSONList[V any](dst []byte, list []V, limit int) ([]byte, error) {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendJSONValue(dst, v, limit); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendPairs appends elements that are pairs, as the JSON of an event has them.
func appendPairs(dst []byte, list []map[string]any, first, second string, limit int) ([]byte, error) {
	pairs := make([][]any, len(list))
	for i, m := range list {
		pairs[i] = []any{m[first], m[second]}
	}
	dst = append(dst, '[')
	for i, pair := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendJSONList(dst, pair, limit); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendJSONObject[V any](dst []byte, m map[string]V, limit int) ([]byte, error) {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendJSONBytes(dst, strings.ToValidUTF8(name, "\ufffd"))
		dst = append(dst, ':')
		var err error
		if dst, err = appendJSONValue(dst, m[name], limit); err != nil {
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
