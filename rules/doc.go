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
// The language of when is that of internal/condition, with what key and
// key_regex capture as its params. lists.NAME and macros.NAME are sections of
// the file.
//
// A condition that cannot be evaluated (args[9] where there are two) does not
// hold. It is counted (Rule.ConditionErrors), reported once through
// Matcher.ConditionError, and stops nothing else. Conditions are evaluated only for
// events that the index finds, so what would have failed elsewhere is not
// counted.
//
// # Values
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
// must be (see Set.FoundBy): exact keys are found by hash, globs by one
// automaton whose states are made as keys need them, at most 16 MiB of them for
// each Matcher, and rules of the same keys by the values that they compare
// arguments, captures, command, event, type or database with. What is found is checked
// with the rule itself, its condition compiled to closures, or run by expr's
// machine where it uses what closures do not know.
package rules
