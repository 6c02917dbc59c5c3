// Package rules turns a rules file into an immutable Set, and tells which of
// its rules match an event.
//
//	set, err := rules.Load("rules.toml", rules.Options{})
//	m := set.Matcher() // one a goroutine
//	matches = m.Match(matches[:0], ev)
//
// # The file
//
// A rules file is TOML: [source], [store], [http], [defaults], [lists], [macros],
// [windows.NAME], [targets.NAME], [[rule]] with [[rule.action]], [[test]], and include. Load finds every
// mistake in one run, each an *Error with file, line, column and what to do.
// Sections and fields of later versions are mistakes; they are not ignored.
//
// References stand for a text: ${env:NAME} for a variable of the environment,
// ${env:NAME:-default} for a variable or, without one, the default, ${file:/path}
// for the content of a file without its last line end, ${credential:NAME} for
// such a file in the folder $CREDENTIALS_DIRECTORY. A path is relative to the
// file that has the reference. $${ is a literal ${. References are replaced in
// every text but key, key_not, key_regex, when and macros. What they stand for
// is secret: no message shows it.
//
// include names files, or patterns of them, relative to the file that has it.
// Their rules come before its own, in the order of the names. [source], [store]
// and [defaults] belong into the first file.
//
// An action has a type and the fields of that kind, or a target. An action with
// a target has the target's fields; it may set only name, timeout, retry and
// order itself. An action's name is part of the ID of each firing. An action
// without a name is called by its target or its kind, with "-2" and so on if
// the rule has several, so their order in the file matters.
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
// The language of when is that of internal/condition, with what key and
// key_regex capture as its params. lists.NAME and macros.NAME are sections of
// the file.
//
// A condition that cannot be evaluated (args[9] where there are two) does not
// hold. It is counted (Rule.ConditionErrors), reported once through
// Matcher.ConditionError, and stops nothing else. Conditions are evaluated only for
// events that the index finds, so what would have failed elsewhere is not
// counted. One that is neither true nor false, since something is no number,
// does not hold either, and is counted apart (Rule.NotNumbers).
//
// # Values
//
// Matcher.Need returns how much must be kept of a key. A rule needs the values of
// the keys that it selects if it has values = true, if its condition reads a
// value, or if a template of its actions has before or after in it. Name these
// keys in key, or the values of all keys are kept. It also needs the values of the
// other keys that value(KEY) and field(KEY, NAME) name in a condition or a template
// (Set.Kept), and is found by none of these. A rule needs the state of its
// keys if it asks for events that no command tells by itself (expired, del,
// hexpired, xtrim, new, ...), or reads type, ttl, cause or changed.
//
// For other keys events are what the commands say: a DEL of a key that was not
// there is a "del", and a key that an LPOP has emptied has none. A firing of a
// rule that needs no values has none.
//
// With on_time = true and event = "expired", the event comes at the deadline,
// with the last value in before, for every rule of the key.
//
// # Time
//
// Rule.Time has the time fields of a rule, for package internal/timing, which has
// the stages that a match passes through:
//
//	match -> sample -> dedupe -> count | absent | debounce | for, until -> active, mute -> once -> throttle -> batch -> firing
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
//	until = "num(after) < 70"                               # beside when, with or without for
//	send_resolved = true                                    # as until
//	active = "office"                                       # names of [windows.NAME], one or a list
//	mute = ["night", "holidays"]
//	outside = "hold"                                        # or "drop", the default
//	once = true                                             # or a by: "params.id"
//	throttle = { max = 1, per = "1m", by = ["params.ip", "db"] }
//	batch = { max = 500, wait = "1s", by = "params.region" }
//	max_keys = 100_000                                      # values of each stage
//
// A by is an expression, as in conditions, that gives text, an integer, true or
// false, or it is a list of such expressions. Without a by there is one state for
// the whole rule. Matcher.Keys returns the values. The values of a list are joined
// by commas, with a backslash before each comma and backslash in them. A by that
// cannot be evaluated, like args[9] or a missing field of JSON, counts as an error
// of the rule's condition.
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
//   - A rule with until or send_resolved is asked of the same events. It Ends if
//     until holds, or without until if the condition does not, or the key is gone
//     or has another type. It Fires if the condition holds and until does not.
//     If neither can be said it Lapses. The condition may be about the change if
//     there is an until and no for; until may not.
//
// The state of a key is that of "db/key" in Keys.Gather. Events that name no keys,
// like flushall, give no match: see timing.Machine.EndAll.
//
// A window is inside where each of its fields is: weekdays = ["mon:fri", "sun"],
// times = ["08:00-18:00", "22:00-06:00"], days_of_month = ["1:5", "-1"],
// months = ["jan:mar", "12"], in its timezone, which is local as a schedule's
// if there is none.
//
// A rule of the clock may have active, mute, outside, summarize = ["a-rule"]
// and catch_up = true. A rule that is summed up has a Time too.
//
// Rule.Time.Shape is equal for two rules if the states of one can be those of the
// other. It contains all time fields but max_keys, with the macros and lists that
// they name, the windows, the patterns of cancel, and for a rule with for, until or
// send_resolved its other fields.
//
// # Matching
//
// The cost of matching hardly depends on the number of rules. From the fields and
// the condition of a rule the index learns what its events must be (see
// Set.FoundBy). Exact keys are found by hash. Globs are found by one automaton,
// whose states are made as keys need them, at most 16 MiB of them for each
// Matcher. Rules of the same keys are found by the values that they compare
// arguments, captures, command, event, type or database with. What is found is
// checked with the rule itself. Its condition is compiled to closures, or run by
// expr's machine if it uses what closures do not know.
package rules
