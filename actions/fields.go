package actions

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// fields takes an action's TOML values one by one, in the types that a kind
// wants, and gathers what is wrong with them. A getter that found a mistake
// returns its zero value and false, as it does for a field that is not there.
type fields struct {
	values map[string]any
	prefix string   // "tls." for the fields of a table
	known  []string // names that were asked for
	errs   *[]*FieldError
}

func (d *fields) fail(name, format string, args ...any) {
	*d.errs = append(*d.errs, &FieldError{Name: d.prefix + name, Err: fmt.Errorf(format, args...)})
}

// err returns the mistakes, joined, sorted by field: a map has no order of its
// own and messages should.
func (d *fields) err() error {
	slices.SortStableFunc(*d.errs, func(a, b *FieldError) int { return strings.Compare(a.Name, b.Name) })
	var all []error
	for _, e := range *d.errs {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// unknown records the fields that nobody asked for.
func (d *fields) unknown(alsoSuggest []string) {
	for name := range d.values { // err sorts
		if !slices.Contains(d.known, name) {
			d.fail(name, "unknown field%s", didYouMean(name, append(slices.Clone(d.known), alsoSuggest...)))
		}
	}
}

func (d *fields) get(name string) (any, bool) {
	d.known = append(d.known, name)
	v, ok := d.values[name]
	return v, ok
}

// text takes a string, which is def where the field is not there.
func (d *fields) text(name, def string) (string, bool) {
	v, ok := d.get(name)
	if !ok {
		return def, def != ""
	}
	s, ok := v.(string)
	if !ok {
		d.fail(name, "must be a string, not %s", tomlType(v))
	}
	return s, ok
}

// choice takes a string that must be one of a few; the first is the default.
func (d *fields) choice(name string, of ...string) string {
	s, ok := d.text(name, of[0])
	if ok && !slices.Contains(of, s) {
		d.fail(name, "must be one of %s, not %q%s", strings.Join(of, ", "), s, didYouMean(s, of))
	}
	return s
}

func (d *fields) boolean(name string) bool {
	v, ok := d.get(name)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		d.fail(name, "must be true or false, not %s", tomlType(v))
	}
	return b
}

// list takes a list as it is.
func (d *fields) list(name string) ([]any, bool) {
	v, ok := d.get(name)
	if !ok {
		return nil, false
	}
	l, ok := v.([]any)
	if !ok {
		d.fail(name, "must be a list, not %s", tomlType(v))
	}
	return l, ok
}

// texts takes a list of strings.
func (d *fields) texts(name string) ([]string, bool) {
	l, ok := d.list(name)
	all := make([]string, len(l))
	for i, v := range l {
		s, isText := v.(string)
		if !isText {
			d.fail(name, "element %d must be a string, not %s", i+1, tomlType(v))
			ok = false
		}
		all[i] = s
	}
	return all, ok
}

// table takes a table, whose fields report themselves as name.field.
func (d *fields) table(name string) (*fields, bool) {
	v, ok := d.get(name)
	if !ok {
		return nil, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		d.fail(name, "must be a table ({ a = \"b\" }), not %s", tomlType(v))
		return nil, false
	}
	return &fields{values: m, prefix: d.prefix + name + ".", errs: d.errs}, true
}

// template parses text, the value of a field or of a part of it, and tries it
// on a sample. It returns nil after a mistake.
func (d *fields) template(name, text string, m templateMode) *tmpl {
	t, err := newTemplate(text, m)
	if err != nil {
		d.fail(name, "%w", err)
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
