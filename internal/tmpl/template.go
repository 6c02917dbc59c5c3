package tmpl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"

	"triggerd/internal/event"
	"triggerd/internal/secret"
	"triggerd/internal/suggest"
)

// Template is a parsed template, or a text without any template in it, which is
// the usual case and costs nothing to render. It is safe for concurrent use.
type Template struct {
	text     string             // as the user wrote it
	sample   string             // what it is for a sample firing; "" if that could not tell
	t        *template.Template // nil: text it is
	output   output
	reads    event.Parts
	texts    []string // see Texts
	elements []string // see Elements
	params   []string // see Params
	others   []keyCall
	defines  bool // templates that it calls
}

// New parses text and renders it once for a sample firing, so that what must
// fail every time fails here.
func New(text string) (*Template, error) { return newTemplate(text, asIs) }

// NewURL is New of a part of a URL: whatever an action of the template writes
// is percent-encoded, unless its pipeline ends in an encoder.
func NewURL(text string) (*Template, error) { return newTemplate(text, asURL) }

// NewJSON is New of JSON, which stays JSON whatever the data is. In a string an
// action writes text, escaped; outside one a value: a number, true, false or
// null as they are, text as a string, what the function json has made as it is. A
// comma before what closes an object or a list is left out. Where an action
// cannot stand so, and where the sample is no JSON, it is a mistake.
func NewJSON(text string) (*Template, error) { return newTemplate(text, asJSON) }

// Text returns a template that writes text as it is, whatever is in it.
func Text(text string) *Template { return &Template{text: text, sample: text} }

func newTemplate(text string, output output) (*Template, error) {
	if !strings.Contains(text, "{{") {
		if output == asJSON {
			if _, err := wholeJSON(text); err != nil {
				return nil, err
			}
		}
		return Text(text), nil
	}
	t, err := parseTemplate(text)
	if err != nil {
		return nil, cmp.Or(notClosed(text), templateError(err))
	}
	x := &Template{text: text, t: t, output: output, reads: readsOfTemplate(t), defines: len(t.Templates()) > 1}
	var fields []string
	if x.others, fields, err = otherKeys(t); err != nil {
		return nil, err
	}
	if x.reads.Has(event.PartBefore|event.PartAfter) || x.others != nil {
		x.elements = slices.Concat(x.constants(), fields)
		slices.Sort(x.elements)
		x.elements = slices.Compact(x.elements)
	}
	x.params = x.readParams()
	names := x.names()
	if x.texts, err = compile(t, output); err != nil {
		return nil, templateError(err)
	}
	x.sample, err = x.Render(context.Background(), sampleView(names), MaxText)
	if err != nil {
		return nil, err
	}
	return x, nil
}

// names returns the names that the template reads, each with a text for the
// sample firing to have as a parameter; nil if there can be no parameters. Each
// may be one: {{with .params}}{{.sku}}{{end}}.
func (x *Template) names() (params map[string]string) {
	if !strings.Contains(x.text, "params") {
		return nil
	}
	x.walk(func(n parse.Node) {
		for _, name := range namesIn(n) {
			if params == nil {
				params = map[string]string{}
			}
			params[name] = "param"
		}
	})
	return params
}

// readParams returns the names of the parameters that the template reads of its own
// event, sorted.
func (x *Template) readParams() (params []string) {
	x.walk(func(n parse.Node) {
		of, name := namesIn(n), ""
		if c, ok := n.(*parse.CommandNode); ok && len(c.Args) > 2 && c.Args[0].String() == "index" {
			if s, ok := c.Args[2].(*parse.StringNode); ok {
				of, name = namesIn(c.Args[1]), s.Text
			}
		}
		switch {
		case len(of) == 0 || of[0] != "params":
			return
		case len(of) > 1:
			name = of[1]
		}
		if name != "" {
			params = append(params, name)
		}
	})
	slices.Sort(params)
	return slices.Compact(params)
}

// Params returns the names of the parameters that the template reads: what the
// rule's key pattern has to capture, or there is nothing to write.
func (x *Template) Params() []string {
	if x == nil {
		return nil
	}
	return x.params
}

// known are the names of the functions that a user may write, Go's own too.
var known = sync.OnceValue(func() map[string]any {
	m := map[string]any(new(run).functions())
	for _, name := range []string{"and", "or", "not", "call"} {
		m[name] = true
	}
	return m
})

// parseTemplate parses text into a template without functions, which each run has
// of its own.
func parseTemplate(text string) (*template.Template, error) {
	trees, err := parse.Parse(mainName, text, "", "", known())
	if err != nil {
		return nil, err
	}
	t := template.New(mainName)
	for name, tree := range trees {
		if _, err := t.AddParseTree(name, tree); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// mainName is what the template is called that is not in a define.
const mainName = "template"

// Fixed returns the text, if it is one without any template in it.
func (x *Template) Fixed() (text string, fixed bool) { return x.text, x.t == nil }

// Elements returns the names of what the template reads of values, as in
// .after.status, so that these are kept of a value that is cut. Some may be
// names of something else.
func (x *Template) Elements() []string {
	if x == nil {
		return nil
	}
	return x.elements
}

// constants returns the names that follow others, and the texts of index.
func (x *Template) constants() (names []string) {
	x.walk(func(n parse.Node) {
		for _, name := range namesIn(n) {
			if name != "before" && name != "after" {
				names = append(names, name)
			}
		}
		if c, ok := n.(*parse.CommandNode); ok && c.Args[0].String() == "index" {
			for _, arg := range c.Args[1:] {
				if s, ok := arg.(*parse.StringNode); ok {
					names = append(names, s.Text)
				}
			}
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// Texts returns the actions of a JSON template that write an argument or a
// parameter outside a string, so in quotes, whatever it is.
func (x *Template) Texts() []string { return x.texts }

// Sample returns what the template writes for a sample firing; "" if that could
// not tell.
func (x *Template) Sample() string { return x.sample }

// Literals returns the texts that the template writes as the user wrote them,
// in their order.
func (x *Template) Literals() (texts []string) {
	if x.t == nil {
		return []string{x.text}
	}
	x.walk(func(n parse.Node) {
		switch n := n.(type) {
		case *parse.TextNode:
			texts = append(texts, string(n.Text))
		case *parse.StringNode:
			texts = append(texts, n.Text)
		}
	})
	return texts
}

// Mask masks secrets in what the user wrote, and not in what it will write of
// the data. It is for a template that nobody uses yet; nil has none.
func (x *Template) Mask(m *secret.Masker) {
	switch {
	case x == nil || m == nil:
		return
	case x.t == nil:
		x.text = m.Mask(x.text)
		return
	}
	x.walk(func(n parse.Node) {
		switch n := n.(type) {
		case *parse.TextNode:
			n.Text = []byte(m.Mask(string(n.Text)))
		case *parse.StringNode:
			n.Text = m.Mask(n.Text)
		}
	})
}

// MaxText is how much a template may write where nothing sets a lower limit, in
// bytes, so that data cannot make it write without end (a range in a range over
// the arguments).
const MaxText = 16 << 20

// Render executes the template for a firing, and fails if it would write more
// than limit bytes, or take more than any firing should. It would fail for the
// same firing the same way again, unless the error is that of ctx. Nothing of
// what it writes is longer than MaxText.
func (x *Template) Render(ctx context.Context, v *View, limit int) (string, error) {
	if x.t == nil {
		return x.text, nil
	}
	var r *run
	if x.defines {
		r = newRun() // what is added to a run stays there
	} else {
		r = runs.Get().(*run)
		defer runs.Put(r)
	}
	if v.firing != nil {
		r.others = v.firing.Others
	}
	text, err := r.execute(ctx, x.t, v.data(), limit)
	r.others = nil
	if err == nil && x.output == asJSON {
		return wholeJSON(text)
	}
	return text, err
}

var (
	templatePrefix  = regexp.MustCompile(`^template: [^ ]*:(\d+:?)+ (executing "[^"]*" )?`)
	internalCall    = regexp.MustCompile(`at <_[a-z]+[^>]*>: |error calling _?[a-z0-9]+: `)
	fieldCall       = regexp.MustCompile(`\(_field ([$.][\w.]*)((?: "[^"]*")+)\)|_field ([$.][\w.]*)((?: "[^"]*")+)`)
	missingKey      = regexp.MustCompile(`map has no entry for key "([^"]*)"`)
	noField         = regexp.MustCompile(`^at <(.*)\.([^.>]*)>: can't evaluate field .*`)
	unknownFunction = regexp.MustCompile(`function "([^"]*)" not defined`)
)

// templateError says what text/template found, shorter, and what was meant.
func templateError(err error) error {
	text := templatePrefix.ReplaceAllString(err.Error(), "")
	text = internalCall.ReplaceAllString(text, "")
	text = fieldCall.ReplaceAllStringFunc(text, func(call string) string {
		words := strings.Split(strings.Trim(call, "()"), ` "`)
		of := strings.TrimPrefix(words[0], fieldFunction+" ")
		return strings.TrimSuffix(of, ".") + "." + strings.ReplaceAll(strings.Join(words[1:], "."), `"`, "")
	})
	if m := missingKey.FindStringSubmatch(text); m != nil {
		text = strings.Replace(text, m[0], "an event has no ."+m[1], 1)
		names := slices.Sorted(maps.Keys(sampleView(nil).data()))
		hint := meant(m[1], names)
		if other := otherNames[m[1]]; other != "" {
			hint = "; write " + other
		}
		if hint == "" {
			hint = "; the names are " + strings.Join(names, ", ")
		}
		text += hint
	}
	if m := noField.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("at <%s.%s>: %s has no parts with names", m[1], m[2], cmp.Or(m[1], "it"))
	}
	if m := unknownFunction.FindStringSubmatch(text); m != nil {
		names := maps.Clone(known())
		delete(names, "js") // who writes jsn hardly means it
		text += meant(m[1], slices.Sorted(maps.Keys(names)))
	}
	return errors.New("template: " + text)
}

// otherNames are what people type who know the JSON that is delivered, or other
// programs, and what to write.
var otherNames = map[string]string{
	"data": "its fields right away: .key", "value": ".after; of another key (value \"limit:\" .params.id)", "old": ".before", "new": ".after",
	"previous": ".before", "current": ".after", "key_type": ".type", "ttl_ms": ".ttl", "timestamp": ".time", "database": ".db", "name": ".rule",
}

// notClosed says that an action is not closed before the next one begins, for a
// text that does not parse: what the parser says of that is about what is in it.
func notClosed(text string) error {
	for rest := text; ; {
		_, in, found := strings.Cut(rest, "{{")
		if !found {
			return nil
		}
		if strings.HasPrefix(strings.TrimLeft(in, "- "), "/*") {
			_, in, _ = strings.Cut(in, "*/")
		}
		inside, after, closed := strings.Cut(in, "}}")
		if !closed {
			return nil // as the parser says
		}
		if i := strings.Index(inside, "{{"); i >= 0 && !strings.ContainsAny(inside[:i], "\"`'") {
			return fmt.Errorf("template: {{%s is not closed by }} before the next {{", strings.TrimRight(inside[:i], " "))
		}
		rest = after
	}
}

// meant returns a half-sentence with the name nearest to a misspelt one; "" if
// none is near.
func meant(name string, names []string) string {
	if hint := suggest.DidYouMean(name, slices.Values(names)); hint != "" {
		return "; " + hint
	}
	return ""
}

// walk calls fn for every node, in the order of the text.
func (x *Template) walk(fn func(parse.Node)) {
	for _, each := range x.t.Templates() {
		if each.Tree != nil {
			walk(each.Root, fn)
		}
	}
}

// walk calls fn for n and everything below it, in the order of the text.
func walk(n parse.Node, fn func(parse.Node)) {
	fn(n)
	switch n := n.(type) {
	case *parse.ListNode:
		for _, c := range n.Nodes {
			walk(c, fn)
		}
	case *parse.ActionNode:
		walk(n.Pipe, fn)
	case *parse.IfNode:
		walkBranch(&n.BranchNode, fn)
	case *parse.WithNode:
		walkBranch(&n.BranchNode, fn)
	case *parse.RangeNode:
		walkBranch(&n.BranchNode, fn)
	case *parse.TemplateNode:
		if n.Pipe != nil {
			walk(n.Pipe, fn)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			walk(c, fn)
		}
	case *parse.CommandNode:
		args := n.Args
		if id, ok := args[0].(*parse.IdentifierNode); ok && id.Ident == fieldFunction {
			args = args[:2] // the rest are names, which were none of the user's texts
		}
		for _, c := range args {
			walk(c, fn)
		}
	case *parse.ChainNode:
		walk(n.Node, fn)
	}
}

func walkBranch(n *parse.BranchNode, fn func(parse.Node)) {
	walk(n.Pipe, fn)
	walk(n.List, fn)
	if n.ElseList != nil {
		walk(n.ElseList, fn)
	}
}

// namesIn returns a, b for a node that reads .a.b or $.a.b. Each may be a
// parameter ({{with .params}}{{.sku}}{{end}}), so the sample has them all.
func namesIn(n parse.Node) []string {
	switch n := n.(type) {
	case *parse.FieldNode:
		return n.Ident
	case *parse.VariableNode:
		return n.Ident[1:]
	case *parse.ChainNode:
		return n.Field
	}
	return nil
}
