package actionstest

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"triggerd/actions"
)

// New makes an action of a kind, and closes it when the test has ended.
func New(t testing.TB, k *actions.Kind, fields map[string]any, o actions.Options) actions.Action {
	t.Helper()
	a, err := actions.Kinds{k}.New(k.Name, fields, o)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := a.(io.Closer); ok {
		t.Cleanup(func() { c.Close() })
	}
	return a
}

// Mistaken is what a user wrote with mistakes in it.
type Mistaken struct {
	Fields  map[string]any
	Options actions.Options
	Want    []string // each "field: part of its message", sorted
}

// CheckMistakes checks that exactly the mistakes wanted are found in each of
// tests, and no action is made.
func CheckMistakes(t *testing.T, k *actions.Kind, tests map[string]Mistaken) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := actions.Kinds{k}.New(k.Name, test.Fields, test.Options)
			if err == nil || a != nil {
				t.Fatalf("got %v, %v; want an error and no action", a, err)
			}
			var got []string
			for _, m := range mistakes(t, err) {
				got = append(got, m.Error())
			}
			slices.Sort(got)
			if len(got) != len(test.Want) {
				t.Fatalf("got %d mistakes\n%s\nwant %d", len(got), strings.Join(got, "\n"), len(test.Want))
			}
			for i := range got {
				if !strings.Contains(got[i], test.Want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], test.Want[i])
				}
			}
		})
	}
}

// mistakes returns the FieldErrors that err joins.
func mistakes(t *testing.T, err error) (all []*actions.FieldError) {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got a %T; want joined errors", err)
	}
	for _, e := range joined.Unwrap() {
		m, ok := errors.AsType[*actions.FieldError](e)
		if !ok || m.Field() == "" {
			t.Fatalf("%v is not a FieldError with a field", e)
		}
		all = append(all, m)
	}
	return all
}

// CheckFields checks that a kind takes each field that it declares, those of
// tables too, as what it declares: its type, whether it is required, and its
// values. A kind that takes another field panics. The configurations have no
// mistake, and each declared table is in one of them.
func CheckFields(t *testing.T, k *actions.Kind, configurations ...map[string]any) {
	c := fieldsCheck{t: t, kind: k, checked: map[string]bool{}}
	for _, fields := range configurations {
		if m := c.mistakes(fields); len(m) > 0 {
			t.Fatalf("%s: %v", k.Name, m)
		}
		c.check(k.Fields, "", fields, func(values map[string]any) map[string]any { return values })
	}
	c.checkAll(k.Fields, "")
}

// fieldsCheck is one run of CheckFields.
type fieldsCheck struct {
	t       *testing.T
	kind    *actions.Kind
	checked map[string]bool // paths of fields
}

// mistakes returns the mistakes by the paths of their fields.
func (c *fieldsCheck) mistakes(fields map[string]any) map[string]string {
	a, err := actions.Kinds{c.kind}.New(c.kind.Name, fields, actions.Options{})
	if closer, ok := a.(io.Closer); ok {
		closer.Close()
	}
	found := map[string]string{}
	for _, m := range mistakes(c.t, err) {
		found[m.Name] = m.Err.Error()
	}
	return found
}

// check checks the declared fields of the table at prefix, which has values in a
// configuration without a mistake; whole returns the configuration with others.
func (c *fieldsCheck) check(declared []actions.Field, prefix string, values map[string]any, whole func(map[string]any) map[string]any) {
	for _, f := range declared {
		with := func(value any) map[string]any {
			changed := map[string]any{}
			maps.Copy(changed, values)
			if changed[f.Name] = value; value == nil {
				delete(changed, f.Name)
			}
			return whole(changed)
		}
		c.checkField(f, prefix, values, func(value any) map[string]string { return c.mistakes(with(value)) })
		if inner, ok := values[f.Name].(map[string]any); ok && f.Type == actions.Table {
			c.check(f.Fields, prefix+f.Name+".", inner, func(table map[string]any) map[string]any { return with(table) })
		}
	}
}

// checkField checks a declared field of a table with these values, given the
// mistakes where it has a value, or none.
func (c *fieldsCheck) checkField(f actions.Field, prefix string, values map[string]any, with func(value any) map[string]string) {
	path := prefix + f.Name
	c.checked[path] = true
	if _, ok := with(1.5)[path]; !ok {
		c.t.Errorf("%s does not take %s, which it declares", c.kind.Name, path)
	}
	without := with(nil)
	_, here := without[path]
	_, above := without[strings.TrimSuffix(prefix, ".")] // of a table that needs several
	_, unnecessary := values[f.Unless]
	if (here || above) != (f.Required && !unnecessary) {
		c.t.Errorf("%s without %s: %v, and required is %v", c.kind.Name, path, without, f.Required)
	}
	for _, value := range valuesOf(f) {
		what := with(value)[path]
		if strings.HasPrefix(what, "must be one of ") || strings.HasPrefix(what, "must be ") && strings.Contains(what, ", not a") {
			c.t.Errorf("%s with %s = %v, which is what it declares: %s", c.kind.Name, path, value, what)
		}
	}
	if _, ok := with("none of them")[path]; f.Values != nil && !ok {
		c.t.Errorf("%s takes any %s", c.kind.Name, path)
	}
}

// checkAll checks that all declared fields were checked.
func (c *fieldsCheck) checkAll(declared []actions.Field, prefix string) {
	for _, f := range declared {
		if !c.checked[prefix+f.Name] {
			c.t.Errorf("no configuration of %s has the table that %s is in", c.kind.Name, prefix+f.Name)
		}
		c.checkAll(f.Fields, prefix+f.Name+".")
	}
}

// valuesOf returns values of the type that a field declares.
func valuesOf(f actions.Field) (all []any) {
	switch f.Type {
	case actions.Text:
		for _, value := range f.Values {
			all = append(all, value)
		}
		if f.Values == nil {
			all = append(all, "x")
		}
	case actions.Flag:
		all = append(all, true)
	case actions.Texts:
		all = append(all, []any{"x"})
	case actions.TextOrTexts:
		all = append(all, "x", []any{"x", "y"})
	case actions.TextTable:
		all = append(all, map[string]any{"x": "y"})
	case actions.Table:
		all = append(all, map[string]any{})
	case actions.Statuses:
		all = append(all, []any{int64(409), "5xx"})
	case actions.ExitCodes:
		all = append(all, []any{int64(1)})
	}
	return all
}
