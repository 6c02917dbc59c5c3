package condition

import (
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"

	"triggerd/internal/geo"
)

// memberHelper resolves the functions that are about members of a value, and
// about what has changed of them.
func (r *resolver) memberHelper(node *ast.Node, n *ast.CallNode, name string) {
	args := n.Arguments
	before, after := r.sides(n)
	switch name {
	case "score", "within":
		side := sideOf(args[0])
		if side == nil {
			r.problem(args[0], name+"(after, ...)", "%s is of before, after or value(...)", name)
			return
		}
		r.textOf(&args[1])
		if name == "within" {
			r.checkPlace(args[2], args[3], args[4])
		}
		for i := range args[2:] {
			r.numberOf(&args[2+i])
		}
		r.patch(node, "value."+name, append([]ast.Node{side}, args[1:]...)...)
	case "crossed_score":
		for i := range args {
			r.numberOf(&args[i])
		}
		r.patch(node, "value.crossed_score", append([]ast.Node{before, after}, args...)...)
	case "was":
		r.textOf(&args[0])
		r.patch(node, "value.at", before, args[0])
	case "differs":
		r.textOf(&args[0])
		r.patch(node, "value.differs", before, after, args[0])
	case "moved":
		if _, ok := args[1].(*ast.ConstantNode); !ok {
			r.problem(args[1], `moved("status", {"new": ["paid", "void"]})`, "moved takes what it may be from, and to")
			return
		}
		r.textOf(&args[0])
		r.patch(node, "value.moved", before, after, args[0], args[1])
	}
}

// checkPlace refuses numbers that are no place where a geo command can be, or no
// distance.
func (r *resolver) checkPlace(lon, lat, km ast.Node) {
	const hint = "member, longitude, latitude, km: Berlin is 13.4, 52.5"
	for _, c := range []struct {
		n           ast.Node
		what        string
		least, most float64
	}{{lon, "longitude", -180, 180}, {lat, "latitude", -geo.MaxLat, geo.MaxLat}, {km, "distance", 0, math.MaxFloat64}} {
		if f, ok := constantNumber(c.n); ok && (f < c.least || f > c.most) {
			r.problem(c.n, hint, "a %s is never %v", c.what, f)
		}
	}
}

// numberOf makes what is no constant number, and no number by itself, one.
func (r *resolver) numberOf(node *ast.Node) {
	switch (*node).(type) {
	case *ast.StringNode, *ast.BoolNode, *ast.NilNode, *ast.ArrayNode:
		r.problem(*node, "without quotes", "this is to be a number")
		return
	}
	n := *node
	if s := sideOf(n); s != nil {
		r.patch(node, "value.num", s)
		return
	}
	r.patch(node, "num", n)
}

// moves makes {"new": ["paid", "void"], "paid": "shipped"} a constant.
func (r *resolver) moves(node *ast.Node, m *ast.MapNode) {
	r.nodes++
	if r.at != nil {
		m.SetLocation(*r.at)
	}
	allowed := moves{}
	for _, pair := range m.Pairs {
		pair := pair.(*ast.PairNode)
		from, ok := r.constantText(pair.Key)
		if !ok {
			continue
		}
		if allowed[from] == nil {
			allowed[from] = map[string]struct{}{}
		}
		to := []ast.Node{pair.Value}
		if list, ok := pair.Value.(*ast.ArrayNode); ok {
			to = list.Nodes
		}
		if list, ok := pair.Value.(*ast.MemberNode); ok && isName(list.Node, "lists") {
			texts, ok := r.list(list).([]string)
			if !ok {
				r.problem(list, "", "moved takes texts")
			}
			for _, t := range texts {
				allowed[from][t] = struct{}{}
			}
			continue
		}
		for _, n := range to {
			if t, ok := r.constantText(n); ok {
				allowed[from][t] = struct{}{}
			}
		}
	}
	ast.Patch(node, &ast.ConstantNode{Value: allowed})
}

// constantText returns a text that has to be constant.
func (r *resolver) constantText(n ast.Node) (string, bool) {
	r.nodes++
	s, ok := n.(*ast.StringNode)
	if !ok {
		r.problem(n, `{"new": ["paid", "void"]}`, "this is to be a constant text")
		return "", false
	}
	r.str(s)
	return s.Value, true
}

// scoreIsNil makes "score(after, x) == nil" a question of its own, since a score
// is a number otherwise.
func (r *resolver) scoreIsNil(node *ast.Node, n *ast.BinaryNode) {
	score, ok := isCall(n.Left, "value.score")
	other := n.Right
	if !ok {
		score, ok = isCall(n.Right, "value.score")
		other = n.Left
	}
	if _, isNil := other.(*ast.NilNode); !ok || !isNil {
		return
	}
	r.patch(node, "value.has_score", score.Arguments...)
	if n.Operator == "==" {
		r.nodes++
		ast.Patch(node, &ast.UnaryNode{Operator: "!", Node: *node})
	}
}

// madeTexts reports whether a node is a list of texts that a condition has made:
// added, removed, split(x, sep).
func madeTexts(n ast.Node) bool {
	for _, name := range []string{"value.added", "value.removed", "text.split"} {
		if _, ok := isCall(n, name); ok {
			return true
		}
	}
	return false
}

// changed returns what the command has changed.
func (s *scope) changed() *changes {
	c := &s.changes
	if !c.found {
		c.stops = s.elementStops()
		before, after := s.before(), s.after()
		c.find(&before, &after)
	}
	if c.err != nil {
		s.note(c.err)
	}
	return c
}

// elementStops returns stops as a function, made once.
func (s *scope) elementStops() func() bool {
	if s.stopping == nil {
		s.stopping = s.stops
	}
	return s.stopping
}

// compileChanges compiles added and removed; nil for all else.
func compileChanges(n ast.Node) func(*scope) []string {
	if _, ok := isCall(n, "value.added"); ok {
		return func(s *scope) []string { return s.changed().added }
	}
	if _, ok := isCall(n, "value.removed"); ok {
		return func(s *scope) []string { return s.changed().removed }
	}
	return nil
}

// compileInTexts compiles "x in" such a list.
func compileInTexts(left, right ast.Node) boolFunc {
	x := compileString(left)
	if x == nil {
		return nil
	}
	if list := compileChanges(right); list != nil {
		return func(s *scope) truth { want := x(s); return truthOf(slices.Contains(list(s), want)) }
	}
	if p := compileSplit(right); p != nil {
		return func(s *scope) truth { want := x(s); return truthOf(p.has(s, want)) }
	}
	return nil
}

// countTexts compiles the length of such a list.
func countTexts(n ast.Node) intFunc {
	if list := compileChanges(n); list != nil {
		return func(s *scope) int { return len(list(s)) }
	}
	if p := compileSplit(n); p != nil {
		return p.count
	}
	return nil
}

// compileTextAt compiles a text of such a list by its place.
func compileTextAt(n *ast.MemberNode) textFunc {
	if !madeTexts(n.Node) || n.Optional {
		return nil
	}
	place := compilePlace(n.Property)
	if place == nil {
		return nil
	}
	if p := compileSplit(n.Node); p != nil {
		return func(s *scope) string { i := place(s); return p.at(s, i) }
	}
	list := compileChanges(n.Node)
	if list == nil {
		return nil
	}
	return func(s *scope) string {
		texts, i := list(s), place(s)
		at := i
		if at < 0 {
			at += len(texts)
		}
		if at < 0 || at >= len(texts) {
			s.fail("[%d]: index out of range, there are %d", i, len(texts))
			return ""
		}
		return texts[at]
	}
}

// compileScore compiles score(before, member).
func compileScore(n *ast.CallNode) numberFunc {
	v, member := compileSide(n.Arguments[0]), compileString(n.Arguments[1])
	if v == nil || member == nil {
		return nil
	}
	return func(s *scope) number {
		side, name := v(s), member(s)
		x, err := side.score(name)
		return result(s, x, err)
	}
}

// compileMemberBool compiles what members are asked that is true or false.
func compileMemberBool(n *ast.CallNode, name string) boolFunc {
	args := n.Arguments
	switch name {
	case "value.has_score":
		if v, member := compileSide(args[0]), compileString(args[1]); v != nil && member != nil {
			return func(s *scope) truth {
				side, name := v(s), member(s)
				ok, err := side.hasScore(name)
				return result(s, truthOf(ok), err)
			}
		}
	case "value.within":
		v, member, lon, lat, km := compileSide(args[0]), compileString(args[1]), compileNumber(args[2]), compileNumber(args[3]), compileNumber(args[4])
		if v != nil && member != nil && lon != nil && lat != nil && km != nil {
			return func(s *scope) truth {
				side, name, x, y, d := v(s), member(s), lon(s), lat(s), km(s)
				t, err := side.within(name, x, y, d)
				return result(s, t, err)
			}
		}
	case "value.differs":
		if f := compileString(args[2]); f != nil {
			return func(s *scope) truth {
				before, after, name := s.before(), s.after(), f(s)
				ok, err := differs(&before, &after, name)
				return result(s, truthOf(ok), err)
			}
		}
	case "value.moved":
		if f := compileString(args[2]); f != nil {
			allowed := args[3].(*ast.ConstantNode).Value.(moves)
			return func(s *scope) truth {
				before, after, field := s.before(), s.after(), f(s)
				ok, err := moved(&before, &after, field, allowed)
				return result(s, truthOf(ok), err)
			}
		}
	case "value.crossed_score":
		return compileCrossedScore(args[2:])
	}
	return nil
}

func compileCrossedScore(args []ast.Node) boolFunc {
	var numbers []numberFunc
	for _, a := range args {
		numbers = append(numbers, compileNumber(a))
	}
	if slices.ContainsFunc(numbers, func(f numberFunc) bool { return f == nil }) {
		return nil
	}
	return func(s *scope) truth {
		c := &s.crossing
		c.stops = s.elementStops()
		c.n, c.given = numbers[0](s), len(numbers) > 1
		if c.given {
			c.otherwise = numbers[1](s)
		}
		before, after := s.before(), s.after()
		t, err := c.of(&before, &after)
		return result(s, t, err)
	}
}
