package actions

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"triggerd/internal/secret"
)

// Kind is a kind of action. It says all that the rest of the program asks of
// one; an action, once it is made, says what depends on its fields.
type Kind struct {
	Name   string
	Doc    string // one line in Markdown, without a period
	Fields []Field

	// Concurrency is how many attempts are made at once where the rules do not
	// say. Attempts beyond the number of cores only delay each other where each
	// is a process; an HTTP endpoint that is slow gets no more than a part of
	// what the machine can do.
	Concurrency int

	// New takes the fields from s, which gathers every mistake in them, and
	// returns an action that is used only if there was none. Its error is what is
	// wrong with no field in particular. It takes each of Fields whatever mistakes
	// there are in others, and no field beside them. It may read files that fields
	// name, and has no other effect: it connects to nothing and starts nothing.
	New func(s *Settings) (Action, error)
}

// Secrets returns the names of the fields that are Secret, those of tables
// without the table's name.
func (k *Kind) Secrets() []string { return secretNames(nil, k.Fields) }

func secretNames(names []string, fields []Field) []string {
	for i := range fields {
		if fields[i].Secret {
			names = append(names, fields[i].Name)
		}
		names = secretNames(names, fields[i].Fields)
	}
	return names
}

// Templates, URLs and Tables return the paths of the fields that are templates,
// URLs, and tables of texts with names of the user's own; those of tables as
// table.field.
func (k *Kind) Templates() []string {
	return paths(nil, "", k.Fields, func(f *Field) bool { return f.Template })
}

// URLs: see Templates.
func (k *Kind) URLs() []string {
	return paths(nil, "", k.Fields, func(f *Field) bool { return f.URL })
}

// Tables: see Templates.
func (k *Kind) Tables() []string {
	return paths(nil, "", k.Fields, func(f *Field) bool { return f.Type == TextTable })
}

func paths(list []string, prefix string, fields []Field, are func(*Field) bool) []string {
	for i := range fields {
		f := &fields[i]
		if are(f) {
			list = append(list, prefix+f.Name)
		}
		list = paths(list, prefix+f.Name+".", f.Fields, are)
	}
	return list
}

// Kinds is a list of kinds, in the order in which people are told of them: those
// that a rules file may have. Package kinds has triggerd's. It is not to be
// changed while it is used.
type Kinds []*Kind

// Of returns the kind of a name; nil if there is none.
func (all Kinds) Of(name string) *Kind {
	for _, k := range all {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Names returns the names of the kinds, in their order.
func (all Kinds) Names() []string {
	names := make([]string, len(all))
	for i, k := range all {
		names[i] = k.Name
	}
	return names
}

// Options is what the engine gives an action, beside the user's fields. The
// zero value is ready to use.
type Options struct {
	Logger      *slog.Logger  // where the log action writes; nil: nowhere
	Stdout      io.Writer     // where the print action writes; nil: nowhere
	Timeout     time.Duration // of one attempt; 0: 15 s
	Concurrency int           // how many calls of Do run at once, at most: a webhook keeps that many connections; 0: 16
	NoExec      bool          // refuse the kind exec
	UserAgent   string        // of webhooks, "triggerd/1.2.3"; "": "triggerd"

	// Needs, if not nil, is told of each "file" and "program" that the action needs.
	// They are not looked up then, and the action is of no use but to be checked.
	Needs func(what, name string)

	// Rule, if not nil, tells of a rule, by its name, what its firings do not. It
	// gives the zero Rule for one that is not there any more.
	Rule func(name string) Rule

	Secrets *secret.Masker // what is masked in errors, excerpts and the log action's own text, beside what the fields say
}

// Rule is what the rules file says of a rule, for people who are told that it has
// fired.
type Rule struct {
	Description string
	Severity    string        // "" if the file does not say
	Silence     time.Duration // how long nothing has come when it fires, for a rule that waits for something; else 0
	Repeat      time.Duration // after how long it fires again while nothing comes; 0: it does not
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.Concurrency = cmp.Or(o.Concurrency, 16)
	o.UserAgent = cmp.Or(o.UserAgent, "triggerd")
	if o.Rule == nil {
		o.Rule = func(string) Rule { return Rule{} }
	}
	return o
}

// New makes the action of a kind from its fields: the TOML values (string,
// bool, int64, float64, []any, map[string]any) after expansion of ${env:} and
// ${file:}, without those that the engine owns (timeout, retry, ...). It keeps
// nothing of the map.
//
// The error is every mistake at once, each a *FieldError that says what to
// write instead. New connects to nothing and starts nothing, as Kind.New says, so
// it serves to check a file as well.
func (all Kinds) New(kind string, fields map[string]any, o Options) (Action, error) {
	s := &Settings{Options: o.withDefaults(), values: fields, mistakes: new([]*FieldError)}
	k := all.Of(kind)
	if k == nil {
		s.Fail("type", "%w", all.noKind(kind))
		return nil, s.err()
	}
	s.declared = k.Fields
	a, err := k.New(s)
	if err != nil {
		s.Fail("type", "%w", err)
	}
	s.unknown(engineFields)
	if err := s.err(); err != nil {
		return nil, err
	}
	if o.Secrets != nil {
		return newMasking(a, o.Secrets), nil
	}
	return a, nil
}

// noKind says that there is no kind of a name, and what may have been meant.
func (all Kinds) noKind(name string) error {
	hint := didYouMean(name, all.Names())
	if hint == "" {
		hint = "; the kinds are " + strings.Join(all.Names(), ", ")
	}
	return fmt.Errorf("there is no kind of action %q%s", name, hint)
}

// engineFields are the fields of every kind, which never reach New; they are
// here to be suggested.
var engineFields = []string{"type", "target", "name", "timeout", "retry", "concurrency", "rate_limit", "order", "overflow"}
