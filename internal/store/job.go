package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"triggerd/internal/wire"
)

// Limits of jobs, records and entries. Commit refuses a batch with more, with
// ErrTooLarge.
const (
	MaxName    = 4 << 10  // bytes of an endpoint's name, an ID, a checkpoint, a reason, a status or a space's key
	MaxText    = 16 << 10 // bytes kept of an error or an excerpt; the rest is cut off
	MaxPayload = 64 << 20 // bytes of a payload or a space's value
)

// ErrTooLarge is returned by Commit for a batch that exceeds a limit. Nothing
// of it is kept.
var ErrTooLarge = errors.New("too large for the store")

// ErrNotFound is returned if there is no such job, dead letter or entry.
var ErrNotFound = errors.New("not in the store")

// Job is a firing that waits to be delivered.
type Job struct {
	Seq      uint64    // its number, rising in the order of commits, never used twice; given by Commit, not by the caller
	Endpoint string    // what it is delivered with; 1 to MaxName bytes
	Lane     uint64    // opaque: a hash of what has to stay in order
	ID       string    // the firing's; MaxName bytes at most
	Born     time.Time // kept in milliseconds
	Payload  []byte    // opaque; MaxPayload bytes at most
}

// Pending is a pending job without its payload.
type Pending struct {
	Seq      uint64
	Lane     uint64
	Size     int       // bytes of the payload
	Born     time.Time // when it was enqueued
	Attempts int       // made so far
	Due      time.Time // of the next attempt; zero: at once
	Error    string    // of the last attempt
	Excerpt  string    // of its response
}

// Endpoint is an endpoint that jobs wait for.
type Endpoint struct {
	Name    string
	Pending int    // jobs
	First   uint64 // seq of the oldest
}

func appendJob(dst []byte, j *Job) []byte {
	dst = binary.BigEndian.AppendUint64(dst, j.Lane)
	dst = appendTime(dst, j.Born)
	dst = wire.AppendText(dst, j.Endpoint)
	dst = wire.AppendText(dst, j.ID)
	return append(dst, j.Payload...)
}

func parseJob(b []byte) (*Job, bool) {
	f := newValueReader(b)
	j := &Job{Lane: f.Uint64(), Born: f.time(), Endpoint: f.Text(), ID: f.Text()}
	j.Payload = f.Rest()
	return j, f.Err() == nil
}

func appendIndex(dst []byte, j *Job) []byte {
	dst = binary.BigEndian.AppendUint64(dst, j.Lane)
	dst = appendTime(dst, j.Born)
	return binary.BigEndian.AppendUint32(dst, uint32(len(j.Payload)))
}

func (p *Pending) parseIndex(b []byte) bool {
	f := newValueReader(b)
	p.Lane, p.Born, p.Size = f.Uint64(), f.time(), int(f.Uint32())
	return f.End() == nil
}

// appendRetry appends the retry state of a job that was attempted. The error
// has no NUL in it. If there is an excerpt, a NUL and the excerpt follow the
// error.
func appendRetry(dst []byte, attempts int, due time.Time, text, excerpt string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(attempts))
	dst = appendTime(dst, due)
	dst = append(dst, strings.ReplaceAll(text, "\x00", " ")...)
	if excerpt == "" {
		return dst
	}
	return append(append(dst, 0), excerpt...)
}

func (p *Pending) parseRetry(b []byte) bool {
	f := newValueReader(b)
	p.Attempts, p.Due = int(f.Uint32()), f.time()
	text, excerpt, there := strings.Cut(string(f.Rest()), "\x00")
	p.Error, p.Excerpt = text, excerpt
	return f.Err() == nil && there == (excerpt != "")
}

// Load returns a job that is pending or dead. The caller owns it. It returns
// ErrNotFound if the job has been settled.
func (s *Store) Load(seq uint64) (*Job, error) {
	var j *Job
	err := s.get(appendNumberKey(nil, kindJob, seq), func(v []byte) (ok bool) {
		if j, ok = parseJob(v); ok {
			j.Payload = slices.Clone(j.Payload)
		}
		return ok
	})
	if err != nil {
		return nil, fmt.Errorf("job %d: %w", seq, err)
	}
	j.Seq = seq
	return j, nil
}

// Attempts returns what Batch.Attempt has kept of a job, the oldest first. The
// caller owns it. What is damaged is left out and logged.
func (s *Store) Attempts(seq uint64) (list [][]byte, err error) {
	from := appendNumberKey(nil, kindAttempt, seq)
	err = s.scan(from, prefixEnd(from), func(_, value []byte) (bool, error) {
		list = append(list, slices.Clone(value))
		return true, nil
	})
	if IsDamaged(err) {
		return list, nil // which the log and Verify tell
	}
	if err != nil {
		return nil, fmt.Errorf("attempts of job %d: %w", seq, err)
	}
	return list, nil
}

// HasPending reports whether a job of an endpoint is pending.
func (s *Store) HasPending(endpoint string, seq uint64) (bool, error) {
	err := s.get(appendEndpointKey(nil, kindIndex, endpoint, seq), func([]byte) bool { return true })
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil || IsDamaged(err), err
}

// Jobs iterates over the jobs whose numbers are in seqs, which must rise. A job
// that has been settled is left out. For numbers near each other it costs a
// fraction of calling Load for each. A payload is valid until the next job is
// asked for. If there is an error, it is the last that is yielded.
func (s *Store) Jobs(seqs []uint64) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		if len(seqs) == 0 {
			return
		}
		if seq, err := s.jobs(seqs, func(j *Job) bool { return yield(j, nil) }); err != nil {
			yield(nil, fmt.Errorf("job %d: %w", seq, err))
		}
	}
}

// jobs is Jobs with a callback. With an error it returns the number that it was
// at.
func (s *Store) jobs(seqs []uint64, yield func(*Job) bool) (seq uint64, err error) {
	if err := s.usable(); err != nil {
		return seqs[0], err
	}
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendNumberKey(nil, kindJob, seqs[0]), UpperBound: prefixEnd(appendNumberKey(nil, kindJob, seqs[len(seqs)-1])),
	})
	if err != nil {
		return seqs[0], s.readError(err)
	}
	defer func() {
		if closeErr := it.Close(); err == nil && closeErr != nil {
			err = s.readError(closeErr)
		}
	}()
	var key []byte
	for i := range seqs {
		seq = seqs[i]
		key = appendNumberKey(key[:0], kindJob, seq)
		if i == 0 && !it.SeekGE(key) || i > 0 && !seekForward(it, key) {
			return seq, nil // an error is that of Close
		}
		if !bytes.Equal(it.Key(), key) {
			continue
		}
		var j *Job
		if err := s.value(it, func(_, v []byte) (ok bool) {
			j, ok = parseJob(v)
			return ok
		}); err != nil {
			return seq, err
		}
		j.Seq = seq
		if !yield(j) {
			return seq, nil
		}
	}
	return seq, nil
}

// seekForward moves an iterator, which is before key, to the first record at
// key or after it. That is usually one of the next few records.
func seekForward(it *pebble.Iterator, key []byte) bool {
	for range 4 {
		if bytes.Compare(it.Key(), key) >= 0 {
			return true
		}
		if !it.Next() {
			return false
		}
	}
	return bytes.Compare(it.Key(), key) >= 0 || it.SeekGE(key)
}

// Pending iterates over an endpoint's jobs with a seq of at least from, in
// their order. Payloads are not read. A job whose index entry is damaged is left
// out and logged. The iterator may be used more than once. If there is an error,
// it is the last that is yielded.
//
// Pass as from the first seq that you do not know yet. Then the jobs settled
// before it do not have to be stepped over. If from is below the first job that
// an earlier iteration found, it starts at that job.
func (s *Store) Pending(endpoint string, from uint64) iter.Seq2[Pending, error] {
	return func(yield func(Pending, error) bool) {
		if err := s.pending(endpoint, from, func(p Pending) bool { return yield(p, nil) }); err != nil {
			yield(Pending{}, fmt.Errorf("jobs of %s: %w", endpoint, err))
		}
	}
}

func (s *Store) pending(endpoint string, from uint64, yield func(Pending) bool) error {
	low := s.lows.get(endpoint)
	start := max(from, low)
	found := false
	retries := retryReader{s: s, endpoint: endpoint}
	defer retries.close()
	err := s.scanWhole(appendName(nil, kindIndex, endpoint), start, func(key, value []byte) (bool, error) {
		p := Pending{}
		_, p.Seq, _ = splitEndpointKey(key)
		if !p.parseIndex(value) {
			return false, s.corrupt(key, "its fields are cut short")
		}
		if !found && from <= low {
			s.lows.raise(endpoint, p.Seq)
		}
		found = true
		if err := retries.fill(&p); err != nil {
			return false, err
		}
		return yield(p), nil
	})
	return errors.Join(err, retries.close())
}

// retryReader finds the retry state of the few jobs that have one, during an
// iteration over an endpoint's index.
type retryReader struct {
	s        *Store
	endpoint string
	it       *pebble.Iterator
	next     uint64 // seq of the record that it is at; MaxUint64: at the end
}

func (r *retryReader) fill(p *Pending) error {
	if r.it == nil {
		it, err := r.s.db.NewIter(&pebble.IterOptions{
			LowerBound: appendEndpointKey(nil, kindRetry, r.endpoint, p.Seq),
			UpperBound: prefixEnd(appendName(nil, kindRetry, r.endpoint)),
		})
		if err != nil {
			return err
		}
		r.it = it
		r.setNext(it.First())
	}
	for r.next < p.Seq { // retry state of a job that was settled meanwhile
		r.setNext(r.it.Next())
	}
	if r.next != p.Seq {
		return r.it.Error()
	}
	return r.s.value(r.it, func(_, v []byte) bool { return p.parseRetry(v) })
}

func (r *retryReader) setNext(valid bool) {
	r.next = math.MaxUint64
	if valid {
		_, r.next, _ = splitEndpointKey(r.it.Key())
	}
}

func (r *retryReader) close() error {
	if r.it == nil {
		return nil
	}
	err := r.it.Close()
	r.it = nil
	return err
}

// Endpoints returns the endpoints that jobs wait for, by name. It reads the
// whole index, which takes about 0.1 s for a million jobs. It is meant for a
// start and for listings.
func (s *Store) Endpoints() ([]Endpoint, error) {
	byName := map[string]*Endpoint{}
	var last *Endpoint
	err := s.scanKeys([]byte{kindIndex}, []byte{kindIndex + 1}, func(key []byte) error {
		name, seq, ok := splitEndpointKey(key)
		if !ok {
			return s.corrupt(key, "it is not a key of an index entry")
		}
		if last == nil || last.Name != string(name) {
			last = &Endpoint{Name: string(name), First: seq}
			byName[last.Name] = last
		}
		last.Pending++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("endpoints: %w", err)
	}
	all := make([]Endpoint, 0, len(byName))
	for _, e := range byName {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Endpoint) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
