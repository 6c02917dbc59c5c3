// Package timing implements the time fields of rules: how many matches, how
// often, how long none, not before, and when.
//
// A Machine is given each match of a rule with time fields, with its time and
// the values that it is counted by, and it is told as time passes. It answers
// with releases: what the rule is to fire. It has no clock and no goroutine. So
// the same matches at the same times give the same releases: live, in a replay
// and in a test.
//
//	m := timing.New()
//	m.SetRules(rules, now)
//	for key, value := range kept {
//		err := m.Restore(key, value)
//	}
//	...
//	releases = m.Advance(releases, match.At, match.At) // until it returns none
//	releases = m.Arrive(releases, &match)
//	m.Changes(put, del)                                // with what fires, in one atomic write
//
// # Stages
//
// A match goes through the stages that its rule has, in this order. Each stage
// but Sample keeps a state for each value of the match, one of Keys.
//
//	Sample    passes a share of the matches
//	Dedupe    passes a match of a value only after ttl has passed since the last that passed
//	Count, Absent, Debounce, For or Episode   gather matches, and make candidates for a release
//	Active, Mute, Hold   drop a candidate outside the windows, or have it wait
//	Once      passes one candidate of each value
//	Throttle  passes at most max candidates within any per
//	Batch     makes one release of several candidates
//
// Sample and Dedupe are for matches with the role Fires. A match that cancels or
// ends something always passes them. What waits in a later stage keeps the values
// that its match had.
//
// Sample decides by the match's hash and the rule's name. So the same matches
// pass whenever they are read, but not the same ones for each rule.
//
// Count releases the match with which there are more than over within the last
// within, among those of its value. It does so again only after a match has come
// before which there were over or fewer. With over up to 32 that is exact. With
// more the window has 32 slices, and a match counts until all of its slice is
// outside: up to a thirty-second of within longer.
//
// Absent releases an absence when for has passed since the last match of a value,
// and again each repeat after that. It begins with the first match, and for the
// values of Expect when the rule is new; after a restart a rule is not new. If the
// absence was released, or still waits for the windows, the next match is released
// as Resolved, if that is asked for. So is a match that cancels; after it the rule
// waits for nothing until the next match. Without repeat, resolved and expect a
// value is forgotten once its absence was released. An absence is released only
// as far as the matches are known, see Advance.
//
// Debounce releases the last match of a value when wait has passed since, or
// max_wait since the first. The release says how many matches it stands for.
//
// For releases the last match of a value when for has passed since the first, and
// none with the role Ends has come. It does so again only after one with the role
// Ends.
//
// An Episode begins with a match, or with what For releases: that is released,
// and no further match of its value, until it ends. It ends with an Arrival with
// the role Ends, if its database is emptied or its key is not in a snapshot, if
// its rule is dropped, or if it gives way. If its begin was released, or still
// waits for the windows, its end is released as Resolved, if that is asked for. A
// Resolved is known by the Hash of the match that began its episode, so it is the
// same whatever ends that. An Arrival with the role Lapses ends what For waits for,
// and no episode.
//
// The windows are compared with the time of the candidate: that of its match, or
// when its timer was due. With Hold the candidate waits until they open, after
// those that wait already. If more than 10,000 candidates of a rule wait, or more
// than 64 MiB, the oldest are dropped. A rule whose windows do not open within 41
// years drops its candidates. Windows do not drop a Resolved, which only waits
// for them.
//
// Once and Throttle do not stop a Resolved: who was told that something began is
// told that it ended. Throttle is exact for up to 33 releases. For more it has slices as
// Count has, and passes fewer rather than more.
//
// Batch makes a release when max candidates are together, or wait after the first.
// If a batch would have more than 1 MiB, it is released without the candidate that
// is too much.
//
// A run of a schedule is released when it is due and the windows are open. Outside
// them it is dropped, or with Hold put off until they open; several runs that were
// put off become one. A run that is more than a minute late, because the Machine
// was not there or the clock was set, is missed. With CatchUp the last of the
// missed runs is made. If the clock is set back, runs that have been made do not
// come again, unless it is set back by more than an hour. Summarize counts what
// passes the windows of other rules, from run to run.
//
// # Time
//
// Times are in milliseconds; the rest is cut off, and durations are rounded up. A
// window or a ttl of 10 s that begins with a match contains the matches less than
// 10 s later.
//
// The Machine's time is what Advance says, and never goes back. Timers that are
// due at the same time fire in the order in which they were armed. What waits for
// the windows comes before them, and runs of schedules after them. A match that is
// older than others counts at its own time: in a window of Count if it is still
// inside, and for a deadline, which may have passed. Absent ignores a match that
// is older than the last of its value. Schedules and windows go by the time of
// day, see SetWallOffset. All else does not.
//
// # Bounds
//
// A stage keeps MaxKeys states. At that limit a new state displaces the one that
// has been idle for longest: neither matched nor fired. Matches that Debounce or
// Batch have kept with it are released at once. Any other state is forgotten, and
// counted if it still had an effect. The states of expected values are never
// displaced, and not counted in MaxKeys. What For waits for and episodes are
// counted together. An episode is displaced only if nothing waits, the one that
// began first first.
//
// A state takes up to 200 bytes, beside the text of its value and the matches that
// it keeps: measured with 50,000 values, about 50 (Once), 60 (Dedupe), 125
// (Absent), 140 (Debounce, For), 100 and the slim form of a match (Episode), 85 (Throttle of 5) and 196 (Count and Throttle of
// 32 or more, at most). A value of more than 256 bytes is kept as its first 241
// bytes and a hash of 128 bits.
//
// # Restart and reload
//
// The entries of Changes are the whole state. A Machine that has restored them goes
// on as the one before would have: first with what was due meanwhile, in its
// order. If the releases and Changes of a moment are lost, and the matches since
// are read again, the same is released again. Counters begin at 0.
//
// State belongs to a rule's name and shape. When rules are set, or entries
// restored, the state of rules with equal name and shape is kept. Any other is
// dropped, reported, and deleted with the next Changes. What has to be resolved of
// it is returned by Ended.
package timing
