package keyspace

import "strings"

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
		})
	}
	return infos
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
