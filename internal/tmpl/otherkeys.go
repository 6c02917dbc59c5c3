package tmpl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// The functions value and field give the value of another key:
//
//	{{value "limit:" .params.id}}
//	{{field "user:" .params.id "email"}}
//
// Their arguments, but the last of field, are the parts of the key's name. The
// value is read when the firing is planned, and kept with it (firing.OtherKey), so
// that a retry has the same. So which keys a template asks for has to be known
// without rendering it: a part is a text in quotes, or something of the event by
// its name.

// keyCall is a call of value or field: the parts of the key's name.
type keyCall []keyPart

// keyPart is one part: a text, or the path to something of the event.
type keyPart struct {
	text string
	path []any // of names, and of places in a list; nil: it is text
}

// partRoots are the names that a part may begin with: what is known when a firing
// is planned, and the same in every attempt.
var partRoots = map[string]bool{
	"key": true, "params": true, "args": true, "db": true, "event": true, "type": true, "command": true, "before": true, "after": true, "by": true,
}

var errPart = errors.New(`the parts of a key's name are texts in quotes and names of the event, such as .params.id, $.key or (index .args 1)`)

// otherKeys finds the calls in a template as its user wrote it, and the names of
// fields that are read.
func otherKeys(t *template.Template) (calls []keyCall, fields []string, err error) {
	f := &keyFinder{}
	for _, each := range t.Templates() {
		if each.Tree != nil {
			f.node(each.Root, each.Name() == t.Name())
		}
	}
	return f.calls, f.fields, f.err
}

// keyFinder goes through a template.
type keyFinder struct {
	calls  []keyCall
	fields []string
	err    error // the first
}

// node looks at n and what is below it. dot tells that the dot is the firing's
// event.
func (f *keyFinder) node(n parse.Node, dot bool) {
	switch n := n.(type) {
	case *parse.ListNode:
		for _, c := range n.Nodes {
			f.node(c, dot)
		}
	case *parse.ActionNode:
		f.pipe(n.Pipe, dot)
	case *parse.IfNode:
		f.branch(&n.BranchNode, dot, dot)
	case *parse.WithNode:
		f.branch(&n.BranchNode, isWhole(n.Pipe, dot), dot)
	case *parse.RangeNode:
		f.branch(&n.BranchNode, false, dot)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			f.pipe(n.Pipe, dot)
		}
	}
}

func (f *keyFinder) branch(n *parse.BranchNode, inside, dot bool) {
	f.pipe(n.Pipe, dot)
	f.node(n.List, inside)
	if n.ElseList != nil {
		f.node(n.ElseList, dot)
	}
}

func (f *keyFinder) pipe(p *parse.PipeNode, dot bool) {
	for i, cmd := range p.Cmds {
		for _, arg := range cmd.Args {
			switch arg := arg.(type) {
			case *parse.PipeNode:
				f.pipe(arg, dot)
			case *parse.ChainNode:
				if inner, ok := arg.Node.(*parse.PipeNode); ok {
					f.pipe(inner, dot)
				}
			}
		}
		if id, ok := cmd.Args[0].(*parse.IdentifierNode); ok && (id.Ident == "value" || id.Ident == "field") {
			if err := f.call(id.Ident, cmd.Args[1:], i > 0, dot); err != nil && f.err == nil {
				f.err = fmt.Errorf("template: %s: %w", id.Ident, err)
			}
		}
	}
}

// call takes a call of value or field.
func (f *keyFinder) call(name string, args []parse.Node, piped, dot bool) error {
	if name == "field" && len(args) > 0 {
		last, ok := args[len(args)-1].(*parse.StringNode)
		if !ok {
			return errors.New(`the last argument is the name of a field, in quotes: field "user:" .params.id "email"`)
		}
		f.fields, args = append(f.fields, last.Text), args[:len(args)-1]
	}
	if len(args) == 0 || piped {
		return errPart
	}
	var c keyCall
	for _, arg := range args {
		p, ok := partOfKey(arg, dot)
		if !ok {
			return errPart
		}
		c = append(c, p)
	}
	if !slices.ContainsFunc(c, func(p keyPart) bool { return p.text != "" }) {
		return errors.New(`of any key at all it would keep every value; write what all these keys have in common: "limit:" .params.id`)
	}
	f.calls = append(f.calls, c)
	return nil
}

// partOfKey returns the part of a key's name that an argument is.
func partOfKey(n parse.Node, dot bool) (keyPart, bool) {
	switch n := n.(type) {
	case *parse.StringNode:
		return keyPart{text: n.Text}, true
	case *parse.FieldNode:
		return pathPart(n.Ident, dot)
	case *parse.VariableNode:
		return pathPart(n.Ident[1:], n.Ident[0] == "$")
	case *parse.PipeNode:
		if len(n.Cmds) != 1 || len(n.Decl) > 0 || len(n.Cmds[0].Args) < 3 {
			return keyPart{}, false
		}
		args := n.Cmds[0].Args
		if id, ok := args[0].(*parse.IdentifierNode); !ok || id.Ident != "index" {
			return keyPart{}, false
		}
		p, ok := partOfKey(args[1], dot)
		if !ok || p.path == nil {
			return keyPart{}, false
		}
		for _, at := range args[2:] {
			switch at := at.(type) {
			case *parse.StringNode:
				p.path = append(p.path, at.Text)
			case *parse.NumberNode:
				if !at.IsInt {
					return keyPart{}, false
				}
				p.path = append(p.path, at.Int64)
			default:
				return keyPart{}, false
			}
		}
		return p, true
	}
	return keyPart{}, false
}

func pathPart(names []string, ok bool) (keyPart, bool) {
	if !ok || len(names) == 0 || !partRoots[names[0]] {
		return keyPart{}, false
	}
	var p keyPart
	for _, name := range names {
		p.path = append(p.path, name)
	}
	return p, true
}

// pieces are the texts of the key's name, with anything between two of them.
func (c keyCall) pieces() []string {
	list := []string{""}
	for _, p := range c {
		if p.path != nil {
			list = append(list, "")
			continue
		}
		list[len(list)-1] += p.text
	}
	return list
}

// key returns the key of a firing; false where that fails, as rendering will.
func (c keyCall) key(data map[string]any) (string, bool) {
	var b strings.Builder
	for _, p := range c {
		if p.path == nil {
			b.WriteString(p.text)
			continue
		}
		var v any = data
		for _, at := range p.path {
			var err error
			if v, err = indexOne(v, at); err != nil {
				return "", false
			}
		}
		s, err := asText(v, maxKeyName)
		if err != nil || b.Len()+len(s) > maxKeyName {
			return "", false
		}
		b.WriteString(s)
	}
	return b.String(), true
}

// maxKeyName is how long the name of a key may be that a template asks for.
const maxKeyName = 1 << 20

var errKeyName = errors.New("the name of a key of more than 1 MiB")

// OtherKeys returns the keys whose values the template reads for a firing, beside
// that of the event's own. It may be planned only, without an ID.
func (x *Template) OtherKeys(v *View) (keys []string) {
	if x == nil {
		return nil
	}
	for _, c := range x.others {
		if key, ok := c.key(v.data()); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// KeyPieces returns, for each call of value and field, what is known of the key's
// name: the texts in it, with anything between two of them.
func (x *Template) KeyPieces() (list [][]string) {
	if x == nil {
		return nil
	}
	for _, c := range x.others {
		list = append(list, c.pieces())
	}
	return list
}

// Templates are all templates of an action; nil ones among them say nothing.
type Templates []*Template

// KeyPieces is that of all templates.
func (list Templates) KeyPieces() (pieces [][]string) {
	for _, x := range list {
		pieces = append(pieces, x.KeyPieces()...)
	}
	return pieces
}

// Params are those of all templates.
func (list Templates) Params() (names []string) {
	for _, x := range list {
		names = append(names, x.Params()...)
	}
	return names
}

// OtherKeys is that of all templates.
func (list Templates) OtherKeys(f *firing.Firing) (keys []string) {
	v := NewView(f)
	for _, x := range list {
		keys = append(keys, x.OtherKeys(v)...)
	}
	return keys
}

// other is the value of another key that was kept with the firing; nil where it
// was not known.
func (r *run) other(parts []any) (held, error) {
	var b strings.Builder
	for _, p := range parts {
		s, err := r.textOf(p)
		if err != nil {
			return held{}, err
		}
		if b.Len()+len(s) > maxKeyName {
			return held{}, errKeyName
		}
		b.WriteString(s)
	}
	key := b.String()
	i := slices.IndexFunc(r.others, func(o firing.OtherKey) bool { return o.Key == key })
	if i < 0 || r.others[i].Value == event.None {
		return held{}, nil
	}
	return held{r.others[i].Value}, nil
}

// value is the value of another key: value "limit:" .params.id.
func (r *run) value(parts ...any) (any, error) {
	h, err := r.other(parts)
	return opened(h), err
}

// fieldOfKey is the field of a hash that is another key: field "user:" .params.id
// "email".
func (r *run) fieldOfKey(parts ...any) (any, error) {
	if len(parts) < 2 {
		return nil, errPart
	}
	name, _ := parts[len(parts)-1].(string)
	h, err := r.other(parts[:len(parts)-1])
	if err != nil {
		return nil, err
	}
	return fieldOf(h, name)
}
