// Package tmpl is the templates that fields of actions may be: text/template
// over a firing.
//
//	t, err := tmpl.New("{{.params.sku}} is sold out")
//	text, err := t.Render(ctx, tmpl.NewView(firing), 1<<10)
//
// New finds what must fail every time: a name that is not there, a function that
// does not fit. Names below params are the exception, which only a rule knows.
// Strings are the raw bytes that Redis sent; what a key's value does not have, or
// is not known, is no text. What a template may write, make and do is limited
// (run), and in a URL what it writes is percent-encoded (NewURL).
//
// A template tells which parts of an event it reads (Reads), and masks secrets
// in what its user wrote and not in the data (Mask). Package actions describes
// names and functions for users.
package tmpl
