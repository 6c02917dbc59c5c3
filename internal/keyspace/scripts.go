package keyspace

// The commands of scripts and functions. A script is replicated by its effects,
// except from a Redis 6.0 or older with lua-replicate-commands off, or in an old
// file: it may have changed any key then.
var scriptCommands = []command{
	{name: "EVAL", arity: -3, acl: "@scripting @slow", keys: laterCountedKeys, own: ownScript,
		events: ownName, apply: (*call).script, everywhere: true, anyLength: true, instead: insteadOfScript},
	{name: "EVALSHA", arity: -3, acl: "@scripting @slow", keys: laterCountedKeys, own: ownScript,
		events: ownName, apply: (*call).script, everywhere: true, anyLength: true, instead: insteadOfScript},
	{name: "EVALSHA_RO", arity: -3, acl: "@scripting @slow", keys: laterCountedKeys},
	{name: "EVAL_RO", arity: -3, acl: "@scripting @slow", keys: laterCountedKeys},
	{name: "FCALL", arity: -3, acl: "@scripting @slow", keys: laterCountedKeys, own: ownScript,
		events: ownName, apply: (*call).script, everywhere: true, anyLength: true, instead: `the commands that the function runs: they arrive one by one`},
	{name: "FCALL_RO", arity: -3, acl: "@scripting @slow", keys: laterCountedKeys},
	{name: "FUNCTION", arity: -2, acl: "@slow"},
	{name: "FUNCTION DELETE", arity: 3, acl: "@scripting @slow @write",
		events: keyless("function")},
	{name: "FUNCTION DUMP", arity: 2, acl: "@scripting @slow"},
	{name: "FUNCTION FLUSH", arity: -2, acl: "@scripting @slow @write",
		events: keyless("function")},
	{name: "FUNCTION HELP", arity: 2, acl: "@scripting @slow"},
	{name: "FUNCTION KILL", arity: 2, acl: "@scripting @slow"},
	{name: "FUNCTION LIST", arity: -2, acl: "@scripting @slow"},
	{name: "FUNCTION LOAD", arity: -3, acl: "@scripting @slow @write",
		events: keyless("function")},
	{name: "FUNCTION RESTORE", arity: -3, acl: "@scripting @slow @write",
		events: keyless("function")},
	{name: "FUNCTION STATS", arity: 2, acl: "@scripting @slow"},
	{name: "SCRIPT", arity: -2, acl: "@scripting @slow"},
	{name: "SCRIPT DEBUG", arity: 3, acl: "@scripting @slow"},
	{name: "SCRIPT EXISTS", arity: -3, acl: "@scripting @slow"},
	{name: "SCRIPT FLUSH", arity: -2, acl: "@scripting @slow"},
	{name: "SCRIPT HELP", arity: 2, acl: "@scripting @slow"},
	{name: "SCRIPT KILL", arity: 2, acl: "@scripting @slow"},
	{name: "SCRIPT LOAD", arity: 3, acl: "@scripting @slow"},
	{name: "SCRIPT SHOW", arity: 3, acl: "@scripting @slow"},
}

// script: EVAL, EVALSHA or FCALL as it was sent. The keys that it names are not
// all that it may have changed.
func (c *call) script() {
	if c.many.isFirst() {
		c.mi.loseAll(&c.lost.Script)
	}
}
