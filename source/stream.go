package source

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"

	"triggerd/internal/resp"
)

// Stream is a Source that reads a recorded replication stream: the bytes that
// a server sends after a snapshot. It cannot resume.
type Stream struct {
	name   string
	r      *resp.Reader
	offset atomic.Int64
}

// NewStream returns a Stream of r; name is what to call it.
func NewStream(r io.Reader, name string) *Stream {
	return &Stream{name: name, r: resp.NewReader(r, resp.Limits{})}
}

// Records implements Source. It ends with the recording; bytes that are not a
// stream are an error.
func (s *Stream) Records(ctx context.Context, _ Position) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		d := newDecoder(s.r, Position{ReplID: "recording"}, Config{}.withDefaults().MaxTransaction, time.Now)
		for ctx.Err() == nil {
			rec, err := d.next()
			if err == io.EOF && !d.tx.open {
				return
			}
			if err == io.EOF {
				err = fmt.Errorf("inside a transaction: %w", io.ErrUnexpectedEOF)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			s.offset.Store(d.offset())
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// Ack implements Source; there is no one to tell.
func (s *Stream) Ack(Position) {}

// Status implements Source.
func (s *Stream) Status() Status {
	return Status{State: Streaming, Addr: s.name, Offset: s.offset.Load()}
}
