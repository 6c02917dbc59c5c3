// Package sentinel asks Redis or Valkey Sentinels where a primary is, and its
// replicas, and hears from them when that changes.
//
//	g := sentinel.New(sentinel.Config{Name: "mymaster", Sentinels: list})
//	go g.Run(ctx)                      // subscribes to all, and asks now and then
//	answer, err := g.Ask(ctx)          // what the best informed says
//	<-g.Changed()                      // it may be another
//
// A Sentinel that has seen a later failover has a higher configuration epoch, so
// of several answers that with the highest counts: whoever hears first of a
// failover is believed, and one that is cut off from the others is not. What they
// say is where to look, no more: the server itself has to say what it is.
//
// The commands are those of sentinel.c: SENTINEL MASTER for the epoch, SENTINEL
// GET-MASTER-ADDR-BY-NAME for the address (where only one of the two is allowed,
// that has to do), SENTINEL REPLICAS, and SUBSCRIBE to +switch-master.
package sentinel
