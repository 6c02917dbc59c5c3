package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Batch gathers changes that take effect as a whole or not at all. One
// goroutine may use it at a time. It may be used again after Commit or Reset.
//
// The changes are made in this order: first spaces, settlements and retries in
// the order of the calls, then what gets a number (jobs, settled deliveries,
// dead letters).
type Batch struct {
	s       *Store
	pb      *pebble.Batch // the changes that need no number
	jobs    []Job
	settled []Settled
	dead    []DeadLetter
	requeue []uint64
	drop    []uint64

	checkpoints []streamPosition
	adds        bool // it needs disk space, which a full store does not give
	durable     bool // Commit waits for the disk
	settles     int
	lettersGone int
	size        int
	err         error // of a call; Commit returns it

	key, value []byte // scratch
}

// streamPosition is where a stream is to be resumed.
type streamPosition struct{ stream, position string }

// NewBatch returns an empty batch.
func (s *Store) NewBatch() *Batch { return &Batch{s: s} }

// Enqueue adds a job, whose Seq Commit gives. The payload is borrowed until
// Commit or Reset returns.
func (b *Batch) Enqueue(j Job) {
	b.adds, b.durable = true, true
	b.check(j.Endpoint != "", "a job without an endpoint")
	b.limit("endpoint", len(j.Endpoint), MaxName)
	b.limit("id", len(j.ID), MaxName)
	b.limit("payload", len(j.Payload), MaxPayload)
	b.size += len(j.Payload) + len(j.ID) + 2*len(j.Endpoint) + 96
	b.jobs = append(b.jobs, j)
}

// SetCheckpoint sets the position at which a stream resumes; "" removes it. The
// last call for a stream counts.
func (b *Batch) SetCheckpoint(stream, position string) {
	b.check(stream != "", "a checkpoint without a stream")
	b.limit("the name of a stream", len(stream), MaxName)
	b.limit("checkpoint", len(position), MaxName)
	b.durable = true
	b.checkpoints = append(b.checkpoints, streamPosition{stream, position})
	b.size += len(stream) + len(position) + 16
}

// Put sets an entry of a space. Key and value are copied. A full store takes
// entries of Holds and Cancels all the same.
func (b *Batch) Put(space Space, key, value []byte) {
	b.durable = true
	b.adds = b.adds || !space.isLittle()
	b.limit("key", len(key), MaxName)
	b.limit("value", len(value), MaxPayload)
	if b.checkSpace(space) {
		b.key = appendSpaceKey(b.key[:0], space, key)
		b.value = append(b.value[:0], value...)
		b.setSealed()
	}
}

// Delete removes an entry of a space, if there is one.
func (b *Batch) Delete(space Space, key []byte) {
	b.durable = true
	if b.checkSpace(space) {
		b.key = appendSpaceKey(b.key[:0], space, key)
		b.keepError(b.batch().Delete(b.key, nil))
	}
}

// DeleteRange removes the entries of a space from the key from on and before
// the key to. A nil to is the end of the space.
func (b *Batch) DeleteRange(space Space, from, to []byte) {
	b.durable = true
	if b.checkSpace(space) {
		b.key = appendSpaceKey(b.key[:0], space, from)
		b.keepError(b.batch().DeleteRange(b.key, space.end(to), nil))
	}
}

// Settle removes a delivered job. attempts is how many were made of it: those
// that Pending has reported and those since. A job with more than one attempt
// has retry state to remove too.
//
// Keys are set once, and still no SingleDelete removes them: the engine panics, in
// a goroutine of its own, where it drops one and cannot read the block behind it.
//
// A crash may undo the last settlements, and the jobs are delivered again. A
// batch of only settlements, retries and burials does not wait for the disk.
// Gather a few hundred in one, or add them to the next batch of jobs.
func (b *Batch) Settle(endpoint string, seq uint64, attempts int) {
	if !b.removeIndex(endpoint, seq, attempts) {
		return
	}
	b.key = appendNumberKey(b.key[:0], kindJob, seq)
	b.keepError(b.batch().Delete(b.key, nil))
	b.removeAttempts(seq, attempts)
}

// SettleListed is Settle, and keeps a record for listings, whose Number Commit
// gives.
func (b *Batch) SettleListed(r Settled) {
	b.limit("id", len(r.ID), MaxName)
	b.limit("status", len(r.Status), MaxName)
	b.Settle(r.Endpoint, r.Seq, max(r.Attempts, r.Marks))
	r.Excerpt = cut(r.Excerpt)
	b.settled = append(b.settled, r)
	b.size += len(r.ID) + len(r.Status) + len(r.Excerpt) + len(r.Endpoint) + 64
}

// Retry records that a job was attempted, and when the next attempt is due.
// text is the error, and excerpt what the receiver answered; MaxText bytes of
// each are kept. A crash may undo it, as with Settle.
func (b *Batch) Retry(endpoint string, seq uint64, attempts int, due time.Time, text, excerpt string) {
	if !b.checkJob(endpoint, seq) {
		return
	}
	b.key = appendEndpointKey(b.key[:0], kindRetry, endpoint, seq)
	b.value = appendRetry(b.value[:0], attempts, due, cut(text), cut(excerpt))
	b.setSealed()
}

// Attempt keeps what is to be known of the n-th attempt of a job, as long as the
// job is pending or dead. value is opaque and copied; MaxText bytes of it are
// kept at most. Of many attempts the first few and the last are kept. An attempt
// with the same n as one before takes its place. A crash may undo it, as with
// Settle.
//
// n is at most one above the attempts that Retry or Bury tells, and it is told in
// the same batch.
func (b *Batch) Attempt(seq uint64, n int, value []byte) {
	b.check(seq != 0 && n > 0, "an attempt of no job")
	b.limit("attempt", len(value), 2*MaxText)
	if b.err != nil {
		return
	}
	b.key = appendAttemptKey(b.key[:0], seq, n)
	b.value = append(b.value[:0], value...)
	b.setSealed()
	if old := n - lastAttempts; old > firstAttempts {
		b.key = appendAttemptKey(b.key[:0], seq, old)
		b.keepError(b.batch().Delete(b.key, nil))
	}
}

// How many attempts of a job are kept: the first, and the last.
const (
	firstAttempts = 8
	lastAttempts  = 24
)

// removeAttempts deletes what is kept of a job's attempts, which may be one more
// than was counted.
func (b *Batch) removeAttempts(seq uint64, attempts int) {
	if attempts < 2 { // it was delivered at once, and none failed
		return
	}
	for n := 1; n <= attempts+1; n++ {
		if n == firstAttempts+1 {
			n = max(n, attempts-lastAttempts)
		}
		b.key = appendAttemptKey(b.key[:0], seq, n)
		b.keepError(b.batch().Delete(b.key, nil))
	}
}

// Bury turns a job into a dead letter. The job's payload is kept; Load finds it
// by the letter's Seq. A letter with Seq 0 belongs to no job: it tells, for
// example, of dropped firings. Commit gives its Number. A crash may undo it, as
// with Settle.
func (b *Batch) Bury(d DeadLetter) {
	b.limit("id", len(d.ID), MaxName)
	b.limit("reason", len(d.Reason), MaxName)
	b.limit("endpoint", len(d.Endpoint), MaxName)
	if d.Seq != 0 && !b.removeIndex(d.Endpoint, d.Seq, 2) {
		return
	}
	d.Error, d.Excerpt = cut(d.Error), cut(d.Excerpt)
	b.dead = append(b.dead, d)
	b.size += len(d.ID) + len(d.Reason) + len(d.Error) + len(d.Excerpt) + len(d.Endpoint) + 96
}

// Requeue turns the dead letter with a number into a job that counts as never
// attempted. The job gets a new seq, after those of the jobs in the batch, in
// the order of the calls. Commit returns ErrNotFound if there is no such
// letter, or it has no payload.
func (b *Batch) Requeue(number uint64) {
	b.adds, b.durable = true, true
	b.requeue = append(b.requeue, number)
}

// DropDead removes the dead letter with a number. Commit returns ErrNotFound if
// there is none.
func (b *Batch) DropDead(number uint64) {
	b.durable = true
	b.drop = append(b.drop, number)
}

// Sync has Commit wait for the disk, whatever is in the batch, and so for all
// that was committed before.
func (b *Batch) Sync() { b.durable = true }

// Size returns about how many bytes the batch will write.
func (b *Batch) Size() int {
	if b.pb == nil {
		return b.size
	}
	return b.size + b.pb.Len()
}

// Jobs returns how many jobs the batch enqueues.
func (b *Batch) Jobs() int { return len(b.jobs) + len(b.requeue) }

// Empty reports whether the batch changes nothing.
func (b *Batch) Empty() bool {
	return (b.pb == nil || b.pb.Empty()) && len(b.jobs)+len(b.settled)+len(b.dead)+len(b.requeue)+len(b.drop)+len(b.checkpoints) == 0
}

// Reset forgets what is in the batch.
func (b *Batch) Reset() {
	if b.pb != nil {
		b.pb.Close()
	}
	clear(b.jobs)
	clear(b.settled)
	clear(b.dead)
	clear(b.checkpoints)
	*b = Batch{s: b.s, jobs: b.jobs[:0], settled: b.settled[:0], dead: b.dead[:0], requeue: b.requeue[:0], drop: b.drop[:0], checkpoints: b.checkpoints[:0], key: b.key[:0], value: b.value[:0]}
}

// Commit makes the changes, all or none, and empties the batch. It returns the
// seq of the first job, 0 if there is none; the others follow it one by one.
//
// A batch that enqueues jobs, sets a checkpoint, changes a space or handles
// dead letters is on disk when Commit returns nil. Commits of several
// goroutines share the wait for the disk.
//
// After ErrNoSpace nothing has changed, and the batch is as it was: commit it
// again when Full returns nil, or Reset it. After ErrTooLarge or ErrNotFound
// nothing has changed either, and the batch is as it was. After any other error
// the store has failed. Whether the batch is on disk is known only once the
// store was opened again, by the checkpoint.
func (b *Batch) Commit() (first uint64, err error) {
	if b.Empty() && !b.durable && b.err == nil {
		return 0, nil
	}
	if first, err = b.s.commit(b); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	b.pb = nil // the store has closed it
	b.Reset()
	return first, nil
}

func (b *Batch) batch() *pebble.Batch {
	if b.pb == nil {
		b.pb = b.s.db.NewBatch()
	}
	return b.pb
}

// setSealed sets b.key to b.value, sealed.
func (b *Batch) setSealed() {
	b.value = seal(b.key, b.value)
	b.keepError(b.batch().Set(b.key, b.value, nil))
}

// removeIndex deletes a job's index entry and its retry state.
func (b *Batch) removeIndex(endpoint string, seq uint64, attempts int) bool {
	if !b.checkJob(endpoint, seq) {
		return false
	}
	b.settles++
	b.key = appendEndpointKey(b.key[:0], kindIndex, endpoint, seq)
	b.keepError(b.batch().Delete(b.key, nil))
	if attempts > 1 {
		b.key[0] = kindRetry
		b.keepError(b.batch().Delete(b.key, nil))
	}
	return true
}

func (b *Batch) checkSpace(space Space) bool {
	b.check(space.prefix != "", "an entry without a space")
	b.limit("the name of a stream", len(space.prefix)-spaceOverhead, MaxName)
	return b.err == nil
}

func (b *Batch) checkJob(endpoint string, seq uint64) bool {
	b.check(endpoint != "" && seq != 0, "a job without endpoint or seq")
	b.limit("endpoint", len(endpoint), MaxName)
	return b.err == nil
}

func (b *Batch) check(ok bool, what string) {
	if !ok {
		b.keepError(errors.New(what))
	}
}

func (b *Batch) limit(what string, n, limit int) {
	if n > limit {
		b.keepError(fmt.Errorf("%w: %s of %d bytes, at most %d", ErrTooLarge, what, n, limit))
	}
}

func (b *Batch) keepError(err error) {
	if b.err == nil {
		b.err = err
	}
}

func cut(text string) string { return text[:min(len(text), MaxText)] }

// commitRecord is the value of the key "c". Each durable commit writes it.
type commitRecord struct {
	count       uint64 // durable commits so far
	nextJob     uint64 // numbers to be given next
	nextSettled uint64
	nextDead    uint64
}

func (c *commitRecord) append(dst []byte) []byte {
	for _, n := range []uint64{c.count, c.nextJob, c.nextSettled, c.nextDead} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

// parse parses the record. In version 0 the checkpoint of the only stream
// follows the fields.
func (c *commitRecord) parse(b []byte, version byte) (checkpoint string, ok bool) {
	f := newValueReader(b)
	c.count, c.nextJob, c.nextSettled, c.nextDead = f.Uint64(), f.Uint64(), f.Uint64(), f.Uint64()
	return string(f.Rest()), f.Err() == nil && (version == 0 || f.Len() == 0)
}

// maxReserve limits the memory that is reserved for a batch before it is
// encoded: about what jobs take that gather while a commit is on its way.
const maxReserve = 1 << 20

// maxBatch is far below what the engine would take in one batch, 4 GiB.
const maxBatch = 1 << 30

// commit applies a batch. Batches take turns, so numbers and commit records
// rise in the order in which batches reach the disk.
func (s *Store) commit(b *Batch) (first uint64, err error) {
	b.limit("batch", b.Size(), maxBatch)
	if b.err != nil {
		return 0, b.err
	}
	if err := s.takeTurn(); err != nil {
		return 0, err
	}
	again, gone, err := s.checkAndRead(b)
	if err != nil {
		s.releaseTurn()
		return 0, err
	}
	if b.Jobs() > 0 {
		first = s.next.nextJob
	}
	s.encodeNumbered(b, again, gone)
	if b.err != nil { // refuse it before the engine sees it: an engine that refuses a batch is not to be trusted
		defer s.releaseTurn()
		return 0, s.fail(b.err)
	}
	mark := s.next
	s.settles.Add(int64(b.settles))
	s.letters.changed.Add(int64(len(b.dead) - b.lettersGone))
	s.disk.grow(b.pb.Len())
	if err := s.apply(b.pb, b.durable); err != nil { // yields the turn
		return 0, err
	}
	if b.durable {
		s.side.advance(mark.count, b.checkpoints)
	}
	return first, nil
}

// checkAndRead does everything that may refuse a batch, and reads the dead
// letters that it requeues or drops.
func (s *Store) checkAndRead(b *Batch) (again []*Job, gone []DeadLetter, err error) {
	if b.adds {
		if err := s.disk.admit(b.Size()); err != nil {
			return nil, nil, err
		}
	}
	if len(b.requeue)+len(b.drop) == 0 {
		return nil, nil, nil
	}
	seen := map[uint64]bool{}
	letter := func(number uint64) error {
		d, err := s.dead(number)
		if err == nil && seen[number] {
			err = ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("dead letter %d: %w", number, err)
		}
		seen[number] = true
		gone = append(gone, *d)
		return nil
	}
	for _, number := range b.requeue {
		if err := letter(number); err != nil {
			return nil, nil, err
		}
		j, err := s.Load(gone[len(gone)-1].Seq)
		if err != nil {
			return nil, nil, fmt.Errorf("dead letter %d: %w", number, err)
		}
		again = append(again, j)
	}
	for _, number := range b.drop {
		if err := letter(number); err != nil {
			return nil, nil, err
		}
	}
	return again, gone, nil
}

// encodeNumbered encodes what gets a number, and the commit record.
func (s *Store) encodeNumbered(b *Batch, again []*Job, gone []DeadLetter) {
	if b.pb == nil {
		b.pb = s.db.NewBatchWithSize(min(b.size+b.size/8, maxReserve))
	}
	for i := range b.jobs {
		s.enqueue(b, &b.jobs[i])
	}
	for _, j := range again {
		s.enqueue(b, j)
	}
	for i := range gone {
		b.removeDead(&gone[i])
	}
	for i := range b.settled {
		r := &b.settled[i]
		r.Number = s.next.nextSettled
		s.next.nextSettled++
		b.key = appendNumberKey(b.key[:0], kindSettled, r.Number)
		b.value = r.append(b.value[:0])
		b.setSealed()
	}
	for i := range b.dead {
		d := &b.dead[i]
		d.Number = s.next.nextDead
		s.next.nextDead++
		b.key = appendNumberKey(b.key[:0], kindDead, d.Number)
		b.value = d.append(b.value[:0])
		b.setSealed()
	}
	if !b.durable {
		return
	}
	for _, c := range b.checkpoints {
		b.key = appendCheckpointKey(b.key[:0], c.stream)
		if c.position == "" {
			b.keepError(b.batch().Delete(b.key, nil))
			continue
		}
		b.value = append(b.value[:0], c.position...)
		b.setSealed()
	}
	s.next.count++
	b.key = append(b.key[:0], kindCommit)
	b.value = s.next.append(b.value[:0])
	b.setSealed()
}

func (s *Store) enqueue(b *Batch, j *Job) {
	j.Seq = s.next.nextJob
	s.next.nextJob++
	b.key = appendNumberKey(b.key[:0], kindJob, j.Seq)
	b.value = appendJob(b.value[:0], j)
	b.setSealed()
	b.key = appendEndpointKey(b.key[:0], kindIndex, j.Endpoint, j.Seq)
	b.value = appendIndex(b.value[:0], j)
	b.setSealed()
}

func (b *Batch) removeDead(d *DeadLetter) {
	b.lettersGone++
	b.key = appendNumberKey(b.key[:0], kindDead, d.Number)
	b.keepError(b.batch().Delete(b.key, nil))
	if d.Seq != 0 {
		b.key = appendNumberKey(b.key[:0], kindJob, d.Seq)
		b.keepError(b.batch().Delete(b.key, nil))
		b.removeAttempts(d.Seq, max(d.Attempts, 2))
	}
}
