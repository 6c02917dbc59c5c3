package store

import (
	"fmt"
	"iter"
)

// Standalone is the name of the stream of a process that follows one server.
// Its entries have keys without a name, as all had before streams had names.
const Standalone = "standalone"

// Space is one of the ordered maps that are kept along with the jobs and
// changed in the same batches. Most belong to a stream, which is known by its
// name, 1 to MaxName bytes. Spaces can be compared; make one once where it is
// used often. The zero value is none.
type Space struct{ prefix string }

// spaceOverhead is how much longer the prefix of a stream's space is than the
// stream's name.
const spaceOverhead = 1 + 2 + 1

// The letters of spaces in keys.
const (
	letterMirror  = 'm'
	letterTimers  = 't'
	letterState   = 'e'
	letterPauses  = 'p'
	letterHolds   = 'h'
	streamLetters = "met"
)

// Pauses is what is paused, since when.
var Pauses = Space{prefix: string([]byte{kindSpace, letterPauses})}

// Holds has until when endpoints asked to be left alone. It belongs to no stream.
var Holds = Space{prefix: string([]byte{kindSpace, letterHolds})}

// Mirror has the values of a stream's keys, to tell before from after.
func Mirror(stream string) Space { return streamSpace(stream, letterMirror) }

// Timers has what time rules wait for in a stream.
func Timers(stream string) Space { return streamSpace(stream, letterTimers) }

// State has what is true of a stream and of its other spaces as a whole.
func State(stream string) Space { return streamSpace(stream, letterState) }

func streamSpace(stream string, letter byte) Space {
	if stream == Standalone {
		return Space{prefix: string([]byte{kindSpace, letter})}
	}
	return Space{prefix: string(append(appendName(nil, kindStream, stream), letter))}
}

// Entry is an entry of a space.
type Entry struct{ Key, Value []byte }

// Get returns the value of a space's key, or ErrNotFound. The caller owns it.
func (s *Store) Get(space Space, key []byte) (value []byte, err error) {
	err = s.get(appendSpaceKey(nil, space, key), func(v []byte) bool {
		value = append([]byte{}, v...)
		return true
	})
	return value, err
}

// Scan iterates over the entries of a space whose keys are at least from and
// less than to, in the order of their bytes; a nil to is the end of the space.
// The entry's bytes are valid until the next one is asked for. An error is the
// last of what it yields.
func (s *Store) Scan(space Space, from, to []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		err := s.scan(appendSpaceKey(nil, space, from), space.end(to), func(key, value []byte) (bool, error) {
			return yield(Entry{key[len(space.prefix):len(key):len(key)], value}, nil), nil
		})
		if err != nil {
			yield(Entry{}, fmt.Errorf("entries: %w", err))
		}
	}
}

// end is the key of to, or the first behind the space if that is nil.
func (s Space) end(to []byte) []byte {
	if to == nil {
		return prefixEnd([]byte(s.prefix))
	}
	return appendSpaceKey(nil, s, to)
}
