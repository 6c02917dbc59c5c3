package engine

import (
	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/rules"
	"triggerd/source"
)

// givenCommands returns the commands that make a key as it is given. A list is made
// a set, and a hash a sorted set, if the feed has a command of that type for the
// key: they are written alike.
func givenCommands(g *rules.Given, feed []rules.Step) [][]string {
	typ := g.Value.Type()
	switch used := typeUsed(g.Key, feed); {
	case typ == "list" && used == "set", typ == "hash" && used == "zset":
		typ = used
	}
	switch typ {
	case "string":
		return [][]string{{"SET", g.Key, string(g.Value.Bytes())}}
	case "stream":
		return streamCommands(g)
	}
	command := []string{map[string]string{"list": "RPUSH", "set": "SADD", "hash": "HSET", "zset": "ZADD"}[typ], g.Key}
	for e := range g.Value.All() {
		switch {
		case typ == "hash":
			command = append(command, e.Name, e.Value)
		case typ == "zset" && g.Value.Type() == "hash":
			command = append(command, e.Value, e.Name)
		case typ == "zset":
			command = append(command, string(event.AppendScore(nil, e.Score)), e.Name)
		default:
			command = append(command, e.Name)
		}
	}
	return [][]string{command}
}

// streamCommands returns the commands that add the entries of a stream.
func streamCommands(g *rules.Given) [][]string {
	var commands [][]string
	for e := range g.Value.All() {
		commands = append(commands, append([]string{"XADD", g.Key, e.Name}, e.Fields...))
	}
	return commands
}

// typeUsed returns the type of the first command of a feed for a key; "" if there
// is none.
func typeUsed(key string, feed []rules.Step) string {
	for _, s := range feed {
		args, err := source.SplitCommand(s.Command)
		if err != nil || len(args) == 0 {
			continue
		}
		if first, typ, ok := keyspace.FirstKey(args); ok && string(first) == key {
			return typ
		}
	}
	return ""
}
