// Package condition compiles what rules ask of an event, and evaluates it: the
// conditions that are true or false, and the values that states are kept apart
// by.
//
//	c := condition.NewCompiler(condition.Config{Lists: map[string]any{"skus": []string{"7", "8"}}})
//	cond, report := c.Condition(`params.sku in lists.skus && num(after) < 5`, captures.Names())
//
//	var e condition.Evaluator
//	e.Begin(ev)
//	ok, err := e.Holds(cond, captures)
//
// It hides the library expr, of which it is the only user: parsing, resolving
// of names, checking of types and costs, and two ways to evaluate. Most of the
// language is compiled to Go closures, which allocate nothing; expr's machine
// runs what closures do not know. Both give the same value, or both an error.
//
// A condition also tells what it knows of the events for which it holds (Report's
// Says), so that an index can pass over the others, and what it reads of an event
// that has to be kept for it (Reads).
//
// # The language
//
// A condition is an expression of github.com/expr-lang/expr that is true or
// false. It sees key, command, args, db, event, type, params, bytes, time (UTC),
// offset, tx.id, tx.index, tx.size, part.index, part.size, origin and cause, what the section Values
// has, lists.NAME after "in" or in a predicate, and macros.NAME, a condition's
// part with a name. Text is bytes: slices and size count bytes, len counts
// characters.
//
//	num(x)            the decimal number that all of x is; else none
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
//	split(x, ":")     the parts of x, a list of texts
//	replace(x, "a", "b"), x + y
//	string(x)         a number, true or false as text; "" for nil
//
//	crossed(n), changed_to(v), became(field, v), differs(field), was(field), moved(field, {...}),
//	score(after, x), crossed_score(n), within(after, x, lon, lat, km), added, removed   see Values
//
// [x, y] in lists.NAME looks for a list in a list of lists. Of expr's own functions there are len, lower, upper, trim, trimPrefix,
// trimSuffix, int, float, abs, ceil, floor, round, and all, any, none, one and
// count over args, changed, a value or a list. The rest is refused, so that
// what a condition costs is linear in the event: no dynamic regular
// expressions, no predicates in predicates, nothing in a predicate over args
// whose cost another part of the event decides, no text that grows beyond a MiB. Before it
// is parsed a condition is limited to 4 KiB and 64 brackets inside one another,
// since expr's parser would overflow the stack; after that to 500 parts.
// Whoever may write rules may run commands: the limits are against mistakes,
// not against them.
//
// What cannot be told (args[9] where there are two) is an error, and never a
// wrong answer.
//
// # Values
//
// before and after are the key's value on either side of the command: nil where
// the key was, is not there; else
//
//	a string         its text
//	a hash           before.f or before["f"]: the field's text, nil if there is none; elements have .field and .value
//	a list           before[0], before[-1]: an item, nil if there is none
//	a set            its members
//	a sorted set     before["member"]: its score; elements have .member and .score
//	a stream         before[0] and so on; entries have .id and .fields, a flat list
//
// num(before) is the number of a string; size(before) counts bytes or elements,
// 0 for no key; has(before, x), or x in before, finds a field, member, item or
// entry; any(before, # == "x") and its like run over the elements of all but strings.
// Where only text can be, as before startsWith, nil is "". changed is a list: the
// fields or members that the command named. ttl is in milliseconds: -1 for no
// deadline, -2 for no key.
//
//	crossed(n)        num has reached or passed n, from either side: before < n <= after, or
//	                  after <= n < before. Once a crossing: 1 to 0 crosses 0, 0 to -1 does not
//	changed_to(v)     after is the text v, and before was not; the key may be new
//	became(field, v)  the same of a hash's field
//	differs(name)     a hash's field, or a member of a set or sorted set, is another than before, or on one side only
//	moved(field, {"new": ["paid"]})  the field went from one text to one of the others
//	score(after, x)   the score of a member: no number where there is none
//	crossed_score(n)  the score of a member that the command changed did as crossed says
//	within(after, x, lon, lat, km)   the member of a geo set is so near to a place
//	added, removed    names of elements that are on one side only; items of a list as often as they are more on one side
//
//	value(k), field(k, f)   another key of the database, as after is; see Reads.Others
//
// These cost what the command has changed (event.Changer), or what both sides
// have, where the command has put another value in place of the old one.
//
// A key that is not there is no number, and crosses nothing: the first SET of a
// counter is no crossing. What is not known (the key was not kept yet, its value
// was dropped at the memory limit, the event concerns no key) is an error where
// it is read, which the condition's error says, and never a wrong answer.
//
// # Numbers
//
// Whole numbers are int64, all others float64, and so is what leaves 64 bits by
// +, - or *, and what / and ** give. The two compare by value, without rounding.
//
// A comparison with what is no number is neither true nor false, as with null in
// SQL; truths of three values are joined as Kleene's are, and a condition that
// comes to neither does not hold. Arithmetic with it stays it, a ternary whose
// condition is neither takes its last part, ?? replaces both, and in is == with
// each, joined by or. count and one count what is true; any, all and none are
// "or", "and" and "not or" of all elements. As a place in a list or a text it is
// an error, and to keep states apart by. num of nil is told apart, since what is
// not there is nothing to report (see Evaluator.NotNumber).
//
// # Predicates over values
//
// What a predicate says of the elements of before and after has no order: any
// holds if one element is found, also where another one cannot be told, and is
// an error only if the answer depends on that one. So a value that keeps counts
// (event.Counter) is asked for them, and it costs what has changed:
//
//	any(after, # == X), .member, .field or .id == X   a lookup; in a list each item is compared
//	any(after, num(.score) >= X)                      the rank of X in a sorted set, if X is no constant
//	any(after, BODY)                                  counted, if BODY reads nothing but the element
//
// X reads no element, and is evaluated once. BODY may have constants and lists
// in it. Whatever else a body reads of the event makes it look at each element
// at each event: that is a warning.
//
// # Promises
//
// No text makes the compiler panic, and no event an expression. What an
// expression costs is linear in the event and in the values that it reads. What is compiled does not change and
// may be used by several goroutines, each with an Evaluator of its own.
package condition
