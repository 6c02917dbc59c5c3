// Package outbox is everything between a planned firing and its end. It takes
// firings in, commits them together with the position after them, has them
// delivered, tries again, and keeps those that were given up.
//
//	o := outbox.New(outbox.Options{Store: st, Logger: log, MaxPending: 1_000_000})
//	err := o.Recover()
//	o.SetActions(actions, policies)
//	o.Start(reading, attempts, fatal)
//	o.Add(outbox.Planned{Stream: "standalone", Endpoint: "target/shop", Policy: p, Firing: f})
//	o.Submit(outbox.Commit{Stream: "standalone", Position: "...", Whole: true})
//
// # Three parts
//
// The intake is what streams see. Add and Submit take its lock, under which
// nothing is read, written, logged or waited for: a stream that waits loses its
// server. The intake knows how much room there is, and of each endpoint whether
// it delivers.
//
// The keeper is one goroutine that does all writing. It commits what has
// gathered while its last commit was on the way to the disk: for each stream its
// firings with its position, and what has settled.
//
// An endpoint is one action that firings are delivered with. It has a lock of
// its own, a lane for each key that something waits for, a gate that says which
// lane is next, and workers that make attempts. What waits is in the store, and
// a window of it is in memory. The goroutine that reads more of it holds no lock
// meanwhile; what is committed then is read later.
//
// Locks are taken in this order: the outbox's, which guards the table of
// endpoints; an endpoint's; the intake's, or the ledger's, in which endpoints
// note for the keeper what has settled. Nothing is logged under any of them.
//
// # What is promised
//
// A firing is committed with the position after what made it, and attempted
// only then. It is enqueued once, and delivered at least once. A lane is an
// endpoint and a key: its first firing is attempted until it is delivered or
// given up, then the next. The number of firings that wait is limited by
// Options.MaxPending, which is divided among the endpoints. A policy's Overflow
// says what happens at the limit; dropped firings are counted and kept as a dead
// letter.
package outbox
