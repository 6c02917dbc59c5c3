// Package timing is what rules say of time: how many, how often, how long
// nothing, not before, and when.
//
// A Machine is told of each match of a rule with time fields, with the time it
// came and the values that it is counted by, and of time as it passes; it
// answers with what is to fire. It keeps no clock and starts no goroutine, so
// that the same matches at the same times give the same firings, live, in a
// replay and in a test.
//
//	m := timing.New()
//	m.SetRules(rules, now)
//	for key, value := range kept {
//		err := m.Restore(key, value)
//	}
//	...
//	firings = m.Advance(firings, match.At, match.At) // until it gives none
//	firings = m.Match(firings, &match)
//	m.Changes(put, del)                              // with the firings, in one atomic write
//
// # Stages
//
// A match goes through the stages that its rule has, in this order. Each but
// Sample keeps its states apart by a value of the match, one of Keys.
//
//	Sample    lets a share of the matches through
//	Dedupe    lets a value through again when ttl has passed since it was let through
//	Count, Absent, Debounce or For   gather matches, and make firings of them
//	Active, Mute, Hold   drop a firing outside the windows, or have it wait
//	Once      lets one firing of each value through
//	Throttle  lets at most max firings through within any per
//	Batch     makes one firing of several
//
// Sample and Dedupe are for matches with the role Fires; a match that cancels
// or ends something always does. What waits in a later stage has the values
// with it that its match had.
//
// Sample decides by the match's hash and the rule's name: the same matches are
// in it whenever they are read, and not the same ones for each rule.
//
// Count fires the match with which more than over are less than within old,
// among those of its value. It fires again only after a match has come with
// which there were over or fewer before it. With over up to 32 that is exact;
// with more the window has 32 slices, and a match counts until its slice is
// out, up to a thirty-second of within longer.
//
// Absent fires when for has passed since the last match of a value, and again
// each repeat after that. It begins with the first match; with Expect, for the
// values named, when the rule is new, which a restart is not. A match after it
// has fired fires as Resolved, if that is asked for and the absence was let
// through by the windows, Once and Throttle, or waits for the windows. So does
// one that cancels; after that nothing is waited for until the next match.
// Without repeat, resolved and expect nothing is known of a value any more once
// it has fired. It fires only as far as the matches are known, see Advance.
//
// Debounce fires the last match of a value when wait has passed since, or
// max_wait since the first, and tells how many it stands for.
//
// For fires when for has passed since the first match of a value and none with
// the role Ends has come, with the last match. It fires again only after one
// with the role Ends.
//
// The windows are looked at with the time of the firing: that of the match, or
// at which it was due. With Hold it waits until they open, behind those that
// wait already; if there are more than 10,000 of a rule, or 64 MiB, the oldest
// are dropped. A rule whose windows do not open within 41 years drops them.
//
// Once and Throttle leave a Resolved alone: who was told of the absence is told
// of its end. Throttle is exact for up to 33 firings; for more it has slices as
// Count has, and lets fewer through rather than more.
//
// Batch fires when max firings are together, or wait after the first. One that
// would have more than 1 MiB fires without the one that is too much.
//
// A run of a schedule fires when it is due and the windows are open. Outside it
// is dropped, or with Hold put off until they open, when it is one run however
// many were put off. A run that is more than a minute late, because the Machine
// was not there or the clock was set, is left out; with CatchUp the last of
// those that were missed is made up. Where the clock is set back, runs that
// have been do not come again, unless it is by more than an hour. Summarize
// counts what leaves the windows of other rules, from run to run.
//
// # Time
//
// Times are in milliseconds: what is less is cut off, of durations it is
// rounded up. A window or a ttl of 10 s that begins with a match has those that
// come less than 10 s later.
//
// The Machine's time is what Advance says, and never goes back. What is due at
// the same time fires in the order in which it was armed; what waits for the
// windows before that, and runs of schedules after it. A match that is older
// than others counts at its own time: in a window of Count if it is still
// inside, and for a deadline, which may have passed. An Absent does not mind one
// that is older than the last of its value. Schedules and windows go by the
// clock on the wall, see SetWall, all else does not.
//
// # Bounds
//
// A stage keeps MaxKeys states. Then that gives way which has been idle for
// longest: neither matched nor fired. Matches that Debounce or Batch have kept
// for it fire at once; all else is forgotten, and counted if it still meant
// something. Values that are expected do not give way, and do not count.
//
// A state takes up to 200 bytes, beside the text of its value and what is kept
// of matches: measured with 50,000 values, about 50 (Once), 60 (Dedupe), 125
// (Absent), 140 (Debounce, For), 85 (Throttle of 5) and 196 (32 or more at most,
// in Count and Throttle). Values of more than 256 bytes are kept as their first
// 241 and a hash of 128 bits.
//
// # Restart and reload
//
// What Changes tells is all there is to know: a Machine that Restore has told of
// it goes on as the one before would have, with what was due meanwhile first,
// in its order. If the firings and Changes of a moment are lost, and the
// matches since are read again, the same fires again. Counters begin anew.
//
// State belongs to a rule of a name and a shape. When rules are set, or entries
// restored, those that are equal go on, and what belongs to others is dropped,
// told of, and deleted with the next Changes.
package timing
