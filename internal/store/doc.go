// Package store is what triggerd keeps on disk: one directory, used by one
// process at a time.
//
// At present it holds the checkpoint only: the position up to which everything
// has been delivered or given up, from which the next start resumes. The
// position is an opaque word to this package.
//
// The checkpoint is a text file of one line,
//
//	triggerd 1 <position> <crc32c of all before it, in hexadecimal>
//
// and is replaced as a whole: written beside, synced, renamed. A file that is
// damaged or of a later format is an error that says so, never a fresh start.
package store
