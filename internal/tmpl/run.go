package tmpl

import (
	"context"
	"errors"
	"strings"
	"sync"
	"text/template"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// Limits of one rendering, beside what its caller allows it to write. Data alone
// decides how often a range goes round, and text/template cannot be interrupted,
// so a template is changed when it is parsed (compiler): each turn of a range
// and each call of a template writes something, if only nothing, and each action
// ends in a function. Writer and functions count, and end it.
//
// The count of steps comes to the same for the same firing in every attempt, so
// a template that is too long fails for good; a busy machine does not decide.
// The context is for all else, such as a shutdown.
const (
	maxSteps = 2_000_000 // well under a second
	maxMade  = MaxText   // bytes that functions return, all together
	maxDepth = 100       // templates that call one another
)

var (
	errTooLong  = errors.New("the template writes too much")
	errTooMuch  = errors.New("the functions of the template make more than 16 MiB")
	errTooMany  = errors.New("the template takes too many steps: a range in a range, over much data")
	errTooDeep  = errors.New("templates call one another more than 100 deep")
	errTooLarge = errors.New("a function is given more than 16 MiB")
)

// run is one rendering: the writer and the functions of a template, with what
// they may still use. It is used again and again, by one goroutine at a time, and
// for any template, as making functions known to text/template is what costs.
type run struct {
	base *template.Template // has the run's functions, and what is executed beside it

	others []firing.OtherKey // values of other keys

	ctx   context.Context
	out   strings.Builder
	left  int // bytes to write
	made  int // bytes that functions have returned
	steps int
	depth int
}

// runs are *run that wait for the next template.
var runs = sync.Pool{New: func() any { return newRun() }}

func newRun() *run {
	r := &run{}
	r.base = template.New("run").Option("missingkey=error").Funcs(r.functions()).Funcs(r.compiled())
	return r
}

// execute renders t for data.
func (r *run) execute(ctx context.Context, t *template.Template, data any, limit int) (string, error) {
	var main *template.Template // not that of this name: AddParseTree keeps an older one where the new one is blank
	for _, each := range t.Templates() {
		added, err := r.base.AddParseTree(each.Name(), each.Tree)
		if err != nil {
			return "", templateError(err)
		}
		if each.Name() == mainName {
			main = added
		}
	}
	r.ctx, r.left, r.made, r.steps, r.depth = ctx, limit, 0, 0, 0
	defer func() { r.ctx, r.out = nil, strings.Builder{} }()
	err := main.Execute(r, data)
	if ended := ctx.Err(); err != nil && ended != nil {
		return "", ended
	}
	if err != nil {
		return "", templateError(err)
	}
	return r.out.String(), nil
}

// Write takes what the template writes.
func (r *run) Write(p []byte) (int, error) {
	if err := r.step(1); err != nil {
		return 0, err
	}
	if len(p) > r.left {
		return 0, errTooLong
	}
	r.left -= len(p)
	return r.out.Write(p)
}

// step counts n steps.
func (r *run) step(n int) error {
	const often = 64
	before := r.steps / often
	if r.steps += n; r.steps > maxSteps {
		return errTooMany
	}
	if r.ctx != nil && r.steps/often > before {
		return r.ctx.Err()
	}
	return nil
}

// takes counts a function's call, and what it is given, in bytes.
func (r *run) takes(bytes int) error {
	if bytes > maxMade {
		return errTooLarge
	}
	return r.step(1 + bytes/1024)
}

// gives counts what a function returns.
func (r *run) gives(s string) (string, error) {
	if r.made += len(s); r.made > maxMade {
		return "", errTooMuch
	}
	return s, nil
}

// textOf is a value as text, counted.
func (r *run) textOf(v any) (string, error) {
	s, err := asText(v, maxMade)
	if err == nil {
		err = r.takes(len(s))
	}
	return s, err
}

// asTextTo returns a function of the text of a value.
func (r *run) asTextTo(change func(string) string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, err := r.textOf(v)
		if err != nil {
			return "", err
		}
		return r.gives(change(s))
	}
}

// enter and leave are around the text of a template that is called.
func (r *run) enter() (string, error) {
	if r.depth++; r.depth > maxDepth {
		return "", errTooDeep
	}
	return "", r.step(1)
}

func (r *run) leave() string {
	r.depth--
	return ""
}

// functions are those of templates, beside Go's own and instead of those that
// make something.
func (r *run) functions() template.FuncMap {
	return template.FuncMap{
		"json":       r.json,
		"b64":        r.asTextTo(base64Text),
		"text":       r.asTextTo(func(s string) string { return string(event.AppendText(nil, s)) }),
		"upper":      r.asTextTo(strings.ToUpper),
		"lower":      r.asTextTo(strings.ToLower),
		"pathescape": r.asTextTo(func(s string) string { return Encode(s, unreserved) }),
		"html":       r.asTextsTo(template.HTMLEscapeString),
		"js":         r.asTextsTo(template.JSEscapeString),
		"urlquery":   r.asTextsTo(queryEscape),
		"print":      r.print,
		"println":    r.println,
		"printf":     r.printf,
		"date":       r.date,
		"duration":   r.duration,
		"round":      r.round,
		"num":        func(v any) (any, error) { return num(v), r.step(1) },
		"default":    func(other, v any) (any, error) { return orDefault(other, v), r.step(1) },
		"join":       r.join,
		"truncate":   r.truncate,
		"len":        func(v any) (int, error) { return length(v), r.step(1) },
		"slice":      r.slice,
		"index":      r.index,
		"value":      r.value,
		"field":      r.fieldOfKey,
		"eq":         r.equal,
		"ne":         func(a, b any) (bool, error) { same, err := r.equal(a, b); return !same, err },
		"lt":         func(a, b any) (bool, error) { return r.compares(a, b, func(c int) bool { return c < 0 }) },
		"le":         func(a, b any) (bool, error) { return r.compares(a, b, func(c int) bool { return c <= 0 }) },
		"gt":         func(a, b any) (bool, error) { return r.compares(a, b, func(c int) bool { return c > 0 }) },
		"ge":         func(a, b any) (bool, error) { return r.compares(a, b, func(c int) bool { return c >= 0 }) },
	}
}

// compiled are the functions that the compiler puts into templates. The parser
// does not know them.
func (r *run) compiled() template.FuncMap {
	return template.FuncMap{
		fieldFunction: r.field, eachFunction: r.each, enterFunction: r.enter, leaveFunction: r.leave,
		textFunction: r.outText, valueFunction: r.outValue, stringFunction: r.outString, keyFunction: r.outKey,
	}
}
