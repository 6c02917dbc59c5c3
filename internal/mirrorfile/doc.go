// Package mirrorfile keeps a mirror of keys in files: a base, which has all of
// it, and deltas, each of which has what changed after the file before.
//
// What a mirror is made of is opaque to this package: blocks of bytes, which are
// read in the order in which they were written. A file is written once, by a
// Writer in a goroutine of its own, and counts when a File of it was returned,
// and somebody has noted that File where it outlives the machine: a list of them
// is a state. A file that is in no list is garbage, which Writer.Keep removes.
//
//	w := mirrorfile.NewWriter(disk.System, mirrorfile.Dir(dataDir, stream), log, told)
//	go w.Run(ctx)
//
//	w.Begin(base)
//	next := w.Add(block)           // never waits; next is memory to use again
//	w.End(meta)
//	f, err := w.Wait(ctx)          // or w.Poll(), now and then: the file is on disk
//	...                            // note f durably
//	w.Keep([]mirrorfile.File{f}, f.Number)
//
//	meta, err := mirrorfile.Read(dir, f, func(block []byte) error { ... })
//
// # A file
//
// Its name is its number in hexadecimal: "00000000000000a3.mirror". Numbers are
// big-endian.
//
//	header  magic "triggerd", "mirror\n"; uint16 version; uint8 kind, 1: base, 2: delta
//	        uint64 number; uint32 crc32c of all that
//	block   uint32 length, not 0; uint32 crc32c; the block
//	footer  uint32 0; uint32 length; uint32 crc32c; that many bytes:
//	        uvarint blocks, uvarint bytes of all, uint32 sum, and what Meta has, as texts
//
// The crc of a block is over the number of the file, that of the block, and its
// bytes, so that no block passes for another. The sum is the crc32c of all these
// crcs. A File has it too, so that a list names exactly these bytes.
//
// A file without its footer, or with anything behind it, is not whole. What a
// later version wrote is ErrNewer.
package mirrorfile
