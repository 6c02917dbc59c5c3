package wire

import (
	"encoding/binary"
	"time"
)

// AppendText appends a text.
func AppendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// AppendTime appends a time. Its zone is not kept, and what it has of a
// monotonic clock neither.
func AppendTime(dst []byte, t time.Time) []byte {
	return binary.AppendVarint(binary.AppendVarint(dst, t.Unix()), int64(t.Nanosecond()))
}
