// Package engine runs triggerd: it takes records from a source, has them
// interpreted and matched, plans firings, and has internal/outbox commit them
// together with the position behind them and deliver them. It is the only
// package that knows all the others.
//
//	set, err := engine.LoadRules("rules.toml", engine.ActionOptions{})
//	e, err := engine.New(engine.Config{Rules: set, Source: src, Store: st})
//	err = e.Run(ctx) // until ctx is done, and what is in flight has settled
//
// # One way
//
// One goroutine reads: record -> events -> matches -> firings. It never waits
// for a delivery, since a server cuts off a replica that does not read. Firings
// go to the outbox, which holds a lane for each action and key: a lane's
// firings are attempted one after another and in order, lanes run beside each
// other, and each action has a limit of its own, so that a dead endpoint
// delays its own firings only.
//
// # At least once
//
// Firings and the position behind them are one commit of the store, synced
// before anything is attempted: each is enqueued exactly once, and delivered at
// least once. After a crash reading resumes at the position, and what is
// attempted again carries the same ID. What waits is bounded by
// Config.MaxPending and the disk; a rule's overflow says what happens then,
// which is counted, logged and kept as a dead letter.
//
// # Values, and time
//
// For rules that need them the reader's interpreter keeps a mirror of keys; what
// rules with time fields count and wait for, a machine of internal/timing does.
// Both are the reader's. Their changes go into the commit that holds the
// position that they belong to, and are taken over by the next process. Where
// the mirror is not complete for the rules, a source that resumes brings a
// snapshot beside the stream. See docs/adr/0003 and 0005.
//
// Time is the reader's too, by a clock that never jumps, and in a replay by that
// of the recording. The source gives a record when something is due, or when
// the link is lost: what did not happen is told only as far as the stream is
// known.
//
// # Reload
//
// Reload makes a whole new generation of rules and actions, and swaps it in
// between two records. Firings that wait go on with the new settings of their
// action, or with the old ones if it is gone.
package engine
