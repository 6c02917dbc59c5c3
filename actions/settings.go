package actions

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/suggest"
	"triggerd/internal/tmpl"
)

// Settings is what an action is made from: what the user wrote into the fields
// of its kind, taken one by one, and the Options, whose defaults are filled in.
//
// A method that takes a field returns its zero value and false where the field
// is not there, or has a mistake, which is noted. To take a field that the kind
// does not declare is a fault of the kind, and panics. Settings are used by one
// goroutine, and not after Kind.New returned.
type Settings struct {
	Options

	declared []Field
	anyName  bool // of a TextTable: there are no declared fields, and each is a text
	values   map[string]any
	prefix   string // "tls." for the fields of a table
	mistakes *[]*FieldError
}

// Fail notes a mistake in a field: what is wrong and what to write instead.
func (s *Settings) Fail(name, format string, args ...any) {
	*s.mistakes = append(*s.mistakes, &FieldError{Name: s.Path(name), Err: fmt.Errorf(format, args...)})
}

// Path returns a field's name with those of the tables that it is in before it.
func (s *Settings) Path(name string) string { return s.prefix + name }

// err returns the mistakes, joined, sorted by field: a map has no order of its
// own and messages should. Secrets are masked.
func (s *Settings) err() error {
	slices.SortStableFunc(*s.mistakes, func(a, b *FieldError) int { return strings.Compare(a.Name, b.Name) })
	var all []error
	for _, e := range *s.mistakes {
		e.Err = s.Secrets.MaskError(e.Err)
		all = append(all, e)
	}
	return errors.Join(all...)
}

// unknown notes the fields that are not declared.
func (s *Settings) unknown(alsoSuggest []string) {
	for name, value := range s.values { // err sorts
		i := slices.IndexFunc(s.declared, func(f Field) bool { return f.Name == name })
		if i < 0 {
			s.Fail(name, "%w%s", errUnknownField, didYouMean(name, append(fieldNames(s.declared), alsoSuggest...)))
		} else if m, ok := value.(map[string]any); ok && s.declared[i].Type == Table {
			s.inTable(&s.declared[i], m).unknown(nil)
		}
	}
}

func fieldNames(fields []Field) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names
}

// didYouMean returns a ready half-sentence naming the candidate nearest to a
// misspelt word, or "" where none is near.
func didYouMean(word string, candidates []string) string {
	if hint := suggest.DidYouMean(word, slices.Values(candidates)); hint != "" {
		return "; " + hint
	}
	return ""
}

// field returns the declaration of a field.
func (s *Settings) field(name string) *Field {
	if s.anyName {
		return &Field{Name: name}
	}
	for i := range s.declared {
		if s.declared[i].Name == name {
			return &s.declared[i]
		}
	}
	panic("actions: a kind takes the field " + strconv.Quote(s.Path(name)) + ", and does not declare it")
}

func (s *Settings) get(name string) (any, bool) {
	s.field(name)
	v, ok := s.values[name]
	return v, ok
}

// Has reports whether a field is there, with a mistake or without.
func (s *Settings) Has(name string) bool {
	_, ok := s.get(name)
	return ok
}

// IsText reports whether a field is there and is one text, where it may be
// something else.
func (s *Settings) IsText(name string) bool {
	v, _ := s.get(name)
	_, ok := v.(string)
	return ok
}

// Text takes a string.
func (s *Settings) Text(name string) (string, bool) {
	v, ok := s.get(name)
	if !ok {
		return "", false
	}
	text, ok := v.(string)
	if !ok {
		s.Fail(name, "must be a string, not %s", tomlType(v))
	}
	return text, ok
}

// Choice takes a string that must be one of the field's Values. It returns the
// field's Default and false where it is not there, or not one of them.
func (s *Settings) Choice(name string) (string, bool) {
	f := s.field(name)
	standard := strings.Trim(f.Default, `"`)
	text, ok := s.Text(name)
	if ok && slices.Contains(f.Values, text) {
		return text, true
	}
	if ok {
		told := slices.DeleteFunc(slices.Clone(f.Values), func(v string) bool { return v == standard })
		if len(told) < len(f.Values) {
			told = slices.Insert(told, 0, standard) // what most will want comes first
		}
		s.Fail(name, "must be one of %s, not %q%s", strings.Join(told, ", "), text, didYouMean(text, f.Values))
	}
	return standard, false
}

// Flag takes a boolean; false where it is not there.
func (s *Settings) Flag(name string) bool {
	v, ok := s.get(name)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		s.Fail(name, "must be true or false, not %s", tomlType(v))
	}
	return b
}

// List takes a list as it is. The caller does not change it.
func (s *Settings) List(name string) ([]any, bool) {
	v, ok := s.get(name)
	if !ok {
		return nil, false
	}
	l, ok := v.([]any)
	if !ok {
		s.Fail(name, "must be a list, not %s", tomlType(v))
	}
	return l, ok
}

// Texts takes a list of strings. The caller owns it.
func (s *Settings) Texts(name string) ([]string, bool) {
	l, ok := s.List(name)
	all := make([]string, len(l))
	for i, v := range l {
		text, isText := v.(string)
		if !isText {
			s.Fail(name, "element %d must be a string, not %s", i+1, tomlType(v))
			ok = false
		}
		all[i] = text
	}
	return all, ok
}

// TextOrTexts takes one string, which makes a list of one, or a list of strings.
func (s *Settings) TextOrTexts(name string) ([]string, bool) {
	v, _ := s.get(name)
	if _, many := v.([]any); many {
		return s.Texts(name)
	}
	text, ok := s.Text(name)
	if !ok {
		return nil, false
	}
	return []string{text}, true
}

// Table takes a table, whose fields report themselves as name.field.
func (s *Settings) Table(name string) (*Settings, bool) {
	f := s.field(name)
	v, ok := s.values[name]
	if !ok {
		return nil, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		s.Fail(name, "must be a table ({ a = \"b\" }), not %s", tomlType(v))
		return nil, false
	}
	return s.inTable(f, m), true
}

func (s *Settings) inTable(f *Field, values map[string]any) *Settings {
	return &Settings{Options: s.Options, declared: f.Fields, anyName: f.Type == TextTable, values: values, prefix: s.Path(f.Name) + ".", mistakes: s.mistakes}
}

// Names returns the names that the user wrote, sorted: of a TextTable.
func (s *Settings) Names() []string { return slices.Sorted(maps.Keys(s.values)) }

// Template parses text, which is the value of a field or a part of it. It
// returns nil after a mistake.
func (s *Settings) Template(name, text string) *tmpl.Template {
	return s.parsed(name, text, tmpl.New)
}

// URLTemplate is Template of path and query of a URL: see tmpl.NewURL.
func (s *Settings) URLTemplate(name, text string) *tmpl.Template {
	return s.parsed(name, text, tmpl.NewURL)
}

// JSONTemplate is Template of JSON: see tmpl.NewJSON.
func (s *Settings) JSONTemplate(name, text string) *tmpl.Template {
	return s.parsed(name, text, tmpl.NewJSON)
}

func (s *Settings) parsed(name, text string, parse func(string) (*tmpl.Template, error)) *tmpl.Template {
	t, err := parse(text)
	if err != nil {
		s.Fail(name, "%w", err)
		return nil
	}
	return t
}

func tomlType(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return fmt.Sprintf("a %T", v)
}
