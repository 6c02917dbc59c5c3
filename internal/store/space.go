package store

import (
	"fmt"
	"iter"
)

// Standalone is the name of the stream of a process that follows one server.
// Its keys do not have a stream's name in them, as all keys were before streams
// had names.
const Standalone = "standalone"

// Space is an ordered map that is kept beside the jobs and changed in the same
// batches. Most spaces belong to a stream, which has a name of 1 to MaxName
// bytes. Spaces can be compared. Making one allocates, so keep it where it is
// used often. The zero value is no space.
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
	letterCancels = 'c'
	streamLetters = "met"
)

// isShared reports whether a letter is of a space that belongs to no stream.
func isShared(letter byte) bool {
	return letter == letterPauses || letter == letterHolds || letter == letterCancels
}

// Pauses has what is paused, and since when.
var Pauses = Space{prefix: string([]byte{kindSpace, letterPauses})}

// Holds has until when endpoints asked to be left alone. It belongs to no stream.
var Holds = Space{prefix: string([]byte{kindSpace, letterHolds})}

// Cancels has who has cancelled jobs that are being attempted, by the number of
// the job. It belongs to no stream.
var Cancels = Space{prefix: string([]byte{kindSpace, letterCancels})}

// isLittle reports whether a space never has more than a few short entries, for
// which a full store has room.
func (s Space) isLittle() bool { return s == Holds || s == Cancels }

// Mirror has a stream's keys and values as an earlier version kept them.
func Mirror(stream string) Space { return streamSpace(stream, letterMirror) }

// Timers has what rules with time fields count and wait for in a stream.
func Timers(stream string) Space { return streamSpace(stream, letterTimers) }

// State has what is true of a stream, and of its other spaces as a whole.
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

// Scan iterates over the entries of a space from the key from on and before the
// key to, in the order of their bytes. A nil to is the end of the space. The
// entry's bytes are valid until the next entry is asked for. If there is an
// error, it is the last that is yielded.
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

// end returns the key of to, or the first key after the space if to is nil.
func (s Space) end(to []byte) []byte {
	if to == nil {
		return prefixEnd([]byte(s.prefix))
	}
	return appendSpaceKey(nil, s, to)
}
