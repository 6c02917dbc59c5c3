package engine

import (
	"strconv"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/outbox"
	"triggerd/source"
)

// A snapshot that is cut off is read again from its beginning, at another offset
// and with its keys in another order, by this process or by the next. What its
// keys fire has to have the same IDs then. So the IDs have the number of the
// attachment, which is stored before the first of them, and changes once the
// snapshot is complete.

// attachEntry is where the number of the attachment is stored.
var attachEntry = []byte("attach")

// beginAttachment numbers the snapshot that begins. A replay has no other
// attachment.
func (s *stream) beginAttachment(rec *source.Record) {
	if rec.Side || s.e.cfg.Replay || s.attachment != 0 {
		return
	}
	if s.unsaved.durable {
		saved, _, err := readEntry(s.e.store, s.spaces.state, attachEntry)
		if err != nil {
			s.e.log.Error("the number of the attachment cannot be read: keys of a snapshot that was cut off fire under other IDs", "err", err)
		}
		s.attachment, _ = strconv.ParseInt(string(saved), 10, 64)
	}
	if s.attachment == 0 {
		s.setAttachment()
		if s.unsaved.durable {
			s.e.outbox.Submit(outbox.Commit{Stream: s.name, Changes: &s.unsaved.changes})
		}
	}
}

// endAttachment has the next snapshot be of another attachment. The change is
// committed with the position after this snapshot.
func (s *stream) endAttachment(rec *source.Record) {
	if !rec.Side && !s.e.cfg.Replay {
		s.setAttachment()
	}
}

// setAttachment takes another number, which no earlier one was, also not in a
// store that is gone.
func (s *stream) setAttachment() {
	s.attachment = max(s.attachment+1, time.Now().UnixMilli())
	if s.unsaved.durable {
		s.unsaved.changes.Add(s.spaces.state, outbox.PutEntry, attachEntry, strconv.AppendInt(nil, s.attachment, 10))
	}
}

// numberEvents numbers the events of a snapshot: those of its keys by the
// attachment, the others one after the other.
func (s *stream) numberEvents() {
	for i := range s.events {
		s.events[i].Index = s.snapshotEvents
		if s.events[i].Origin == event.FromSnapshot {
			s.events[i].Index = int(s.attachment)
			if s.judging {
				continue // nobody is told of it
			}
		}
		s.snapshotEvents++
	}
}
