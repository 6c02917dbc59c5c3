// Package rdb reads the snapshots (dump.rdb) of Redis and Valkey servers, from
// a file or from the replication link while it arrives. It knows every format
// from RDB version 1 of 2009 to Redis 8.10's version 15 and Valkey 9's 80 and
// 81, except for two things of version 15, at which it says so: hashes that
// share their field names, and rate limiters.
//
//	r := rdb.NewReader(f)
//	for {
//		e, err := r.Next()
//		if err == io.EOF {
//			break // the whole snapshot was read and its checksum is right
//		}
//		if err != nil {
//			return err
//		}
//		if !bytes.HasPrefix(e.Key, []byte("user:")) {
//			continue // the value is walked over, not decoded
//		}
//		fmt.Printf("%d %s %s\n", e.DB, e.Type, e.Key)
//	}
//
// # What a snapshot looks like
//
//	"REDIS" 4 digits | "VALKEY" 3 digits           magic and version
//	0xFA name value ...                            aux fields: redis-ver, repl-id, repl-offset, ...
//	0xF5 code ...                                  function libraries; 0xF7 module data beside the keys
//	0xFE db  0xFB keys expires                     one database begins
//	  [0xFC ms][0xF8 idle | 0xF9 freq][0xF3 meta]  what is known of the next key
//	  type key value                               one key
//	  ...
//	0xFF  crc64                                    the end; eight bytes of checksum from version 5 on
//
// A value is a run of length-prefixed strings, or one string that is itself a
// compact structure (ziplist, listpack, intset, zipmap); either may be LZF
// compressed. There is no length in front of a whole value: one that is not
// wanted has to be walked, and one of an unknown type ends the reading.
//
// # What is promised
//
// The reader streams. It holds two buffers of 128 KiB, while a string larger than
// that is read, that string, and, with Reader.Strict, while a set, hash or zset is
// read, up to 16 MiB to look for duplicates; a collection of a hundred million members needs no more
// memory than one of a million. All input is taken to be
// hostile: lengths are never believed before the bytes are there, every
// structure is checked against its own bounds and counts, and whatever is wrong
// is a *SyntaxError with offset and key. io.EOF comes only after the end mark
// and a right checksum (or where the file has none: version 4 and before, or a
// server with rdbchecksum no).
//
// What servers refuse is refused, with their default settings, by those of the
// family that wrote the file, from Redis 7.0 on: testdata/crafted.json has what
// they say to files that no server writes. So a small hash, set or zset in a
// listpack may have a member twice, of which a server's commands find the first;
// Valkey 9 refuses that too. A collection without elements is no key. Members
// that are there twice, and pending entries without their group, are looked for
// only with Reader.Strict, since that takes time.
//
// Two things that a server refuses are not always seen, because seeing them
// takes memory that grows with the file: a key that is there twice (it is seen
// among the first 65,536 keys), and a member that is there twice in one value (it
// is seen among the first 1,048,576). A value that is passed over is not looked
// into at all. And one thing that servers take is refused: stream nodes that are
// not in order, which would have to be sorted.
//
// A Reader starts no goroutine and may be used by one goroutine at a time.
// Nothing of the input is copied without need: every slice says how long it is
// valid.
//
// # Where the format is defined
//
// rdb.h and rdb.c of redis and valkey, listpack.c, ziplist.c, intset.c,
// zipmap.c, lzf_d.c, and t_stream.c for what is inside a stream's listpacks.
package rdb
