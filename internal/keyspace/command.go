package keyspace

import "bytes"

// ID names a command or subcommand of the table. The zero ID is no command.
type ID uint16

// String returns the command's name in upper case, "XGROUP CREATE" for a
// subcommand; "" for what is not an ID of the table.
func (id ID) String() string {
	if id >= numIDs {
		return ""
	}
	return commands[id].name
}

// maxName is the longest name that Lookup can find.
const maxName = 32

// command is what the table knows of a command.
type command struct {
	name      string
	classes   uint64 // bits of classNames
	write     bool   // the server's own flag
	container bool   // has subcommands
	keys      []keySpec
}

var byName = func() map[string]ID {
	m := make(map[string]ID, numIDs)
	for id := ID(1); id < numIDs; id++ {
		m[commands[id].name] = id
	}
	return m
}()

// Lookup finds a command by its name in any case, a subcommand by both names
// with a space between. It does not allocate.
func Lookup(name []byte) (id ID, ok bool) {
	if len(name) > maxName {
		return 0, false
	}
	var buf [maxName]byte
	for i, c := range name {
		buf[i] = upper(c)
	}
	id, ok = byName[string(buf[:len(name)])]
	return id, ok
}

// lookupArgs finds the command that args are, the subcommand if it has one.
// It returns 0 for a command that the table does not know.
func lookupArgs(args [][]byte) ID {
	if bytes.IndexByte(args[0], ' ') >= 0 {
		return 0 // no server has such a name, only our table: "XGROUP CREATE"
	}
	id, _ := Lookup(args[0])
	if !commands[id].container {
		return id
	}
	if len(args) < 2 || len(args[0])+1+len(args[1]) > maxName {
		return id
	}
	var buf [maxName]byte
	n := copy(buf[:], args[0])
	buf[n] = ' '
	n += 1 + copy(buf[n+1:], args[1])
	if sub, ok := Lookup(buf[:n]); ok {
		return sub
	}
	return id
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// is reports whether arg is the word, given in upper case, in any case.
func is(arg []byte, word string) bool {
	if len(arg) != len(word) {
		return false
	}
	for i, c := range arg {
		if upper(c) != word[i] {
			return false
		}
	}
	return true
}
