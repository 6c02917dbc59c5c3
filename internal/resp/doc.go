// Package resp reads and writes the Redis serialization protocol as it is
// spoken on a replication link, and counts every byte it consumes.
//
// A Reader is fed by a connection and serves the three things a link carries,
// in whatever chunks they arrive: the lines of the handshake (ReadLine), the
// raw bytes of a snapshot (Read, or Buffered, Fill and Discard where the end
// has to be searched for), and replicated commands, as arrays of bulk strings
// or as inline commands (ReadCommand).
//
//	r := resp.NewReader(conn, resp.Limits{})
//	for {
//		args, err := r.ReadCommand() // borrowed until the next call
//		...
//		offset := r.Offset()         // just after the command's last byte
//	}
//
// Nothing is allocated for a length that the wire only promises: the buffer
// grows as bytes arrive, and every length has a limit. A violation is a
// *ProtocolError with the offset of the wrong byte.
//
// The protocol is described at https://redis.io/docs/latest/develop/reference/protocol-spec/;
// inline commands follow sdssplitargs in the server's sds.c.
package resp
