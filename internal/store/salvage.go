package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Salvage copies everything undamaged in a damaged directory to a new store in
// the directory out. No process may have the damaged directory open. It is not
// changed. The report says what was copied and what was wrong.
//
// The files of the database are read one by one, whether or not it can be
// opened. Everything that can be read is copied. Jobs that were settled not
// long before may be pending again, and be delivered twice.
func Salvage(dir, out string) (*Report, error) { return Options{}.salvage(dir, out) }

func (o Options) salvage(dir, out string) (*Report, error) {
	o = o.withDefaults()
	if names, err := o.FS.List(out); err == nil && len(names) > 0 {
		return nil, fmt.Errorf("salvage to %s: the directory is there and not empty", out)
	}
	r := newReport()
	err := o.inspect(dir, r, func(s *Store, saved sidecarLine, r *Report) error {
		return o.salvageTo(s, saved, out, r)
	})
	if err != nil {
		return nil, fmt.Errorf("salvage %s to %s: %w", dir, out, err)
	}
	return r, nil
}

func (o Options) salvageTo(damaged *Store, saved sidecarLine, out string, r *Report) (err error) {
	g := gatherer{o: o, db: damaged.path("db"), r: r}
	s, err := g.gather(o.FS.PathJoin(out, "gathered"))
	if err != nil {
		return err
	}
	defer func() {
		s.closed.Store(true)
		err = errors.Join(err, s.db.Close(), o.FS.RemoveAll(s.dir))
	}()
	if err := s.checkNewer(); err != nil {
		return err
	}
	if err := s.findUnknown(); errors.Is(err, ErrNewer) {
		return err
	}
	target, err := o.Open(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	c := copier{verifier: verifier{s: s, r: r}, to: target, b: target.NewBatch()}
	return c.run(saved)
}

// copier copies undamaged records of a damaged store to a new one, in the
// versions of this program.
type copier struct {
	verifier
	to                  *Store
	b                   *Batch
	settled             map[uint64]bool // seqs that are listed as delivered
	max                 uint64          // greatest seq met, and greatest numbers
	maxSettled, maxDead uint64
	err                 error // of writing; ends it
}

func (c *copier) run(saved sidecarLine) error {
	c.readCommit(saved)
	if !c.known {
		c.commit = commitRecord{count: saved.count}
	}
	c.letters = map[uint64]bool{}
	c.settled = map[uint64]bool{}
	c.walk(kindSettled, c.settledRecord)
	c.walk(kindDead, c.deadLetter)
	c.walk(kindJob, c.job)
	c.walk(kindIndex, c.index)
	c.walk(kindRetry, c.retry)
	c.walk(kindAttempt, c.attempt)
	for _, kind := range []byte{kindSpace, kindStream} {
		c.walk(kind, func(key, value []byte) bool { return c.entry(key, value) && c.copy(key, value) })
	}
	c.walkUnknown()
	return c.finish(saved)
}

// finish commits what is left, with the checkpoints.
func (c *copier) finish(saved sidecarLine) error {
	c.flush()
	if c.err != nil {
		return c.err
	}
	if err := c.to.takeTurn(); err != nil {
		return err
	}
	next := &c.to.next
	next.count = max(c.commit.count, saved.count, next.count)
	next.nextJob = max(c.commit.nextJob, c.max+1)
	next.nextSettled = max(c.commit.nextSettled, c.maxSettled+1)
	next.nextDead = max(c.commit.nextDead, c.maxDead+1)
	c.to.releaseTurn()
	c.b.setFormat() // as it is: the numbers are committed with any change
	for stream, position := range c.r.Checkpoints {
		c.b.SetCheckpoint(stream, position)
	}
	c.flush()
	return c.err
}

func (c *copier) copy(key, value []byte) bool {
	c.b.key = append(c.b.key[:0], key...)
	c.b.value = append(c.b.value[:0], value...)
	c.b.setSealed()
	if c.b.Size() > 4<<20 {
		c.flush()
	}
	return true
}

func (c *copier) flush() {
	c.b.durable, c.b.adds = true, true
	if _, err := c.b.Commit(); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *copier) settledRecord(key, value []byte) bool {
	r := Settled{}
	if !r.parse(value) {
		return false
	}
	c.settled[r.Seq] = true
	n, _ := splitNumberKey(key)
	c.maxSettled = max(c.maxSettled, n)
	c.r.Settled++
	return c.copy(key, value)
}

func (c *copier) deadLetter(key, value []byte) bool {
	d := DeadLetter{}
	if !d.parse(value) {
		return false
	}
	c.r.DeadLetters++
	n, _ := splitNumberKey(key)
	c.maxDead = max(c.maxDead, n)
	if d.Seq == 0 {
		return c.copy(key, value)
	}
	if _, err := c.s.Load(d.Seq); err != nil {
		c.r.add(keyName(key), "its payload, job %d of %q, is lost: %s", d.Seq, d.Endpoint, oneLine(err))
		d.Seq = 0
		return c.copy(key, d.append(nil))
	}
	c.letters[d.Seq] = true
	return c.copy(key, value)
}

// job copies a job and makes its index entry.
func (c *copier) job(key, value []byte) bool {
	j, ok := parseJob(value)
	seq, isSeq := splitNumberKey(key)
	if !ok || !isSeq || j.Endpoint == "" || len(j.Endpoint) > MaxName {
		return false
	}
	c.max = max(c.max, seq)
	if c.settled[seq] {
		return true // an older file has it from before its settlement
	}
	c.copy(key, value)
	if !c.letters[seq] {
		c.r.Jobs++
		c.copy(appendEndpointKey(nil, kindIndex, j.Endpoint, seq), appendIndex(nil, j))
	}
	return true
}

// index reports the jobs of which only the index entry is left.
func (c *copier) index(key, _ []byte) bool {
	_, seq, ok := splitEndpointKey(key)
	if !ok {
		return false
	}
	c.max = max(c.max, seq)
	if _, err := c.s.Load(seq); err != nil && !c.settled[seq] {
		c.r.add(keyName(key), "the job is lost: %s", oneLine(err))
	}
	return true
}

func (c *copier) retry(key, value []byte) bool {
	_, seq, ok := splitEndpointKey(key)
	if !ok || !new(Pending).parseRetry(value) {
		return false
	}
	if _, err := c.s.Load(seq); err != nil || c.settled[seq] || c.letters[seq] {
		return true // of a job that is lost, and reported, or not pending
	}
	return c.copy(key, value)
}

func (c *copier) attempt(key, value []byte) bool {
	seq, _, ok := splitAttemptKey(key)
	if !ok {
		return false
	}
	if _, err := c.s.Load(seq); err != nil || c.settled[seq] {
		return true // of a job that is lost, and reported, or settled
	}
	return c.copy(key, value)
}

// gatherer reads the records of a database that cannot be opened, from its
// table and log files. There may be several versions of a record, which the
// engine's sequence numbers tell apart. The latest counts.
type gatherer struct {
	o  Options
	db string
	r  *Report
	s  *Store // the store that the records are put into
}

// gather returns a store whose db holds the records; nothing else of it may be
// used.
func (g *gatherer) gather(dir string) (*Store, error) {
	g.s = &Store{dir: dir, opts: g.o, log: g.o.Logger, fs: g.o.FS, turn: make(chan struct{}, 1), failed: make(chan struct{})}
	g.s.disk = newDisk(g.s)
	names, err := g.o.FS.List(g.db)
	if err != nil {
		return nil, err
	}
	// All versions, with their sequence numbers in front, go into a first
	// database, and the latest of each into a second.
	versions, err := pebble.Open(g.o.FS.PathJoin(dir, "versions"), g.s.engineOptions(g.o.FS))
	if err != nil {
		return nil, err
	}
	w := &versionWriter{db: versions}
	slices.Sort(names)
	for _, name := range names {
		path := g.o.FS.PathJoin(g.db, name)
		switch {
		case strings.HasSuffix(name, ".sst"):
			g.table(w, path)
		case strings.HasSuffix(name, ".log"):
			g.log(w, path, name)
		}
	}
	w.flush()
	if w.err != nil {
		return nil, errors.Join(w.err, versions.Close())
	}
	err = g.latest(versions, g.o.FS.PathJoin(dir, "db"), w.ranges)
	return g.s, errors.Join(err, versions.Close())
}

// rangeDelete removes the versions below seq of the keys from start to end.
type rangeDelete struct {
	start, end []byte
	seq        uint64
}

// versionWriter keeps versions of records under keys that sort the latest
// first: length of the key, key, inverted sequence number.
type versionWriter struct {
	db     *pebble.DB
	b      *pebble.Batch
	ranges []rangeDelete
	err    error
}

const (
	versionGone = 0
	versionSet  = 1
)

func versionKey(key []byte, seq uint64) []byte {
	k := binary.BigEndian.AppendUint32(nil, uint32(len(key)))
	return binary.BigEndian.AppendUint64(append(k, key...), ^seq)
}

func (w *versionWriter) add(kind pebble.InternalKeyKind, key, value []byte, seq uint64) {
	switch kind {
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
		w.put(versionKey(key, seq), append([]byte{versionSet}, value...))
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
		w.put(versionKey(key, seq), []byte{versionGone})
	case pebble.InternalKeyKindRangeDelete:
		w.ranges = append(w.ranges, rangeDelete{bytes.Clone(key), bytes.Clone(value), seq})
	}
}

func (w *versionWriter) put(key, value []byte) {
	if w.b == nil {
		w.b = w.db.NewBatch()
	}
	w.b.Set(key, value, nil)
	if w.b.Len() > 4<<20 {
		w.flush()
	}
}

func (w *versionWriter) flush() {
	if w.b != nil && w.err == nil {
		w.err = w.db.Apply(w.b, pebble.NoSync)
	}
	w.b = nil
}

// table adds the records of a table file. It skips damage.
func (g *gatherer) table(w *versionWriter, path string) {
	t, err := openTable(g.o.FS, path)
	if err != nil {
		g.r.add(path, "nothing in it can be read: %s", oneLine(err))
		return
	}
	defer t.Close()
	for from := []byte{}; from != nil; {
		from = g.tableFrom(w, t, path, from)
	}
	deletions, err := t.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil {
		g.r.add(path, "its range deletions cannot be read: %s", oneLine(err))
		return
	}
	if deletions == nil {
		return
	}
	defer deletions.Close()
	for span, err := deletions.First(); span != nil && err == nil; span, err = deletions.Next() {
		for _, k := range span.Keys {
			w.ranges = append(w.ranges, rangeDelete{bytes.Clone(span.Start), bytes.Clone(span.End), uint64(k.SeqNum())})
		}
	}
}

// tableFrom adds the records from the key from on, up to the first damage. It
// returns where to go on after that; nil: it came to the end.
func (g *gatherer) tableFrom(w *versionWriter, t *sstable.Reader, path string, from []byte) (next []byte) {
	it, err := t.NewIter(sstable.NoTransforms, from, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		g.r.add(path, "%s", oneLine(err))
		return nil
	}
	last := from
	for kv := it.First(); kv != nil; kv = it.Next() {
		last = append(last[:0:0], kv.K.UserKey...)
		value, _, err := kv.Value(nil)
		if err != nil {
			g.r.add(path, "%s: %s", keyName(last), oneLine(err))
			continue
		}
		w.add(kv.Kind(), last, value, uint64(kv.SeqNum()))
	}
	err = errors.Join(it.Error(), it.Close())
	if err == nil {
		return nil
	}
	g.r.add(path, "damaged behind %s: %s", keyName(last), oneLine(err))
	return g.stepOver(t, last)
}

// stepOver finds a key after a damaged block.
func (g *gatherer) stepOver(t *sstable.Reader, last []byte) []byte {
	readable := func(key []byte) bool {
		it, err := t.NewIter(sstable.NoTransforms, key, nil, sstable.AssertNoBlobHandles)
		if err != nil {
			return false
		}
		it.First()
		return errors.Join(it.Error(), it.Close()) == nil
	}
	for step := uint64(1); step < 1<<62; step *= 2 {
		if !readable(addToKey(last, step)) {
			continue
		}
		lo, hi := step/2, step
		for lo+1 < hi {
			if mid := lo + (hi-lo)/2; readable(addToKey(last, mid)) {
				hi = mid
			} else {
				lo = mid
			}
		}
		return addToKey(last, hi)
	}
	for n := len(last) - 1; n > 0; n-- {
		if key := prefixEnd(last[:n]); key != nil && readable(key) {
			return key
		}
	}
	return nil
}

// logBlock is the unit in which log files are written. After damage, reading
// goes on with the next block.
const logBlock = 32 << 10

// log adds the batches of a log file.
func (g *gatherer) log(w *versionWriter, path, name string) {
	number, err := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 64)
	if err != nil {
		g.r.add(path, "it is not named as a log is")
		return
	}
	b, err := readAll(g.o.FS, path)
	if err != nil {
		g.r.add(path, "%s", oneLine(err))
		return
	}
	damaged := int64(-1) // offset of the first damage after the last good batch
	for start := int64(0); start < int64(len(b)); {
		batches, end, err := g.logFrom(w, path, number, b[start:])
		if batches > 0 && damaged >= 0 {
			g.r.add(path, "damaged from offset %d to %d", damaged, start)
			damaged = -1
		}
		at := start + end
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.Is(err, record.ErrUnexpectedEOF): // most likely what a crash cut short
		default:
			g.r.add(path, "damaged at offset %d: %s", at, oneLine(err))
		}
		if damaged < 0 {
			damaged = at
		}
		start = (at/logBlock + 1) * logBlock
	}
}

// logFrom adds batches up to an error, which may be io.EOF. It returns how many
// there were, and the offset of the error.
func (g *gatherer) logFrom(w *versionWriter, path string, number uint64, b []byte) (batches int, offset int64, err error) {
	rr := newLogReader(record.NewReader, bytes.NewReader(b), number)
	for {
		rec, err := rr.Next()
		if err != nil {
			return batches, rr.Offset(), err
		}
		repr, err := io.ReadAll(rec)
		if err != nil {
			return batches, rr.Offset(), err
		}
		header, ok := batchrepr.ReadHeader(repr)
		if !ok {
			g.r.add(path, "a batch before offset %d is too short", rr.Offset())
			continue
		}
		batches++
		seq := uint64(header.SeqNum)
		for rd := batchrepr.Read(repr); ; seq++ {
			kind, key, value, ok, err := rd.Next()
			if err != nil {
				g.r.add(path, "a batch before offset %d: %s", rr.Offset(), oneLine(err))
			}
			if !ok || err != nil {
				break
			}
			w.add(kind, key, value, seq)
		}
	}
}

// newLogReader calls record.NewReader, whose second parameter has a type that
// cannot be named outside of the engine.
func newLogReader[N ~uint64](f func(io.Reader, N) *record.Reader, r io.Reader, number uint64) *record.Reader {
	return f(r, N(number))
}

func readAll(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// latest opens g.s.db with the latest version of each record.
func (g *gatherer) latest(versions *pebble.DB, dir string, ranges []rangeDelete) (err error) {
	if g.s.db, err = pebble.Open(dir, g.s.engineOptions(g.o.FS)); err != nil {
		return err
	}
	it, err := versions.NewIter(nil)
	if err != nil {
		return err
	}
	var last []byte
	b := g.s.db.NewBatch()
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		key, seq := k[4:len(k)-8], ^binary.BigEndian.Uint64(k[len(k)-8:])
		if last != nil && bytes.Equal(key, last) {
			continue
		}
		last = append(last[:0:0], key...)
		value := it.Value()
		if value[0] == versionGone || slices.ContainsFunc(ranges, func(r rangeDelete) bool {
			return r.seq > seq && bytes.Compare(r.start, key) <= 0 && bytes.Compare(key, r.end) < 0
		}) {
			continue
		}
		b.Set(key, value[1:], nil)
		if b.Len() > 4<<20 {
			err = errors.Join(err, g.s.db.Apply(b, pebble.NoSync))
			b = g.s.db.NewBatch()
		}
	}
	return errors.Join(err, it.Close(), g.s.db.Apply(b, pebble.NoSync))
}
