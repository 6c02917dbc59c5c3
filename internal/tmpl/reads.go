package tmpl

import (
	"text/template"
	"text/template/parse"

	"triggerd/internal/event"
)

// partOf names the parts of an event that templates can read.
var partOf = map[string]event.Parts{
	"type": event.PartType, "ttl": event.PartTTL, "changed": event.PartChanged, "cause": event.PartCause,
	"before": event.PartBefore, "after": event.PartAfter, "unknown": event.PartBefore | event.PartAfter,
}

// everyPart is what a template reads that takes an event as a whole, as
// {{json .}} does.
var everyPart = func() (all event.Parts) {
	for _, part := range partOf {
		all |= part
	}
	return all
}()

// Reads returns what the template reads of the event. Where it cannot tell, it
// returns too much rather than too little.
func (x *Template) Reads() event.Parts {
	if x == nil {
		return 0
	}
	return x.reads
}

// readsOfTemplate is Reads of a template as its user wrote it.
func readsOfTemplate(t *template.Template) (parts event.Parts) {
	for _, each := range t.Templates() {
		if each.Tree != nil {
			parts |= readsOf(each.Root, true)
		}
	}
	return parts
}

// readsOf returns what n reads. dot tells that the dot is an event: that of the
// firing, or one of a batch.
func readsOf(n parse.Node, dot bool) (parts event.Parts) {
	switch n := n.(type) {
	case *parse.ListNode:
		for _, c := range n.Nodes {
			parts |= readsOf(c, dot)
		}
	case *parse.ActionNode:
		return readsOf(n.Pipe, dot)
	case *parse.IfNode:
		return readsOfBranch(&n.BranchNode, dot, dot)
	case *parse.WithNode:
		return readsOfBranch(&n.BranchNode, dot, holdsEvent(n.Pipe, dot))
	case *parse.RangeNode:
		return readsOfBranch(&n.BranchNode, dot, holdsEvent(n.Pipe, dot))
	case *parse.TemplateNode:
		if n.Pipe != nil && !isWhole(n.Pipe, dot) { // what is called is looked at by itself
			return readsOf(n.Pipe, dot)
		}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			parts |= readsOf(c, dot)
		}
	case *parse.CommandNode:
		return readsOfCommand(n, dot)
	case *parse.DotNode:
		if dot {
			return everyPart
		}
	case *parse.FieldNode:
		if dot {
			return readsOfNames(n.Ident)
		}
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			return readsOfNames(n.Ident[1:])
		}
		if n.Ident[0] == "$" {
			return everyPart
		}
	case *parse.ChainNode:
		return readsOf(n.Node, dot) | readsOfNames(n.Field)
	}
	return parts
}

// readsOfBranch is readsOf of if, with and range. inside tells what the dot is in
// the first list.
func readsOfBranch(n *parse.BranchNode, dot, inside bool) event.Parts {
	parts := readsOf(n.List, inside)
	if n.ElseList != nil {
		parts |= readsOf(n.ElseList, dot)
	}
	if len(n.Pipe.Decl) == 0 && (isWhole(n.Pipe, dot) || isBatch(n.Pipe, dot)) {
		return parts // what is read of it is in the list
	}
	return parts | readsOf(n.Pipe, dot)
}

// readsOfCommand knows index with a constant name, and len, which reads nothing
// of what it counts.
func readsOfCommand(n *parse.CommandNode, dot bool) (parts event.Parts) {
	if name, ok := n.Args[0].(*parse.IdentifierNode); ok && len(n.Args) > 1 {
		switch name.Ident {
		case "len":
			if f, ok := n.Args[1].(*parse.FieldNode); ok && partOf[f.Ident[0]] == 0 {
				return 0
			}
		case "index":
			if len(n.Args) == 2 || !isEvent(n.Args[1], dot) {
				break
			}
			if s, ok := n.Args[2].(*parse.StringNode); ok {
				return readsOfNames([]string{s.Text})
			}
		}
	}
	for _, c := range n.Args {
		parts |= readsOf(c, dot)
	}
	return parts
}

// readsOfNames returns what .a.b reads of an event. Below params the names are
// the rule's own.
func readsOfNames(names []string) event.Parts {
	if names[0] == "events" { // of a batch
		return everyPart
	}
	return partOf[names[0]]
}

// holdsEvent reports whether the dot is an event in with or range over a pipe.
func holdsEvent(p *parse.PipeNode, dot bool) bool {
	if isWhole(p, dot) || isBatch(p, dot) {
		return true
	}
	only := onlyNode(p)
	switch n := only.(type) {
	case nil: // a function's result may be an event: (index .events 0)
		return readsOf(p, dot) == everyPart
	case *parse.VariableNode:
		return len(n.Ident) == 1
	case *parse.PipeNode:
		return holdsEvent(n, dot)
	}
	return false
}

// isWhole reports whether a pipe is an event and nothing else.
func isWhole(p *parse.PipeNode, dot bool) bool { return isEvent(onlyNode(p), dot) }

func isEvent(n parse.Node, dot bool) bool {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot
	case *parse.VariableNode:
		return len(n.Ident) == 1 && n.Ident[0] == "$"
	}
	return false
}

// isBatch reports whether a pipe is the events of a batch.
func isBatch(p *parse.PipeNode, dot bool) bool {
	switch n := onlyNode(p).(type) {
	case *parse.FieldNode:
		return dot && len(n.Ident) == 1 && n.Ident[0] == "events"
	case *parse.VariableNode:
		return len(n.Ident) == 2 && n.Ident[1] == "events"
	}
	return false
}

// onlyNode returns what a pipe of one word has; nil for a longer one.
func onlyNode(p *parse.PipeNode) parse.Node {
	if len(p.Cmds) == 1 && len(p.Cmds[0].Args) == 1 {
		return p.Cmds[0].Args[0]
	}
	return nil
}
