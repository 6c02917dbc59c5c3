// Package delivered keeps deliveries that were made, whole, in files of a
// directory, as many as a limit of bytes allows. The oldest go first.
//
//	log, err := delivered.Open(delivered.Options{Dir: dir, Limit: 256 << 20, Logger: slog.Default()})
//	log.Add(&delivered.Record{Head: delivered.Head{Seq: 4711, Endpoint: "target/crm", ID: id}, Payload: payload})
//	log.Flush()
//
//	for r, err := range log.Latest(ctx, delivered.Query{Seqs: []uint64{4711}}) { … }
//
// A delivery that is lost here is only missing from a list. So nothing is
// synced, nobody waits for the log, and it gives way to everything else: Shrink
// removes files at once when somebody needs the space, a write that fails loses
// what it would have written, and what is damaged is left out. All of that is
// told and counted.
//
// # Files
//
// The directory has segments, which are named by the number of their first
// record in 20 digits, with the ending ".dlv". A segment is never changed after
// the next one was begun, and is removed as a whole.
//
//	segment = magic (8 bytes) record…
//	record  = length of body (4, little-endian) CRC-32C of body (4) body
//	body    = version (1) number (8) seq (8) at (8) born (8) lane (8) attempts
//	          endpoint id event key status                    texts
//	          count (attempt)… request payload               texts, opaque here
//
// Numbers of 8 bytes are big-endian, times are milliseconds since 1970, others
// are uvarints. A text is its length as a uvarint and its bytes. A process that
// is killed leaves at most one record that is cut short, at the end of the
// newest segment; the next process removes it.
//
// A change of what is kept is a new version of the body, with a reader for each
// version that was ever written (docs/adr/0006-records-say-their-version.md).
package delivered
