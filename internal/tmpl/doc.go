// Package tmpl is the templates that fields of actions may be: text/template
// over a firing.
//
//	t, err := tmpl.New("{{.params.sku}} is sold out")
//	text, err := t.Render(tmpl.NewView(firing), 1<<10)
//
// New finds what must fail every time: a name that is not there, a function that
// does not fit. Names below params are the exception, which only a rule knows.
// Strings are the raw bytes that Redis sent. What a template may write is
// limited, and in a URL it is percent-encoded (NewURL).
//
// A template tells which parts of an event it reads (Reads), and masks secrets
// in what its user wrote and not in the data (Mask). Package actions describes
// names and functions for users.
package tmpl
