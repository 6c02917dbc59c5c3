package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"runtime"
	"time"
)

// What tests outside of the package need of its inside.

const FormatVersion = formatVersion

func (o Options) Verify(dir string) (*Report, error)       { return o.verify(dir) }
func (o Options) Salvage(dir, out string) (*Report, error) { return o.salvage(dir, out) }

// AsUser has files that belong to who runs the tests be another's, until the
// function that it returns is called.
func AsUser(id int) (restore func()) {
	before := userID
	userID = func() int { return id }
	return func() { userID = before }
}

// Maintain is a tick of Run.
func (s *Store) Maintain(now time.Time) error { return s.maintain(now) }

// Flush turns what is in memory into a table file.
func (s *Store) Flush() error { return s.guard(s.db.Flush) }

// SetValue sets a record to bytes without a right checksum.
func (s *Store) SetValue(key, value []byte) error { return s.db.Set(key, value, nil) }

// JobKey is the key of a job.
func JobKey(seq uint64) []byte { return appendNumberKey(nil, kindJob, seq) }

// DeadKey and SettledKey are those of a dead letter and of a settled delivery.
func DeadKey(number uint64) []byte    { return appendNumberKey(nil, kindDead, number) }
func SettledKey(number uint64) []byte { return appendNumberKey(nil, kindSettled, number) }

// CheckpointLine is the text of the file beside the database.
func CheckpointLine(count uint64, position string) string {
	return sidecarLine{formatVersion, count, standalone(position)}.text()
}

// Seal makes a line of any text.
func Seal(line string) string { return line + " " + checksum(line+" ") + "\n" }

// ParseLine reads such a line.
func ParseLine(text string) (version uint32, count uint64, position, what string) {
	l, what := parseSidecar(text)
	return l.version, l.count, l.positions[Standalone], what
}

// Lows returns from where an iteration over an endpoint's jobs begins at least.
func (s *Store) Lows(endpoint string) uint64 { return s.lows.get(endpoint) }

// SealValue appends the checksum that a record has.
func SealValue(key, value []byte) []byte { return seal(key, value) }

// StartFlush is Flush without waiting for its end.
func (s *Store) StartFlush() error {
	return s.guard(func() error {
		_, err := s.db.AsyncFlush()
		return err
	})
}

// CountLetters does what Run does first.
func (s *Store) CountLetters(ctx context.Context) { s.countLetters(ctx) }

// AwaitKept waits until Run has begun.
func (s *Store) AwaitKept() {
	for s.kept.Load() == nil {
		runtime.Gosched()
	}
}

// SealVersion is SealValue for any version but 0.
func SealVersion(key, value []byte, version byte) []byte {
	value = append(value, version)
	return binary.LittleEndian.AppendUint32(value, ^checksumOf(key, value))
}

// Value returns what the database has for a key.
func (s *Store) Value(key []byte) []byte {
	v, closer, err := s.db.Get(key)
	if err != nil {
		return nil
	}
	defer closer.Close()
	return bytes.Clone(v)
}
