// Package store is what triggerd keeps on disk: one directory, used by one
// process at a time, in which nothing that was committed is lost.
//
// It holds jobs (firings that wait), the checkpoint from which the next start
// resumes each stream, dead letters, settled deliveries for listings, and
// ordered maps for other needs, the spaces, of which most belong to a stream.
// All are changed by batches, which take effect together or not at all:
//
//	b := s.NewBatch()
//	b.Enqueue(store.Job{Endpoint: "crm", Lane: lane, ID: id, Born: now, Payload: payload})
//	b.Put(store.Mirror(store.Standalone), key, value)
//	b.SetCheckpoint(store.Standalone, "8d1f4c40:851576/0")
//	first, err := b.Commit() // nil: both are on disk
//
// A scheduler keeps seq and lane of what is pending, as Pending yields them
// without reading a payload, calls Load when a job's turn comes, and then
// Settle, Retry or Bury. These do not wait for the disk: a crash may undo the
// last of them, so that a job is delivered again, but none is lost and none
// comes back once a later durable batch was committed.
//
// Positions, payloads, lanes and names are opaque bytes to this package. So are
// the entries of spaces.
//
// # What is promised
//
// After a crash or a power cut, at any moment, every batch whose Commit
// returned nil is there as a whole. Every record carries a checksum of its own
// beside those of the engine; what is damaged is an error that names it, and
// never a record less. The one exception are the last commits before a crash,
// where damage cannot be told from a write that was cut short: LostTail tells
// if they had been noted as durable, which is done once a second.
//
// A store whose disk misbehaves fails as a whole: all calls return the reason,
// and so does Run. Only a new process can tell what is on disk.
//
// # The directory
//
//	LOCK        held by the process that has the directory open
//	checkpoint  a line of text: format version, count of durable commits, checkpoints, checksum
//	ballast     64 MiB to free when the disk is full
//	db/         a pebble database (docs/adr/0002-pebble.md)
//
// Keys begin with a letter for their kind, numbers are big-endian, and a value
// ends with a byte for the version of its record and a CRC-32C of its key and
// itself. key.go lists the kinds and draws that; the file of each says what its
// fields are.
//
// A directory that an earlier program wrote is opened as it is: its records are
// read in the version that they have (docs/adr/0006-records-say-their-version.md).
// A change of what is kept is a new kind of record, or a new version of one in
// the table beside the kinds, with a reader for each that was ever written. What
// a later program wrote is ErrNewer, at the start or where it is met.
package store
