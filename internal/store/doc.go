// Package store keeps on disk what triggerd must not lose: one directory, used
// by one process at a time, in which everything that was committed stays.
//
// It holds jobs (firings that wait), for each stream the checkpoint from which
// the next start resumes, dead letters, settled deliveries for listings, and
// spaces: ordered maps for other needs, most of which belong to a stream. All
// are changed by batches, which take effect as a whole or not at all:
//
//	b := s.NewBatch()
//	b.Enqueue(store.Job{Endpoint: "crm", Lane: lane, ID: id, Born: now, Payload: payload})
//	b.Put(store.Timers(store.Standalone), key, value)
//	b.SetCheckpoint(store.Standalone, "8d1f4c40:851576/0")
//	first, err := b.Commit() // nil: both are on disk
//
// A scheduler remembers seq and lane of each pending job, which Pending yields
// without reading payloads. It calls Load when a job's turn comes, and then
// Settle, Retry or Bury. These do not wait for the disk. A crash may undo the
// last of them, and then a job is delivered again. But none is lost, and none
// comes back once a later durable batch was committed.
//
// Positions, payloads, lanes and names are opaque bytes to this package. So are
// the entries of spaces.
//
// # What is promised
//
// After a crash or a power cut, every batch whose Commit returned nil is there
// as a whole. Every record has a checksum of its own beside those of the
// engine. A damaged record is an error that names it; it is never silently
// missing. There is one exception: in the last commits before a crash, damage
// cannot be told from a write that was cut short. LostTail reports if these
// commits had been noted as durable, which is done once a second.
//
// A store whose disk misbehaves fails as a whole: all calls return the reason,
// and so does Run. Only a new process can find out what is on disk.
//
// # The directory
//
//	LOCK        held by the process that has the directory open
//	checkpoint  a line of text: format version, count of durable commits, checkpoints, checksum
//	ballast     64 MiB to free when the disk is full
//	db/         a pebble database (docs/adr/0002-pebble.md)
//	state/      files with values of keys, see internal/mirrorfile; the space State names them
//	spool/      what was received, see internal/spool
//
// A key begins with a letter for its kind. Numbers are big-endian. A value ends
// with a byte for the version of its record, and a CRC-32C of its key and
// itself. key.go lists the kinds and draws that; the file of each kind says
// what its fields are.
//
// A directory that an earlier program wrote is opened as it is: its records are
// read in the version that they have
// (docs/adr/0006-records-say-their-version.md). A change of what is kept is a
// new kind of record, or a new version of a kind, with a reader for each
// version that was ever written. What a later program wrote is ErrNewer, at the
// start or where it is met.
package store
