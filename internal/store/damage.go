package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// damages counts the damaged records that were met, and tells of those that
// nobody else would tell of: each once, however often it is met.
type damages struct {
	mu      sync.Mutex // guards what follows
	counted names
	told    names
	count   int64
}

// names is a bounded set.
type names map[string]struct{}

// maxNames bounds how many damaged records are remembered. Beyond, they are
// counted each time that they are met, and not told of.
const maxNames = 10_000

// add reports whether a name was not there yet, and whether there was room.
func (n *names) add(name string) (isNew, room bool) {
	if _, there := (*n)[name]; there {
		return false, true
	}
	if len(*n) >= maxNames {
		return true, false
	}
	if *n == nil {
		*n = names{}
	}
	(*n)[name] = struct{}{}
	return true, true
}

// met counts a damaged record, by its name.
func (d *damages) met(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isNew, _ := d.counted.add(name); isNew {
		d.count++
	}
}

// tell logs what is wrong with something.
func (d *damages) tell(log *slog.Logger, name, what string) {
	d.mu.Lock()
	isNew, room := d.told.add(name)
	d.mu.Unlock()
	if isNew && room {
		log.Error("damage in the store", "at", name, "err", what)
	}
}

func (d *damages) total() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// IsDamaged reports whether an error is of a record that is there, or has to
// be, and cannot be what was written. It is the same at each attempt.
func IsDamaged(err error) bool {
	_, ok := errors.AsType[*CorruptError](err)
	return ok
}

// scanWhole is scan over the records of a list that ends in numbers, which
// leaves out what is damaged: it is counted and told, and the rest is a list
// still. f may call a record damaged by its error.
func (s *Store) scanWhole(prefix []byte, from uint64, f func(key, value []byte) (more bool, err error)) error {
	end := prefixEnd(prefix)
	for {
		last, err := s.scanUpTo(&pebble.IterOptions{LowerBound: appendUint64(prefix, from), UpperBound: end}, (*pebble.Iterator).First, (*pebble.Iterator).Next, f, from)
		if !IsDamaged(err) {
			return err
		}
		next, ok := nearestReadable(last, math.MaxUint64, func(n uint64) bool {
			return s.readable(&pebble.IterOptions{LowerBound: appendUint64(prefix, n), UpperBound: end}, (*pebble.Iterator).First)
		})
		s.noteRegion(prefix, last, next, ok)
		if !ok {
			return nil
		}
		from = next
	}
}

// scanBackWhole is scanBack in the same way.
func (s *Store) scanBackWhole(kind byte, before uint64, f func(key, value []byte) (more bool, err error)) error {
	prefix := []byte{kind}
	for {
		o := &pebble.IterOptions{LowerBound: prefix, UpperBound: prefixEnd(prefix)}
		if before != 0 {
			o.UpperBound = appendUint64(prefix, before)
		} else {
			before = math.MaxUint64
		}
		last, err := s.scanUpTo(o, (*pebble.Iterator).Last, (*pebble.Iterator).Prev, f, before)
		if !IsDamaged(err) {
			return err
		}
		next, ok := nearestReadable(last, 0, func(n uint64) bool {
			return s.readable(&pebble.IterOptions{LowerBound: prefix, UpperBound: appendUint64(prefix, n)}, (*pebble.Iterator).Last)
		})
		s.noteRegion(prefix, next, last, true)
		if !ok || next == 0 {
			return nil
		}
		before = next
	}
}

// scanUpTo hands records to f, but for those that are damaged by themselves,
// and returns the number of the last one that was reached; at first that is
// begin. An error that is of damage is of what lies beyond it.
func (s *Store) scanUpTo(o *pebble.IterOptions, start, step func(*pebble.Iterator) bool, f func(key, value []byte) (bool, error), begin uint64) (last uint64, err error) {
	last = begin
	err = s.iterate(s.db, o, start, step, func(it *pebble.Iterator) (more bool, err error) {
		last = lastNumber(it.Key())
		sealed, err := it.ValueAndErr()
		if err != nil {
			return false, s.readError(err)
		}
		value, _, err := s.unseal(it.Key(), sealed)
		if err == nil {
			more, err = f(it.Key(), value)
		}
		if damaged, ok := errors.AsType[*CorruptError](err); ok {
			s.damages.tell(s.log, damaged.Key, damaged.What)
			return true, nil
		}
		return more, err
	})
	return last, err
}

// noteRegion tells of a region of a list that cannot be read, between two
// numbers.
func (s *Store) noteRegion(prefix []byte, from, to uint64, bounded bool) {
	end := "its end"
	if bounded {
		end = keyName(appendUint64(prefix, to))
	}
	name := fmt.Sprintf("%s to %s", keyName(appendUint64(prefix, from)), end)
	s.damages.met(name)
	s.damages.tell(s.log, name, "cannot be read, and is left out; 'triggerd store verify' lists all that is damaged")
}

// readable reports whether an iterator can stand where start puts it.
func (s *Store) readable(o *pebble.IterOptions, start func(*pebble.Iterator) bool) bool {
	it, err := s.db.NewIter(o)
	if err != nil {
		return false
	}
	if start(it) {
		_, err = it.ValueAndErr()
	}
	return errors.Join(err, it.Error(), it.Close()) == nil
}

// nearestReadable returns the number nearest to n, in the direction of limit,
// from which on records can be read: first by steps that double, then by halves.
// ok is false if there is none before limit.
func nearestReadable(n, limit uint64, readable func(n uint64) bool) (next uint64, ok bool) {
	room, at := limit-n, func(step uint64) uint64 { return n + step }
	if limit < n {
		room, at = n-limit, func(step uint64) uint64 { return n - step }
	}
	hi := uint64(1)
	for hi <= room && !readable(at(hi)) {
		if hi > room/2 {
			return 0, false
		}
		hi *= 2
	}
	if hi > room {
		return 0, false
	}
	lo := hi / 2 // not readable, or 0
	for lo+1 < hi {
		if mid := lo + (hi-lo)/2; readable(at(mid)) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return at(hi), true
}

// appendUint64 appends a number to a prefix, which it leaves as it is.
func appendUint64(prefix []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(prefix), n)
}

// lastNumber returns the number that a key ends in.
func lastNumber(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}
