package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/condition"
	"triggerd/internal/suggest"
	"triggerd/internal/tomlpos"
)

// view is a value in the document with its place. Decoding reads from it, and
// reports mistakes at it.
type view struct {
	l     *loader
	s     *source
	v     any
	n     *tomlpos.Node // nil where the place is not known
	path  string        // from the root of the document; set only if it was never a file
	rule  string        // name of the rule it is in
	field string        // path inside the rule, or from the root
	shift int           // bytes to add to the place, for a part of a string
	atKey bool          // report at the key, not at the value
	code  string        // of a warning: see as
	form  form          // of the text
}

// errorf reports a mistake at the value, unless nothing can be said of that: see
// Options.Offline.
func (v view) errorf(hint, format string, args ...any) {
	if !v.l.pretends(v.n) {
		v.mistake(hint, format, args...)
	}
}

// mistake reports a mistake at the value, whatever it is.
func (v view) mistake(hint, format string, args ...any) {
	if v.l.enough(v.l.errors) {
		return
	}
	v.l.addError(v.s, v.newError(hint, fmt.Sprintf(format, args...)))
}

// as returns the view with the code of the warning that it is to report.
func (v view) as(code string) view {
	v.code = code
	return v
}

// warnf reports a warning at the value. Each has a code: v.as("a-code").warnf.
func (v view) warnf(hint, format string, args ...any) {
	if v.l.enough(v.l.warnings) {
		return
	}
	e := v.newError(hint, fmt.Sprintf(format, args...))
	e.Code = v.code
	v.l.warnings = append(v.l.warnings, v.l.setOrder(v.s, e))
}

// notef reports at the value what is no mistake.
func (v view) notef(hint, format string, args ...any) {
	if v.l.enough(v.l.notes) {
		return
	}
	v.l.notes = append(v.l.notes, v.l.setOrder(v.s, v.newError(hint, fmt.Sprintf(format, args...))))
}

func (v view) newError(hint, msg string) *Error {
	e := &Error{Rule: v.rule, Field: v.field, Msg: msg, Hint: hint}
	if v.s.built {
		e.Field = v.path
		return e
	}
	v.l.place(v.s, v.offset(), e)
	return e
}

func (v view) offset() int {
	switch {
	case v.n == nil:
		return 0
	case v.atKey && v.n.Key >= 0:
		return v.n.Key
	}
	return min(v.n.Value+v.shift, len(v.s.text))
}

// place says where the value is, for messages that name two places.
func (v view) place() string {
	if v.s.built {
		return v.path
	}
	line, col := v.s.lines.Place(v.offset())
	return fmt.Sprintf("%s:%d:%d", v.s.name, line, col)
}

// inString returns a view of the part of the string that begins at off.
func (v view) inString(off int) view {
	if v.n != nil && v.n.End <= len(v.s.text) && v.n.Value < v.n.End {
		if n := tomlpos.Offset(v.s.text[v.n.Value:v.n.End], off); n > 0 {
			v.shift = n
		}
	}
	return v
}

func (v view) kid(name string, value any) view {
	k := view{l: v.l, s: v.s, v: value, rule: v.rule, field: join(v.field, name)}
	if v.s.built {
		k.path = join(v.path, name)
	}
	if v.n != nil {
		k.n = v.n.Members[name]
		if k.n == nil {
			k.n = v.n
		}
	}
	return k
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (v view) elem(i int, value any) view {
	e := v
	e.v = value
	if v.s.built {
		e.path = v.path + "[" + strconv.Itoa(i) + "]"
	}
	if v.n != nil && i < len(v.n.Elements) {
		e.n = v.n.Elements[i]
	}
	return e
}

// kindOfValue names the type of a value for messages.
func kindOfValue(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case int64:
		return "an integer"
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case time.Time:
		return "a date or time"
	}
	return fmt.Sprintf("a %T", v)
}

func (v view) wrongType(want, hint string) {
	v.errorf(hint, "wants %s, not %s", want, kindOfValue(v.v))
}

// text returns the value as it is written, without expansion.
func (v view) text() (string, bool) {
	s, ok := v.v.(string)
	if !ok {
		v.wrongType("text", "")
	}
	return s, ok
}

// str returns the value as text, expanded.
func (v view) str() (string, bool) {
	s, ok := v.text()
	if !ok {
		return "", false
	}
	return v.expand(s)
}

// oneOf returns a text that must be one of words.
func (v view) oneOf(words ...string) (string, bool) {
	s, ok := v.str()
	if ok && !slices.Contains(words, s) {
		hint := suggest.DidYouMean(s, slices.Values(words))
		v.errorf(hint, "%s is not one of %s", v.shown(s), strings.Join(words, ", "))
		return "", false
	}
	return s, ok
}

// choose is oneOf for a type of its own.
func choose[T ~string](v view, of []T) (T, bool) {
	words := make([]string, len(of))
	for i, w := range of {
		words[i] = string(w)
	}
	word, ok := v.oneOf(words...)
	return T(word), ok
}

// shown returns a value as a message shows it. An expanded value is not shown,
// since it may be secret.
func (v view) shown(s string) string {
	if written, _ := v.v.(string); written != s {
		return "the value"
	}
	return strconv.Quote(s)
}

func (v view) boolean() (b, ok bool) {
	b, ok = v.v.(bool)
	if !ok {
		v.wrongType("true or false", "")
	}
	return b, ok
}

func (v view) integer(lo, hi int) (int, bool) {
	n, ok := v.v.(int64)
	if !ok {
		v.wrongType("an integer", "")
		return 0, false
	}
	if n < int64(lo) || n > int64(hi) {
		v.errorf("", "%d is not between %d and %d", n, lo, hi)
		return 0, false
	}
	return int(n), true
}

// number returns an int64 or a float64. It warns where that is not what is
// written.
func (v view) number() (any, bool) {
	switch n := v.v.(type) {
	case int64:
		return n, true
	case float64:
		if math.IsNaN(n) || math.IsInf(n, 0) {
			v.errorf("", "wants a number, not %v", n)
			return nil, false
		}
		if v.n != nil && v.n.End <= len(v.s.text) && v.n.Value < v.n.End {
			if exact, warning := condition.ReadNumber(strings.TrimSpace(v.s.text[v.n.Value:v.n.End])); exact != nil {
				if warning != "" {
					v.as("rounded").warnf("", "%s", warning)
				}
				return exact, true
			}
		}
		return n, true
	}
	v.wrongType("a number", "")
	return nil, false
}

// report files what was found about an expression that the value is.
func (v view) report(r condition.Report) {
	for _, p := range r.Problems {
		v.inString(p.Offset).errorf(p.Hint, "%s", p.Msg)
	}
	for _, p := range r.Warnings {
		v.inString(p.Offset).as(p.Code).warnf(p.Hint, "%s", p.Msg)
	}
}

// duration reads Go's durations and days: "1h30m", "7d", "1d12h".
func (v view) duration(lo time.Duration) (time.Duration, bool) {
	if _, isText := v.v.(string); !isText {
		v.wrongType("a duration", `write "10s", "5m", "1h30m", "7d"`)
		return 0, false
	}
	s, ok := v.str()
	if !ok {
		return 0, false
	}
	d, err := parseDuration(s)
	if err != nil {
		v.errorf(`write "10s", "5m", "1h30m", "7d"`, "%s is not a duration", v.shown(s))
		return 0, false
	}
	if d < lo {
		v.errorf("", "%s is less than %s", v.shown(s), lo)
		return 0, false
	}
	return d, true
}

// size parses a number of bytes: "512MiB", "1GB", or a bare integer.
func (v view) size() (int64, bool) {
	if n, isInt := v.v.(int64); isInt && n > 0 {
		return n, true
	}
	if _, isText := v.v.(string); !isText {
		v.wrongType("a size", `write "512MiB", "2GiB"`)
		return 0, false
	}
	s, ok := v.str()
	if !ok {
		return 0, false
	}
	digits := strings.TrimRight(s, "KMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, known := sizeUnits[s[len(digits):]]
	if err != nil || !known || n <= 0 || n > math.MaxInt64/unit {
		v.errorf(`write "512MiB", "2GiB"`, "%s is not a size", v.shown(s))
		return 0, false
	}
	return n * unit, true
}

var sizeUnits = map[string]int64{
	"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

func parseDuration(s string) (time.Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err == nil && more < 0 {
		err = fmt.Errorf("negative part")
	}
	return d + more, err
}

// each calls f for the value, or for each element if it is a list.
func (v view) each(f func(view)) {
	list, ok := v.v.([]any)
	if !ok {
		f(v)
		return
	}
	if len(list) == 0 {
		v.errorf("leave the field out", "an empty list matches nothing")
	}
	for i, e := range list {
		f(v.elem(i, e))
	}
}

// table is a table that is being decoded. It remembers which fields it was
// asked for, so that the others can be reported as unknown.
type table struct {
	view
	m      map[string]any
	asked  []string
	others []string // fields that it may have but does not
}

func (v view) table() (*table, bool) {
	m, ok := v.v.(map[string]any)
	if !ok {
		v.wrongType("a table", "")
		return nil, false
	}
	t := &table{view: v, m: m}
	if n := len(v.l.spare); n > 0 {
		t.asked, v.l.spare = v.l.spare[n-1], v.l.spare[:n-1]
	}
	return t, true
}

// get returns a field, and whether it is there.
func (t *table) get(name string) (view, bool) {
	t.asked = append(t.asked, name)
	v, ok := t.m[name]
	if !ok {
		return view{}, false
	}
	return t.kid(name, v), true
}

// has reports whether a field is there. It does not count as asking for it.
func (t *table) has(name string) bool {
	_, ok := t.m[name]
	return ok
}

// hasAny reports whether one of the names is there.
func (t *table) hasAny(names map[string]bool) bool {
	for name := range t.m {
		if names[name] {
			return true
		}
	}
	return false
}

// done reports every field that was not asked for, and ends the decoding of the
// table. later are fields that this version does not have yet.
func (t *table) done(later ...string) {
	defer func() { t.l.spare, t.asked = append(t.l.spare, t.asked[:0]), nil }()
	if t.allAsked() {
		return
	}
	for name := range sortedKeys(t.m) {
		if slices.Contains(t.asked, name) {
			continue
		}
		v := t.kid(name, t.m[name])
		v.atKey = true
		if slices.Contains(later, name) {
			v.errorf("", "this version of triggerd does not have %s", name)
			continue
		}
		v.field = t.field
		known := slices.Compact(slices.Sorted(slices.Values(slices.Concat(t.asked, t.others))))
		hint := suggest.DidYouMean(name, slices.Values(known))
		if hint == "" && len(known) > 0 && len(known) <= fewFields {
			hint = "there are " + strings.Join(known, ", ")
		}
		v.errorf(hint, "unknown field %s", name)
	}
}

// fewFields is of how many fields a table may be to have all of them named where
// another is written.
const fewFields = 8

func (t *table) allAsked() bool {
	for name := range t.m {
		if !slices.Contains(t.asked, name) {
			return false
		}
	}
	return true
}

// read calls f with a field, if it is there, and keeps the result.
func read[T any](t *table, name string, dst *T, f func(view) (T, bool)) {
	if v, ok := t.get(name); ok {
		if value, ok := f(v); ok {
			*dst = value
		}
	}
}
