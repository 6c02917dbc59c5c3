package rules

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"triggerd/internal/event"
	"triggerd/internal/suggest"
)

// nameSet is a set of names. nil means that the rule does not have the field.
// Sets that many rules have, such as a class of commands, are shared.
type nameSet struct {
	few  []string // sorted
	many map[string]bool
}

// newNameSet returns a set of names.
func newNameSet(names map[string]bool) *nameSet {
	const few = 6 // more are found faster by hash
	s := &nameSet{few: slices.Sorted(maps.Keys(names))}
	if len(names) > few {
		s.many = names
	}
	return s
}

func (s *nameSet) has(name string) bool {
	if s == nil {
		return false
	}
	if s.many != nil {
		return s.many[name]
	}
	for _, n := range s.few {
		if n == name {
			return true
		}
	}
	return false
}

// hasCommand reports whether the set has a command, or the parent of a
// subcommand.
func (s *nameSet) hasCommand(name string) bool {
	if s == nil || name == "" {
		return false
	}
	if s.has(name) {
		return true
	}
	i := strings.IndexByte(name, ' ')
	return i > 0 && s.has(name[:i])
}

func (s *nameSet) empty() bool { return s == nil || len(s.few) == 0 }

// list returns the names, sorted. They must not be changed.
func (s *nameSet) list() []string { return s.few }

// commandNames has the server's commands; nil: they are not known.
type commandNames struct {
	byName   map[string]*Command
	byClass  map[string][]string
	byParent map[string][]string   // "XGROUP" to its subcommands
	makers   map[string][]*Command // by the events that they make
}

func newCommandNames(list []Command) *commandNames {
	if list == nil {
		return nil
	}
	n := &commandNames{byName: map[string]*Command{}, byClass: map[string][]string{}, byParent: map[string][]string{}, makers: map[string][]*Command{}}
	for i := range list {
		c := &list[i]
		n.byName[c.Name] = c
		for _, name := range c.Events {
			n.makers[name] = append(n.makers[name], c)
		}
		for _, class := range c.Classes {
			class = strings.ToLower(class)
			n.byClass[class] = append(n.byClass[class], c.Name)
		}
		if parent, _, ok := strings.Cut(c.Name, " "); ok {
			n.byParent[parent] = append(n.byParent[parent], c.Name)
		}
	}
	return n
}

// commandName returns a command as events of the stream spell it.
func commandName(s string) string { return strings.ToUpper(strings.Join(strings.Fields(s), " ")) }

// resolve adds to set what one word of `command` or `command_not` stands for: a
// command, all subcommands of one, or a class. It adds a command that is named
// itself to named too.
func (n *commandNames) resolve(v view, set, named map[string]bool) {
	word, ok := v.str()
	if !ok {
		return
	}
	if strings.HasPrefix(word, "@") {
		n.class(v, strings.ToLower(word), set)
		return
	}
	name := commandName(word)
	if name == "" {
		v.errorf("", "an empty name")
		return
	}
	set[name], named[name] = true, true
	if n != nil {
		for _, sub := range n.byParent[name] {
			set[sub] = true
		}
	}
	c, known := n.find(name)
	switch {
	case !known:
		v.errorf(n.suggest(name), "unknown command %s", v.shown(word))
	case c != nil && c.Instead != "":
		v.as("never-arrives").warnf(c.Instead, "%s never arrives in the replication stream", name)
	}
}

// find returns a command, and whether it is known. A nil n knows every command,
// and a module's command, which has a dot, is always known.
func (n *commandNames) find(name string) (*Command, bool) {
	if n == nil {
		return nil, true
	}
	c := n.byName[name]
	return c, c != nil || n.byParent[name] != nil || strings.Contains(name, ".")
}

func (n *commandNames) suggest(name string) string {
	return suggest.DidYouMean(name, sortedKeys(n.byName))
}

// checkCompared checks a name that a condition compares with command; see
// condition.Config.
func (n *commandNames) checkCompared(name string) (mistake, warning, hint string) {
	info, known := n.find(name)
	switch {
	case n == nil:
	case !known:
		return "unknown command " + strconv.Quote(name), "", n.suggest(name)
	case info == nil && n.byParent[name] != nil:
		return name + " always comes with a subcommand", "", `command startsWith "` + name + ` "`
	case info != nil && info.Instead != "":
		return "", name + " never arrives in the replication stream", info.Instead
	}
	return "", "", ""
}

func (n *commandNames) class(v view, class string, set map[string]bool) {
	if n == nil {
		v.errorf("name the commands", "the classes of commands are not known here")
		return
	}
	members := n.byClass[class]
	if members == nil {
		v.errorf(suggest.DidYouMean(class, sortedKeys(n.byClass)), "unknown class %s", v.shown(class))
	}
	for _, name := range members {
		set[name] = true
	}
}

// anyWrite is the event name that stands for every event of a key.
const anyWrite = "write"

// eventNames are the known events; nil: they are not known.
type eventNames map[string]bool

func newEventNames(list []string) eventNames {
	if list == nil {
		return nil
	}
	names := eventNames{anyWrite: true}
	for _, name := range slices.Concat(list, []string{
		event.FlushDB, event.FlushAll, event.SwapDB, event.Publish, event.SPublish, event.Function, event.Snapshot, event.Changed, event.Resync, event.Gap, event.Rewound,
	}) {
		names[name] = true
	}
	return names
}

// has reports whether an event is known. A module's event, which has a dot,
// always is.
func (n eventNames) has(name string) bool {
	return n == nil || n[name] || strings.Contains(name, ".")
}

// checkEvent checks a name that a condition compares with event; see
// condition.Config.
func (c *compilation) checkEvent(name string) (mistake, warning, hint string) {
	if c.events == nil || c.events.has(name) && name != anyWrite {
		return "", "", ""
	}
	return "unknown event " + strconv.Quote(name), "", c.eventHint(name)
}

// eventHint says what may have been meant by an event that there is not: those of
// a command that is called so, or one of a similar name.
func (c *compilation) eventHint(name string) string {
	if c.commands != nil && !c.events[strings.ToLower(name)] {
		command := c.commands.byName[strings.ToUpper(name)]
		if command != nil && len(command.Events) > 0 {
			return "the command " + command.Name + " makes " + strconv.Quote(command.Events[0])
		}
	}
	return suggest.DidYouMean(name, sortedKeys(c.events))
}

// keyTypes are the server's own types. A module's type has a dash in its name.
var keyTypes = []string{"string", "list", "set", "zset", "hash", "stream", "none"}

// sortedKeys yields the keys of a map in order.
func sortedKeys[V any](m map[string]V) func(func(string) bool) {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}
