// Package fax is a kind of action that triggerd does not have. Tests put it into
// the list of kinds, and look who knows it then.
package fax

import (
	"context"
	"fmt"
	"io"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
	"triggerd/internal/tmpl"
)

// Kind is the kind fax.
var Kind = actions.Kind{
	Name: "fax", Doc: "sends a fax", Concurrency: 3, New: newFax,
	Fields: []actions.Field{
		{Name: "number", Required: true, Doc: "with `+`"},
		{Name: "text", Template: true, Doc: "by default the key"},
		{Name: "paper", Values: []string{"a4", "letter"}, Default: `"a4"`},
		{Name: "passphrase", Secret: true, Doc: "of the machine"},
		{Name: "cover", Type: actions.Table, Doc: "a page before the others", Fields: []actions.Field{
			{Name: "logo", Type: actions.Flag, Default: "false"},
		}},
	},
}

// fax writes what it would send to standard output.
type fax struct {
	out     io.Writer
	number  string
	paper   string
	text    *tmpl.Template
	lines   int // how many faxes are sent at once
	secrets *secret.Masker
}

func newFax(s *actions.Settings) (actions.Action, error) {
	a := &fax{out: s.Stdout, lines: s.Concurrency}
	a.paper, _ = s.Choice("paper")
	number, ok := s.Text("number")
	if !s.Has("number") {
		s.Fail("number", "is required")
	}
	if a.number = number; ok && number == "" {
		s.Fail("number", "is empty")
	}
	text, ok := s.Text("text")
	if !ok {
		text = "{{.key}}"
	}
	a.text = s.Template("text", text)
	passphrase, _ := s.Text("passphrase")
	a.secrets = s.Secrets.With(passphrase)
	if cover, ok := s.Table("cover"); ok && cover.Flag("logo") {
		a.paper += " with a logo"
	}
	return a, nil
}

// Destination is the number.
func (a *fax) Destination() string { return a.number }

// Reads is what the text reads.
func (a *fax) Reads() event.Parts { return a.text.Reads() }

// Render shows the page.
func (a *fax) Render(ctx context.Context, f *firing.Firing) (actions.Preview, error) {
	text, err := a.text.Render(ctx, tmpl.NewView(f), tmpl.MaxText)
	if err != nil {
		return actions.Preview{}, actions.Unsent(fmt.Errorf("text: %w", err))
	}
	return actions.NewPreview([]string{"FAX", a.number}, []actions.Named{{Name: "paper", Value: a.paper}}, []byte(text), a.secrets), nil
}

// Do writes the page, and how many are sent at once.
func (a *fax) Do(ctx context.Context, f *firing.Firing) (actions.Result, error) {
	if err := ctx.Err(); err != nil {
		return actions.Result{}, err
	}
	p, err := a.Render(ctx, f)
	if err != nil {
		return actions.Result{}, err
	}
	if _, err := fmt.Fprintf(a.out, "%s on one of %d lines\n", p, a.lines); err != nil {
		return actions.Result{}, fmt.Errorf("fax: %w", err)
	}
	return actions.Result{}, nil
}
