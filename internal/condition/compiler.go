package condition

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"triggerd/internal/suggest"
)

// Limits of an expression, checked before it is parsed where the parser would
// not survive it: expr's parser recurses, and a stack overflow ends the process.
const (
	maxLen        = 4 << 10 // bytes
	maxNesting    = 64      // brackets inside one another
	maxNodes      = 500     // of the syntax tree, macros included
	maxMacroDepth = 8       // macros inside one another
)

// Config is what expressions may name beyond the event. The zero value names
// nothing.
type Config struct {
	Macros map[string]string // macros.NAME: an expression's part
	Lists  map[string]any    // lists.NAME: []string; []any of int64 and float64; [][]string of the same length

	// Command and Event check a name that command or event is compared with, and
	// return what is wrong with it, or what it had better not be, and what to
	// write instead; "" for nothing. nil: not checked.
	Command, Event func(name string) (mistake, warning, hint string)

	// MaxPatterns limits the regular expressions that a Compiler compiles, in
	// instructions, of about 40 bytes each. 0: only each by itself is limited.
	MaxPatterns int
}

// Problem is a mistake in an expression, or a warning about it.
type Problem struct {
	Offset int    // where it is, in bytes of the expression
	Msg    string // what is wrong
	Hint   string // what to do about it; "" if that is not known
	Code   string // of a warning, by which it can be silenced: "never-arrives", "every-element", "rounded", "doubtful-path", "doubtful-pattern"
}

// Compiler compiles expressions. It is for one goroutine at a time; what it
// makes is for all.
type Compiler struct {
	config *conf.Config
	of     Config
	lists  map[string]any  // []string, *numberSet or *rows
	broken map[string]bool // macros whose own mistakes are reported

	patterns int // instructions of all regular expressions so far
}

// NewCompiler returns a compiler. It keeps the maps of the config.
func NewCompiler(c Config) *Compiler {
	comp := &Compiler{config: conf.New(&environment{}), of: c, lists: map[string]any{}, broken: map[string]bool{}}
	for name, list := range c.Lists {
		comp.lists[name] = list
		switch list := list.(type) {
		case []any:
			comp.lists[name] = setOfNumbers(list)
		case [][]string:
			comp.lists[name] = rowsOf(list)
		}
	}
	comp.config.MaxNodes = maxNodes
	for name := range comp.config.Builtins {
		if !builtins[name] {
			comp.config.Disabled[name] = true
			delete(comp.config.Builtins, name)
		}
	}
	for _, f := range functions() {
		comp.config.Functions[f.Name] = f
	}
	return comp
}

// Condition is a compiled expression that is true or false. It does not
// change: see Evaluator.
type Condition struct {
	eval       boolFunc    // nil: program has to be run
	program    *vm.Program // nil: eval does it all
	usesParams bool
	reads      Reads
	counted    []counted
}

// Reads returns what of the event the condition reads that may have to be kept
// for it.
func (c *Condition) Reads() Reads { return c.reads }

// Value is a compiled expression that gives a text, an integer, true or false.
// It does not change: see Evaluator.
type Value struct {
	text       textFunc    // nil: it is no text, or closures do not know it
	value      anyFunc     // nil, and no text: program has to be run
	program    *vm.Program // gives what value would
	usesParams bool
	reads      Reads
}

// Reads returns what of the event the value reads that may have to be kept for
// it.
func (v *Value) Reads() Reads { return v.reads }

// Report is what was found about an expression.
type Report struct {
	Says     []Conjunct // what an event must be for the condition to hold; see Conjunct
	Problems []Problem
	Warnings []Problem
}

// Condition compiles a condition of a rule whose key patterns have the given
// captures. Without problems it is not nil, except where a macro that it uses
// is broken: see Macro.
func (c *Compiler) Condition(src string, captures []string) (cond *Condition, r Report) {
	defer recovered(&cond, &r.Problems)
	tree := c.checked(src, captures, true, &r)
	if tree == nil {
		return nil, r
	}
	cond = &Condition{eval: compileBool(tree.Node), usesParams: tree.usesParams, reads: readsOf(tree.Node)}
	r.Says = extract(tree.Node, false)
	if cond.eval != nil {
		cond.counted = countedIn(tree.Node)
		return cond, r
	}
	var p *Problem
	if cond.program, p = c.program(src, tree.Tree); p != nil {
		return nil, Report{Problems: []Problem{*p}, Warnings: r.Warnings}
	}
	return cond, r
}

// Value compiles an expression that gives something to keep states apart by.
// Without problems it is not nil, except where a macro that it uses is broken.
func (c *Compiler) Value(src string, captures []string) (v *Value, r Report) {
	defer recovered(&v, &r.Problems)
	tree := c.checked(src, captures, false, &r)
	if tree == nil {
		return nil, r
	}
	if p := keepsApart(tree.Node); p != nil {
		r.Problems = []Problem{*p}
		return nil, r
	}
	v = &Value{text: compileString(tree.Node), value: compileBoxed(tree.Node), usesParams: tree.usesParams, reads: readsOf(tree.Node)}
	if v.text != nil || v.value != nil {
		return v, r
	}
	var p *Problem
	if v.program, p = c.program(src, tree.Tree); p != nil {
		r.Problems = []Problem{*p}
		return nil, r
	}
	return v, r
}

// Macro checks a macro by itself: everything but what only the rule that uses
// it can know. A condition that uses a macro with problems is nil from then on,
// without a problem of its own, and warnings about a macro are told only here.
func (c *Compiler) Macro(name string) (report Report) {
	var nothing *Condition
	defer recovered(&nothing, &report.Problems)
	r := c.resolve(c.of.Macros[name], nil, true)
	if len(r.problems) == 0 && !r.broken {
		if p := c.check(r, false); p != nil {
			r.problems = append(r.problems, *p)
		}
	}
	c.broken[name] = len(r.problems) > 0 || r.broken
	return Report{Problems: r.problems, Warnings: r.warnings}
}

// checkedTree is a tree whose names are resolved and whose types are checked.
type checkedTree struct {
	*parser.Tree
	usesParams bool
}

// checked parses an expression, resolves its names and checks its types. The
// tree is nil if there are problems, or where a macro that it uses is broken.
func (c *Compiler) checked(src string, captures []string, boolean bool, report *Report) *checkedTree {
	r := c.resolve(src, captures, false)
	if report.Problems = r.problems; len(r.problems) > 0 || r.broken {
		return nil
	}
	if p := c.check(r, boolean); p != nil {
		report.Problems = []Problem{*p}
		return nil
	}
	lint := &linter{config: &c.of}
	if boolean {
		lint.boolean(r.tree.Node)
	} else {
		lint.node(r.tree.Node)
	}
	for _, list := range [][]Problem{lint.problems, lint.warnings} {
		for i := range list {
			list[i].Offset = byteOffset(src, list[i].Offset)
		}
	}
	report.Problems, report.Warnings = lint.problems, append(r.warnings, lint.warnings...)
	if len(lint.problems) > 0 {
		return nil
	}
	return &checkedTree{r.tree, r.usesParams}
}

// program compiles a checked tree for expr's machine, and rewrites it for that:
// nothing else can be asked of the tree then. It is not optimised:
// expr's optimiser drops parts that cannot change the value but can fail, and
// what fails should not depend on who evaluates it.
func (c *Compiler) program(src string, tree *parser.Tree) (*vm.Program, *Problem) {
	tree.Node = lower(tree.Node)
	c.config.Expect, c.config.ExpectAny = reflect.Invalid, true // a truth that is neither is no bool
	program, err := compiler.Compile(tree, c.config)
	if err != nil {
		return nil, problemOf(src, err)
	}
	return program, nil
}

// recovered turns a panic into a problem. None is known, but a reload must not
// end the daemon for a condition that expr's checker did not expect.
func recovered[T any](made **T, problems *[]Problem) {
	if p := recover(); p != nil {
		*made = nil
		*problems = append(*problems, Problem{Msg: fmt.Sprintf("the compiler of conditions failed: %v", p)})
	}
}

// check checks the types of a resolved tree, and puts its lists of numbers in
// place.
func (c *Compiler) check(r *resolver, boolean bool) *Problem {
	c.config.Expect, c.config.ExpectAny = reflect.Invalid, true
	if boolean {
		c.config.Expect, c.config.ExpectAny = reflect.Bool, false
	}
	if _, err := checker.Check(r.tree, c.config); err != nil {
		return problemOf(r.tree.Source.String(), err)
	}
	for _, l := range r.sets {
		l.node.Value = l.set
	}
	return nil
}

// keepsApart refuses what is no value to keep states apart by.
func keepsApart(n ast.Node) *Problem {
	switch kindOf(n) {
	case reflect.String, reflect.Int, reflect.Bool, reflect.Interface:
		return nil
	case reflect.Float64:
		return &Problem{Msg: "states are kept apart by text or integers, not by a number that may have a fraction", Hint: "int(x) is an integer; or take the text as it is"}
	case reflect.Invalid:
		return &Problem{Msg: "nil keeps nothing apart", Hint: "leave by out for one state of all"}
	}
	return &Problem{Msg: "states are kept apart by one text or integer, not by several values", Hint: `by = ["params.a", "params.b"] joins several`}
}

var (
	mismatched = regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types (func\(.*\) \S+|interface \{\}|\S+) and (func\(.*\) \S+|interface \{\}|\S+)\)`)
	wrongUnary = regexp.MustCompile(`^invalid operation: (\S+) \(mismatched type (\S+)\)`)
	noSuchPart = regexp.MustCompile(`^type (\S+) has no (?:field|method) (\S+)$`)
	notBoolean = regexp.MustCompile(`^predicate should return boolean \(got (.+)\)`)
	notAList   = regexp.MustCompile(`^builtin (\w+) takes only array \(got (.+)\)`)
	unexpected = regexp.MustCompile(`^unexpected token \w+\("?(.*?)"?\)$`)
	badNumber  = regexp.MustCompile(`^bad number syntax: "([^"]*)"`)
	inMismatch = regexp.MustCompile(`^cannot use (string|int|float64) as type (string|int|float64) in (?:map key|array)`)
	inValue    = regexp.MustCompile(`^cannot use (\w+) as argument \(type string\) to call value\.has`)
	tooLarge   = regexp.MustCompile(`^invalid float literal: .*parsing "([^"]*)": value out of range`)
	notFirst   = regexp.MustCompile(`(?:\bnot\s+|!\s*)[\w.]+(?:\[[^\]]*\]|\([^)]*\))*\s*$`)
	wantedBool = regexp.MustCompile(`^expected bool, but got (.+)`)
)

// notHint is for who takes "not x == y" for the opposite of x == y.
const notHint = "not is of what is right behind it: x != y, or not (x == y)"

// problemOf turns an error of expr into a problem with what to do about it.
func problemOf(src string, err error) *Problem {
	p := &Problem{Msg: err.Error()}
	var fe *file.Error
	if errors.As(err, &fe) {
		p.Msg, p.Offset = strings.TrimSpace(fe.Message), byteOffset(src, fe.From)
	}
	if m := mismatched.FindStringSubmatch(p.Msg); m != nil {
		p.Msg = fmt.Sprintf("%s cannot be between %s and %s", m[1], kindName(m[2]), kindName(m[3]))
		if m[1] == "%" && m[2] != "string" && m[3] != "string" {
			p.Msg = "% is of whole numbers"
		}
		p.Hint = mismatchHint(m[1], m[2], m[3], src, p.Offset)
	}
	if m := wrongUnary.FindStringSubmatch(p.Msg); m != nil {
		p.Msg, p.Hint = fmt.Sprintf("%s cannot be of %s", m[1], kindName(m[2])), "num(x) reads a number from text"
		if m[1] == "!" || m[1] == "not" {
			p.Hint = notHint
		}
	}
	if m := noSuchPart.FindStringSubmatch(p.Msg); m != nil {
		p.Msg = fmt.Sprintf("%s has no %s", kindName(m[1]), m[2])
		switch m[1] {
		case "time.Time":
			p.Hint = cmp.Or(suggest.DidYouMean(m[2], sortedKeys(timeParts)), "time.Hour(), time.Weekday()")
		case "condition.transaction":
			p.Hint = "tx.id, tx.index, tx.size"
		case "condition.part":
			p.Hint = "part.index, part.size"
		case "string":
			p.Hint = "# is the text itself"
		}
	}
	if m := notBoolean.FindStringSubmatch(p.Msg); m != nil {
		p.Msg, p.Hint = "a predicate is true or false, this is "+kindName(m[1]), `compare it: # == "a", num(.score) > 5`
	}
	if m := notAList.FindStringSubmatch(p.Msg); m != nil {
		p.Msg, p.Hint = m[1]+" looks at the elements of a value or a list, not of "+kindName(m[2]), usages[m[1]]
	}
	if m := badNumber.FindStringSubmatch(p.Msg); m != nil {
		p.Hint = "a number has no unit: times are in milliseconds, 60s is 60000; sizes in bytes, 1MB is 1024 * 1024"
	}
	if strings.HasPrefix(p.Msg, "expected at least 2 arguments") {
		p.Msg, p.Hint = "a predicate is missing", usages["any"]
	}
	if p.Msg == "cannot use bool as type string in array" {
		p.Msg, p.Hint = "true or false is never in a list of texts", "x not in [...]; or !(x in [...])"
	}
	if m := inMismatch.FindStringSubmatch(p.Msg); m != nil && (m[1] == "string") != (m[2] == "string") {
		p.Msg, p.Hint = "a text is never in a list of numbers", "num(x) reads a number from text"
		if m[2] == "string" {
			p.Msg, p.Hint = "a number is never in a list of texts", "without num the text itself is looked for"
		}
	}
	if m := inValue.FindStringSubmatch(p.Msg); m != nil {
		p.Msg, p.Hint = kindName(m[1])+" is never in a value: what it has are texts", `"5" in after, or string(x) in after`
	}
	if m := tooLarge.FindStringSubmatch(p.Msg); m != nil {
		p.Msg = m[1] + " is more than a number can be"
	}
	if m := wantedBool.FindStringSubmatch(p.Msg); m != nil {
		p.Msg, p.Hint = "a condition is true or false, this is "+kindName(m[1]), "compare it with something"
	}
	if p.Msg == "unexpected token EOF" || p.Msg == "unexpected end of expression" {
		p.Msg = "the condition ends too early"
	}
	if p.Hint == "" && (strings.HasPrefix(p.Msg, "unexpected token") || strings.HasPrefix(p.Msg, "unrecognized character")) {
		p.Hint = syntaxHint(src, p.Offset)
	}
	if m := unexpected.FindStringSubmatch(p.Msg); m != nil {
		p.Msg = m[1] + " is not expected here"
	}
	if strings.HasPrefix(p.Msg, "a map key must be") {
		p.Msg, p.Hint = "{ is not expected here", "a condition is no template, and has no maps: key, after.status"
	}
	if strings.Contains(p.Msg, "exceeds maximum allowed nodes") {
		p.Msg = fmt.Sprintf("too long: more than %d parts", maxNodes)
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
	case "any", "unknown", "interface {}":
		return "a value of any kind"
	case "bool":
		return "true or false"
	case "[]string", "[]interface {}":
		return "a list"
	case "nil":
		return "nil"
	case "map[string]string":
		return "what the key pattern captured"
	case "time.Time":
		return "time"
	case "time.Duration":
		return "a span of time"
	case "condition.transaction":
		return "tx"
	case "condition.part":
		return "part"
	}
	if strings.HasPrefix(t, "func(") {
		return "a method"
	}
	return t
}

// mismatchHint says what to do about two kinds that an operator, at an offset, does
// not take.
func mismatchHint(operator, left, right, src string, offset int) string {
	text := func(s string) bool { return s == "string" }
	numeric := func(s string) bool { return s == "int" || s == "float64" }
	list := func(s string) bool { return s == "[]string" }
	switch {
	case strings.HasPrefix(left, "func(") || strings.HasPrefix(right, "func("):
		return "call it: time.Hour()"
	case strings.HasSuffix(strings.TrimSpace(src[:min(offset, len(src))]), ".Weekday()"):
		return "it is a number, 0 for Sunday"
	case left == "bool" && right != "bool" && notFirst.MatchString(src[:min(offset, len(src))]):
		return notHint
	case operator == "in" && text(right):
		return `in looks into a list; x contains "a"`
	case list(left) && numeric(right) || numeric(left) && list(right):
		return "len(x) is how many there are"
	case list(left) && text(right) || text(left) && list(right):
		return `"a" in x`
	case operator == "startsWith" || operator == "endsWith" || operator == "contains":
		return "string(x) makes text of a number"
	case operator == "+" && (text(left) && numeric(right) || numeric(left) && text(right)):
		return "num(x) reads a number from text, string(x) makes text of one"
	case text(left) && numeric(right) || numeric(left) && text(right):
		return "num(x) reads a number from text"
	case left == "time.Duration" || right == "time.Duration":
		return "time.Unix() is in seconds, time.UnixMilli() in milliseconds"
	case left == "condition.transaction" || right == "condition.transaction":
		return "tx.id, tx.index, tx.size"
	case left == "condition.part" || right == "condition.part":
		return "part.index, part.size"
	case operator == "%":
		return "% is of integers: int(num(x)) % 2"
	}
	return ""
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
