package keyspace

import (
	"bytes"
	"fmt"
	"strings"
)

// CommandError says why no server takes a command.
type CommandError struct {
	Name  string // as it was written
	Known bool   // false: no server that we know has it
	Words int    // if it is known: how many words it has, its name among them; negative: at least so many
	Pairs bool   // it has enough, and one too few or too many: they come in pairs
}

func (e *CommandError) Error() string {
	switch {
	case !e.Known:
		return fmt.Sprintf("there is no command %q", e.Name)
	case e.Pairs:
		return fmt.Sprintf("wrong number of arguments for %q: it has a value for each key or field", e.Name)
	case e.Words < 0:
		return fmt.Sprintf("too few arguments for %q: it has %d or more", e.Name, -e.Words-1)
	}
	return fmt.Sprintf("wrong number of arguments for %q: it has %d", e.Name, e.Words-1)
}

// CheckCommand checks that a server knows a command, its name first, and that it
// has as many arguments as it needs. The error is a *CommandError. A name with a
// dot is some module's, of which nothing is known.
func CheckCommand(args [][]byte) error {
	c := commandOf(args)
	name := string(bytes.ToUpper(args[0]))
	switch {
	case c == unknownCommand && bytes.IndexByte(args[0], '.') > 0:
		return nil
	case c == unknownCommand:
		return &CommandError{Name: name}
	case c.arity < 0 && len(args) < -c.arity, c.arity > 0 && len(args) != c.arity:
		return &CommandError{Name: c.name, Known: true, Words: c.arity}
	}
	if from := c.pairsFrom(args); from > 0 && (len(args) <= from || (len(args)-from)%2 != 0) {
		return &CommandError{Name: c.name, Known: true, Words: c.arity, Pairs: true}
	}
	return nil
}

// pairsFrom returns where the keys or fields of a command begin that each have a
// value behind them, 0 if it has none or other arguments follow.
func (c *command) pairsFrom(args [][]byte) int {
	switch c.name {
	case "MSET", "MSETNX":
		return 1
	case "HSET", "HMSET":
		return 2
	case "XADD":
		return new(trimming).options(args) + 1
	}
	return 0
}

// FirstKey returns the first key that a command names, and the type of keys that
// the command is for: "list", "zset"; "" if it is for any, or makes none. It
// returns false if there is no key. The key is one of args.
func FirstKey(args [][]byte) (key []byte, typ string, ok bool) {
	c := commandOf(args)
	ranges := c.appendRanges(nil, args)
	if len(ranges) == 0 {
		return nil, "", false
	}
	return args[ranges[0].first], c.keyType(), true
}

// keyType is the type of the keys that the command is for, by its category.
func (c *command) keyType() string {
	for _, of := range [...]struct{ category, typ string }{
		{"@string", typeString}, {"@bitmap", typeString}, {"@list", typeList}, {"@set", typeSet}, {"@sortedset", typeZset},
		{"@geo", typeZset}, {"@hash", typeHash}, {"@stream", typeStream},
	} {
		if hasWord(c.acl, of.category) {
			return of.typ
		}
	}
	return ""
}

// hasWord reports whether a word is among those of a text.
func hasWord(text, word string) bool {
	for w := range strings.FieldsSeq(text) {
		if w == word {
			return true
		}
	}
	return false
}

// InsteadOf returns what CommandInfo.InsteadUse says of a command, its name first.
func InsteadOf(args [][]byte) string { return commandOf(args).instead }

// InPlaceOf returns, of a command that a server sends with something else in place
// of what a client may write, that other thing: "an ID such as 1-1 in place of *".
// It is "" of any other command.
func InPlaceOf(args [][]byte) string {
	var t trimming
	var list []string
	switch name := commandOf(args).name; {
	case name == "XADD" && len(args) > 2:
		id := t.options(args)
		if id < len(args) && !t.producer {
			if text := string(args[id]); text == "*" || strings.HasSuffix(text, "-*") {
				list = append(list, "an ID such as 1-1 in place of "+text)
			}
		}
	case name == "XTRIM" && len(args) > 2:
		t.option(args, 2)
	}
	if t.approx {
		list = append(list, "= in place of ~")
	}
	return strings.Join(list, ", and ")
}
