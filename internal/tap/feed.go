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
	// maxRate is how many entries of one kind and rule are kept of a second.
	maxRate = 1000
	// linger is how long entries are still kept after the last reader has gone,
	// so that one that comes back finds them.
	linger = time.Minute
	// quiet is after how long without an entry a reader is handed nil.
	quiet = 15 * time.Second
	// tellPause is the least time between two reports of what was left out.
	tellPause = time.Second
)

// Feed is a bounded ring of entries. Any goroutine may call its methods. Its
// zero value is ready for use.
type Feed struct {
	level    atomic.Int32
	filtered atomic.Bool  // some reader selects by more than kinds
	shut     atomic.Int64 // entries that gates have not let through

	mu      sync.Mutex // guards what follows
	ring    []admin.FeedEntry
	first   uint64 // the number of the first entry ever
	next    uint64 // the number of the next entry
	leftOut int64  // entries beyond maxRate
	rates   map[source]*rate
	more    chan struct{} // closed when there is more to read; nil: nobody waits
	readers [All + 1]int  // by the level that they want
	open    []*reader
	left    time.Time   // when the last reader went
	timer   *time.Timer // lowers the level when linger is over
}

// source is what a rate is counted for.
type source struct{ kind, rule string }

// rate counts entries within a second.
type rate struct {
	second int64
	count  int
}

// Level returns what somebody wants to see. It takes no lock.
func (f *Feed) Level() Level { return Level(f.level.Load()) }

// Gate counts what happens of one kind and rule, so that what is beyond maxRate is
// not even made an entry. Any goroutine may use it. Its zero value is ready for use.
type Gate struct{ second, count atomic.Int64 }

// Admits reports whether one more entry is worth making, in a second of Unix time:
// there are fewer than maxRate of the gate, or a reader has a filter, which what
// others do not want does not count against.
func (f *Feed) Admits(g *Gate, second int64) bool {
	if f.filtered.Load() {
		return true
	}
	if g.second.Load() != second {
		g.second.Store(second)
		g.count.Store(0)
	}
	if g.count.Add(1) <= maxRate {
		return true
	}
	f.shut.Add(1)
	return false
}

// Add adds an entry, and sets its number and its time. Of a second it keeps
// maxRate entries of a kind and rule, and all that are of the kind "state".
func (f *Feed) Add(e admin.FeedEntry) { f.AddDetailed(e, nil) }

// Detailer completes an entry with what takes time to make.
type Detailer interface{ Detail(e *admin.FeedEntry) }

// AddDetailed is Add for an entry that is completed only if it is kept: if
// there is a reader that selects it, and it is not one too many.
func (f *Feed) AddDetailed(e admin.FeedEntry, d Detailer) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil || !f.isSelected(&e) {
		return // nobody has ever watched, or nobody wants it
	}
	if e.Kind != admin.FeedState && f.exceeds(source{e.Kind, e.Rule}, now.Unix()) {
		f.leftOut++
		return
	}
	if d != nil {
		d.Detail(&e)
	}
	e.Seq, e.At = f.next, now
	f.ring[e.Seq%ringSize] = e
	f.next++
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
}

// isSelected reports whether some reader selects an entry, or there is none, and
// one may come back. The caller holds the lock.
func (f *Feed) isSelected(e *admin.FeedEntry) bool {
	for _, r := range f.open {
		if r.q.Selects(e) {
			return true
		}
	}
	return len(f.open) == 0
}

// exceeds counts one more entry, and reports whether it is one too many. The
// caller holds the lock.
func (f *Feed) exceeds(of source, second int64) bool {
	r := f.rates[of]
	if r == nil {
		r = &rate{}
		f.rates[of] = r
	}
	if r.second != second {
		r.second, r.count = second, 0
	}
	r.count++
	return r.count > maxRate
}

// Read iterates over the entries that q selects, from now on or after q.After,
// until ctx is done. The first entry is nil, and tells that nothing is missed from
// then on. So is one after each quiet time, for a caller that has a connection to
// keep alive. An entry of the kind "lost" tells how many were
// left out, whether or not q selects them.
func (f *Feed) Read(ctx context.Context, q admin.FeedQuery) iter.Seq[*admin.FeedEntry] {
	return func(yield func(*admin.FeedEntry) bool) {
		r := f.join(q)
		defer f.leave(r)
		if !yield(nil) {
			return
		}
		spoke := time.Now()
		for {
			e, wait := f.take(r)
			if e != nil {
				if !yield(e) {
					return
				}
				spoke = time.Now()
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
	level   Level
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

func (f *Feed) join(q admin.FeedQuery) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil {
		f.ring, f.rates = make([]admin.FeedEntry, ringSize), map[source]*rate{}
		f.first = uint64(time.Now().UnixMicro()) // beyond the numbers of an earlier process
		f.next = f.first
	}
	r := &reader{q: q, level: Watched, next: f.next, leftOut: f.allLeftOut()}
	if q.All {
		r.level = All
	}
	switch {
	case q.After == 0 || q.After >= f.next:
	case q.After+1 < f.first:
		r.next, r.anew = f.first, true
	default:
		r.next = q.After + 1
	}
	f.readers[r.level]++
	f.open = append(f.open, r)
	f.setLevel()
	return r
}

func (f *Feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers[r.level]--
	f.open = slices.DeleteFunc(f.open, func(o *reader) bool { return o == r })
	f.left = time.Now()
	f.setLevel()
}

// allLeftOut is how many entries were left out. The caller holds the lock.
func (f *Feed) allLeftOut() int64 { return f.leftOut + f.shut.Load() }

// setLevel sets the level to what the readers want, or, for a while after the
// last of them, to Watched. The caller holds the lock.
func (f *Feed) setLevel() {
	f.filtered.Store(slices.ContainsFunc(f.open, func(r *reader) bool {
		return r.q.Rule != "" || r.q.Outcome != "" || r.q.Key != nil || r.q.Bit != 0
	}))
	switch {
	case f.readers[All] > 0:
		f.level.Store(int32(All))
	case f.readers[Watched] > 0:
		f.level.Store(int32(Watched))
	case time.Since(f.left) < linger:
		f.level.Store(int32(Watched))
		if f.timer != nil {
			f.timer.Stop()
		}
		f.timer = time.AfterFunc(linger-time.Since(f.left), func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.setLevel()
		})
	default:
		f.level.Store(int32(Nobody))
		clear(f.rates) // of rules that a reload may have removed
	}
}

// take returns the next entry for a reader, or, if there is none yet, a channel
// that is closed when there may be one.
func (f *Feed) take(r *reader) (*admin.FeedEntry, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.allLeftOut()
	r.untold += all - r.leftOut
	r.leftOut = all
	if oldest := f.next - min(f.next-f.first, ringSize); r.next < oldest {
		r.untold += int64(oldest - r.next)
		r.next = oldest
	}
	if r.anew {
		r.anew = false
		return &admin.FeedEntry{Seq: r.next - 1, At: time.Now(), Kind: admin.FeedLost, Text: "nobody has watched since triggerd began anew"}, nil
	}
	if r.untold > 0 && time.Since(r.told) >= tellPause {
		e := &admin.FeedEntry{Seq: r.next - 1, At: time.Now(), Kind: admin.FeedLost, Count: r.untold}
		r.untold, r.told = 0, e.At
		return e, nil
	}
	for r.next < f.next {
		e := f.ring[r.next%ringSize]
		r.next++
		if r.q.Selects(&e) {
			return &e, nil
		}
	}
	if f.more == nil {
		f.more = make(chan struct{})
	}
	return nil, f.more
}
