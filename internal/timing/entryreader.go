package timing

import "triggerd/internal/wire"

// entryReader reads entries of the durable form.
type entryReader struct{ wire.Cursor }

func newEntryReader(b []byte) entryReader { return entryReader{wire.NewCursor(b)} }

// count reads a varint that counts something.
func (in *entryReader) count() int {
	n := in.Varint()
	if n < 0 || n > 1<<53 {
		in.Reject()
		return 0
	}
	return int(n)
}

// key reads a text of at most maxKey bytes, or a shortened key.
func (in *entryReader) key() string {
	text := in.Bytes()
	if len(text) > maxKey+1 {
		in.Reject()
		return ""
	}
	return string(text)
}

// distance reads a uvarint less than span.
func (in *entryReader) distance(span int64) int64 {
	d := in.Uvarint()
	if d >= uint64(span) {
		in.Reject()
		return 0
	}
	return int64(d)
}

func (in *entryReader) keys() Keys {
	return Keys{Once: in.key(), Throttle: in.key(), Batch: in.key()}
}
