package tmpl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"text/template"
	"text/template/parse"
)

// output is what a template writes.
type output uint8

const (
	asIs   output = iota
	asURL         // a part of a URL: what actions write is percent-encoded
	asJSON        // what actions write in a string is escaped, and is a value outside one
)

// compiler changes a parsed template into one that can be limited (run), to
// which nothing of a key's value is an error, and whose actions write what fits
// where they are.
type compiler struct {
	t      *template.Template
	output output
	at     place
	ends   map[string]called // templates that are called, by name
	texts  []string          // actions of JSON that write a text of the data as a value
	loop   *place            // where the body of the range around begins
}

// called is a template that is called: where it begins, and where it ends.
type called struct {
	begin, end place
	known      bool // end is
}

// compile changes all of t. An error is a mistake in a JSON template. texts are
// the actions of one that write an argument or a parameter as a value.
func compile(t *template.Template, output output) (texts []string, err error) {
	c := &compiler{t: t, output: output, ends: map[string]called{}}
	if err := c.list(t.Root, true); err != nil {
		return nil, err
	}
	if output == asJSON && (c.at.inText || c.at.open != "") {
		return nil, errors.New("the JSON is not closed at its end")
	}
	for _, each := range t.Templates() {
		if each.Tree == nil || each.Name() == t.Name() {
			continue
		}
		if _, done := c.ends[each.Name()]; !done {
			c.output, c.at = output, place{}
			if err := c.define(each.Name()); err != nil {
				return nil, err
			}
		}
	}
	return c.texts, nil
}

// writesText reports whether a pipe is an argument or a parameter as it is.
func writesText(p *parse.PipeNode) bool {
	if len(p.Decl) > 0 || len(p.Cmds) > 1 {
		return false
	}
	var names []string
	switch n := p.Cmds[0].Args[0].(type) {
	case *parse.IdentifierNode:
		if n.Ident != "index" || len(p.Cmds[0].Args) < 2 {
			return false
		}
		names = namesIn(p.Cmds[0].Args[1])
	default:
		names = namesIn(n)
	}
	return len(names) > 1 && names[0] == "params" || len(names) == 1 && names[0] == "args" && len(p.Cmds[0].Args) > 1
}

// list changes a list of nodes. dot tells that the dot is an event for certain.
func (c *compiler) list(l *parse.ListNode, dot bool) error {
	for _, n := range l.Nodes {
		if err := c.node(n, dot); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) node(n parse.Node, dot bool) (err error) {
	switch n := n.(type) {
	case *parse.TextNode:
		if c.output == asJSON {
			c.at, err = c.at.after(n.Text)
		}
		return err
	case *parse.ActionNode:
		if c.output == asJSON && !c.at.inText && writesText(n.Pipe) {
			c.texts = append(c.texts, n.String())
		}
		c.pipe(n.Pipe, dot)
		if len(n.Pipe.Decl) > 0 { // an assignment writes nothing
			return nil
		}
		return c.write(n.Pipe)
	case *parse.IfNode:
		return c.branch(&n.BranchNode, dot, dot)
	case *parse.WithNode:
		return c.branch(&n.BranchNode, false, dot)
	case *parse.RangeNode:
		return c.rangeOver(n, dot)
	case *parse.BreakNode, *parse.ContinueNode:
		if c.output == asJSON && c.loop != nil && !c.at.agrees(*c.loop) {
			return errors.New("break and continue have to be where the body of their range begins: in a string, or in none")
		}
	case *parse.TemplateNode:
		if n.Pipe != nil {
			c.pipe(n.Pipe, dot)
		}
		return c.call(n.Name)
	}
	return nil
}

var errBranches = errors.New("the branches of if, with or range end in different places of the JSON: one in a string, or in what is not closed")

// branch changes if and with.
func (c *compiler) branch(n *parse.BranchNode, inside, dot bool) error {
	c.pipe(n.Pipe, dot)
	begin := c.at
	if err := c.list(n.List, inside); err != nil {
		return err
	}
	end := c.at
	c.at = begin
	if n.ElseList != nil {
		if err := c.list(n.ElseList, dot); err != nil {
			return err
		}
	}
	if !c.at.agrees(end) {
		return errBranches
	}
	c.at = c.at.or(end)
	return nil
}

// rangeOver changes range, each turn of which writes something, if only nothing.
func (c *compiler) rangeOver(n *parse.RangeNode, dot bool) error {
	c.pipe(n.Pipe, dot)
	if last, ok := n.Pipe.Cmds[len(n.Pipe.Cmds)-1].Args[0].(*parse.IdentifierNode); ok && (last.Ident == fieldFunction || last.Ident == "value" || last.Ident == "field") {
		n.Pipe.Cmds = append(n.Pipe.Cmds, command(n.Pos, eachFunction))
	}
	begin, around := c.at, c.loop
	c.loop = &begin
	err := c.list(n.List, false)
	c.loop = around
	n.List.Nodes = slices.Insert(n.List.Nodes, 0, parse.Node(&parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos}))
	if err != nil {
		return err
	}
	end := c.at
	c.at = begin
	if n.ElseList != nil {
		if err := c.list(n.ElseList, dot); err != nil {
			return err
		}
	}
	if !end.agrees(begin) || !end.agrees(c.at) {
		return errBranches
	}
	c.at = c.at.or(end)
	return nil
}

// call goes through the template that is called here.
func (c *compiler) call(name string) error {
	known, ok := c.ends[name]
	if !ok {
		if c.t.Lookup(name) == nil {
			return nil // which rendering finds
		}
		return c.define(name)
	}
	if !c.at.agrees(known.begin) || c.at.in != known.begin.in && !c.at.inText && c.output == asJSON {
		return fmt.Errorf("template %q is called in different places of the JSON, such as in a string and in none", name)
	}
	if known.known {
		c.at = known.end
	}
	return nil
}

// define changes a template that is called.
func (c *compiler) define(name string) error {
	tree := c.t.Lookup(name)
	begin, around := c.at, c.loop
	c.loop = nil
	c.ends[name] = called{begin: begin}
	err := c.list(tree.Root, false)
	c.ends[name] = called{begin, c.at, true}
	c.loop = around
	tree.Root.Nodes = slices.Insert(tree.Root.Nodes, 0, parse.Node(action(tree.Root.Pos, enterFunction)))
	tree.Root.Nodes = append(tree.Root.Nodes, action(tree.Root.Pos, leaveFunction))
	return err
}

func action(at parse.Pos, function string) *parse.ActionNode {
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: at, Pipe: &parse.PipeNode{
		NodeType: parse.NodePipe, Pos: at, Cmds: []*parse.CommandNode{command(at, function)},
	}}
}

func command(at parse.Pos, function string, args ...parse.Node) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: at, Args: append([]parse.Node{parse.NewIdentifier(function).SetPos(at)}, args...)}
}

// write appends to an action's pipe the function that writes its value.
func (c *compiler) write(p *parse.PipeNode) (err error) {
	function := textFunction
	switch c.output {
	case asURL:
		// One encoder is enough for path and query, because it leaves nothing
		// unencoded that means anything in either.
		function = "pathescape"
		last, ok := p.Cmds[len(p.Cmds)-1].Args[0].(*parse.IdentifierNode)
		if ok && (last.Ident == "pathescape" || last.Ident == "urlquery") {
			function = textFunction
		}
	case asJSON:
		if function, c.at, err = c.at.write(); err != nil {
			return err
		}
	}
	p.Cmds = append(p.Cmds, command(p.Pos, function))
	return nil
}

// pipe changes what a pipe reads of an event.
func (c *compiler) pipe(p *parse.PipeNode, dot bool) {
	for i, cmd := range p.Cmds {
		for j, arg := range cmd.Args {
			if inner, ok := arg.(*parse.PipeNode); ok {
				c.pipe(inner, dot)
				continue
			}
			of, names := c.path(arg, dot)
			switch {
			case of == nil:
			case j > 0:
				cmd.Args[j] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{field(of, names)}}
			case len(cmd.Args) == 1 && i == 0: // else it is the method of a time, with arguments
				p.Cmds[i] = field(of, names)
			}
		}
	}
}

func field(of parse.Node, names []string) *parse.CommandNode {
	args := []parse.Node{of}
	for _, name := range names {
		args = append(args, &parse.StringNode{NodeType: parse.NodeString, Pos: of.Position(), Quoted: strconv.Quote(name), Text: name})
	}
	return command(of.Position(), fieldFunction, args...)
}

// path returns what a node reads names of, if the function field has to read
// it: whatever is not certain to be there. nil for all else.
func (c *compiler) path(n parse.Node, dot bool) (of parse.Node, names []string) {
	switch n := n.(type) {
	case *parse.FieldNode:
		if !dot {
			return &parse.DotNode{NodeType: parse.NodeDot, Pos: n.Pos}, n.Ident
		}
		if absent[n.Ident[0]] {
			return &parse.FieldNode{NodeType: parse.NodeField, Pos: n.Pos, Ident: n.Ident[:1]}, n.Ident[1:]
		}
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			return &parse.VariableNode{NodeType: parse.NodeVariable, Pos: n.Pos, Ident: n.Ident[:1]}, n.Ident[1:]
		}
	case *parse.ChainNode:
		if inner, ok := n.Node.(*parse.PipeNode); ok {
			c.pipe(inner, dot)
		}
		return n.Node, n.Field
	}
	return nil, nil
}

// absent are the names of an event whose value may be none.
var absent = map[string]bool{"before": true, "after": true, "tx": true, "part": true, "params": true, "ttl": true, "duration": true}
