package keyspace

import (
	"strconv"
)

// track makes the events of a command that names keys of which something is
// kept, and does to them what the command did.
func (in *Interpreter) track(m *maker, id ID, p plan) {
	mi := in.mirror
	mi.begin(m.c)
	switch {
	case len(m.args) < arity(id):
		in.stateless(m, id, p)
		mi.loseAll(m, id, &mi.losses.Malformed)
	case mi.trackKeys(in, m, id, p) || mi.trackStrings(in, m, id, p) || mi.trackLists(in, m, id, p) ||
		mi.trackSets(in, m, id, p) || mi.trackHashes(in, m, id, p) || mi.trackZsets(in, m, id, p) || mi.trackStreams(in, m, id, p):
	default:
		in.stateless(m, id, p)
		if p.how != silent {
			mi.loseAll(m, id, &mi.losses.Undecided)
		}
		if p.typ != "" && len(m.args) > 1 { // VADD: it is there now, whatever it holds
			if r := mi.open(m.c.DB, m.args[1]); r.it != nil {
				r.it.exists, r.it.timed = yes, r.existed == no
			}
		}
	}
	if mi.classes != (Classes{}) {
		mi.announce(m, id)
	}
	mi.finish(m)
}

// loseAll makes unknown all keys that a command names.
func (mi *mirror) loseAll(m *maker, id ID, why *int64) {
	if id == 0 {
		if len(m.args) > 1 {
			mi.lose(mi.open(m.c.DB, m.args[1]), maybe, kindUnknown, why)
		}
		return
	}
	var buf [maxRanges]keyRange
	for _, r := range appendRanges(buf[:0], id, m.args) {
		for i := r.first; i <= r.last; i += r.step {
			mi.lose(mi.open(m.c.DB, m.args[i]), maybe, kindUnknown, why)
		}
	}
}

// arity is how many words a command has at least, its name (and subcommand's)
// among them; 0 where that is not checked.
func arity(id ID) int {
	switch id {
	case cmdIncr, cmdDecr, cmdPersist, cmdDel, cmdUnlink, cmdDelex, cmdDelifeq, cmdGetdel, cmdLpop, cmdRpop, cmdZpopmin, cmdZpopmax,
		cmdPfadd, cmdPfmerge, cmdPfcount:
		return 2
	case cmdPfdebug, cmdSet, cmdSetnx, cmdGetset, cmdAppend, cmdDecrby, cmdIncrby, cmdMset, cmdMsetnx, cmdExpire, cmdExpireat, cmdPexpire, cmdPexpireat,
		cmdRename, cmdRenamenx, cmdMove, cmdCopy, cmdSwapdb, cmdLpush, cmdRpush, cmdLpushx, cmdRpushx, cmdRpoplpush, cmdBrpoplpush,
		cmdSadd, cmdSrem, cmdSinterstore, cmdSunionstore, cmdSdiffstore, cmdHdel, cmdZrem, cmdXdel:
		return 3
	case cmdSetex, cmdPsetex, cmdSetrange, cmdSetbit, cmdBitop, cmdRestore, cmdRestoreAsking, cmdMsetex, cmdLset, cmdLtrim, cmdLrem,
		cmdSmove, cmdHset, cmdHmset, cmdHsetnx, cmdHincrby, cmdHpersist, cmdHgetdel, cmdZadd, cmdZincrby,
		cmdZremrangebylex, cmdZremrangebyrank, cmdZremrangebyscore, cmdZunionstore, cmdZinterstore, cmdZdiffstore,
		cmdXtrim, cmdXgroupDestroy:
		return 4
	case cmdLinsert, cmdLmove, cmdBlmove, cmdHexpire, cmdHexpireat, cmdHpexpire, cmdHpexpireat, cmdHsetex, cmdZrangestore, cmdXadd,
		cmdXgroupCreate, cmdXgroupCreateconsumer, cmdXgroupDelconsumer, cmdXclaim, cmdXdelex:
		return 5
	case cmdXackdel:
		return 6
	}
	return 0
}

// int64Of parses a decimal number.
func int64Of(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// floatOf parses a number as strtod does.
func floatOf(b []byte) (float64, bool) {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return f, f != 0 && (f > 1 || f < -1) // beyond the range: infinite, as strtod has it
	}
	return f, f == f
}

// deadlineOf returns the Unix time in milliseconds that an option ("EX", "PX",
// "EXAT", "PXAT") and its argument give, and false if it is not known.
func (mi *mirror) deadlineOf(option, arg []byte) (int64, bool) {
	n, ok := int64Of(arg)
	if !ok {
		return 0, false
	}
	seconds := is(option, "EX") || is(option, "EXAT")
	if seconds {
		if n > 1<<50 {
			return 0, false
		}
		n *= 1000
	}
	if is(option, "EX") || is(option, "PX") {
		if mi.now == 0 || n > 1<<60 {
			return 0, false
		}
		n += mi.now
	}
	return max(n, 1), true
}
