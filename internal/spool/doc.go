// Package spool keeps what a server has sent until it is dealt with.
//
// A Log is a queue of bytes between the goroutine that receives them and the
// one that reads them, with the times at which they came and marks where a link
// was attached and lost. What was received last is in memory. With a directory
// it is in files too, so that a reader that falls behind makes nobody wait, and
// the next process goes on with what this one had not dealt with.
//
//	log, err := spool.Open(spool.Options{Dir: dir})
//	go log.Run(ctx)                                         // writes the files
//
//	log.Mark(spool.Mark{Kind: spool.Attached, Place: place}) // who receives
//	b, err := log.Room(ctx)
//	n, err := conn.Read(b)
//	log.Append(n, time.Now())
//
//	r := log.NewReader(at)                                  // who reads
//	n, err := r.Read(p)                                     // ErrMark: see r.Mark
//
//	log.Trim(at)                                            // what is before at may go
//
// # Addresses
//
// An Address is a place in the log. It rises by one for each byte and for each
// mark, over every history that a server may have, and is never used again.
// Find tells the address of a Place, which is an offset in a history.
//
// # What is kept
//
// Run writes what was appended within some milliseconds, and syncs it once a
// second, and when Sync asks for it: what is before Written outlives the
// process, and what is before Synced the machine. Trim says what is no longer
// needed. Where the files have reached Options.Limit, or the disk is full, Room
// waits for as long as the reader is behind: nothing that was not read is ever
// dropped. Once the reader has read all of it, and nothing was trimmed for a
// second, the oldest goes though it was not trimmed, which is told and counted: a
// server is not made to wait for a past that it has itself.
//
// A file cannot be synced, or a write fails for another reason than want of
// space: then the log has failed, and everything returns that error.
//
// # Files
//
// The directory has segments, named by the address of their first byte in
// hexadecimal: "00000000000012d7.spool". Numbers are big-endian.
//
//	segment  header, frames
//	header   magic "triggerd", "spool\n"; uint16 version; uint8 codec, 0: none; uint8 flags: 1 attached, 2 place known
//	         uint64 address of the first frame; int64 time; int64 offset there; int64 database there, -1: not known
//	         uint8 length of the replication ID, and 64 bytes for it; uint32 crc32c of all that
//	frame    uint32 length of what follows the crc; uint32 crc32c of it
//	         uint64 address; uint8 kind; int64 time of the first byte
//	         kind 1, bytes:    uvarint reads, and for each uvarint bytes, uvarint time since the one before; the bytes
//	         kind 2, attached: uint8 flags: 1 full, 2 back; varint offset; varint database; the replication ID
//	         kind 3, detached: nothing
//	         kind 4, renamed:  varint offset; varint database; the replication ID
//
// Times are microseconds since 1970. A frame says its address, so that what a
// file held before it was used again is not taken for a part of it. Open reads
// all frames. In the last segment the first that is wrong is where the log
// ends; in any other it is damage, and the log goes on with the next segment:
// reading what lies between is an error with the file and the place.
//
// A segment says where it begins, by address and by place, so that it can be
// read without those before it. A later version may compress the bytes of a
// frame (codec), and keep segments as history beside a state of the same
// address.
package spool
