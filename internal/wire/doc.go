// Package wire reads and writes the parts that stored forms are made of: an
// event, a firing, what a time rule keeps.
//
//	dst = wire.AppendText(dst, name)
//	dst = binary.AppendVarint(dst, n)
//
//	in := wire.NewCursor(b)
//	name, n := in.Text(), in.Varint()
//	if err := in.End(); err != nil {
//		return err
//	}
//
// What is stored may be damaged, and is read as anybody's bytes are: a Cursor
// never reads behind its input and never takes a length that the input cannot
// hold. After the first error all that it reads is zero, so that one question
// at the end is enough. Nothing panics, and nothing but Text allocates.
//
//	number  a uvarint or a varint of package encoding/binary
//	text    its length as a uvarint, and its bytes
//	list    how many elements it has as a uvarint, and the elements
//	time    the seconds since 1970 and the nanoseconds beyond them, both varints
//
// Each form itself is drawn where it is defined.
package wire
