package rules

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// Limits of a condition, checked before it is parsed where the parser would
// not survive it: expr's parser recurses, and a stack overflow ends the process.
const (
	maxCondition  = 4 << 10 // bytes
	maxNesting    = 64      // brackets inside one another
	maxNodes      = 500     // of the syntax tree, macros included
	maxMacroDepth = 8       // macros inside one another
)

// problem is a mistake in a condition, at a byte offset of its text.
type problem struct {
	at        int
	msg, hint string
}

// condition is a compiled `when`.
type condition struct {
	eval       boolFunc    // nil: program has to be run
	program    *vm.Program // nil: eval does it all
	usesParams bool
	reads      reads
	failures   atomic.Uint64 // of its rule, unless that is timed
}

// conditions compiles the conditions of one file. It is used by one goroutine.
type conditions struct {
	config *conf.Config
	macros map[string]string // name to text
	broken map[string]bool   // macros whose own mistakes are reported
	lists  map[string]any    // name to []string or []int

	commands *commandNames   // of the server, for what conditions compare with; nil: not checked
	events   map[string]bool // the same

	// Of the expression that was checked last:
	warnings   []problem
	tree       *parser.Tree // nil if there were problems
	reads      reads
	usesParams bool
}

func newConditions(macros map[string]string, lists map[string]any) *conditions {
	c := &conditions{config: conf.New(&environment{}), macros: macros, broken: map[string]bool{}, lists: lists}
	c.config.MaxNodes = maxNodes
	for name := range c.config.Builtins {
		if !builtins[name] {
			c.config.Disabled[name] = true
			delete(c.config.Builtins, name)
		}
	}
	for _, f := range functions() {
		c.config.Functions[f.Name] = f
	}
	return c
}

// compile compiles the condition of a rule whose key patterns have the given
// captures. It returns what the condition says to the index too. Without
// problems the condition is not nil, except where a macro that it uses is
// broken.
func (c *conditions) compile(src string, captures []string) (cond *condition, says []conjunct, problems []problem) {
	defer recovered(&problems)
	tree, problems := c.checked(src, captures, true)
	if tree == nil || len(problems) > 0 {
		return nil, nil, problems
	}
	cond = &condition{eval: closeBool(tree.Node), usesParams: c.usesParams, reads: c.reads}
	says = extract(tree.Node, false)
	if cond.eval != nil {
		return cond, says, nil
	}
	program, p := c.program(src, tree)
	if p != nil {
		return nil, nil, []problem{*p}
	}
	cond.program = program
	return cond, says, nil
}

// checked parses an expression, resolves its names and checks its types. The
// tree is nil if there are problems, or where a macro that it uses is broken.
// What was found about it on the way is in c: see conditions.
func (c *conditions) checked(src string, captures []string, boolean bool) (*parser.Tree, []problem) {
	c.warnings, c.tree = nil, nil
	r := c.resolve(src, captures, false)
	if len(r.problems) > 0 || r.broken {
		return nil, r.problems
	}
	if p := c.check(r.tree, boolean); p != nil {
		return nil, []problem{*p}
	}
	lint := &linter{commands: c.commands, events: c.events}
	if boolean {
		lint.boolean(r.tree.Node)
	} else {
		lint.node(r.tree.Node)
	}
	for _, list := range [][]problem{lint.problems, lint.warnings} {
		for i := range list {
			list[i].at = byteOffset(src, list[i].at)
		}
	}
	c.warnings = lint.warnings
	if len(lint.problems) > 0 {
		return nil, lint.problems
	}
	c.tree, c.reads, c.usesParams = r.tree, readsOf(r.tree.Node), r.usesParams
	return r.tree, nil
}

// program compiles a checked tree for expr's machine. It is not optimised:
// expr's optimiser drops parts that cannot change the value but can fail, and
// what fails should not depend on who evaluates it.
func (c *conditions) program(src string, tree *parser.Tree) (*vm.Program, *problem) {
	program, err := compiler.Compile(tree, c.config)
	if err != nil {
		return nil, c.problemOf(src, err)
	}
	return program, nil
}

// macro checks a macro by itself: everything but what only the rule that uses
// it can know.
func (c *conditions) macro(name string) (problems []problem) {
	defer recovered(&problems)
	src := c.macros[name]
	r := c.resolve(src, nil, true)
	if len(r.problems) == 0 && !r.broken {
		if p := c.check(r.tree, false); p != nil {
			r.problems = append(r.problems, *p)
		}
	}
	c.broken[name] = len(r.problems) > 0 || r.broken
	return r.problems
}

// recovered turns a panic into a problem. None is known, but a reload must not
// end the daemon for a condition that expr's checker did not expect.
func recovered(problems *[]problem) {
	if p := recover(); p != nil {
		*problems = append(*problems, problem{msg: fmt.Sprintf("the compiler of conditions failed: %v", p)})
	}
}

// check checks the types of a resolved tree.
func (c *conditions) check(tree *parser.Tree, boolean bool) *problem {
	c.config.Expect, c.config.ExpectAny = reflect.Invalid, true
	if boolean {
		c.config.Expect, c.config.ExpectAny = reflect.Bool, false
	}
	if _, err := checker.Check(tree, c.config); err != nil {
		return c.problemOf(tree.Source.String(), err)
	}
	return nil
}

var (
	mismatched = regexp.MustCompile(`^invalid operation: (?:[<>=!]=?|[-+*/%]) \(mismatched types (\S+) and (\S+)\)`)
	wantedBool = regexp.MustCompile(`^expected bool, but got (.+)`)
)

// problemOf turns an error of expr into a problem with what to do about it.
func (c *conditions) problemOf(src string, err error) *problem {
	p := &problem{msg: err.Error()}
	var fe *file.Error
	if errors.As(err, &fe) {
		p.msg, p.at = strings.TrimSpace(fe.Message), byteOffset(src, fe.From)
	}
	numeric := func(s string) bool { return s == "int" || s == "float64" }
	if m := mismatched.FindStringSubmatch(p.msg); m != nil {
		if m[1] == "string" && numeric(m[2]) || numeric(m[1]) && m[2] == "string" {
			p.hint = "num(x) reads a number from text"
		}
	}
	if m := wantedBool.FindStringSubmatch(p.msg); m != nil {
		p.msg, p.hint = "a condition is true or false, this is "+kindName(m[1]), "compare it with something"
	}
	if p.msg == "unexpected token EOF" || p.msg == "unexpected end of expression" {
		p.msg = "the condition ends too early"
	}
	if strings.Contains(p.msg, "exceeds maximum allowed nodes") {
		p.msg = fmt.Sprintf("too long: more than %d parts", maxNodes)
	}
	return p
}

// kindName says a type of expr in the words of the documentation.
func kindName(t string) string {
	switch t {
	case "string":
		return "text"
	case "int", "float64":
		return "a number"
	case "any", "unknown":
		return "a value of any kind"
	}
	return t
}

// byteOffset turns expr's offset, which counts runes, into one of bytes.
func byteOffset(src string, runes int) int {
	for i := range src {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(src)
}
