package keyspace

// The commands of the module that Redis 8 brings along. It announces nothing.
var vectorCommands = []command{
	{name: "VADD", arity: -5, keys: firstKey,
		events: ownNameAs("vectorset"), apply: (*call).undecided},
	{name: "VCARD", arity: 2, keys: firstKey},
	{name: "VDIM", arity: 2, keys: firstKey},
	{name: "VEMB", arity: -3, keys: firstKey},
	{name: "VGETATTR", arity: 3, keys: firstKey},
	{name: "VINFO", arity: 2, keys: firstKey},
	{name: "VISMEMBER", arity: 3, keys: firstKey},
	{name: "VLINKS", arity: -3, keys: firstKey},
	{name: "VRANDMEMBER", arity: -2, keys: firstKey},
	{name: "VRANGE", arity: -4, keys: firstKey},
	{name: "VREM", arity: 3, keys: firstKey,
		events: ownName},
	{name: "VSETATTR", arity: 4, keys: firstKey,
		events: ownNameAs("vectorset"), apply: (*call).undecided},
	{name: "VSIM", arity: -4, keys: firstKey},
}
