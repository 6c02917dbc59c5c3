// Package source turns a Redis or Valkey server into a resumable stream of
// records: the keys of a snapshot and every command that the server replicates.
//
// A Replica attaches to a server as a replica does (PSYNC) and hides all that
// comes with it: connecting with TLS and passwords, the handshake of every
// version since 2.8, full and partial resynchronization in both framings,
// SELECT, transactions, acknowledgements, timeouts, and reconnecting with
// backoff. A Stream reads the same records from a recording.
//
//	src, err := source.NewReplica(source.Config{URL: "redis://127.0.0.1:6379"})
//	for rec, err := range src.Records(ctx, position, nil) {
//		...                     // rec is borrowed until the next one
//		if !rec.Pos.IsZero() {
//			src.Ack(rec.Pos)    // once everything up to here is safe
//		}
//	}
//
// # Positions
//
// A Position is a replication ID, an offset and the database that is selected
// there: after a partial resync the server does not repeat SELECT, so the three
// belong together. Offsets count every byte of the stream, and are exact. A
// record inside a transaction has no position but the last: to resume in the
// middle of a transaction is not possible.
//
// # Nothing is skipped silently
//
// After a disconnect the stream goes on from the last position. Where the
// server no longer has what came after it, a SnapshotEnd record says which
// offsets were missed. A snapshot that cannot be parsed is drained by its
// framing, counted and logged, and the stream goes on; a stream that cannot be
// parsed is an error with its offset, and a new connection.
//
// # Transactions
//
// The commands of MULTI/EXEC, of a script or a function, are held until EXEC
// and then handed out with their number and count. One that is larger than
// Config.MaxTransaction is handed out as it arrives, with a count of 0.
//
// The protocol is that of replication.c in the servers' source.
package source
