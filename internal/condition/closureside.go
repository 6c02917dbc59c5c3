package condition

import (
	"github.com/expr-lang/expr/ast"
)

// Closures of before, after, ttl and what is asked of them. They work on a
// side as the machine does, but never make one whole, except where a whole
// collection is compared with a thing of unknown kind.

// before and after return the sides of the event.
func (s *scope) before() side { return side{v: s.ev.Before, scope: s} }
func (s *scope) after() side  { return side{v: s.ev.After, after: true, scope: s} }

// note notes an error, if it is the first.
func (s *scope) note(err error) {
	if s.err == nil {
		s.err = err
	}
}

// result returns what a closure asked for, and notes the error that came with it.
func result[T any](s *scope, x T, err error) T {
	if err != nil {
		s.note(err)
	}
	return x
}

// sideFunc returns a side of an event.
type sideFunc func(*scope) side

// compileSide compiles the name before or after as an argument, or the value of
// another key; nil for all else.
func compileSide(n ast.Node) sideFunc {
	switch {
	case isName(n, "before"):
		return (*scope).before
	case isName(n, "after"):
		return (*scope).after
	case isOtherKey(n):
		if key := compileString(n.(*ast.CallNode).Arguments[1]); key != nil {
			return func(s *scope) side { k := key(s); return s.otherKey(k) }
		}
	}
	return nil
}

// compileWhole compiles before or after where it stands by itself.
func compileWhole(n ast.Node) sideFunc {
	if name := sideOf(n); name != nil {
		return compileSide(name)
	}
	return nil
}

// compileValueBool compiles the functions of values that give true or false.
func compileValueBool(n *ast.CallNode, name string) boolFunc {
	args := n.Arguments
	switch name {
	case "value.has":
		if v, x := compileSide(args[0]), compileString(args[1]); v != nil && x != nil {
			item := isItem(args[1])
			return func(s *scope) truth {
				side, name := v(s), x(s)
				ok, err := side.has(name, item)
				return result(s, truthOf(ok), err)
			}
		}
	case "value.in":
		texts := args[1].(*ast.ConstantNode).Value.(map[string]struct{})
		if e := compileElement(args[0]); e != nil {
			return func(s *scope) truth { return e(s).in(texts) }
		}
		if x := compileAny(args[0]); x != nil {
			return func(s *scope) truth { return truthOf(inTexts(x(s), texts)) }
		}
	case "value.crossed":
		if x := compileNumber(args[2]); x != nil {
			return func(s *scope) truth {
				before, after := s.before(), s.after()
				b, err := before.number()
				if err != nil {
					s.note(err)
				}
				a, err := after.number()
				if err != nil {
					s.note(err)
				}
				return crossed(b, a, x(s))
			}
		}
	case "value.changed_to":
		if x := compileString(args[2]); x != nil {
			return func(s *scope) truth {
				before, after, v := s.before(), s.after(), x(s)
				ok, err := changedTo(&before, &after, v)
				return result(s, truthOf(ok), err)
			}
		}
	case "value.became":
		if f, x := compileString(args[2]), compileString(args[3]); f != nil && x != nil {
			return func(s *scope) truth {
				before, after, field, v := s.before(), s.after(), f(s), x(s)
				ok, err := became(&before, &after, field, v)
				return result(s, truthOf(ok), err)
			}
		}
	}
	return nil
}

// compileValueInt compiles ttl, size and len.
func compileValueInt(n *ast.CallNode, name string) intFunc {
	if name == "value.ttl" {
		return func(s *scope) int {
			ms, err := ttlOf(int(s.ev.TTL))
			return result(s, ms, err)
		}
	}
	v := compileSide(n.Arguments[0])
	switch {
	case v == nil:
	case name == "value.size":
		return func(s *scope) int { side := v(s); n, err := side.size(); return result(s, n, err) }
	case name == "value.len":
		return func(s *scope) int { side := v(s); n, err := side.length(); return result(s, n, err) }
	}
	return nil
}

// compileValueNum compiles num(before).
func compileValueNum(n *ast.CallNode) numberFunc {
	v := compileSide(n.Arguments[0])
	if v == nil {
		return nil
	}
	return func(s *scope) number {
		side := v(s)
		n, err := side.number()
		if err != nil {
			s.note(err)
		}
		return n
	}
}

// compileValueText compiles a value in a place where text has to be.
func compileValueText(n *ast.CallNode) textFunc {
	if v := compileSide(n.Arguments[0]); v != nil {
		return func(s *scope) string { side := v(s); t, err := side.text(); return result(s, t, err) }
	}
	if e := compileElement(n.Arguments[0]); e != nil {
		return func(s *scope) string { return e(s).asText(s) }
	}
	x := compileAny(n.Arguments[0])
	if x == nil {
		return nil
	}
	return func(s *scope) string {
		v := x(s)
		if s.err != nil {
			return ""
		}
		t, err := textOf(v)
		return result(s, t, err)
	}
}

// compileAt compiles before.f, before["f"] and before[0].
func compileAt(n *ast.CallNode) anyFunc {
	v := compileSide(n.Arguments[0])
	if v == nil {
		return nil
	}
	at := func(name func(*scope) any) anyFunc {
		return func(s *scope) any {
			side, name := v(s), name(s)
			x, err := side.at(name)
			return result(s, x, err)
		}
	}
	if c, ok := n.Arguments[1].(*ast.StringNode); ok {
		var name any = c.Value
		return at(func(*scope) any { return name })
	}
	if i := compileNumber(n.Arguments[1]); i != nil {
		return at(func(s *scope) any { return i(s).boxed() })
	}
	if name := compileString(n.Arguments[1]); name != nil {
		return at(func(s *scope) any { return name(s) })
	}
	return nil
}

// compileEqualSide compares a whole side with the other one, with nil and with
// text. There is no value that is a number or true.
func compileEqualSide(l, r ast.Node) boolFunc {
	v := compileWhole(l)
	if v == nil {
		return nil
	}
	if w := compileWhole(r); w != nil {
		return func(s *scope) truth {
			a, b := v(s), w(s)
			same, err := sameValue(&a, &b)
			return result(s, truthOf(same), err)
		}
	}
	if _, ok := r.(*ast.NilNode); ok {
		return func(s *scope) truth {
			side := v(s)
			x, err := side.value()
			return result(s, truthOf(err == nil && absent(x)), err)
		}
	}
	if want := compileString(r); want != nil {
		return func(s *scope) truth {
			side, want := v(s), want(s)
			same, err := side.is(want)
			return result(s, truthOf(same), err)
		}
	}
	return nil
}

// compileEqualAnys compares two values of any kind.
func compileEqualAnys(l, r ast.Node) boolFunc {
	a, b := compileAny(l), compileAny(r)
	if a == nil || b == nil {
		return nil
	}
	return func(s *scope) truth { x, y := a(s), b(s); return equalAny(x, y) }
}
