package actions

import (
	"slices"
	"testing"
)

// A kind tells of the fields that it asks for, and of no other.
func TestFieldsAreThoseAskedFor(t *testing.T) {
	for _, k := range kinds {
		d := &fields{values: map[string]any{}, errs: new([]*FieldError)}
		k.make(d, Options{}.withDefaults())
		slices.Sort(d.known)
		asked := slices.Compact(d.known)
		var told []string
		for _, f := range k.Fields {
			told = append(told, f.Name)
		}
		slices.Sort(told)
		if !slices.Equal(asked, told) {
			t.Errorf("%s asks for %q and tells of %q", k.Name, asked, told)
		}
	}
}

// A field that must be one of a few, or is required, is so when it is checked.
func TestFieldsAreChecked(t *testing.T) {
	for _, k := range kinds {
		for _, f := range k.Fields {
			fails := func(value any) bool {
				m := map[string]any{}
				if value != nil {
					m[f.Name] = value
				}
				d := &fields{values: m, errs: new([]*FieldError)}
				k.make(d, Options{}.withDefaults())
				return slices.ContainsFunc(*d.errs, func(e *FieldError) bool { return e.Name == f.Name })
			}
			if got := fails(nil); got != f.Required {
				t.Errorf("%s without %s: an error is %v, and required is %v", k.Name, f.Name, got, f.Required)
			}
			if f.Values == nil {
				continue
			}
			if !fails("none of them") {
				t.Errorf("%s takes any %s", k.Name, f.Name)
			}
			for _, value := range f.Values {
				if fails(value) {
					t.Errorf("%s does not take %s = %q", k.Name, f.Name, value)
				}
			}
		}
	}
}
