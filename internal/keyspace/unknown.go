package keyspace

// unknownCommand stands for each command that has no entry, most likely a
// module's. Its first argument counts as its key.
var unknownCommand = &command{keys: firstKey, events: madeBy((*call).unknownEvents), anyArgument: true}

// unknownEvents makes an event of a command that has no entry.
func (c *call) unknownEvents() {
	c.in.stats.Unknown++
	name := c.in.unknownName(c.args[0])
	c.name = name.command
	if len(c.args) == 1 {
		c.emitKey(nil, c.sent.DB, name.event, "")
		return
	}
	c.emit(1, name.event, "")
}

// The arguments of a command that is not known which count as keys though
// nothing is mirrored of them: so many in front, none longer, and, but for the
// first, no numbers. Else what a module stores would be taken for keys.
const (
	manyArguments = 16
	longArgument  = 256
)

// wantsArguments reports whether a command that is not known names a key that is
// needed.
func (mi *mirror) wantsArguments(args [][]byte, db int) bool {
	for i := 1; i < len(args); i++ {
		if mi.wantsArgument(args, i, db) {
			return true
		}
	}
	return false
}

// wantsArgument reports whether an argument of such a command may be a key that is
// needed.
func (mi *mirror) wantsArgument(args [][]byte, i, db int) bool {
	arg := args[i]
	if d := mi.dbs[db]; d != nil && d.keys[string(arg)] != nil {
		return true
	}
	if i > 1 && (i > manyArguments || len(arg) > longArgument || looksLikeNumber(arg)) {
		return false
	}
	return mi.need(db, arg) != NeedNothing
}

// looksLikeNumber reports whether b begins like a number, and has no letter but
// one of an exponent.
func looksLikeNumber(b []byte) bool {
	digits := 0
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case c != '-' && c != '+' && c != '.' && (lower(c) != 'e' || digits == 0):
			return false
		}
	}
	return digits > 0
}

// loseArguments makes unknown what a command that is not known may have changed:
// each key that one of its arguments names.
func (c *call) loseArguments() {
	for i := 1; i < len(c.args); i++ {
		if c.mi.wantsArgument(c.args, i, c.sent.DB) {
			c.lose(c.key(i), maybe, kindUnknown, &c.lost.Unknown)
		}
	}
}
