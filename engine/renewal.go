package engine

import (
	"time"

	"triggerd/internal/keyspace"
	"triggerd/internal/outbox"
	"triggerd/source"
)

// renewal is when a stream asks for a snapshot because values became unknown
// that one would tell. A command that makes a value unknown may come all the
// time, and a snapshot costs the server a fork: so the pause between two grows.
type renewal struct {
	wanted bool          // values are unknown, and no snapshot has been read since
	due    time.Time     // when to ask; zero: it is not wanted, or was asked for
	asked  time.Time     // last
	pause  time.Duration // after asked, until the next may be asked for
	needs  int64         // of the stream, since it was asked for; 0: it was not, or has ended
	tries  int           // links that were given up or lost since then

	stored bool // the store has renewEntry
	down   bool // there is no link

	lost      keyspace.Losses // up to now
	renewable int64           // of lost
	told      []toldLoss      // of each reason
}

const (
	renewSoon     = time.Second // what else becomes unknown meanwhile needs no further snapshot
	renewPause    = time.Minute
	renewMaxPause = 6 * time.Hour
	tellLost      = time.Minute // between two lines of the log with the same reason
)

// renewEntry is there while a renewal is wanted.
var renewEntry = []byte("renew")

// want notes that values are unknown.
func (r *renewal) want(now time.Time) {
	if r.wanted && (r.needs != 0 || !r.due.IsZero()) {
		return
	}
	r.wanted, r.due = true, now.Add(renewSoon)
	if next := r.asked.Add(r.pause); next.After(r.due) {
		r.due = next
	}
}

// ask notes that the snapshot is asked for, and by which needs.
func (r *renewal) ask(now time.Time, needs int64) {
	if now.Sub(r.asked) > 2*r.pause {
		r.pause = renewPause
	} else {
		r.pause = min(2*r.pause, renewMaxPause)
	}
	r.asked, r.due, r.needs, r.tries = now, time.Time{}, needs, 0
}

// met notes that a snapshot was read.
func (r *renewal) met() { r.wanted, r.due, r.needs = false, time.Time{}, 0 }

// noteLosses tells of values that became unknown with a record, and notes that
// they have to be read anew. What a snapshot does not tell, another would not.
func (s *stream) noteLosses(rec *source.Record) {
	r := &s.renewal
	if s.interpreter.LostSince(&r.lost) {
		s.tellLosses(rec)
		before := r.renewable
		if r.renewable = r.lost.Renewable(); r.renewable > before && rec.Kind != source.Key {
			s.wantRenewal(rec.Time)
		}
	}
	if rec.Kind != source.SnapshotEnd {
		return
	}
	if !rec.Incomplete {
		r.met()
	} else if s.wantedKeys.Load() {
		s.wantRenewal(rec.Time)
	}
}

// askRenewal asks for a snapshot if it is time, the link is up, and none is asked
// for anyway.
func (s *stream) askRenewal(rec *source.Record) {
	r := &s.renewal
	switch rec.Kind {
	case source.Attached:
		r.down = false
	case source.Detached:
		r.down = true
		if r.needs != 0 {
			s.giveUpRenewal(rec.Time)
		}
	}
	switch {
	case r.due.IsZero() || rec.Time.Before(r.due):
	case r.down || s.unsaved.inside:
		r.due = rec.Time.Add(renewSoon)
	case s.LacksKeys():
		r.due = time.Time{}
	default:
		s.requestKeys()
		r.ask(rec.Time, s.neededKeys.Load())
	}
}

// wantRenewal asks for a snapshot soon, of a server that has one.
func (s *stream) wantRenewal(now time.Time) {
	if !s.e.cfg.Replay && s.needsMirror() {
		s.renewal.want(now)
	}
}

// giveUpRenewal lets the stream go on without the snapshot, if the server did not
// send one: values that are not known are better than events that are missed.
// A link may be lost once for another reason.
func (s *stream) giveUpRenewal(now time.Time) {
	r := &s.renewal
	if r.tries++; r.tries < 2 {
		return
	}
	s.knownKeys.Store(r.needs) // what others have come to need since is still asked for
	r.needs = 0
	r.want(now)
	s.e.log.Warn("the server sends no snapshot: values stay unknown, and are asked for again later", "stream", s.name, "again", r.due.Sub(now).Round(time.Second))
}

// toldLoss is what the log has of one reason.
type toldLoss struct {
	at time.Time
	n  int64 // so many values; 0: nothing was told
}

// tellLosses logs each reason for which values became unknown, once a minute:
// with the record that was the last to make some so.
func (s *stream) tellLosses(rec *source.Record) {
	i := -1
	for reason, n := range s.renewal.lost.All() {
		if i++; i == len(s.renewal.told) {
			s.renewal.told = append(s.renewal.told, toldLoss{})
		}
		told := &s.renewal.told[i]
		if n == told.n || told.n > 0 && rec.Time.Sub(told.at) < tellLost {
			continue
		}
		attrs := []any{"stream", s.name, "reason", reason, "values", n - told.n, "offset", rec.Offset}
		if rec.Kind == source.Command && len(rec.Args) > 0 {
			attrs = append(attrs, "command", printable(rec.Args[0][:min(len(rec.Args[0]), maxShown)]))
		}
		if rec.Kind == source.Key {
			attrs = append(attrs, "db", rec.Entry.DB, "key", printable(rec.Entry.Key[:min(len(rec.Entry.Key), maxShown)]))
		}
		s.e.log.Warn("values of keys became unknown: conditions that read them do not hold until they are known again", attrs...)
		*told = toldLoss{at: rec.Time, n: n}
		stats := s.interpreter.Stats()
		s.mirrorStats.Store(&stats)
	}
}

// maxShown is how much of the name of a command or key the log shows.
const maxShown = 32

// keepRenewal notes in the store whether a renewal is wanted.
func (s *stream) keepRenewal() {
	switch r := &s.renewal; {
	case r.wanted == r.stored:
		return
	case r.wanted:
		s.unsaved.changes.Add(s.spaces.state, outbox.PutEntry, renewEntry, nil)
	default:
		s.unsaved.changes.Add(s.spaces.state, outbox.DeleteEntry, renewEntry, nil)
	}
	s.renewal.stored = s.renewal.wanted
}
