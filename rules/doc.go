// Package rules turns a rules file into an immutable Set, and tells which of
// its rules match an event.
//
// # The file
//
// A rules file is TOML: [source], [store], [http], [defaults], [lists], [macros],
// [windows.NAME], [targets.NAME], [[rule]] with [[rule.action]], [[test]], and include. Load finds every
// mistake in one run, each an *Error with file, line, column and what to do.
// Sections and fields of later versions are mistakes, not ignored.
//
// ${env:NAME}, ${env:NAME:-default} and ${file:/path} stand for a variable, a
// variable or else a text, and a file, relative to the one that says it,
// without its last line end; ${credential:NAME} for such a file in the folder
// $CREDENTIALS_DIRECTORY; $${ is a literal ${. They are replaced in every text but
// key, key_not, key_regex, when and macros. What they stand for is a secret: no
// message shows it.
//
// include names files, or patterns of them, relative to the file that says it;
// their rules come before its own, in the order of the names. [source],
// [store] and [defaults] belong into the first file.
//
// An action has a type and that kind's fields, or a target. One with a target
// takes everything from it but name, timeout, retry and order, which it may
// say itself. An action's name is part of the ID of each firing; an action
// without one is called by its target or its kind, with "-2" and so on where
// the rule has several, so that their order in the file matters.
//
// # What a rule sees
//
// Fields are joined by AND, the values of a field by OR. A rule that does not
// say event or command sees every event of its keys, except:
//
//   - Keys of a snapshot (event.Snapshot) only with snapshot = true, which
//     event = "snapshot" implies. They have no command, so the fields event and
//     command do not apply to them; all others do.
//   - Events that concern no key (flushall, publish, gap, resync, ...) only if
//     event names them or, where the rule has neither key nor key_regex, if
//     command names their command. A class of commands does not name one.
//   - The clock. A rule with a schedule sees nothing else. Its times are local
//     ones, unless timezone names a zone of the machine's database.
//
// event = "write" is every event of a key but those of a snapshot.
//
// A key pattern is a glob as the server has them, with classes compared as
// unsigned bytes, and with {name} for one or more bytes other than ':'. What
// is not a name in braces is literal, and so is \{. Where a pattern leaves a
// choice, an earlier part takes as much as it can. Of several patterns the
// first that matches captures. key_regex is searched for anywhere in the key,
// unless it is anchored; its named groups are captures too.
//
// A command that has subcommands stands for all of them.
//
// # Conditions
//
// A condition is an expression of github.com/expr-lang/expr that is true or
// false. It sees key, command, args, db, event, type, params, bytes, time (UTC),
// offset, tx.id, tx.index, tx.size, origin and cause, what the section Values
// has, lists.NAME after "in" or
// in a predicate, and macros.NAME, a condition's part with a name. Text is
// bytes: slices and size count bytes, len counts characters.
//
//	num(x)            the decimal number that all of x is, exact to 2^53; else none: no comparison but != holds
//	num(x, n)         the same, else n
//	arg(i)            args[i], or "" where there is none (args[i] is an error then)
//	json(x, "a.b.0")  a text, number or bool inside the JSON text x; an object or list as its text; else nil
//	has(params, "x")  whether x was captured
//	glob(x, "a*")     whether x matches a glob
//	cidr(x, "10.0.0.0/8")
//	size(x)           bytes of x
//	bin("\\xff")      the text of these bytes ("\xff" is a letter)
//	now()             the event's time, as is time: time.Hour(), time.Weekday() (0 is Sunday), ...
//
//	crossed(n), changed_to(v), became(field, v)   see Values
//
// Of expr's own functions there are len, lower, upper, trim, trimPrefix,
// trimSuffix, int, float, abs, ceil, floor, round, and all, any, none, one and
// count over args, changed, a value or a list. The rest is refused, so that what a condition
// costs is linear in the event: no dynamic regular expressions, no predicates
// in predicates, nothing in a predicate over args whose cost another part of
// the event decides, no text that grows. Before it is parsed a condition is
// limited to 4 KiB and 64 brackets inside one another, since expr's parser
// would overflow the stack; after that to 500 parts. Whoever may write rules
// may run commands: the limits are against mistakes, not against them.
//
// A condition that cannot be evaluated (args[9] where there are two) does not
// hold. It is counted (Rule.ConditionErrors), reported once through
// Matcher.ConditionError, and stops nothing else. Conditions are evaluated only for
// events that the index finds, so what would have failed elsewhere is not
// counted.
//
// # Values
//
// before and after are the key's value on either side of the command: nil where
// the key was, is not there; else
//
//	a string         its text
//	a hash           before.f or before["f"]: the field's text, nil if there is none
//	a list           before[0], before[-1]: an item, nil if there is none
//	a set            its members
//	a sorted set     before["member"]: its score; elements have .member and .score
//	a stream         before[0] and so on; entries have .id and .fields, a flat list
//
// num(before) is the number of a string; size(before) counts bytes or elements,
// 0 for no key; has(before, x), or x in before, finds a field, member, item or
// entry; any(before, # == "x") and its like run over all but strings and hashes.
// Where only text can be, as before startsWith, nil is "". changed is a list: the
// fields or members that the command named. ttl is in milliseconds: -1 for no
// deadline, -2 for no key.
//
//	crossed(n)        num has reached or passed n, from either side: before < n <= after, or
//	                  after <= n < before. Once a crossing: 1 to 0 crosses 0, 0 to -1 does not
//	changed_to(v)     after is the text v, and before was not; the key may be new
//	became(field, v)  the same of a hash's field
//
// A key that is not there is no number, and crosses nothing: the first SET of a
// counter is no crossing. What is not known (the key was not kept yet, its value
// was dropped at the memory limit, the event concerns no key) is an error where it is read, which
// the condition's error says, and never a wrong answer.
//
// Matcher.Need tells for which keys how much must be kept. A rule with values =
// true, one whose condition reads a value, or one of whose actions has a
// template with before or after in it, needs the values of the keys that it selects: name them in key, or all
// are kept. One that waits for events that no command tells by itself (expired,
// del, hexpired, xtrim, new, ...), or reads type, ttl, cause or changed, needs
// their state. For other keys events are what the commands say: a DEL of a key
// that was not there is a "del", and one that an LPOP has emptied has none. A
// delivery of a rule that needs no values has none.
//
// on_time = true, with event = "expired", has the event come at the deadline,
// with the last value in before, for every rule of the key.
//
// # Time
//
// Rule.Time is what a rule says of time, for package internal/timing, which
// has the stages that a match passes through:
//
//	match -> sample -> dedupe -> count | absent | debounce | for -> active, mute -> once -> throttle -> batch -> firing
//
// Each is a field of the rule:
//
//	sample = 0.1
//	dedupe = { by = "params.id", ttl = "1h" }
//	count = { over = 100, within = "10s", by = "params.ip" }
//	absent = { for = "90s", by = "params.worker", expect = ["api-1"], repeat = "15m", send_resolved = true }
//	cancel = { key = "order:{worker}", event = "hset" }     # or a list of them
//	debounce = { wait = "2s", max_wait = "30s", by = "key" }
//	for = "5m"
//	active = "office"                                       # names of [windows.NAME], one or a list
//	mute = ["night", "holidays"]
//	outside = "hold"                                        # or "drop", the default
//	once = true                                             # or a by: "params.id"
//	throttle = { max = 1, per = "1m", by = ["params.ip", "db"] }
//	batch = { max = 500, wait = "1s", by = "params.region" }
//	max_keys = 100_000                                      # values of each stage
//
// A by is an expression as in conditions that gives text, an integer, true or
// false, or a list of them; none is one state for the whole rule. Matcher.Keys
// gives their values, of a list joined by commas, with a backslash before each
// comma and backslash that is in one. A value that cannot be told, of args[9]
// or of JSON without that field, is an error of the rule's condition.
//
// Match.Role is Fires, but:
//
//   - Events that a pattern of cancel matches are matches with the role
//     Cancels. Params and by are those of that pattern, which has key, key_not,
//     key_regex, command, command_not, event, db, type and when, and must
//     capture what the by reads. What a rule and its cancel match both, cancels.
//   - The condition of a rule with for reads only what is so of a key for some
//     time: key, db, type, after, ttl, params. Every event of a key that key,
//     key_not, key_regex and db select concerns it: it Fires if the other
//     fields match and the condition holds, and Ends if the condition does not
//     hold or cannot be evaluated, the type is another, or the key is gone.
//     The state is that of the key, "db/key" in Keys.Gather. Events that name
//     no keys, like flushall, give no match: see timing.Machine.EndAll.
//
// A window is inside where each of its fields is: weekdays = ["mon:fri", "sun"],
// times = ["08:00-18:00", "22:00-06:00"], days_of_month = ["1:5", "-1"],
// months = ["jan:mar", "12"], in its timezone, which is local as a schedule's
// if there is none.
//
// A rule of the clock may have active, mute, outside, summarize = ["a-rule"]
// and catch_up = true. A rule that is summed up has a Time too.
//
// Rule.Time.Shape tells whether states of a rule of this name mean what they
// meant: it has all time fields but max_keys, with the macros and lists that
// they name, the windows and patterns of cancel, and of a rule with for its
// other fields.
//
// # Matching
//
// What matching costs hardly depends on how many rules there are. From the
// fields and from the condition of a rule the index learns what its events
// must be (see Set.Served): exact keys are found by hash, globs by one
// automaton whose states are made as keys need them, at most 16 MiB of them for each Matcher,
// and rules of the same keys by the values that they compare arguments,
// captures, command, event, type or database with. What is found is checked
// with the rule itself, its condition compiled to closures, or run by expr's
// machine where it uses what closures do not know.
package rules
