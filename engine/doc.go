// Package engine runs triggerd. It takes records from sources, has them
// interpreted and matched, plans firings, and hands these to internal/outbox
// together with the position after them. It is the only package that knows all
// stages.
//
//	set, err := engine.LoadRules("rules.toml", engine.ActionOptions{})
//	e, err := engine.New(engine.Config{Rules: set, Source: src, Store: st})
//	err = e.Run(ctx) // until ctx is done, and what is in flight has settled
//
// # One way
//
// One goroutine handles the records of a stream: record -> events -> matches ->
// firings. It never waits for a delivery, since a server disconnects a replica
// that does not read. Firings go to the outbox, which has a lane for each action
// and key. The firings of a lane are attempted one after another, in order.
// Lanes run beside each other, up to the limit of their action. So a dead
// endpoint delays its own firings only.
//
// # At least once
//
// Firings and the position after them are one commit of the store, which is
// synced before anything is attempted. So each firing is enqueued exactly once,
// and delivered at least once. After a crash reading resumes at the committed
// position, and a firing that is attempted again has the same ID. The number of
// firings that wait is limited by Config.MaxPending and the disk. A rule's
// overflow says what happens at the limit; dropped firings are counted, logged
// and kept as a dead letter.
//
// # Values, and time
//
// If rules need values, the stream's interpreter keeps a mirror of keys. If
// rules have time fields, a machine of internal/timing holds what they count and
// wait for. The changes of both are committed with the position that they belong
// to, and the next process loads them. If the mirror lacks keys that the rules
// need, a source that resumes fetches a snapshot on a second connection. See
// docs/adr/0003 and 0005.
//
// A stream has a clock of its own, which never jumps; in a replay it is that of
// the recording. The source wakes the stream when something is due. That
// something did not happen is said only as far as the stream is known to be
// read.
//
// # Reload
//
// Reload makes a whole new generation of rules and actions, and swaps it in
// between two records. Firings that wait are delivered with the new settings of
// their action, or with the old ones if the action is gone.
package engine
