package source

import (
	"context"
	"fmt"
	"iter"
)

// Spooler is a Source that keeps what it receives, for itself and for the next
// process.
type Spooler interface {
	Source
	// Trim says that nothing before p is needed any more, by this process or the
	// next. What was not handed out stays. Any goroutine may call it.
	Trim(p Position)
	// Keep waits until all before p outlives the process, and with machine set the
	// machine too. Records has to be running. The error is that it is not kept: it
	// is not there, or there are no files. Without machine it does not wait for a
	// disk that is full. Any goroutine may call it.
	Keep(ctx context.Context, p Position, machine bool) error
	// Replay returns the records between two positions once more, out of what is
	// kept: commands, heartbeats, and where links were attached and lost, with
	// their times. It may run only while Records does not. There is at most one
	// error, it is the last: that not all of this can be read. p, if it is not
	// nil, is told of commands that come next.
	Replay(ctx context.Context, from, to Position, p Preparer) iter.Seq2[*Record, error]
}

var _ Spooler = (*Replica)(nil)

// Trim implements Spooler.
func (s *Replica) Trim(p Position) {
	if at, ok := s.spool.Find(placeOf(p)); ok {
		s.spool.Trim(at)
	}
}

// Keep implements Spooler.
func (s *Replica) Keep(ctx context.Context, p Position, machine bool) error {
	at, ok := s.spool.Find(placeOf(p))
	switch {
	case !ok:
		return fmt.Errorf("the spool does not have %s", p)
	case machine:
		return s.spool.Sync(ctx, at)
	}
	return s.spool.Flush(ctx, at)
}

// Replay implements Spooler.
func (s *Replica) Replay(ctx context.Context, from, to Position, p Preparer) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		from.Events = 0
		n := &session{replica: s, consumer: replaying{}, preparer: p, pos: from, handedOut: from.Offset, replay: true}
		n.yield = func(r *Record) bool { return yield(r, nil) }
		err := n.playBetween(ctx, to)
		if err != nil && err != errStop {
			yield(nil, fmt.Errorf("replay from %s to %s, at %s: %w", from, to, n.pos, err))
		}
	}
}

// replaying is the consumer of a replay: it wants all records, and is never
// woken.
type replaying struct{ commandsOnly }

func (n *session) playBetween(ctx context.Context, to Position) error {
	log := n.replica.spool
	at, ok := log.Find(placeOf(n.pos))
	end, reaches := log.Find(placeOf(to))
	if !ok || !reaches || end < at {
		return fmt.Errorf("the spool does not have it")
	}
	if full, _, ok := log.FindFull(at); ok && full < end {
		return fmt.Errorf("a snapshot lies between them")
	}
	n.deadLimit = end
	if err := n.readFrom(at, n.pos); err != nil {
		return err
	}
	defer n.reader.Close()
	defer context.AfterFunc(ctx, func() { n.stopped.Store(true) })()
	for n.pos.Offset < to.Offset {
		if n.stopped.Load() {
			return context.Cause(ctx)
		}
		if err := n.readOne(ctx); err != nil {
			return err
		}
	}
	return nil
}
