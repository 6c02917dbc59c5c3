package store

import (
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"triggerd/internal/wire"
)

// Settled is a delivery that succeeded, kept for listings without its payload.
type Settled struct {
	Number   uint64 // rising in the order of settlements
	Seq      uint64 // the job's
	Endpoint string
	ID       string
	Status   string // what the receiver said, in a few words
	Excerpt  string // of its response
	Attempts int
	Marks    int       // what Settle is to be told of attempts; 0: Attempts. It is not kept
	Born, At time.Time // enqueued and delivered
}

// DeadLetter is a job that was given up. Load finds its payload by Seq.
type DeadLetter struct {
	Number   uint64 // rising in the order in which they were given up; what Requeue and DropDead take
	Seq      uint64 // the job's; 0: of no job
	Endpoint string
	ID       string
	Reason   string // in a word, why it was given up
	Error    string // of the last attempt
	Excerpt  string // of the last response
	Attempts int
	Born, At time.Time // enqueued and given up
}

func (r *Settled) append(dst []byte) []byte {
	dst = appendTime(dst, r.At)
	dst = appendTime(dst, r.Born)
	dst = binary.BigEndian.AppendUint64(dst, r.Seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Attempts))
	dst = wire.AppendText(dst, r.Endpoint)
	dst = wire.AppendText(dst, r.ID)
	dst = wire.AppendText(dst, r.Status)
	if r.Excerpt == "" { // as for nearly all
		return dst
	}
	return wire.AppendText(dst, r.Excerpt)
}

func (r *Settled) parse(b []byte) bool {
	f := newValueReader(b)
	r.At, r.Born, r.Seq, r.Attempts = f.time(), f.time(), f.Uint64(), int(f.Uint32())
	r.Endpoint, r.ID, r.Status = f.Text(), f.Text(), f.Text()
	r.Excerpt = ""
	if f.Len() > 0 {
		if r.Excerpt = f.Text(); r.Excerpt == "" {
			f.Reject()
		}
	}
	return f.End() == nil
}

func (d *DeadLetter) append(dst []byte) []byte {
	dst = appendTime(dst, d.At)
	dst = appendTime(dst, d.Born)
	dst = binary.BigEndian.AppendUint64(dst, d.Seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(d.Attempts))
	dst = wire.AppendText(dst, d.Endpoint)
	dst = wire.AppendText(dst, d.ID)
	dst = wire.AppendText(dst, d.Reason)
	dst = wire.AppendText(dst, d.Error)
	return wire.AppendText(dst, d.Excerpt)
}

func (d *DeadLetter) parse(b []byte) bool {
	f := newValueReader(b)
	d.At, d.Born, d.Seq, d.Attempts = f.time(), f.time(), f.Uint64(), int(f.Uint32())
	d.Endpoint, d.ID, d.Reason, d.Error, d.Excerpt = f.Text(), f.Text(), f.Text(), f.Text(), f.Text()
	return f.End() == nil
}

// Settled iterates over the deliveries that are kept for listings, the latest
// first. It begins below the number before; 0 means at the latest. Damaged
// records are left out and logged. If there is an error, it is the last that is
// yielded.
func (s *Store) Settled(before uint64) iter.Seq2[Settled, error] {
	return func(yield func(Settled, error) bool) {
		err := s.scanBackWhole(kindSettled, before, func(key, value []byte) (bool, error) {
			r := Settled{}
			r.Number, _ = splitNumberKey(key)
			if !r.parse(value) {
				return false, s.corrupt(key, "its fields are cut short")
			}
			return yield(r, nil), nil
		})
		if err != nil {
			yield(Settled{}, fmt.Errorf("settled deliveries: %w", err))
		}
	}
}

// Dead iterates over the dead letters, the latest first. It begins below the
// number before; 0 means at the latest. Damaged records are left out and logged.
// If there is an error, it is the last that is yielded.
func (s *Store) Dead(before uint64) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		err := s.scanBackWhole(kindDead, before, func(key, value []byte) (bool, error) {
			d := DeadLetter{}
			d.Number, _ = splitNumberKey(key)
			if !d.parse(value) {
				return false, s.corrupt(key, "its fields are cut short")
			}
			return yield(d, nil), nil
		})
		if err != nil {
			yield(DeadLetter{}, fmt.Errorf("dead letters: %w", err))
		}
	}
}

// DeadLetter returns the dead letter with that number, or ErrNotFound.
func (s *Store) DeadLetter(number uint64) (*DeadLetter, error) {
	d, err := s.dead(number)
	if err != nil {
		return nil, fmt.Errorf("dead letter %d: %w", number, err)
	}
	return d, nil
}

func (s *Store) dead(number uint64) (*DeadLetter, error) {
	d := &DeadLetter{Number: number}
	return d, s.get(appendNumberKey(nil, kindDead, number), d.parse)
}

// sweepLimit is how many dead letters one sweep removes.
const sweepLimit = 1000

// sweep removes settled deliveries and dead letters from before cutoff, and the
// oldest settled deliveries over their limit. more says that it stopped at a
// limit of its own before it was done.
func (s *Store) sweep(cutoff time.Time) (more bool, err error) {
	if err := s.sweepSettled(cutoff); err != nil {
		return false, err
	}
	if cutoff.IsZero() {
		return false, nil
	}
	b := s.NewBatch()
	last := uint64(0)
	err = s.scanWhole([]byte{kindDead}, s.deadLow, func(key, value []byte) (bool, error) {
		d := DeadLetter{}
		last, _ = splitNumberKey(key)
		d.Number = last
		if !d.parse(value) {
			return false, s.corrupt(key, "its fields are cut short")
		}
		if !d.At.Before(cutoff) {
			return false, nil
		}
		b.removeDead(&d)
		more = b.lettersGone >= sweepLimit
		return !more, nil
	})
	if err != nil || b.Empty() {
		b.Reset()
		return false, err
	}
	s.deadLow = last
	b.durable = true // it saves the next number, which the removed letters no longer tell
	_, err = b.Commit()
	return more, err
}

// sweepSettled finds the first settled delivery to keep, by bisection. They are
// numbered without holes in the order of time, unless the clock was set back.
func (s *Store) sweepSettled(cutoff time.Time) error {
	first, last := uint64(0), uint64(0)
	for r, err := range s.Settled(0) {
		if err != nil {
			return err
		}
		last = r.Number
		break
	}
	err := s.scan([]byte{kindSettled}, []byte{kindSettled + 1}, func(key, _ []byte) (bool, error) {
		first, _ = splitNumberKey(key)
		return false, nil
	})
	if err != nil || first == 0 {
		return err
	}
	lo, hi := first, last+1
	for lo < hi {
		mid := lo + (hi-lo)/2
		r := Settled{}
		err := s.get(appendNumberKey(nil, kindSettled, mid), r.parse)
		if IsDamaged(err) {
			hi = mid // it is kept, until another is looked at
			continue
		}
		if err != nil {
			return fmt.Errorf("settled delivery %d: %w", mid, err)
		}
		if r.At.Before(cutoff) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if keep := uint64(s.opts.MaxSettled); last+1-lo > keep {
		lo = last + 1 - keep
	}
	if lo == first {
		return nil
	}
	b := s.NewBatch()
	b.keepError(b.batch().DeleteRange(appendNumberKey(nil, kindSettled, first), appendNumberKey(nil, kindSettled, lo), nil))
	b.durable = true // as for dead letters
	_, err = b.Commit()
	return err
}
