package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// formatRecord is the value of the key "v": the format version, and for each
// kind of record that may be there its letter and latest version, two bytes
// each. Format 2 has no such list.
type formatRecord struct {
	version uint32
	kinds   []byte
}

// ownFormat returns the format record that this program writes.
func ownFormat() formatRecord {
	f := formatRecord{version: formatVersion}
	for i := range len(kinds) {
		f.kinds = append(f.kinds, kinds[i], versions[kinds[i]])
	}
	return f
}

func (f *formatRecord) append(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, f.version), f.kinds...)
}

func (f *formatRecord) parse(b []byte) bool {
	r := newValueReader(b)
	f.version = r.Uint32()
	f.kinds = bytes.Clone(r.Rest())
	return r.Err() == nil && f.version >= 1 && (f.version > formatVersion || len(f.kinds)%2 == 0)
}

// newer returns an ErrNewer if the store may have something that this program
// does not know.
func (f *formatRecord) newer() error {
	if f.version > formatVersion {
		return newerError(fmt.Sprintf("format %d, this one knows up to %d", f.version, formatVersion))
	}
	for i := 0; i < len(f.kinds); i += 2 {
		switch kind, version := f.kinds[i], f.kinds[i+1]; {
		case !knownKind(kind):
			return newerError(fmt.Sprintf("with records of the kind %q, which this one does not know", kind))
		case version > versions[kind]:
			return newerError(fmt.Sprintf("with records of the kind %q in version %d, of which this one knows up to %d", kind, version, versions[kind]))
		}
	}
	return nil
}

func newerError(what string) error {
	return fmt.Errorf("%w (%s): run that version or a later one, or choose another directory", ErrNewer, what)
}

// newerRecord returns an ErrNewer for a single record.
func newerRecord(key []byte, version byte) error {
	return fmt.Errorf("%s: %w", keyName(key), newerError(fmt.Sprintf("record version %d, this one knows up to %d", version, versions[key[0]])))
}

// readFormat returns the format record. It refuses what a later program wrote,
// and makes an empty database one of this format.
func (s *Store) readFormat() (formatRecord, error) {
	f, err := s.formatRecord()
	if errors.Is(err, ErrNotFound) {
		return ownFormat(), s.format()
	}
	if err == nil {
		err = f.newer()
	}
	if err == nil {
		err = s.findUnknown()
	}
	return f, err
}

// checkNewer returns an ErrNewer if a later program wrote the store.
func (s *Store) checkNewer() error {
	if f, err := s.formatRecord(); err == nil {
		return f.newer()
	}
	return nil
}

func (s *Store) formatRecord() (f formatRecord, err error) {
	return f, s.get([]byte{kindFormat}, f.parse)
}

// format makes an empty database one of this format.
func (s *Store) format() error {
	err := s.scanKeys(nil, nil, func(key []byte) error {
		return s.corrupt([]byte{kindFormat}, "it is missing from a database that has records")
	})
	if err != nil {
		return err
	}
	s.next = commitRecord{nextJob: 1, nextSettled: 1, nextDead: 1}
	b := s.NewBatch()
	b.setFormat()
	_, err = b.Commit()
	return err
}

func (b *Batch) setFormat() {
	own := ownFormat()
	b.key, b.value, b.durable = append(b.key[:0], kindFormat), own.append(b.value[:0]), true
	b.setSealed()
}

// upgrade makes a store that an earlier program wrote one of this program's, by
// one commit, whatever the store holds. Its records stay as they are, since
// each says its own version. earlier is the checkpoint that was part of the
// commit record; "": it was not.
func (s *Store) upgrade(had formatRecord, earlier string) error {
	own := ownFormat()
	if had.version == own.version && bytes.Equal(had.kinds, own.kinds) {
		return nil
	}
	b := s.NewBatch()
	b.setFormat()
	if earlier != "" {
		b.SetCheckpoint(Standalone, earlier)
	}
	if _, err := b.Commit(); err != nil {
		return err
	}
	s.log.Info("the store was written by an earlier triggerd, which does not open it any more from now on", "path", s.dir, "format", had.version, "now", own.version)
	return nil
}

// unknownRanges calls f for each range of keys between those of known kinds,
// until f returns an error. A nil end is the end of all keys.
func unknownRanges(f func(from, end []byte) error) error {
	from := []byte{}
	for i := range len(kinds) {
		if end := []byte{kinds[i]}; string(from) < string(end) {
			if err := f(from, end); err != nil {
				return err
			}
		}
		from = []byte{kinds[i] + 1}
	}
	return f(from, nil)
}

// findUnknown returns an error if there is a record of an unknown kind that the
// format record should have listed.
func (s *Store) findUnknown() error {
	return unknownRanges(func(from, end []byte) error {
		return s.iterate(s.db, &pebble.IterOptions{LowerBound: from, UpperBound: end}, (*pebble.Iterator).First, (*pebble.Iterator).Next, func(it *pebble.Iterator) (bool, error) {
			sealed, err := it.ValueAndErr()
			if err != nil {
				return false, s.readError(err)
			}
			return false, s.describeUnknown(it.Key(), sealed)
		})
	})
}

// describeUnknown returns the error for a record of an unknown kind.
func (s *Store) describeUnknown(key, sealed []byte) error {
	if _, version, ok := unseal(key, sealed); ok {
		return fmt.Errorf("%s: %w", keyName(key), newerError(fmt.Sprintf("a record of version %d of a kind that this one does not know", version)))
	}
	return s.corrupt(key, "its kind is not known, and its checksum is wrong")
}
