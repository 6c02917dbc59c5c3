package keyspace

import (
	"slices"

	"triggerd/internal/event"
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
}

// Commands returns all commands and subcommands of the table, sorted by name.
// The caller owns the slice.
func Commands() []CommandInfo {
	infos := make([]CommandInfo, 0, numIDs-1)
	for id := ID(1); id < numIDs; id++ {
		c := &commands[id]
		infos = append(infos, CommandInfo{
			Name: c.name, Classes: classList(c.classes),
			Replicated: planOf(id).how != silent && insteadUse[id] == "",
			InsteadUse: insteadUse[id],
		})
	}
	return infos
}

func classList(bits uint64) []string {
	var names []string
	for i, name := range classNames {
		if bits&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

const noEvent = "nothing: no event is announced for it"

// insteadUse holds the commands that servers replicate as something else, or
// that change nothing an event tells of.
var insteadUse = [numIDs]string{
	cmdBlmove:       `command "LMOVE"`,
	cmdBlmpop:       `event "lpop" or "rpop" (it arrives as LPOP or RPOP)`,
	cmdBlpop:        `event "lpop" (it arrives as LPOP)`,
	cmdBrpop:        `event "rpop" (it arrives as RPOP)`,
	cmdBrpoplpush:   `command "RPOPLPUSH"`,
	cmdBzmpop:       `event "zpopmin" or "zpopmax" (it arrives as ZPOPMIN or ZPOPMAX)`,
	cmdBzpopmax:     `event "zpopmax" (it arrives as ZPOPMAX)`,
	cmdBzpopmin:     `event "zpopmin" (it arrives as ZPOPMIN)`,
	cmdDelifeq:      `event "del" (it arrives as DEL)`,
	cmdEval:         `the commands that the script runs: they arrive one by one`,
	cmdEvalsha:      `the commands that the script runs: they arrive one by one`,
	cmdExpire:       `event "expire" (it arrives as PEXPIREAT)`,
	cmdExpireat:     `event "expire" (it arrives as PEXPIREAT)`,
	cmdFcall:        `the commands that the function runs: they arrive one by one`,
	cmdGeoadd:       `event "zadd" (it arrives as ZADD)`,
	cmdGetdel:       `event "del" (it arrives as DEL)`,
	cmdGetex:        `event "expire" or "persist" (it arrives as PEXPIREAT or PERSIST)`,
	cmdGetset:       `event "set" (it arrives as SET)`,
	cmdHexpire:      `event "hexpire" (it arrives as HPEXPIREAT)`,
	cmdHexpireat:    `event "hexpire" (it arrives as HPEXPIREAT)`,
	cmdHgetex:       `event "hexpire" or "hpersist" (it arrives as HPEXPIREAT or HPERSIST)`,
	cmdHincrbyfloat: `command ["HSET", "HSETEX"] (it arrives as one of them)`,
	cmdHpexpire:     `event "hexpire" (it arrives as HPEXPIREAT)`,
	cmdIncrbyfloat:  `event ["incrbyfloat", "set"] (it arrives as SET .. KEEPTTL)`,
	cmdLmpop:        `event "lpop" or "rpop" (it arrives as LPOP or RPOP)`,
	cmdMigrate:      `event "del" (it arrives as DEL)`,
	cmdPfcount:      noEvent,
	cmdXack:         noEvent,
	cmdXclaim:       noEvent,
	cmdPexpire:      `event "expire" (it arrives as PEXPIREAT)`,
	cmdPsetex:       `event "set" (it arrives as SET .. PXAT)`,
	cmdSetex:        `event "set" (it arrives as SET .. PXAT)`,
	cmdSpop:         `event "srem" or "del" (it arrives as SREM, or DEL when it empties the set)`,
	cmdXautoclaim:   `nothing: it arrives as XCLAIM, for which no event is announced`,
	cmdXreadgroup:   `nothing: it arrives as XCLAIM, for which no event is announced`,
	cmdZmpop:        `event "zpopmin" or "zpopmax" (it arrives as ZPOPMIN or ZPOPMAX)`,
}

// stateNames are events of the servers that take more than the command to know.
var stateNames = []string{
	"evicted", "expired", "hexpired", "new", "overwritten", "type_changed", "xtrim",
}

// specialNames are the events of the commands whose plan is special.
var specialNames = []string{
	"copy_to", "del", "expire", "georadiusstore", "hdel", "hexpire", "hset", "lpop", "lpush",
	"move_from", "move_to", "rename_from", "rename_to", "rpop", "rpush", "sadd", "set",
	"sortstore", "srem", "xgroup-setid", "zadd", "zincr",
}

// EventNames returns the names that an event can have, sorted: those of the
// servers' keyspace notifications, and our own. The caller owns the slice.
// "keymiss" is not among them, since reads are not replicated. An unknown
// command makes an event of its own name.
func EventNames() []string {
	names := slices.Concat(stateNames, specialNames, []string{
		event.FlushDB, event.FlushAll, event.SwapDB, event.Publish, event.SPublish, event.Function,
		event.Snapshot, event.Changed, event.Resync, event.Gap, event.Schedule,
	})
	for id := ID(1); id < numIDs; id++ {
		switch p := planOf(id); {
		case p.name != "":
			names = append(names, p.name)
		case p.how == generic && insteadUse[id] == "":
			names = append(names, genericNames[id])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
