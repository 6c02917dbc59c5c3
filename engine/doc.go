// Package engine runs triggerd: it takes records from a source, has them
// interpreted and matched, plans firings, delivers them, and moves the
// checkpoint behind what is dealt with. It is the only package that knows all
// the others.
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
// A position is checkpointed when all that was fired up to it has settled: was
// delivered, or was given up and reported. After a crash reading resumes there,
// and what comes again carries the same IDs. The outbox is in memory and
// bounded (Config.MaxPending); firings over the bound are dropped, counted and
// reported.
//
// # Reload
//
// Reload makes a whole new generation of rules and actions, and swaps it in
// between two records. Firings that wait go on with the new settings of their
// action, or with the old ones if it is gone.
package engine
