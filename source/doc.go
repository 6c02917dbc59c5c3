// Package source turns a Redis or Valkey server into a resumable stream of
// records: the keys of a snapshot and every command that the server replicates.
//
// A Replica attaches to a server as a replica does (PSYNC). It connects with
// TLS and passwords, does the handshake of every server version since 2.8,
// handles full and partial resyncs, SELECT, transactions, acknowledgements and
// timeouts, and reconnects with backoff. A Recording reads the same records
// from files.
//
//	src, err := source.NewReplica(source.Config{URL: "redis://127.0.0.1:6379"})
//	for rec, err := range src.Records(ctx, position, nil) {
//		...                     // rec is borrowed until the next one
//		if !rec.Pos.IsZero() {
//			src.Ack(rec.Pos)    // once everything up to here is safe
//		}
//	}
//
// # Receiving and reading
//
// A goroutine of its own has the link, and does nothing but receive: what comes
// goes into a spool (internal/spool), from which Records reads. So whoever takes
// its time over a record keeps no server waiting. With Config.Spool in files the
// next process reads what this one had not handed out, with the times at which it
// came, and asks the server for what comes behind that. A link goes on at any
// byte, inside a command or a transaction too.
//
// While a server sends without a pause the link is read every millisecond, so that
// the goroutines are woken for much. A Consumer that is a Preparer is told of the
// commands that were received together, before the first of them is handed out.
//
// Where a link was attached and lost is told in its place among the commands. The
// snapshot of a full resync is read from the link itself, once all before it is
// handed out. Bytes that are no command are received again; reading goes on
// where the spool goes back to the last good position.
//
// # Positions
//
// A Position is a replication ID, an offset, and the database that is selected
// at that offset. The database is part of it because a server does not repeat
// SELECT after a partial resync. Offsets count every byte of the stream, and
// are exact. Inside a transaction only the last record has a position: reading
// cannot resume in the middle of a transaction.
//
// # Nothing is skipped silently
//
// After a disconnect reading resumes at the last position. If the server no
// longer has what came after it, a SnapshotEnd record says which offsets were
// missed. A snapshot that cannot be parsed is counted and logged, the rest of
// it is read and dropped, and the stream goes on. A stream that cannot be
// parsed is an error with its offset, and leads to a new connection.
//
// # Transactions
//
// The commands of MULTI/EXEC, of a script or of a function are held until EXEC.
// Then each is handed out with its number and their count. The commands of a
// transaction larger than Config.MaxTransaction are handed out as they arrive,
// with a count of 0.
//
// The protocol is that of replication.c in the servers' source.
package source
