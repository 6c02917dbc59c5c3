package keyspace

// The commands of the module that Redis 8 brings along. It announces nothing.
var vectorCommands = []command{
	{name: "VADD", arity: -5, keys: firstKey,
		events: ownNameAs("vectorset"), apply: (*call).vectors},
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
		events: ownName, apply: (*call).fewerVectors},
	{name: "VSETATTR", arity: 4, keys: firstKey,
		events: ownNameAs("vectorset"), apply: (*call).vectors},
	{name: "VSIM", arity: -4, keys: firstKey},
}

// vectors: a command that has set elements of a vector set, which is not mirrored.
func (c *call) vectors() {
	c.loseNamed(&c.lost.Opaque)
	if k := c.key(1); k.needed() {
		k.value.exists, k.expiry.known = yes, k.existed == no
	}
}

// fewerVectors: the last element may have gone, and the key with it.
func (c *call) fewerVectors() { c.loseNamed(&c.lost.Opaque) }
