package tap

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/admin"
)

// Level is how much somebody wants to see.
type Level int32

// The levels: nothing, all but events, and events too.
const (
	Nobody Level = iota
	Watched
	All
)

const (
	ringSize = 4096
	// maxRate is how many entries a second are kept in common, and maxOwn how many of
	// one kind and rule are kept whatever the others take.
	maxRate = 1000
	maxOwn  = 10
	// tick is how often what may be kept is added to, so that of much that happens
	// what is kept is always new.
	tick = 20 * time.Millisecond
	// linger is how long entries are still kept after the last reader has gone,
	// so that one that comes back finds them.
	linger = time.Minute
	// quiet is after how long without an entry a reader is handed nil.
	quiet = 15 * time.Second
	// tellPause is the least time between two reports of what was left out.
	tellPause = time.Second
	// maxTaken is how many entries a reader takes at once.
	maxTaken = 1000
	// maxLag is how long a reader of batches may be busy with one before it goes on
	// with the newest entries, of which it then gets maxCaughtUp.
	maxLag      = time.Second
	maxCaughtUp = 100
)

// Feed is a bounded ring of entries. Any goroutine may call its methods. Its
// zero value is ready for use.
type Feed struct {
	level    atomic.Int32
	plain    atomic.Int32              // the level that those want who have no filter
	filtered atomic.Pointer[[]*reader] // those who have one; nil: none
	share    share                     // of those who have none
	second   atomic.Int64              // grows once a second, while somebody watches
	leftOut  atomic.Int64              // entries that somebody wanted, and that were too many

	mu      sync.Mutex // guards what follows
	ring    []*admin.FeedEntry
	first   uint64 // the number of the first entry ever
	next    uint64 // the number of the next entry
	gates   map[source]*Gate
	firings map[string]uint64 // by ID, the numbers of the firings in the ring
	more    chan struct{}     // closed when there is more to read; nil: nobody waits
	open    []*reader
	left    time.Time   // when the last reader went
	timer   *time.Timer // lowers the level when linger is over
	filler  *time.Timer // fills the shares; nil: nobody watches
	filled  time.Time   // when it last did
	began   time.Time   // when the present second began
}

// source is what has a gate that the feed keeps.
type source struct{ kind, rule string }

// share is how many entries may still be kept.
type share struct{ left atomic.Int64 }

func (s *share) take() bool { return s.left.Load() > 0 && s.left.Add(-1) >= 0 }

func (s *share) fill(n int64) {
	if left := s.left.Load(); left < maxRate {
		s.left.Add(min(n, maxRate-left))
	}
}

// Level returns what somebody wants to see. It takes no lock.
func (f *Feed) Level() Level { return Level(f.level.Load()) }

// Gate counts what is kept of one kind and rule. Any goroutine may use it. Its zero
// value is ready for use.
type Gate struct{ second, count atomic.Int64 }

// own reports whether one more is within what is kept whatever the others take.
func (g *Gate) own(second int64) bool {
	if g.second.Load() != second {
		g.second.Store(second)
		g.count.Store(0)
	}
	return g.count.Load() < maxOwn && g.count.Add(1) <= maxOwn
}

// Subject is what an entry would be about. It is only asked if a filter asks.
type Subject interface {
	KeyText() []byte // the key as text; valid until the next call
	Holds() uint64   // as FeedEntry.Holds
}

// Admits reports whether an entry is worth making: somebody wants it, and it is not
// one too many, which is only counted. First those who watch are asked, then what
// they want is limited, so that a narrow filter misses nothing among very much else.
// It takes no lock and allocates nothing. An entry that it admits is for Put.
func (f *Feed) Admits(g *Gate, kind, rule, outcome string, about Subject) bool {
	wanted := false
	if plain := Level(f.plain.Load()); plain == All || plain == Watched && kind != admin.FeedEvent {
		if g.own(f.second.Load()) || f.share.take() {
			return true
		}
		wanted = true
	}
	if filtered := f.filtered.Load(); filtered != nil {
		for _, r := range *filtered {
			if !r.selects(kind, rule, outcome, about) {
				continue
			}
			if r.share.take() {
				return true
			}
			wanted = true
		}
	}
	if wanted {
		f.leftOut.Add(1)
	}
	return false
}

// Follow counts the firing of a match, and reports whether it is for Put: it is if
// the match was, so that both are seen.
func (f *Feed) Follow(match bool) bool {
	if match {
		f.share.left.Add(-1)
	} else if f.plain.Load() != int32(Nobody) {
		f.leftOut.Add(1)
	}
	return match
}

// FollowFiring does the same for an attempt of the firing that has an ID, if that
// is still kept.
func (f *Feed) FollowFiring(id string) bool {
	f.mu.Lock()
	_, ok := f.firings[id]
	f.mu.Unlock()
	return ok && f.Follow(true)
}

// GateOf returns the feed's own gate of a kind and rule.
func (f *Feed) GateOf(kind, rule string) *Gate {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := source{kind, rule}
	g := f.gates[of]
	if g == nil {
		g = &Gate{}
		if f.gates != nil {
			f.gates[of] = g
		}
	}
	return g
}

// Put adds an entry, and sets its number and its time. It is for what Admits has
// admitted, and for what is rare.
func (f *Feed) Put(e admin.FeedEntry) {
	e.At = time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil {
		return // nobody has ever watched
	}
	e.Seq = f.next
	place := &f.ring[e.Seq%ringSize]
	if old := *place; old != nil && old.Kind == admin.FeedFiring && f.firings[old.ID] == old.Seq {
		delete(f.firings, old.ID)
	}
	if e.Kind == admin.FeedFiring {
		f.firings[e.ID] = e.Seq
	}
	*place = &e
	f.next++
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
}

// Read iterates over the entries that q selects, from now on or after q.After,
// until ctx is done. The first entry is nil, and tells that nothing is missed from
// then on. So is one after each quiet time, for a caller that has a connection to
// keep alive, and with q.Every one after each batch. Entries are shared, and must
// not be changed. One of the kind "lost" tells how many were left out, whether or
// not q selects them.
func (f *Feed) Read(ctx context.Context, q admin.FeedQuery) iter.Seq[*admin.FeedEntry] {
	return func(yield func(*admin.FeedEntry) bool) {
		r := f.join(q)
		defer f.leave(r)
		if !yield(nil) {
			return
		}
		spoke := time.Now()
		var entries []*admin.FeedEntry
		for {
			var wait <-chan struct{}
			entries, wait = f.take(r, entries[:0])
			taken, some := time.Now(), false
			for _, e := range entries {
				if e.Kind != admin.FeedLost && !q.Selects(e) {
					continue
				}
				some = true
				if ctx.Err() != nil || !yield(e) {
					return
				}
			}
			if some && q.Every > 0 && !yield(nil) {
				return
			}
			if some {
				spoke = time.Now()
			}
			if q.Every > 0 && len(entries) > 0 {
				took := time.Since(taken)
				if took > maxLag {
					f.skip(r)
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(q.Every - took):
				}
				continue
			}
			if wait == nil {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-wait:
			case <-time.After(r.patience(spoke)):
			}
			if time.Since(spoke) >= quiet {
				if !yield(nil) {
					return
				}
				spoke = time.Now()
			}
		}
	}
}

// reader is a place in the feed.
type reader struct {
	q       admin.FeedQuery
	share   share // of who has a filter
	next    uint64
	leftOut int64 // of the feed's count, as far as it is known
	anew    bool  // it has read an earlier process's entries, and was not told that these have ended
	untold  int64 // entries that were missed, and of which the reader was not told
	told    time.Time
}

// patience is for how long a reader waits for an entry that was last handed
// something at a time.
func (r *reader) patience(spoke time.Time) time.Duration {
	if r.untold > 0 {
		return max(tellPause-time.Since(r.told), time.Millisecond)
	}
	return max(quiet-time.Since(spoke), 0)
}

// level is what the reader wants to see.
func (r *reader) level() Level {
	if r.q.All {
		return All
	}
	return Watched
}

// isFiltered reports whether the reader selects by more than kinds.
func (r *reader) isFiltered() bool {
	return r.q.Rule != "" || r.q.Outcome != "" || r.q.Key != nil || r.q.Bit != 0
}

// selects reports whether the reader selects what an entry would be about. What
// takes the longest to find comes last.
func (r *reader) selects(kind, rule, outcome string, about Subject) bool {
	q := &r.q
	return (q.All || kind != admin.FeedEvent) && (q.Rule == "" || q.Rule == rule) && (q.Outcome == "" || q.Outcome == outcome) &&
		(q.Key == nil || q.Key(about.KeyText())) && (q.Bit == 0 || about.Holds()&q.Bit != 0)
}

func (f *Feed) join(q admin.FeedQuery) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil {
		f.ring, f.gates, f.firings = make([]*admin.FeedEntry, ringSize), map[source]*Gate{}, map[string]uint64{}
		f.first = uint64(time.Now().UnixMicro()) // beyond the numbers of an earlier process
		f.next = f.first
	}
	r := &reader{q: q, next: f.next, leftOut: f.leftOut.Load()}
	r.share.fill(maxRate)
	switch {
	case q.After == 0:
	case q.After >= f.next, q.After+1 < f.first: // of an earlier process, maybe of a clock that was ahead
		r.next, r.anew = f.first, true
	default:
		r.next = q.After + 1
	}
	f.open = append(f.open, r)
	f.setLevel()
	return r
}

func (f *Feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = slices.DeleteFunc(f.open, func(o *reader) bool { return o == r })
	f.left = time.Now()
	f.setLevel()
}

// setLevel sets the level to what the readers want, or, for a while after the
// last of them, to Watched. The caller holds the lock.
func (f *Feed) setLevel() {
	level, plain := Nobody, Nobody
	var filtered []*reader
	for _, r := range f.open {
		level = max(level, r.level())
		if r.isFiltered() {
			filtered = append(filtered, r)
		} else {
			plain = max(plain, r.level())
		}
	}
	if len(f.open) == 0 {
		if since := time.Since(f.left); since < linger {
			level, plain = Watched, Watched // one may come back
			if f.timer != nil {
				f.timer.Stop()
			}
			f.timer = time.AfterFunc(linger-since, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.setLevel()
			})
		}
	}
	f.filtered.Store(nil)
	if filtered != nil {
		f.filtered.Store(&filtered)
	}
	f.plain.Store(int32(plain))
	f.level.Store(int32(level))
	switch {
	case level == Nobody:
		clear(f.gates) // of rules that a reload may have removed
		if f.filler != nil {
			f.filler.Stop()
			f.filler = nil
		}
	case f.filler == nil:
		f.filled, f.began = time.Now(), time.Now()
		f.share.fill(maxRate)
		f.second.Add(1)
		f.filler = time.AfterFunc(tick, f.fill)
	}
}

// fill adds to the shares what may be kept of the time that has passed.
func (f *Feed) fill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.filler == nil {
		return // nobody watches any more
	}
	now := time.Now()
	n := int64(now.Sub(f.filled) * maxRate / time.Second)
	f.filled = f.filled.Add(time.Duration(n) * time.Second / maxRate)
	f.share.fill(n)
	for _, r := range f.open {
		r.share.fill(n)
	}
	if now.Sub(f.began) >= time.Second {
		f.began = now
		f.second.Add(1)
	}
	f.filler.Reset(tick)
}

// take appends the next entries for a reader, of which it has to see what it
// selects. If there are none that come after these it also returns a channel that is
// closed when there are.
func (f *Feed) take(r *reader, to []*admin.FeedEntry) ([]*admin.FeedEntry, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.leftOut.Load()
	r.untold += all - r.leftOut
	r.leftOut = all
	if oldest := f.next - min(f.next-f.first, ringSize); r.next < oldest {
		r.untold += int64(oldest - r.next)
		r.next = oldest
	}
	if r.anew {
		r.anew = false
		to = append(to, &admin.FeedEntry{Seq: r.next - 1, At: time.Now(), Kind: admin.FeedLost, Text: "nobody has watched since triggerd began anew"})
	}
	if r.untold > 0 && time.Since(r.told) >= tellPause {
		e := &admin.FeedEntry{Seq: r.next - 1, At: time.Now(), Kind: admin.FeedLost, Count: r.untold}
		r.untold, r.told = 0, e.At
		to = append(to, e)
	}
	for ; r.next < f.next && len(to) < maxTaken; r.next++ {
		to = append(to, f.ring[r.next%ringSize])
	}
	if r.next < f.next {
		return to, nil
	}
	if f.more == nil && (len(to) == 0 || r.q.Every == 0) {
		f.more = make(chan struct{})
	}
	return to, f.more
}

// skip has a reader that was busy for too long go on with the newest entries.
func (f *Feed) skip(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if waits := f.next - r.next; waits > maxCaughtUp {
		r.untold += int64(waits - maxCaughtUp)
		r.next = f.next - maxCaughtUp
	}
}
