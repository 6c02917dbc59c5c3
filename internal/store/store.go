package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion is the version of the directory: of keys, values and the file
// "checkpoint". Version 1 had only that file. In version 2 records did not say
// their own version.
//
// It is the last one. A later change is a new kind of record, or a new version
// of a kind, which the format record lists.
const formatVersion = 3

// Options configures a store. The zero value means the defaults.
type Options struct {
	MaxBytes   int64         // quota of disk space; default 10 GiB
	MinFree    int64         // bytes to leave free on the disk; default 5 % of it, but 64 MiB at least and 1 GiB at most
	Retention  time.Duration // of settled deliveries and dead letters; default 7 days, negative: for ever
	MaxSettled int           // settled deliveries that are kept for listings; default 100,000

	// Reclaim frees so many bytes of the disk, or what it can, of files that can
	// be done without, and returns how many it has freed. It is called when the
	// disk has less space left than MinFree, before anything is refused for that.
	// It must not call the store. nil: there are none.
	Reclaim func(bytes int64) int64

	Logger *slog.Logger // nil: none
	FS     vfs.FS       // nil: the operating system's; for tests
	Beside string       // with FS, where others have their directories, see Dir; for tests
}

// Store is an open directory. Any goroutine may call its methods, Run once, and
// Close after all others have returned.
type Store struct {
	dir  string
	opts Options
	log  *slog.Logger
	fs   vfs.FS
	lock io.Closer
	db   *pebble.DB
	side *sidecar
	disk *disk
	lost *LostTail
	lows firstSeqs

	turn    chan struct{} // capacity 1: holds a token while a batch is numbered and applied
	next    commitRecord  // of the goroutine that has the turn
	deadLow uint64        // no dead letter has a lower number; of the one who sweeps

	letters  letterCount
	settles  atomic.Int64 // settlements since the last compaction
	damages  damages
	kept     atomic.Pointer[<-chan struct{}] // done when Run is told to end; nil: it has not begun
	closed   atomic.Bool
	backup   sync.Mutex // held while one is made
	failOnce sync.Once
	failure  error         // set before failed is closed
	failed   chan struct{} // closed by fail
}

var (
	// ErrLocked is returned by Open if another process has the directory open.
	ErrLocked = errors.New("in use by another triggerd")
	// ErrNewer is returned by Open for a directory that a later triggerd wrote.
	ErrNewer = errors.New("written by a later triggerd")

	errClosed = errors.New("the store is closed")
)

// Open opens a directory with the default options. See Options.Open.
func Open(dir string) (*Store, error) { return Options{}.Open(dir) }

// Open opens the store in a directory, and makes it if there is none. It locks
// the directory until Close.
//
// Errors are ErrLocked, ErrNewer, and for a damaged store one that says so. A
// store is never opened with fewer records than it had, except for those that
// LostTail reports.
func (o Options) Open(dir string) (*Store, error) {
	s, err := o.open(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 10 << 30
	}
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.MaxSettled == 0 {
		o.MaxSettled = 100_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	return o
}

func (o Options) open(dir string) (*Store, error) {
	o = o.withDefaults()
	s := &Store{dir: dir, opts: o, log: o.Logger, fs: o.FS, turn: make(chan struct{}, 1), failed: make(chan struct{})}
	if err := makeDir(s.fs, dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(o.FS, dir)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	err = s.makePrivate()
	if err == nil {
		err = s.load()
	}
	if err != nil {
		if s.db != nil && s.err() == nil {
			err = errors.Join(err, s.guard(s.db.Close))
		}
		if s.err() == nil { // else the engine may still be at work
			lock.Close()
		}
		return nil, err
	}
	return s, nil
}

// makeDir makes a directory that survives a power cut.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(dir))
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Dir returns the store's directory, in which others may have directories of
// their own; "": it is in memory.
func (s *Store) Dir() string {
	if s.opts.FS != vfs.Default {
		return s.opts.Beside
	}
	return s.dir
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// load reads the checkpoint file, opens the database, and compares the two.
func (s *Store) load() error {
	s.side = newSidecar(s.fs, s.dir)
	saved, err := s.side.read()
	var damaged *damagedSidecar
	if err != nil && !errors.As(err, &damaged) {
		return err
	}
	s.disk = newDisk(s)
	fs := failStopFS{vfs.OnDiskFull(s.fs, s.disk.exhausted), s}
	if err := s.guard(func() (err error) {
		s.db, err = pebble.Open(s.path("db"), s.engineOptions(fs))
		return err
	}); err != nil {
		return s.openError(err)
	}
	s.disk.measure()
	had, err := s.readFormat()
	if err != nil {
		return err
	}
	earlier, err := s.readNumbers()
	if err != nil {
		return err
	}
	checkpoints, err := s.readCheckpoints()
	if err != nil {
		return err
	}
	if earlier != "" {
		checkpoints = append(checkpoints, streamPosition{Standalone, earlier})
	}
	s.side.advance(s.next.count, checkpoints)
	if err := s.compareSidecar(saved, damaged); err != nil {
		return err
	}
	if err := s.upgrade(had, earlier); err != nil {
		return err
	}
	s.disk.makeBallast()
	return nil
}

// readNumbers finds the next numbers. It returns the checkpoint that a commit
// record of format 2 has.
func (s *Store) readNumbers() (checkpoint string, err error) {
	c := &s.next
	if checkpoint, err = s.readCommit(c); err != nil {
		return "", err
	}
	for kind, next := range map[byte]*uint64{kindJob: &c.nextJob, kindSettled: &c.nextSettled, kindDead: &c.nextDead} {
		*next = max(*next, 1)
		err := s.scanBack(kind, 0, func(key, _ []byte) (bool, error) {
			n, ok := splitNumberKey(key)
			if !ok {
				return false, s.corrupt(key, "it is not a key of its kind")
			}
			*next = max(*next, n+1)
			return false, nil
		})
		if err != nil {
			return "", err
		}
	}
	return checkpoint, nil
}

// readCommit reads the commit record, and the checkpoint of one that has it.
func (s *Store) readCommit(c *commitRecord) (checkpoint string, err error) {
	err = s.getVersion([]byte{kindCommit}, func(v []byte, version byte) (ok bool) {
		checkpoint, ok = c.parse(v, version)
		return ok
	})
	if errors.Is(err, ErrNotFound) {
		err = s.corrupt([]byte{kindCommit}, "it is missing")
	}
	return checkpoint, err
}

func (s *Store) readCheckpoints() (list []streamPosition, err error) {
	err = s.scan([]byte{kindCheckpoint}, []byte{kindCheckpoint + 1}, func(key, value []byte) (bool, error) {
		list = append(list, streamPosition{string(key[1:]), string(value)})
		return true, nil
	})
	return list, err
}

// Close writes what is not on disk yet and unlocks the directory. If the store
// has failed, it returns the reason. Then the directory stays locked until the
// process ends, since the engine may still be at work in it.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	if err := s.err(); err != nil {
		return err
	}
	err := s.side.write()
	err = errors.Join(err, s.guard(s.db.Close))
	if s.err() != nil {
		return err
	}
	return errors.Join(err, s.lock.Close())
}

// Checkpoint returns the position of a stream that is on disk, "" if there is
// none.
func (s *Store) Checkpoint(stream string) (string, error) {
	return s.side.position(stream), s.err()
}

// SaveCheckpoint commits only a checkpoint.
func (s *Store) SaveCheckpoint(stream, position string) error {
	b := s.NewBatch()
	b.SetCheckpoint(stream, position)
	_, err := b.Commit()
	return err
}

// Run maintains the store until ctx is done. About once a second it writes the
// file "checkpoint", measures disk space, and removes a bounded part of what is
// older than its retention. It returns nil when ctx is done, and the reason as
// soon as the store has failed. After a failure the process should end; the
// next one finds all that was committed.
//
// While Run runs, a commit that finds the disk full waits for space.
func (s *Store) Run(ctx context.Context) error {
	done := ctx.Done()
	s.kept.Store(&done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var compaction, count sync.WaitGroup
	defer compaction.Wait()
	defer count.Wait()
	count.Go(func() { s.countLetters(ctx) })
	var repeated repeatFilter
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.failed:
			return s.failure
		case <-tick.C:
			repeated.log(s.log, "store maintenance", s.maintain(time.Now()))
			if s.disk.wantsCompaction(s.settles.Load()) {
				compaction.Wait() // at once: wantsCompaction is true once in a while only
				compaction.Go(func() { s.compact(ctx) })
			}
		}
	}
}

// maintain does the work of one tick.
func (s *Store) maintain(now time.Time) error {
	err := s.side.write()
	s.disk.measure()
	s.disk.makeBallast()
	cutoff := time.Time{}
	if s.opts.Retention > 0 {
		cutoff = now.Add(-s.opts.Retention)
	}
	_, swept := s.sweep(cutoff)
	return errors.Join(err, swept)
}

// compact frees the disk space of settled jobs.
func (s *Store) compact(ctx context.Context) {
	s.settles.Store(0)
	err := s.guard(func() error { return s.db.Compact(ctx, []byte{0}, []byte{0xff}, false) })
	if err != nil && ctx.Err() == nil {
		s.log.Warn("store not compacted", "err", err)
	}
	s.disk.measure()
}

// repeatFilter logs only the first of several equal errors in a row.
type repeatFilter struct{ last string }

func (r *repeatFilter) log(log *slog.Logger, what string, err error) {
	text := ""
	if err != nil {
		if text = err.Error(); text != r.last {
			log.Error("store maintenance failed, trying again each second", "task", what, "err", err)
		}
	}
	r.last = text
}

// Stats are the figures of a store.
type Stats struct {
	Bytes      int64  // disk space that it takes, without the ballast file
	FreeBytes  int64  // disk space that is left; -1: unknown
	Commits    uint64 // durable commits since the directory was made
	Damaged    int64  // damaged records that were met since it was opened
	NextJob    uint64 // seq of the next job
	Compaction int64  // bytes that wait to be compacted
	Letters    int64  // dead letters; -1: not counted yet, which Run does first
}

// Stats returns the figures as of now, or as of the last moment before a
// failure.
func (s *Store) Stats() Stats {
	st := Stats{Commits: s.side.commits(), Damaged: s.damages.total(), Letters: s.letters.get()}
	st.Bytes, st.FreeBytes, st.Compaction = s.disk.figures()
	if s.takeTurn() == nil {
		st.NextJob = s.next.nextJob
		s.releaseTurn()
	}
	return st
}

// LostTail says that the store lacks its last commits, though they had been on
// disk: the end of its log is damaged. The checkpoints went back with them. So
// jobs of the lost commits that came from a stream are found again, as long as
// the primary still has that part of the stream.
type LostTail struct {
	Commits uint64       // how many durable commits are missing, at least
	Streams []LostStream // whose checkpoints went back, by name
}

// LostStream is the part of a stream that a store has lost.
type LostStream struct {
	Stream   string
	From, To string // the checkpoint that the store has, and the one that it had had
}

func newLostTail(commits uint64, have, had map[string]string) *LostTail {
	l := &LostTail{Commits: commits}
	for _, stream := range slices.Sorted(maps.Keys(had)) {
		if from, to := have[stream], had[stream]; from != to {
			l.Streams = append(l.Streams, LostStream{stream, from, to})
		}
	}
	return l
}

func (l *LostTail) Error() string {
	text := fmt.Sprintf("the store lost its tail: %d commits", l.Commits)
	for _, s := range l.Streams {
		text += fmt.Sprintf(", positions %s to %s of %s", positionOrStart(s.From), positionOrStart(s.To), s.Stream)
	}
	return text
}

func positionOrStart(position string) string {
	if position == "" {
		return "(none)"
	}
	return position
}

// LostTail returns what Open found missing; nil: nothing. Later starts find it
// again until something is committed.
func (s *Store) LostTail() *LostTail { return s.lost }

// firstSeqs has, by endpoint, the lowest seq that a pending job may have.
type firstSeqs struct {
	mu sync.Mutex // guards what follows
	m  map[string]uint64
}

func (l *firstSeqs) get(endpoint string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m[endpoint]
}

func (l *firstSeqs) raise(endpoint string, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]uint64{}
	}
	l.m[endpoint] = max(l.m[endpoint], seq)
}

// letterCount counts the dead letters: those that a scan has found, and the
// changes by commits since it began.
type letterCount struct {
	changed atomic.Int64
	found   atomic.Int64
	done    atomic.Bool
}

func (c *letterCount) get() int64 {
	if !c.done.Load() {
		return -1
	}
	return c.found.Load() + c.changed.Load()
}

// countLetters counts the dead letters as of now. If they cannot be read they
// stay uncounted; other readers meet the same error and report it.
func (s *Store) countLetters(ctx context.Context) {
	if s.letters.done.Load() || s.takeTurn() != nil {
		return
	}
	s.letters.changed.Store(0)
	now := s.db.NewSnapshot()
	s.releaseTurn()
	defer now.Close()
	n := int64(0)
	o := &pebble.IterOptions{LowerBound: []byte{kindDead}, UpperBound: []byte{kindDead + 1}}
	err := s.iterate(now, o, (*pebble.Iterator).First, (*pebble.Iterator).Next, func(*pebble.Iterator) (bool, error) {
		n++
		return true, ctx.Err()
	})
	if err == nil {
		s.letters.found.Store(n)
		s.letters.done.Store(true)
	}
}
