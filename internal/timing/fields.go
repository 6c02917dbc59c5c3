package timing

import "encoding/binary"

// fields reads the durable form. What is not there is 0, and bad is set.
type fields struct {
	b   []byte
	bad bool
}

func (in *fields) byte() byte {
	if len(in.b) == 0 {
		in.bad = true
		return 0
	}
	c := in.b[0]
	in.b = in.b[1:]
	return c
}

func (in *fields) uvarint() uint64 {
	v, n := binary.Uvarint(in.b)
	in.skip(n)
	return v
}

func (in *fields) varint() int64 {
	v, n := binary.Varint(in.b)
	in.skip(n)
	return v
}

// skip drops a number of n bytes. It was not one, and is 0, if n is not
// positive.
func (in *fields) skip(n int) {
	if n <= 0 {
		in.bad, in.b = true, nil
		return
	}
	in.b = in.b[n:]
}

// count reads a varint that counts something.
func (in *fields) count() int {
	n := in.varint()
	if n < 0 || n > 1<<53 {
		in.bad = true
		return 0
	}
	return int(n)
}

// text reads a text of at most maxKey bytes, or a shortened key.
func (in *fields) text() string {
	n := in.uvarint()
	if n > uint64(len(in.b)) || n > maxKey+1 {
		in.bad = true
		return ""
	}
	text := string(in.b[:n])
	in.b = in.b[n:]
	return text
}

func (in *fields) keys() Keys {
	return Keys{Once: in.text(), Throttle: in.text(), Batch: in.text()}
}
