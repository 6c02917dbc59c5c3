// Package outbox is all that lies between a planned firing and its end: it takes
// firings in, commits them together with the position behind them, has them
// delivered, tries again, and keeps what was given up.
//
//	o := outbox.New(outbox.Options{Store: st, Logger: log, MaxPending: 1_000_000})
//	err := o.Recover()
//	o.SetActions(actions, policies)
//	o.Start(reading, attempts, fatal)
//	o.Add(outbox.Planned{Stream: "standalone", Endpoint: "target/shop", Policy: p, Firing: f})
//	o.Pass(outbox.Commit{Stream: "standalone", Position: "...", Whole: true})
//
// # Three rooms
//
// The intake is what streams see. Add and Pass take its lock, under which
// nothing is read, written, logged or waited for: a stream that waits loses its
// server. It knows how much room there is, and of each endpoint whether it
// delivers.
//
// The keeper is one goroutine that does all that writes. It commits what has
// gathered while the commit before was on its way to the disk, each stream's
// with its own position, and what has settled meanwhile.
//
// An endpoint is one action that firings are delivered with. It has a lock of
// its own, a lane for each key that something waits for, a gate that says whose
// turn it is, and workers that attempt. What waits is in the store; a window of
// it is in memory. Whoever reads more of it holds no lock meanwhile: what is
// committed then is left for a later look.
//
// Locks are taken in this order: the outbox's, which guards the table of
// endpoints; an endpoint's; the intake's, or the ledger's, in which endpoints
// note for the keeper what has settled. Logs are written under none of them.
//
// # What is promised
//
// A firing is committed with the position behind what made it, and attempted
// only then; it is enqueued once and delivered at least once. A lane is an
// endpoint and a key: its first firing is attempted until it is delivered or
// given up, then the next. All that waits is bounded by Options.MaxPending,
// divided among the endpoints; a policy's Overflow says what happens beyond,
// which is counted and kept as a dead letter.
package outbox
