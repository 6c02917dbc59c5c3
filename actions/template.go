package actions

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// templateMode says what becomes of what a template writes.
type templateMode int

const (
	plain  templateMode = iota // written as it is
	forURL                     // percent-encoded, unless the pipeline ends in an encoder
)

// tmpl is a parsed template, or a text without any template in it, which is
// the usual case and costs nothing to render. It is safe for concurrent use.
type tmpl struct {
	text   string             // as the user wrote it
	sample string             // what it is for a sample firing; "" if that could not tell
	t      *template.Template // nil: text it is
}

var functions = template.FuncMap{
	"json":       jsonText,
	"b64":        func(v any) string { return base64.StdEncoding.EncodeToString([]byte(asString(v))) },
	"text":       func(v any) string { return string(event.AppendText(nil, asString(v))) },
	"upper":      func(v any) string { return strings.ToUpper(asString(v)) },
	"lower":      func(v any) string { return strings.ToLower(asString(v)) },
	"pathescape": func(v any) string { return percentEncode(asString(v), unreserved) },
}

// newTemplate parses text and renders it once for a sample firing, so that
// what must fail every time fails here.
func newTemplate(text string, m templateMode) (*tmpl, error) {
	if !strings.Contains(text, "{{") {
		return &tmpl{text: text, sample: text}, nil
	}
	t, err := parseTemplate(text)
	if err != nil {
		return nil, templateError(err)
	}
	var params map[string]string
	reachesParams := strings.Contains(text, "params")
	for _, each := range t.Templates() {
		if each.Tree == nil {
			continue
		}
		walk(each.Root, func(n parse.Node) {
			if m == forURL {
				encodeOutput(n)
			}
			if !reachesParams {
				return
			}
			for _, name := range namesIn(n) {
				if params == nil {
					params = map[string]string{}
				}
				params[name] = "param"
			}
		})
	}
	x := &tmpl{text: text, t: t}
	x.sample, err = x.render(sampleView(params), maxBody)
	// How long a key is, and how many arguments there are, differs by event: an
	// index that the sample does not have proves nothing.
	if err != nil && !strings.Contains(err.Error(), "out of range") {
		return nil, err
	}
	return x, nil
}

func parseTemplate(text string) (*template.Template, error) {
	return template.New("template").Option("missingkey=error").Funcs(functions).Parse(text)
}

// mask masks secrets in what the user wrote, and not in what it will write of
// the data.
func (x *tmpl) mask(m *secret.Masker) {
	switch {
	case x == nil || m == nil:
		return
	case x.t == nil:
		x.text = m.Mask(x.text)
		return
	}
	for _, each := range x.t.Templates() {
		if each.Tree == nil {
			continue
		}
		walk(each.Root, func(n parse.Node) {
			switch n := n.(type) {
			case *parse.TextNode:
				n.Text = []byte(m.Mask(string(n.Text)))
			case *parse.StringNode:
				n.Text = m.Mask(n.Text)
			}
		})
	}
}

// Limits on what a template may write, so that data cannot make it write
// without end (a range in a range over the arguments).
const (
	maxBody   = 16 << 20
	maxURL    = 64 << 10
	maxHeader = 16 << 10
	maxArg    = 128<<10 - 1 // Linux refuses a longer argument (MAX_ARG_STRLEN, with its NUL)
)

// render executes the template for a firing. Its errors are permanent: the
// same firing would fail the same way again.
func (x *tmpl) render(v *view, limit int) (string, error) {
	if x.t == nil {
		return x.text, nil
	}
	w := limitedBuilder{left: limit}
	if err := x.t.Execute(&w, v.data()); err != nil {
		return "", Permanent(templateError(err))
	}
	return w.b.String(), nil
}

type limitedBuilder struct {
	b    strings.Builder
	left int
}

var errTooLong = errors.New("the template writes too much")

func (w *limitedBuilder) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return 0, errTooLong
	}
	w.left -= len(p)
	return w.b.Write(p)
}

var (
	templatePrefix  = regexp.MustCompile(`^template: template:(\d+:?)+ (executing "template" )?`)
	missingKey      = regexp.MustCompile(`map has no entry for key "([^"]*)"`)
	unknownFunction = regexp.MustCompile(`function "([^"]*)" not defined`)
)

// templateError says what text/template found, shorter, and what was meant.
func templateError(err error) error {
	text := templatePrefix.ReplaceAllString(err.Error(), "")
	if m := missingKey.FindStringSubmatch(text); m != nil {
		names := slices.Sorted(maps.Keys(sampleView(nil).data()))
		text += didYouMean(m[1], names)
		if !strings.Contains(text, "did you mean") {
			text += "; the names are " + strings.Join(names, ", ")
		}
	}
	if m := unknownFunction.FindStringSubmatch(text); m != nil {
		text += didYouMean(m[1], slices.Sorted(maps.Keys(functions)))
	}
	return errors.New("template: " + text)
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
		for _, c := range n.Args {
			walk(c, fn)
		}
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
	}
	return nil
}

// encodeOutput appends "| pathescape" to what an action writes. One encoder is
// enough for path and query, because it leaves nothing unencoded that means
// anything in either.
func encodeOutput(n parse.Node) {
	action, ok := n.(*parse.ActionNode)
	if !ok || len(action.Pipe.Decl) > 0 { // an assignment writes nothing
		return
	}
	last := action.Pipe.Cmds[len(action.Pipe.Cmds)-1]
	if id, ok := last.Args[0].(*parse.IdentifierNode); ok && (id.Ident == "pathescape" || id.Ident == "urlquery") {
		return
	}
	action.Pipe.Cmds = append(action.Pipe.Cmds, &parse.CommandNode{
		NodeType: parse.NodeCommand,
		Pos:      action.Pos,
		Args:     []parse.Node{parse.NewIdentifier("pathescape").SetPos(action.Pos)},
	})
}

// percentEncode encodes every byte but those that keep wants as they are.
func percentEncode(s string, keep func(byte) bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if keep(c) {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// unreserved reports whether a byte means itself anywhere in a URL (RFC 3986
// section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// view is a firing as templates see it. It is made for one Do, and the map
// only if there is a template that asks.
type view struct {
	firing *Firing
	m      map[string]any
}

func (v *view) data() map[string]any {
	if v.m != nil {
		return v.m
	}
	f := v.firing
	v.m = eventData(f.Event, f.ID.String(), f.Params)
	v.m["rule"], v.m["action"], v.m["attempt"] = f.Rule, f.Action, f.Attempt
	v.m["status"], v.m["by"], v.m["count"], v.m["suppressed"] = f.Status, f.By, f.Count, f.Suppressed
	v.m["first"], v.m["last"] = stamp{f.First.UTC()}, stamp{f.Last.UTC()}
	v.m["events"], v.m["summary"] = batchData(f.Batch), summaryData(f.Summary)
	return v.m
}

// eventData is an event as templates see it: that of the firing, and those of
// a batch and of a summary.
func eventData(e *event.Event, id string, params map[string]string) map[string]any {
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = string(a)
	}
	if params == nil {
		params = map[string]string{}
	}
	m := make(map[string]any, 24)
	m["id"], m["params"] = id, params
	m["event"], m["key"], m["command"], m["args"], m["db"], m["type"] = e.Name, string(e.Key), e.Command, args, e.DB, e.Type
	m["time"], m["offset"], m["origin"], m["cause"], m["bytes"] = stamp{e.Time.UTC()}, e.Offset, string(e.Origin), string(e.Cause), e.Bytes
	return m
}

func batchData(batch []event.Item) []map[string]any {
	list := make([]map[string]any, len(batch))
	for i := range batch {
		list[i] = eventData(batch[i].Event, batch[i].ID, batch[i].Params)
	}
	return list
}

func summaryData(summary []event.Line) []map[string]any {
	list := make([]map[string]any, len(summary))
	for i := range summary {
		l := &summary[i]
		last := l.Event
		if last == nil {
			last = &event.Event{}
		}
		list[i] = map[string]any{
			"rule": l.Rule, "count": l.Count, "suppressed": l.Suppressed,
			"first": stamp{l.First.UTC()}, "last": stamp{l.Last.UTC()}, "event": eventData(last, "", l.Params),
		}
	}
	return list
}

// stamp is a time that prints itself as the JSON does, the zero time as
// nothing; {{.time.Unix}} and the other methods of a time work too.
type stamp struct{ time.Time }

const stampFormat = "2006-01-02T15:04:05.000Z"

func (s stamp) String() string {
	if s.IsZero() {
		return ""
	}
	return s.Format(stampFormat)
}

// sampleData is what templates see of the sample firing, which no template can
// change. It is made once: a reload makes ten thousand templates.
var sampleData = sync.OnceValue(func() map[string]any { return (&view{firing: sampleFiring(nil)}).data() })

func sampleView(params map[string]string) *view {
	if params == nil {
		return &view{m: sampleData()}
	}
	return &view{firing: sampleFiring(params)}
}

func sampleFiring(params map[string]string) *Firing {
	const id = "8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/0:rule/action"
	at := time.Unix(1763888400, 0)
	e := &event.Event{
		Name: "set", Origin: event.FromStream, Cause: event.CauseCommand, Key: []byte("key"), Type: "string", Command: "SET",
		Args: [][]byte{[]byte("key"), []byte("value")}, Time: at, Bytes: 33, Offset: 851576, Source: "redis://127.0.0.1:6379",
	}
	return &Firing{
		ID: id, Rule: "rule", Action: "action", Attempt: 1, Params: params, Event: e,
		Timing: event.Timing{
			Status: "firing", By: "by", Count: 2, First: at, Last: at, Suppressed: 1,
			Batch:   []event.Item{{Event: e, ID: id, Params: params}},
			Summary: []event.Line{{Rule: "rule", Count: 1, First: at, Last: at, Event: e, Params: params}},
		},
	}
}

func asString(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return fmt.Sprint(v)
}

func jsonText(v any) (string, error) {
	b, err := appendJSONValue(nil, v)
	return string(b), err
}

// appendJSONValue appends one of the values that templates can reach.
// encoding/json alone would put U+FFFD for bytes that are not UTF-8.
func appendJSONValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return event.AppendJSONBytes(dst, v), nil
	case stamp:
		if v.IsZero() {
			return append(dst, "null"...), nil
		}
		return event.AppendJSONBytes(dst, v.String()), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case []string:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = event.AppendJSONBytes(dst, s)
		}
		return append(dst, ']'), nil
	case []map[string]any:
		dst = append(dst, '[')
		for i, m := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSONObject(dst, m); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case map[string]string:
		return appendJSONObject(dst, v)
	case map[string]any:
		return appendJSONObject(dst, v)
	}
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func appendJSONObject[V any](dst []byte, m map[string]V) ([]byte, error) {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendJSONBytes(dst, strings.ToValidUTF8(name, "\ufffd"))
		dst = append(dst, ':')
		var err error
		if dst, err = appendJSONValue(dst, m[name]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}
