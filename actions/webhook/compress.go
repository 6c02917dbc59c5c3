package webhook

import (
	"bytes"
	"compress/gzip"
	"sync"
)

// minCompress is the length up to which a body is sent as it is: the packets
// would not be fewer.
const minCompress = 1 << 10

// compressors are kept, because one has 800 kB of tables.
var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// compressed returns body in gzip, or nil where that does not pay.
func compressed(body []byte) []byte {
	if len(body) <= minCompress {
		return nil
	}
	z := compressors.Get().(*gzip.Writer)
	defer compressors.Put(z)
	var b bytes.Buffer
	z.Reset(&b)
	_, _ = z.Write(body) // a Buffer takes everything
	_ = z.Close()
	if b.Len() >= len(body) {
		return nil
	}
	return b.Bytes()
}
