package condition

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"triggerd/internal/glob"
	"triggerd/internal/suggest"
)

// resolver walks a parsed condition before its types are checked: it finds
// every name that is not one, refuses what must not be used, and replaces
// macros, lists and helpers by what they stand for.
type resolver struct {
	c          *Compiler
	source     string
	captures   []string
	anyCapture bool // a macro by itself: the rule that uses it knows
	at         *file.Location
	stack      []string // macros we are inside of
	nodes      int
	shared     map[ast.Node]ast.Node // the y of x < y < z, which is there twice: what it becomes; nil before that

	tree       *parser.Tree
	problems   []Problem
	warnings   []Problem
	sets       []numberList
	broken     bool
	usesParams bool
	anyElement bool // # of the predicate we are in may be of any kind
}

// numberList is a constant of numbers in the tree. While types are checked its
// value is of a type that expr's checker takes for a list of numbers.
type numberList struct {
	node *ast.ConstantNode
	set  *numberSet
}

func (c *Compiler) resolve(src string, captures []string, anyCapture bool) *resolver {
	r := &resolver{c: c, source: src, captures: captures, anyCapture: anyCapture}
	tree, warnings, p := c.parse(src)
	if p != nil {
		r.problems = []Problem{*p}
		return r
	}
	r.tree, r.warnings = tree, warnings
	r.node(&tree.Node, false)
	if r.nodes > maxNodes {
		r.problems = append(r.problems, Problem{Msg: fmt.Sprintf("too long: more than %d parts, macros included", maxNodes)})
	}
	return r
}

// parse checks the limits that protect the parser, and parses. It warns of
// numbers that are not what they are written as.
func (c *Compiler) parse(src string) (*parser.Tree, []Problem, *Problem) {
	if len(src) > maxLen {
		return nil, nil, &Problem{Msg: fmt.Sprintf("a condition of %d bytes; at most %d are allowed", len(src), maxLen)}
	}
	depth := 0
	for i := range len(src) {
		switch src[i] {
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return nil, nil, &Problem{Offset: i, Msg: fmt.Sprintf("more than %d brackets inside one another", maxNesting)}
			}
		case ')', ']', '}':
			depth--
		}
	}
	if strings.TrimSpace(src) == "" {
		return nil, nil, &Problem{Msg: "an empty condition", Hint: "leave the field out to match always"}
	}
	l := literalsOf(src)
	tree, err := parser.ParseWithConfig(l.src, c.config)
	if err != nil {
		return nil, nil, problemOf(src, err)
	}
	if len(l.wholes) > 0 {
		ast.Walk(&tree.Node, &l)
	}
	return tree, l.warnings, nil
}

func (r *resolver) problem(n ast.Node, hint, format string, args ...any) {
	at := n.Location()
	if r.at != nil {
		at = *r.at
	}
	r.problems = append(r.problems, Problem{Offset: byteOffset(r.source, at.From), Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// node resolves one node and what is below it. inside tells whether it is in
// a predicate.
func (r *resolver) node(node *ast.Node, inside bool) {
	if became, ok := r.shared[*node]; ok {
		if became != nil {
			*node = became
			return
		}
		was := *node
		defer func() { r.shared[was] = *node }()
	}
	if r.nodes++; r.nodes > maxNodes {
		return
	}
	if r.at != nil {
		(*node).SetLocation(*r.at)
	}
	switch n := (*node).(type) {
	case *ast.NilNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.ConstantNode:
	case *ast.StringNode:
		r.str(n)
	case *ast.IdentifierNode:
		r.name(node, n)
	case *ast.UnaryNode:
		r.node(&n.Node, inside)
	case *ast.BinaryNode:
		r.binary(node, n, inside)
	case *ast.MemberNode:
		r.member(node, n, inside)
	case *ast.SliceNode:
		r.node(&n.Node, inside)
		r.textOf(&n.Node)
		if n.From != nil {
			r.node(&n.From, inside)
		}
		if n.To != nil {
			r.node(&n.To, inside)
		}
	case *ast.CallNode:
		r.call(node, n, inside)
	case *ast.BuiltinNode:
		r.builtin(node, n, inside)
	case *ast.PredicateNode:
		r.node(&n.Node, true)
	case *ast.PointerNode:
		if n.Name != "" {
			r.problem(n, "# is the element", "unknown name #%s", n.Name)
		}
	case *ast.ConditionalNode:
		r.node(&n.Cond, inside)
		r.node(&n.Exp1, inside)
		r.node(&n.Exp2, inside)
	case *ast.ArrayNode:
		for i := range n.Nodes {
			r.node(&n.Nodes[i], inside)
		}
	case *ast.VariableDeclaratorNode:
		r.problem(n, "give the part a name in [macros]", "let is not available in conditions")
	default:
		hint := ""
		if _, ok := n.(*ast.ChainNode); ok {
			hint = chainHint
		}
		r.problem(n, hint, "%s are not available in conditions", nodeName(n))
	}
}

const chainHint = "a plain . will do: what is not there is nil"

func nodeName(n ast.Node) string {
	switch n.(type) {
	case *ast.ChainNode:
		return "optional chains (?.)"
	case *ast.SequenceNode:
		return "sequences (;)"
	case *ast.MapNode, *ast.PairNode:
		return "maps ({})"
	case *ast.BytesNode:
		return `bytes literals (b"")`
	}
	return "constructs of this kind"
}

// str refuses "\xff", which is not that byte but the letter U+00FF.
func (r *resolver) str(n *ast.StringNode) {
	if r.at != nil {
		return // checked where the macro is
	}
	loc := n.Location()
	from, to := byteOffset(r.source, loc.From), byteOffset(r.source, loc.To)
	if literal := r.source[from:to]; strings.Contains(literal, `\x`) && strings.ContainsFunc(n.Value, func(c rune) bool { return c >= 0x80 && c <= 0xff }) {
		r.problem(n, `bin("\\xff") is that byte`, `an escape like \xff in text is a letter, not that byte`)
	}
}

func (r *resolver) name(node *ast.Node, n *ast.IdentifierNode) {
	switch {
	case n.Value == "before" || n.Value == "after":
		r.patch(node, "value.whole", n)
	case n.Value == "ttl":
		r.patch(node, "value.ttl", n)
	case changeLists[n.Value] != "":
		before, after := r.sides(n)
		r.patch(node, changeLists[n.Value], before, after)
	case n.Value == "params":
		r.usesParams = true
	case variables[n.Value]:
	case n.Value == "lists" || n.Value == "macros":
		r.problem(n, "write "+n.Value+".NAME", "%s is not a value by itself", n.Value)
	case n.Value == "value" || n.Value == "field":
		r.problem(n, ofThisKey[n.Value], "%s(...) is of another key", n.Value)
	case helpers[n.Value] != [2]int{} || n.Value == "now":
		r.problem(n, "call it: "+n.Value+"(...)", "%s is a function", n.Value)
	default:
		r.problem(n, r.nameHint(n.Value, byteOffset(r.source, n.Location().From)), "unknown name %s", n.Value)
	}
}

// functionNames yields everything that a condition may call.
func (r *resolver) functionNames() func(func(string) bool) {
	names := append(slices.Sorted(maps.Keys(helpers)), slices.Sorted(maps.Keys(builtins))...)
	return slices.Values(append(names, "startsWith", "endsWith", "contains", "matches"))
}

// sharesMiddle notes the operand that the parser has put into both comparisons of
// x < y < z, which it makes x < y && y < z.
func (r *resolver) sharesMiddle(n *ast.BinaryNode) {
	right, ok := n.Right.(*ast.BinaryNode)
	left, both := n.Left.(*ast.BinaryNode)
	if both && left.Operator == "&&" {
		left, both = left.Right.(*ast.BinaryNode)
	}
	if !ok || !both || left.Right != right.Left {
		return
	}
	if r.shared == nil {
		r.shared = map[ast.Node]ast.Node{}
	}
	r.shared[right.Left] = nil
}

func (r *resolver) binary(node *ast.Node, n *ast.BinaryNode, inside bool) {
	if n.Operator == "&&" {
		r.sharesMiddle(n)
	}
	r.node(&n.Left, inside)
	switch n.Operator {
	case "matches":
		r.textOf(&n.Left)
		r.regex(n)
		return
	case "in":
		if r.inRows(node, n) || r.inList(n) {
			return
		}
		if r.inRange(n) {
			return
		}
	case "..":
		r.problem(n, "", "ranges are available only as constants after in")
		return
	}
	r.node(&n.Right, inside)
	switch n.Operator {
	case "startsWith", "endsWith", "contains":
		r.textOf(&n.Left)
		r.textOf(&n.Right)
	case "in":
		r.valueIn(node, n)
	case "+":
		if seemsText(n.Left) {
			r.textOf(&n.Right)
		} else if seemsText(n.Right) {
			r.textOf(&n.Left)
		}
	case "==", "!=":
		r.scoreIsNil(node, n)
	}
}

// regex accepts constant expressions only: a dynamic one is compiled for each
// event, at a cost that the event decides.
func (r *resolver) regex(n *ast.BinaryNode) {
	s, ok := n.Right.(*ast.StringNode)
	if !ok {
		r.problem(n.Right, "", "the right side of matches must be a constant text")
		return
	}
	r.nodes++
	if r.at != nil {
		s.SetLocation(*r.at)
	}
	if _, err := r.c.Pattern(s.Value); err != nil {
		r.problem(s, "", "%s", err)
	}
}

// inList replaces the list of "x in lists.name".
func (r *resolver) inList(n *ast.BinaryNode) bool {
	m, ok := n.Right.(*ast.MemberNode)
	if !ok || !isName(m.Node, "lists") {
		return false
	}
	switch l := r.list(m).(type) {
	case *rows:
		r.problem(n, "["+n.Left.String()+", ...] in lists."+m.Property.(*ast.StringNode).Value, "a list of lists has lists in it, and no texts")
	case []string:
		if len(l) == 0 { // of texts or of numbers: nothing is in it
			ast.Patch(&n.Right, &ast.ArrayNode{})
			break
		}
		ast.Patch(&n.Right, &ast.ConstantNode{Value: setOf(l)})
	case *numberSet:
		ast.Patch(&n.Right, r.numbers(l))
	}
	return true
}

// numbers returns a list of numbers as a node.
func (r *resolver) numbers(set *numberSet) *ast.ConstantNode {
	c := &ast.ConstantNode{Value: set.typed()}
	r.sets = append(r.sets, numberList{c, set})
	return c
}

func setOf(list []string) map[string]struct{} {
	set := make(map[string]struct{}, len(list))
	for _, v := range list {
		set[v] = struct{}{}
	}
	return set
}

// list returns the list that lists.name stands for: a []string or a *numberSet;
// nil if there is none.
func (r *resolver) list(m *ast.MemberNode) any {
	name, ok := m.Property.(*ast.StringNode)
	if !ok {
		r.problem(m, "", "the name of a list must be a constant")
		return nil
	}
	list, ok := r.c.lists[name.Value]
	if !ok {
		r.problem(m.Property, suggest.DidYouMean(name.Value, sortedKeys(r.c.lists)), "unknown list %s", name.Value)
	}
	return list
}

// inRange accepts "x in 1..9".
func (r *resolver) inRange(n *ast.BinaryNode) bool {
	b, ok := n.Right.(*ast.BinaryNode)
	if !ok || b.Operator != ".." {
		return false
	}
	lo, ok1 := intConstant(b.Left)
	hi, ok2 := intConstant(b.Right)
	if !ok1 || !ok2 {
		r.problem(b, "", "the ends of a range must be constant integers")
		return true
	}
	r.nodes += 4
	// x >= lo && x <= hi, with x evaluated twice, is what expr's own
	// optimiser makes of it too.
	at := n.Location()
	ge := &ast.BinaryNode{Operator: ">=", Left: n.Left, Right: &ast.IntegerNode{Value: lo}}
	le := &ast.BinaryNode{Operator: "<=", Left: n.Left, Right: &ast.IntegerNode{Value: hi}}
	for _, m := range []ast.Node{ge, ge.Right, le, le.Right} {
		m.SetLocation(at)
	}
	n.Operator, n.Left, n.Right = "&&", ge, le
	return true
}

func intConstant(n ast.Node) (int, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.UnaryNode:
		v, ok := intConstant(n.Node)
		return -v, ok && n.Operator == "-"
	}
	return 0, false
}

func isName(n ast.Node, name string) bool {
	id, ok := n.(*ast.IdentifierNode)
	return ok && id.Value == name
}

func (r *resolver) member(node *ast.Node, n *ast.MemberNode, inside bool) {
	switch {
	case isName(n.Node, "macros"):
		r.macro(node, n, inside)
		return
	case isName(n.Node, "lists"):
		r.list(n)
		r.problem(n, "write x in lists.NAME", "a list can only be searched")
		return
	case isName(n.Node, "params"):
		r.usesParams = true
		r.param(n)
		return
	case n.Optional:
		r.problem(n, chainHint, "optional chains (?.) are not available in conditions")
		return
	}
	if _, ok := isCall(n.Node, "value"); ok {
		r.node(&n.Node, inside)
		r.node(&n.Property, inside)
		if s := sideOf(n.Node); s != nil {
			r.patch(node, "value.at", s, n.Property)
		}
		return
	}
	if isSideName(n.Node) {
		base := n.Node
		if r.nodes++; r.at != nil {
			base.SetLocation(*r.at)
		}
		r.node(&n.Property, inside)
		r.patch(node, "value.at", base, n.Property)
		return
	}
	r.node(&n.Node, inside)
	r.node(&n.Property, inside)
}

// param checks params.name against the rule's captures: a map would give ""
// for a misspelt name, silently.
func (r *resolver) param(n *ast.MemberNode) {
	r.nodes += 2
	name, ok := n.Property.(*ast.StringNode)
	switch {
	case !ok:
		r.problem(n, "", "the name of a param must be a constant")
	case r.anyCapture || slices.Contains(r.captures, name.Value):
	case len(r.captures) == 0:
		r.problem(n.Property, `capture it in key: "stock:{`+name.Value+`}"`, "unknown param %s: the rule's key captures nothing", name.Value)
	default:
		hint := suggest.DidYouMean(name.Value, slices.Values(r.captures))
		if hint == "" {
			hint = "captured: " + strings.Join(r.captures, ", ")
		}
		r.problem(n.Property, hint, "unknown param %s", name.Value)
	}
}

// macro replaces macros.name by a copy of its tree.
func (r *resolver) macro(node *ast.Node, n *ast.MemberNode, inside bool) {
	name, ok := n.Property.(*ast.StringNode)
	if !ok {
		r.problem(n, "", "the name of a macro must be a constant")
		return
	}
	src, ok := r.c.of.Macros[name.Value]
	switch {
	case !ok:
		r.problem(n.Property, suggest.DidYouMean(name.Value, sortedKeys(r.c.of.Macros)), "unknown macro %s", name.Value)
		return
	case r.c.broken[name.Value]:
		r.broken = true
		return
	case slices.Contains(r.stack, name.Value):
		r.problem(n, "", "macro %s is made of itself: %s", name.Value, strings.Join(append(r.stack, name.Value), " -> "))
		return
	case len(r.stack) >= maxMacroDepth:
		r.problem(n, "", "more than %d macros inside one another", maxMacroDepth)
		return
	}
	tree, _, p := r.c.parse(src)
	if p != nil {
		r.broken = true // reported where the macro is
		return
	}
	outer := r.at
	if r.at == nil {
		at := n.Location()
		r.at = &at
	}
	r.stack = append(r.stack, name.Value)
	*node = tree.Node
	r.node(node, inside)
	r.stack = r.stack[:len(r.stack)-1]
	r.at = outer
}

func (r *resolver) call(node *ast.Node, n *ast.CallNode, inside bool) {
	for i := range n.Arguments {
		if m, ok := n.Arguments[i].(*ast.MapNode); ok && i == 1 && isName(n.Callee, "moved") {
			r.moves(&n.Arguments[i], m)
			continue
		}
		r.node(&n.Arguments[i], inside)
	}
	if m, ok := n.Callee.(*ast.MemberNode); ok {
		r.timePart(n, m)
		return
	}
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		r.problem(n, "", "only the functions of conditions can be called")
		return
	}
	if r.at != nil {
		id.SetLocation(*r.at)
	}
	want, ok := helpers[id.Value]
	switch {
	case !ok && builtin.Index[id.Value] != 0 || id.Value == "all":
		r.problem(n, r.functionHint(id.Value), "%s() is not available in conditions", id.Value)
		return
	case !ok:
		r.problem(n, r.functionHint(id.Value), "unknown function %s", id.Value)
		return
	case len(n.Arguments) < want[0] || len(n.Arguments) > want[1]:
		r.problem(n, usages[id.Value], "%s takes %s, not %d", id.Value, argumentCount(want), len(n.Arguments))
		return
	}
	r.helper(node, n, id.Value)
}

func argumentCount(want [2]int) string {
	switch {
	case want[1] == 0:
		return "no argument"
	case want[0] != want[1]:
		return fmt.Sprintf("%d or %d arguments", want[0], want[1])
	case want[0] == 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", want[0])
}

// helper replaces constant arguments by what they compile to, and passes what
// the helper reads of the event.
func (r *resolver) helper(node *ast.Node, n *ast.CallNode, name string) {
	if r.valueHelper(node, n, name) {
		return
	}
	switch name {
	case "now": // the event's own time, so that the same input gives the same firings
		ast.Patch(node, &ast.IdentifierNode{Value: "time"})
	case "arg":
		args := &ast.IdentifierNode{Value: "args"}
		args.SetLocation(n.Location())
		n.Arguments = []ast.Node{args, n.Arguments[0]}
	case "bin":
		if s, ok := r.constant(n, 0); ok {
			b, err := unescapeBytes(s)
			if err != nil {
				r.problem(n.Arguments[0], `write bytes as \\xff`, "%v", err)
				return
			}
			ast.Patch(node, &ast.StringNode{Value: b})
		}
	case "glob":
		r.compileArgument(n, func(s string) (any, error) { return glob.ParsePlain(s) })
	case "cidr":
		r.compileArgument(n, func(s string) (any, error) {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%q is not a network like 10.0.0.0/8", s)
			}
			return p.Masked(), nil
		})
	case "split", "replace", "string":
		r.textHelper(node, n, name)
	case "json":
		r.warnPath(n)
		r.compileArgument(n, func(s string) (any, error) {
			if s == "" {
				return jsonPath{}, nil
			}
			return jsonPath(strings.Split(s, ".")), nil
		})
	}
}

// warn warns of a node of the expression itself; macros are warned of by themselves.
func (r *resolver) warn(n ast.Node, code, hint, format string, args ...any) {
	if r.at == nil {
		r.warnings = append(r.warnings, Problem{Offset: byteOffset(r.source, n.Location().From), Msg: fmt.Sprintf(format, args...), Hint: hint, Code: code})
	}
}

// warnPath warns of a path in the way of JSONPath, or of other languages.
func (r *resolver) warnPath(n *ast.CallNode) {
	s, ok := n.Arguments[1].(*ast.StringNode)
	if !ok {
		return
	}
	plain := strings.TrimPrefix(strings.TrimPrefix(s.Value, "$"), ".")
	plain = indexInPath.ReplaceAllString(plain, ".$1")
	if plain == s.Value || s.Value[0] == '$' && len(s.Value) > 1 && s.Value[1] != '.' && s.Value[1] != '[' {
		return
	}
	r.warn(s, "doubtful-path", "write "+strconv.Quote(strings.TrimPrefix(plain, ".")), "a path is names and numbers with . between them: this one looks for names with $ or [ in them")
}

var indexInPath = regexp.MustCompile(`\[['"]?([^\[\]'"]*)['"]?\]`)

// warnBraces warns of the name of another key with a capture in it as it is in a key
// pattern.
func (r *resolver) warnBraces(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryNode:
		r.warnBraces(n.Left)
		r.warnBraces(n.Right)
	case *ast.StringNode:
		for _, name := range r.captures {
			if before, after, ok := strings.Cut(n.Value, "{"+name+"}"); ok {
				parts := []string{"params." + name}
				if before != "" {
					parts = append([]string{strconv.Quote(before)}, parts...)
				}
				if after != "" {
					parts = append(parts, strconv.Quote(after))
				}
				r.warn(n, "doubtful-pattern", "write "+strings.Join(parts, " + "), "{%s} is these very characters here, and not what the key pattern captured", name)
			}
		}
	}
}

// compileArgument replaces the second argument, a constant text, by what it
// compiles to.
func (r *resolver) compileArgument(n *ast.CallNode, compile func(string) (any, error)) {
	s, ok := r.constant(n, 1)
	if !ok {
		return
	}
	v, err := compile(s)
	if err != nil {
		r.problem(n.Arguments[1], "", "%v", err)
		return
	}
	ast.Patch(&n.Arguments[1], &ast.ConstantNode{Value: v})
}

func (r *resolver) constant(n *ast.CallNode, i int) (string, bool) {
	s, ok := n.Arguments[i].(*ast.StringNode)
	if !ok {
		r.problem(n.Arguments[i], usages[n.Callee.String()], "argument %d of %s must be a constant text", i+1, n.Callee.String())
		return "", false
	}
	return s.Value, true
}

// unescapeBytes decodes the escapes of bin(): \xff, \n, \\ and so on.
func unescapeBytes(s string) (string, error) {
	var b []byte
	for rest := s; rest != ""; {
		r, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return "", fmt.Errorf("bad escape in %q", s)
		}
		if multibyte {
			b = append(b, string(r)...)
		} else {
			b = append(b, byte(r))
		}
		rest = tail
	}
	return string(b), nil
}

// timePart replaces time.Hour() and its like by a function, since expr's
// machine compares what the methods return by type, and time.Month is no int.
func (r *resolver) timePart(n *ast.CallNode, m *ast.MemberNode) {
	name, _ := m.Property.(*ast.StringNode)
	base := m.Node
	if c, ok := base.(*ast.CallNode); ok && isName(c.Callee, "now") && len(c.Arguments) == 0 {
		base = &ast.IdentifierNode{Value: "time"}
		base.SetLocation(c.Location())
	}
	if name == nil || !isName(base, "time") || len(n.Arguments) > 0 {
		r.problem(n, methodHint(name), "only time has methods, without arguments: time.Hour()")
		return
	}
	if timeParts[name.Value] == nil {
		r.problem(m.Property, suggest.DidYouMean(name.Value, sortedKeys(timeParts)), "time has no %s()", name.Value)
		return
	}
	r.nodes += 2
	callee := &ast.IdentifierNode{Value: "time." + name.Value}
	callee.SetLocation(n.Location())
	n.Callee, n.Arguments = callee, []ast.Node{base}
}

func (r *resolver) builtin(node *ast.Node, n *ast.BuiltinNode, inside bool) {
	if !builtins[n.Name] {
		r.problem(n, r.functionHint(n.Name), "%s() is not available in conditions", n.Name)
		return
	}
	if n.Name == "count" && len(n.Arguments) == 1 {
		of := n.Arguments[0].String()
		r.problem(n, "len("+of+") is how many there are", "count(%s) without a predicate counts elements that are true, and none is", of)
		return
	}
	if n.Name == "trim" && len(n.Arguments) == 2 {
		if _, ok := n.Arguments[1].(*ast.StringNode); !ok {
			r.problem(n.Arguments[1], "", "what trim takes away must be a constant text")
		}
	}
	for i := range n.Arguments {
		if _, ok := n.Arguments[i].(*ast.PredicateNode); !ok {
			if m, isMember := n.Arguments[i].(*ast.MemberNode); isMember && isName(m.Node, "lists") && len(n.Arguments) == 2 {
				switch l := r.list(m).(type) {
				case *rows:
					r.problem(m, "[x, y] in lists.NAME", "a list of lists can only be searched")
				case []string:
					ast.Patch(&n.Arguments[i], &ast.ConstantNode{Value: l})
				case *numberSet:
					ast.Patch(&n.Arguments[i], r.numbers(l))
				}
				continue
			}
			r.node(&n.Arguments[i], inside)
			continue
		}
		if inside {
			r.problem(n, "", "%s() inside a predicate is not available: its cost would not be bounded", n.Name)
			return
		}
		r.anyElement = i > 0 && r.elementsOf(&n.Arguments[0])
		r.node(&n.Arguments[i], true)
		r.anyElement = false
	}
	r.valueBuiltin(node, n)
}

// sortedKeys yields the keys of a map in order.
func sortedKeys[V any](m map[string]V) func(func(string) bool) {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
