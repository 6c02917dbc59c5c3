package actions

import (
	"cmp"
	"io"
	"log/slog"
	"slices"
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

	// make takes the fields from d, records every mistake there, and returns an
	// action that is used only if there was none.
	make func(d *fields, o Options) Action
}

// kinds are the kinds that there are.
var kinds = []*Kind{&webhookKind, &execKind, &logKind, &printKind}

// Kinds returns the kinds that New knows, in the order in which they are told.
// They are not to be changed.
func Kinds() []*Kind { return slices.Clone(kinds) }

// KindOf returns the kind of a name; nil if there is none.
func KindOf(name string) *Kind {
	for _, k := range kinds {
		if k.Name == name {
			return k
		}
	}
	return nil
}

func kindNames() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	slices.Sort(names)
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

	Secrets *secret.Masker // what is masked in errors, excerpts and the log action's own text, beside what the fields say
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
	return o
}

// New makes the action of a kind from its fields: the TOML values (string,
// bool, int64, float64, []any, map[string]any) after expansion of ${env:} and
// ${file:}, without those that the engine owns (timeout, retry, ...). It keeps
// nothing of the map.
//
// The error is every mistake at once, each a *FieldError that says what to
// write instead. New reads the files that fields name (a certificate), looks up
// the program of an exec, and has no other effect: it connects to nothing and
// starts nothing, so it serves to check a file as well.
func New(kind string, m map[string]any, o Options) (Action, error) {
	d := &fields{values: m, errs: new([]*FieldError)}
	k := KindOf(kind)
	if k == nil {
		d.fail("type", "there is no kind of action %q%s; the kinds are %s", kind, didYouMean(kind, kindNames()), strings.Join(kindNames(), ", "))
		return nil, d.err()
	}
	a := k.make(d, o.withDefaults())
	d.unknown(engineFields)
	for _, e := range *d.errs {
		e.Err = maskedError(o.Secrets, e.Err)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	if o.Secrets != nil {
		return newMasking(a, o.Secrets), nil
	}
	return a, nil
}

// engineFields are the fields of every kind, which never reach New; they are
// here to be suggested.
var engineFields = []string{"type", "target", "name", "timeout", "retry", "concurrency", "rate_limit", "order", "overflow"}
