package condition

import (
	"reflect"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
)

// What a predicate over a value reads of an element. The closures read it of the
// event.Element at hand; expr's machine of what elementOf makes of it.

// scalar is a part of an element: a text, a number, several texts, or the whole
// of an element that has parts.
type scalar struct {
	kind   scalarKind
	text   string
	number float64
	texts  []string
}

type scalarKind uint8

const (
	isNil scalarKind = iota
	isTextual
	isNumber
	isTexts
	isEntry
)

// scalarFunc reads a part of the element of the predicate that we are in.
type scalarFunc func(*scope) scalar

func textScalar(s string) scalar { return scalar{kind: isTextual, text: s} }

// named reports whether the elements of a type are texts, which have no parts.
func named(typ string) bool { return typ == "list" || typ == "set" }

// compileElement compiles #, #.score and its like, and #.fields[0]; nil for all
// else.
func compileElement(n ast.Node) scalarFunc {
	switch n := n.(type) {
	case *ast.PointerNode:
		if kindOf(n) == reflect.Interface {
			return wholeElement
		}
	case *ast.MemberNode:
		if n.Optional {
			return nil
		}
		if inner, ok := n.Node.(*ast.MemberNode); ok {
			return compileElementField(inner, n.Property)
		}
		name, named := n.Property.(*ast.StringNode)
		if _, ok := n.Node.(*ast.PointerNode); ok && named && kindOf(n.Node) == reflect.Interface {
			return partOfElement(name.Value)
		}
	}
	return nil
}

func wholeElement(s *scope) scalar {
	if named(s.typ) {
		return textScalar(s.element.Name)
	}
	return scalar{kind: isEntry}
}

// partOfElement reads a part by its name: nil where elements of the type have
// none of that name.
func partOfElement(name string) scalarFunc {
	return func(s *scope) scalar {
		if named(s.typ) {
			s.noPart(name, s.typ)
			return scalar{}
		}
		e := s.element
		switch {
		case s.typ == "zset" && name == "member", s.typ == "hash" && name == "field", s.typ == "stream" && name == "id":
			return textScalar(e.Name)
		case s.typ == "zset" && name == "score":
			return scalar{kind: isNumber, number: e.Score}
		case s.typ == "hash" && name == "value":
			return textScalar(e.Value)
		case s.typ == "stream" && name == "fields":
			return scalar{kind: isTexts, texts: e.Fields}
		}
		return scalar{}
	}
}

// noPart: an element that is text has no parts.
func (s *scope) noPart(name, typ string) {
	s.fail("an element of a %s is text, and has no %s", typ, name)
}

// compileElementField compiles #.fields[0]; an index below 0 counts from the end.
func compileElementField(list *ast.MemberNode, index ast.Node) scalarFunc {
	of, i := compileElement(list), compilePlace(index)
	if of == nil || i == nil {
		return nil
	}
	return func(s *scope) scalar {
		texts, i := of(s), i(s)
		n := i
		if n < 0 {
			n += len(texts.texts)
		}
		if n < 0 || n >= len(texts.texts) {
			s.fail("[%d]: index out of range, there are %d", i, len(texts.texts))
			return scalar{}
		}
		return textScalar(texts.texts[n])
	}
}

// value returns a part as expr's machine has it.
func (x scalar) value(s *scope) any {
	switch x.kind {
	case isTextual:
		return x.text
	case isNumber:
		return x.number
	case isTexts:
		return x.texts
	case isEntry:
		return elementOf(s.typ, *s.element)
	}
	return nil
}

// asText returns a part where only text can be: "" for nil.
func (x scalar) asText(s *scope) string {
	switch x.kind {
	case isNil, isTextual:
		return x.text
	case isNumber:
		s.fail("a number is not text")
	case isTexts:
		s.fail("a list is not text")
	case isEntry:
		s.fail("an entry is not text")
	}
	return ""
}

// num is num(x).
func (x scalar) num() number {
	switch x.kind {
	case isNil:
		return number{kind: nothing}
	case isTextual:
		return numberOf(x.text)
	case isNumber:
		return ofFloat(x.number)
	}
	return number{kind: notOne}
}

// in is x in a list of texts.
func (x scalar) in(texts map[string]struct{}) truth {
	_, ok := texts[x.text]
	return truthOf(ok && x.kind == isTextual)
}

// length is len(x).
func (x scalar) length(s *scope) int {
	switch x.kind {
	case isTextual:
		return utf8.RuneCountInString(x.text)
	case isTexts:
		return len(x.texts)
	case isEntry:
		return 2
	}
	s.fail("len() of what is neither text nor a list")
	return 0
}

// compileEqualElement compares a part of an element with a constant or a text.
func compileEqualElement(l, r ast.Node) boolFunc {
	e := compileElement(l)
	if e == nil {
		return nil
	}
	switch r.(type) {
	case *ast.NilNode:
		return func(s *scope) truth { return truthOf(e(s).kind == isNil) }
	case *ast.BoolNode:
		return func(s *scope) truth { e(s); return no }
	}
	if want := compileNumber(r); want != nil {
		return func(s *scope) truth {
			x, n := e(s), want(s)
			if x.kind != isNumber && !n.none() {
				return no
			}
			return equal(ofFloat(x.number), n)
		}
	}
	if want := compileString(r); want != nil {
		return func(s *scope) truth {
			x, want := e(s), want(s)
			return truthOf(x.kind == isTextual && x.text == want)
		}
	}
	return nil
}

// readsName reports whether a predicate reads more of an element than what a
// stream's entry has without its ID, which costs something to make.
func readsName(n ast.Node) bool {
	var r nameReading
	ast.Walk(&n, &r)
	return r.elements > r.nameless
}

// nameReading counts the places where an element is read, and those of them
// where it is not its name.
type nameReading struct{ elements, nameless int }

// Visit is ast.Visitor's.
func (r *nameReading) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.PointerNode:
		r.elements++
	case *ast.MemberNode:
		_, ofElement := n.Node.(*ast.PointerNode)
		name, _ := n.Property.(*ast.StringNode)
		if ofElement && name != nil && (name.Value == "fields" || name.Value == "score" || name.Value == "value") {
			r.nameless++
		}
	}
}
