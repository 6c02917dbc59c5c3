package keyspace

import (
	"slices"
	"strings"
)

// CommandInfo is what users may want to know of a command before they write a
// rule for it.
type CommandInfo struct {
	Name    string   // upper case, "XGROUP CREATE" for a subcommand
	Classes []string // the server's ACL categories, sorted: "@string", "@write"

	// Replicated reports whether an event can carry this command, as Redis 7.0
	// and Valkey 8.0 and later replicate. Redis 6.0 sends more commands as the
	// client gave them: EXPIRE and SETEX among others.
	Replicated bool

	// InsteadUse says, for a command that changes keys and is not replicated
	// under its name, what to write in a rule instead; else it is "".
	InsteadUse string

	// Events are the names of the events that it makes; none for a command that
	// changes no key. Those of Classes are not among them.
	Events []string

	// Types are those that a key of its events may have afterwards, "none" among
	// them; nil: any.
	Types []string
}

// Commands returns all commands and subcommands that are known, sorted by name.
// The caller owns the slice.
func Commands() []CommandInfo {
	infos := make([]CommandInfo, 0, len(commands))
	for _, c := range commands {
		infos = append(infos, CommandInfo{
			Name: c.name, Classes: strings.Fields(c.acl),
			Replicated: c.events.make != nil && c.instead == "",
			InsteadUse: c.instead,
			Events:     c.eventNames(), Types: c.types(),
		})
	}
	return infos
}

// eventNames returns the names of all events that the command can make.
func (c *command) eventNames() []string {
	names := append([]string{}, c.events.names...)
	if c.events.own {
		names = append(names, c.ownEvent)
	}
	return names
}

// typeOfCategory is the type of the keys that the commands of an ACL category
// leave.
var typeOfCategory = map[string]string{
	"@string": typeString, "@bitmap": typeString, "@hyperloglog": typeString, "@list": typeList, "@set": typeSet,
	"@sortedset": typeZset, "@geo": typeZset, "@hash": typeHash, "@stream": typeStream,
}

// types returns the types that a key may have after the command; nil: any. A
// command that removes keys, or elements of them, may leave none.
func (c *command) types() []string {
	of := ""
	for _, category := range strings.Fields(c.acl) {
		switch t := typeOfCategory[category]; {
		case c.name == "SORT": // which is of all the types that it reads
			of = typeList
		case t != "":
			of = t
		}
	}
	removes := slices.ContainsFunc(c.events.names, func(name string) bool {
		return name == "del" || name == "expired" || name == "hdel" || name == "hexpired"
	})
	switch {
	case c.name == "DEL" || c.name == "UNLINK":
		return []string{typeNone}
	case of == "":
		return nil
	case removes:
		return []string{of, typeNone}
	}
	return []string{of}
}

// What to write instead, of several commands.
const (
	insteadNothing   = "nothing: no event is announced for it"
	insteadDel       = `event "del" (it arrives as DEL)`
	insteadSet       = `event "set" (it arrives as SET .. PXAT)`
	insteadExpire    = `event "expire" (it arrives as PEXPIREAT)`
	insteadHexpire   = `event "hexpire" (it arrives as HPEXPIREAT)`
	insteadPop       = `event "lpop" or "rpop" (it arrives as LPOP or RPOP)`
	insteadZpop      = `event "zpopmin" or "zpopmax" (it arrives as ZPOPMIN or ZPOPMAX)`
	insteadOfScript  = `the commands that the script runs: they arrive one by one`
	insteadOfReading = `nothing: it arrives as XCLAIM, for which no event is announced`
)
