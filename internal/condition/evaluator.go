package condition

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"triggerd/internal/event"
)

// Evaluator evaluates expressions for one event after the other. The zero
// Evaluator is ready for Begin. It is for one goroutine at a time.
type Evaluator struct {
	// Stopped, if not nil, is asked now and then while very many elements, or a very
	// long text, are looked at. If it returns true the evaluation ends with ErrStopped. Set it
	// before the first Begin.
	Stopped func() bool

	// Lookup returns the values of other keys. nil: they are not known. Set it
	// before the first Begin.
	Lookup Lookup

	scope   scope
	machine vm.VM
	env     environment
	filled  bool // env holds the event at hand
	last    truth
}

// Begin begins with an event, which is borrowed until the next Begin.
func (e *Evaluator) Begin(ev *event.Event) {
	e.scope.ev, e.scope.captures, e.scope.params, e.scope.stopped = ev, nil, nil, e.Stopped
	e.scope.lookup = e.Lookup
	e.scope.texts.reset()
	e.scope.changes.reset()
	e.filled = false
}

// Holds evaluates a condition for the event that was begun with. captures are
// those that the condition was compiled for, of patterns of which one matches
// the event's key. An error means that what the condition asks cannot be told.
// A condition that is neither true nor false does not hold: see NotNumber.
func (e *Evaluator) Holds(c *Condition, captures *Captures) (bool, error) {
	e.of(captures)
	if c.eval != nil {
		e.last = c.eval(&e.scope)
		return e.last == yes && e.scope.err == nil, e.scope.err
	}
	v, err := e.run(c.program, c.usesParams)
	e.last = truthFrom(v)
	return e.last == yes && err == nil, err
}

// Decided reports whether the last condition was true or false.
func (e *Evaluator) Decided() bool { return e.last.decided() }

// NotNumber reports whether the last condition was neither true nor false since
// what it asks num of is no number. What is not there, as before is of a new
// key, is no number either, but is not reported.
func (e *Evaluator) NotNumber() bool { return e.last == unknown }

// Text evaluates a value for the event that was begun with, and returns it as
// the text that tells it from others. captures are as those of Holds. The text
// borrows the event.
func (e *Evaluator) Text(v *Value, captures *Captures) (string, error) {
	e.of(captures)
	switch {
	case v.text != nil:
		s := v.text(&e.scope)
		return s, e.scope.err
	case v.value != nil:
		x := v.value(&e.scope)
		return asText(x, e.scope.err)
	}
	return asText(e.run(v.program, v.usesParams))
}

// of prepares the scope for an expression of a rule.
func (e *Evaluator) of(captures *Captures) {
	s := &e.scope
	if s.captures != captures {
		s.captures, s.params = captures, nil
	}
	s.err = nil
}

// run runs a program for the event and captures of the scope.
func (e *Evaluator) run(program *vm.Program, usesParams bool) (any, error) {
	if !e.filled {
		e.env.set(&e.scope)
		e.filled = true
	}
	e.env.Params = nil
	if usesParams {
		e.env.Params = e.scope.captures.Params(e.scope.ev.Key)
	}
	v, err := e.machine.Run(program, &e.env)
	return v, plainError(err)
}

// plainError is an error of expr's machine without the excerpt of the expression,
// which has lines, and in other words where expr's are about itself.
func plainError(err error) error {
	of, ok := errors.AsType[*file.Error](err)
	if !ok {
		return err
	}
	if of.Prev != nil { // a function's own
		return of.Prev
	}
	if cannot := cannotFetch.FindStringSubmatch(of.Message); cannot != nil {
		return fmt.Errorf("%s has no %s", machineKind(cannot[2]), cannot[1])
	}
	if m := notCalled.FindStringSubmatch(of.Message); m != nil { // of an index
		return fmt.Errorf("%s has no parts with names", machineKind(m[1]))
	}
	return errors.New(of.Message)
}

var (
	cannotFetch = regexp.MustCompile(`^cannot fetch (.+) from (\S+)$`)
	notCalled   = regexp.MustCompile(`^invalid operation: int\((\S+)\)$`)
)

// machineKind says a type of Go in the words of the documentation.
func machineKind(t string) string {
	switch t {
	case "<nil>":
		return "what is not there"
	case "uint8", "string":
		return "text"
	}
	return kindName(t)
}

// ErrStopped says that an evaluation was given up, since Evaluator.Stopped said
// so.
var ErrStopped = errors.New("stopped")

var (
	errNothing = errors.New("there is no such value to keep a state by")
	errNeither = errors.New("what is no number keeps no state apart")
)

// asText returns a value as the text that tells it from others.
func asText(v any, err error) (string, error) {
	switch v := v.(type) {
	case nil:
		if err == nil {
			err = errNothing
		}
	case string:
		return v, err
	case int:
		return strconv.Itoa(v), err
	case bool:
		return strconv.FormatBool(v), err
	case float64:
		return ofFloat(v).text(), err
	case truth:
		if err == nil {
			err = errNeither
		}
	default:
		if err == nil {
			err = fmt.Errorf("a %T is no text or number to keep a state by", v)
		}
	}
	return "", err
}
