package timing

import "triggerd/internal/wire"

// fields reads the durable form.
type fields struct{ wire.Cursor }

func newFields(b []byte) fields { return fields{wire.NewCursor(b)} }

// count reads a varint that counts something.
func (in *fields) count() int {
	n := in.Varint()
	if n < 0 || n > 1<<53 {
		in.Reject()
		return 0
	}
	return int(n)
}

// key reads a text of at most maxKey bytes, or a shortened key.
func (in *fields) key() string {
	text := in.Bytes()
	if len(text) > maxKey+1 {
		in.Reject()
		return ""
	}
	return string(text)
}

// distance reads a uvarint less than span.
func (in *fields) distance(span int64) int64 {
	d := in.Uvarint()
	if d >= uint64(span) {
		in.Reject()
		return 0
	}
	return int64(d)
}

func (in *fields) keys() Keys {
	return Keys{Once: in.key(), Throttle: in.key(), Batch: in.key()}
}
