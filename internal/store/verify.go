package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Report is what Verify and Salvage have found.
type Report struct {
	Checkpoints map[string]string            // of streams, by name
	Jobs        int                          // whole and pending
	DeadLetters int                          // whole
	Settled     int                          // whole
	Entries     int                          // of spaces, whole
	State       map[string]map[string][]byte // the entries of the space State of each stream, by their keys
	Problems    []Problem
	Unlisted    int // problems beyond those listed, of which there are maxProblems
}

// Problem is something that is not as it was written.
type Problem struct {
	Where string // a file or a record
	What  string
}

func (p Problem) String() string { return p.Where + ": " + p.What }

const maxProblems = 10_000

func newReport() *Report {
	return &Report{Checkpoints: map[string]string{}, State: map[string]map[string][]byte{}}
}

// Add adds a problem.
func (r *Report) Add(where, what string) { r.add(where, "%s", what) }

func (r *Report) add(where, what string, args ...any) {
	if len(r.Problems) >= maxProblems {
		r.Unlisted++
		return
	}
	r.Problems = append(r.Problems, Problem{where, fmt.Sprintf(what, args...)})
}

// Verify reads everything in a directory that no process has open, and changes
// nothing. Damage is in the report. An error means that it could not be looked
// for: ErrLocked, ErrNewer, or one of the file system.
func Verify(dir string) (*Report, error) { return Options{}.verify(dir) }

func (o Options) verify(dir string) (*Report, error) {
	o = o.withDefaults()
	r := newReport()
	if err := o.inspect(dir, r, (*Store).verify); err != nil {
		return nil, fmt.Errorf("verify %s: %w", dir, err)
	}
	return r, nil
}

// inspect locks the directory, reads the file beside the database, and, if
// there is a database, calls f, which opens it.
func (o Options) inspect(dir string, r *Report, f func(s *Store, saved sidecarLine, r *Report) error) error {
	s := &Store{dir: dir, opts: o, log: slog.New(slog.DiscardHandler), fs: o.FS, turn: make(chan struct{}, 1), failed: make(chan struct{})}
	if _, err := s.fs.Stat(dir); err != nil {
		return err
	}
	lock, err := lockDir(s.fs, dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	s.side = newSidecar(s.fs, dir)
	s.disk = newDisk(s)
	saved, err := s.side.read()
	var damaged *damagedSidecar
	switch {
	case errors.As(err, &damaged):
		r.add(damaged.path, "%s", damaged.what)
	case err != nil:
		return err
	case saved.version == 0:
		r.add(s.side.path(), "the file is missing")
	}
	maps.Copy(r.Checkpoints, saved.positions)
	if _, err := s.fs.Stat(s.path("db")); errors.Is(err, iofs.ErrNotExist) {
		if saved.version > 1 {
			r.add(s.path("db"), "the directory is missing")
		}
		return nil
	}
	return f(s, saved, r)
}

func (s *Store) verify(saved sidecarLine, r *Report) error {
	if err := s.checkTables(r); err != nil {
		return err
	}
	err := s.guard(func() (err error) {
		opts := s.engineOptions(s.fs)
		opts.ReadOnly = true
		s.db, err = pebble.Open(s.path("db"), opts)
		return err
	})
	if err != nil {
		r.add(s.path("db"), "it cannot be opened: %s", oneLine(err))
		return s.err()
	}
	v := verifier{s: s, r: r}
	err = v.run(saved)
	if s.err() != nil {
		return s.err()
	}
	s.closed.Store(true)
	return errors.Join(err, s.guard(s.db.Close))
}

// oneLine returns the first line of an error's text.
func oneLine(err error) string {
	var damaged *CorruptError
	if errors.As(err, &damaged) {
		return damaged.Key + ": " + damaged.What
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// checkTables checks all blocks of all table files.
func (s *Store) checkTables(r *Report) error {
	names, err := s.fs.List(s.path("db"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := s.fs.PathJoin(s.path("db"), name)
		if err := checkTable(s.fs, path); err != nil {
			r.add(path, "%s", oneLine(err))
		}
	}
	return nil
}

func checkTable(fs vfs.FS, path string) error {
	t, err := openTable(fs, path)
	if err != nil {
		return err
	}
	return errors.Join(t.ValidateBlockChecksums(), t.Close())
}

// openTable opens a table file. The reader closes it.
func openTable(fs vfs.FS, path string) (*sstable.Reader, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	t, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return nil, errors.Join(err, readable.Close())
	}
	return t, nil
}

// verifier reads the records of an open store. It reports damaged regions and
// skips them.
type verifier struct {
	s       *Store
	r       *Report
	letters map[uint64]bool // seqs of dead letters
	commit  commitRecord
	known   bool // commit was read
}

func (v *verifier) run(saved sidecarLine) error {
	if err := v.s.checkNewer(); err != nil {
		return err
	}
	if _, err := v.s.formatRecord(); err != nil {
		v.r.add("format version", "%s", oneLine(err))
	}
	v.readCommit(saved)
	if err := v.s.guard(func() error { return v.s.db.CheckLevels(nil) }); err != nil {
		v.r.add(v.s.path("db"), "its tables do not fit together: %s", oneLine(err))
	}
	v.letters = map[uint64]bool{}
	v.walk(kindDead, v.deadLetter)
	v.walk(kindJob, v.job)
	v.walk(kindIndex, v.index)
	v.walk(kindRetry, v.retry)
	v.walk(kindAttempt, v.attempt)
	v.walk(kindSettled, func(key, value []byte) bool {
		v.r.Settled++
		return new(Settled).parse(value)
	})
	v.walk(kindSpace, v.entry)
	v.walk(kindStream, v.entry)
	v.walkUnknown()
	return nil
}

// walkUnknown reports the records of unknown kinds.
func (v *verifier) walkUnknown() {
	unknownRanges(func(from, end []byte) error {
		v.walkRange(from, end, nil)
		return nil
	})
}

// readCommit reads the commit record and the checkpoints, and compares them
// with the file beside the database.
func (v *verifier) readCommit(saved sidecarLine) {
	have, before := map[string]string{}, len(v.r.Problems)+v.r.Unlisted
	v.walk(kindCheckpoint, func(key, value []byte) bool {
		have[string(key[1:])] = string(value)
		return len(key) > 1 && len(value) > 0
	})
	checkpoint, err := v.s.readCommit(&v.commit)
	if err != nil {
		v.r.add("commit record", "%s", oneLine(err))
	}
	v.known = err == nil
	if checkpoint != "" {
		have[Standalone] = checkpoint
	}
	if len(v.r.Problems)+v.r.Unlisted == before { // else what the file beside says stands for what is damaged
		clear(v.r.Checkpoints)
	}
	maps.Copy(v.r.Checkpoints, have)
	if v.known && saved.count > v.commit.count {
		v.r.add(v.s.path("db"), "%v", newLostTail(saved.count-v.commit.count, have, saved.positions))
	}
}

func (v *verifier) entry(key, value []byte) bool {
	letter, stream, rest, ok := splitSpaceKey(key)
	if !ok {
		return false
	}
	v.r.Entries++
	if letter == letterState {
		v.r.addState(cmp.Or(stream, Standalone), rest, value)
	}
	return true
}

func (r *Report) addState(stream string, key, value []byte) {
	if r.State[stream] == nil {
		r.State[stream] = map[string][]byte{}
	}
	r.State[stream][string(key)] = bytes.Clone(value)
}

func (v *verifier) deadLetter(key, value []byte) bool {
	d := DeadLetter{}
	if !d.parse(value) {
		return false
	}
	v.r.DeadLetters++
	if d.Seq != 0 {
		v.letters[d.Seq] = true
		if !v.has(appendNumberKey(nil, kindJob, d.Seq)) {
			v.r.add(keyName(key), "its payload, job %d of %q, is missing", d.Seq, d.Endpoint)
		}
	}
	return true
}

func (v *verifier) job(key, value []byte) bool {
	j, ok := parseJob(value)
	seq, isSeq := splitNumberKey(key)
	if !ok || !isSeq {
		return false
	}
	if v.known && seq >= v.commit.nextJob {
		v.r.add(keyName(key), "its number was not given yet: the next is %d", v.commit.nextJob)
	}
	if v.letters[seq] {
		return true
	}
	v.r.Jobs++
	if !v.has(appendEndpointKey(nil, kindIndex, j.Endpoint, seq)) {
		v.r.add(keyName(key), "it is neither pending nor a dead letter")
	}
	return true
}

func (v *verifier) index(key, value []byte) bool {
	_, seq, ok := splitEndpointKey(key)
	if !ok || !new(Pending).parseIndex(value) {
		return false
	}
	if !v.has(appendNumberKey(nil, kindJob, seq)) {
		v.r.add(keyName(key), "the job is missing")
	}
	return true
}

func (v *verifier) retry(key, value []byte) bool {
	if _, _, ok := splitEndpointKey(key); !ok || !new(Pending).parseRetry(value) {
		return false
	}
	index := slices.Clone(key)
	index[0] = kindIndex
	if !v.has(index) {
		v.r.add(keyName(key), "there is no such pending job")
	}
	return true
}

func (v *verifier) attempt(key, _ []byte) bool {
	seq, _, ok := splitAttemptKey(key)
	if ok && !v.has(appendNumberKey(nil, kindJob, seq)) {
		v.r.add(keyName(key), "there is no such job")
	}
	return ok
}

// has reports whether a key is there, or may be. If it cannot be read, that is
// reported elsewhere.
func (v *verifier) has(key []byte) bool {
	_, closer, err := v.s.db.Get(key)
	if err == nil {
		closer.Close()
	}
	return !errors.Is(err, pebble.ErrNotFound)
}

// walk calls f for each record of a kind that has the right checksum and a
// known version, and reports all others.
func (v *verifier) walk(kind byte, f func(key, value []byte) bool) {
	v.walkRange([]byte{kind}, []byte{kind + 1}, f)
}

func (v *verifier) walkRange(from, end []byte, f func(key, value []byte) bool) {
	for from != nil {
		from = v.walkFrom(from, end, f)
	}
}

// walkFrom walks up to a damaged region, reports it, and returns where to go
// on; nil: it came to the end.
func (v *verifier) walkFrom(from, end []byte, f func(key, value []byte) bool) (next []byte) {
	last := from
	err := v.s.iterate(v.s.db, &pebble.IterOptions{LowerBound: from, UpperBound: end}, (*pebble.Iterator).First, (*pebble.Iterator).Next, func(it *pebble.Iterator) (bool, error) {
		last = append(last[:0:0], it.Key()...)
		sealed, err := it.ValueAndErr()
		if err != nil {
			return false, err
		}
		value, version, ok := unseal(last, sealed)
		switch {
		case !ok:
			v.r.add(keyName(last), "its checksum is wrong")
		case f == nil:
			v.r.add(keyName(last), "record version %d of a kind that is not known: a later triggerd wrote it", version)
		case version > versions[last[0]]:
			v.r.add(keyName(last), "record version %d, and %d is the latest that is known: a later triggerd wrote it", version, versions[last[0]])
		case !f(last, value):
			v.r.add(keyName(last), "it cannot be read, though its checksum is right")
		}
		return true, nil
	})
	if err == nil {
		return nil
	}
	next = v.stepOver(last, end)
	to := "the end of its kind"
	if next != nil {
		to = keyName(next)
	}
	v.r.add(fmt.Sprintf("%s to %s", keyName(last), to), "cannot be read: %s", oneLine(err))
	return next
}

// stepOver finds the first key after a damaged region that begins after last.
// It tries steps that double, and then halves them. If no step leads out of the
// region, it tries keys that begin differently.
func (v *verifier) stepOver(last, end []byte) []byte {
	readableFrom := func(key []byte) bool {
		it, err := v.s.db.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: end})
		if err != nil {
			return false
		}
		ok := it.First()
		if ok {
			_, err = it.ValueAndErr()
		}
		return errors.Join(err, it.Close()) == nil
	}
	readable := func(step uint64) bool { return readableFrom(addToKey(last, step)) }
	hi := uint64(1)
	for !readable(hi) {
		if hi > 1<<62 {
			for n := len(last) - 1; n > 1; n-- {
				if key := prefixEnd(last[:n]); string(key) < string(end) && readableFrom(key) {
					return key
				}
			}
			return nil
		}
		hi *= 2
	}
	lo := hi / 2 // not readable, or 0
	for lo+1 < hi {
		if mid := lo + (hi-lo)/2; readable(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	if next := addToKey(last, hi); string(next) < string(end) {
		return next
	}
	return nil
}

// addToKey adds n to the number that the last bytes of a key are.
func addToKey(key []byte, n uint64) []byte {
	sum := slices.Clone(key)
	for len(sum) < 1+8 { // a kind alone
		sum = append(sum, 0)
	}
	for i := len(sum) - 1; i > 0 && n > 0; i-- {
		n += uint64(sum[i])
		sum[i] = byte(n)
		n >>= 8
	}
	return sum
}
