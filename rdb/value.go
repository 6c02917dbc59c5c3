package rdb

import "bytes"

// Value is a whole value. Which field is set, Type tells; the others are nil.
type Value struct {
	Type    Type
	String  []byte          // TypeString
	Items   [][]byte        // TypeList, TypeSet: in the order of the snapshot
	Fields  []Field         // TypeHash
	Members []Member        // TypeZSet: in the order of the snapshot, which may not be that of the scores
	Indexed []IndexedMember // TypeArray
	Stream  *StreamValue    // TypeStream
	Module  *ModuleValue    // TypeModule
}

// Field is a field of a hash.
type Field struct {
	Name, Value []byte
	ExpireAt    int64 // in milliseconds since 1970; 0: never
}

// Member is a member of a zset.
type Member struct {
	Name  []byte
	Score float64 // never NaN
}

// IndexedMember is an element of an array.
type IndexedMember struct {
	Index uint64
	Value []byte
}

// StreamValue is a stream.
type StreamValue struct {
	StreamInfo
	Entries   []StreamEntry
	Groups    []StreamGroup
	Producers []StreamProducer
}

// StreamEntry is an entry of a stream.
type StreamEntry struct {
	ID     StreamID
	Fields [][]byte // field, value, field, value, ...
}

// StreamGroup is a consumer group of a stream.
type StreamGroup struct {
	Name        []byte
	LastID      StreamID // last delivered
	EntriesRead int64    // -1: not known
	Pending     []StreamPending
	Consumers   []StreamConsumer
	Nacked      []StreamID // of Pending, those without a consumer
}

// StreamPending is an entry that was delivered and not acknowledged.
type StreamPending struct {
	ID         StreamID
	Delivered  int64 // last time, in milliseconds since 1970
	Deliveries int64
}

// StreamConsumer is a consumer of a group.
type StreamConsumer struct {
	Name    []byte
	Seen    int64      // last attempt to read, in milliseconds since 1970
	Active  int64      // last successful one; 0: not known
	Pending []StreamID // of the group's, those that are this consumer's
}

// StreamProducer is an idempotent producer of a stream.
type StreamProducer struct {
	ID   []byte
	Sent []StreamProduced
}

// StreamProduced is something a producer sent.
type StreamProduced struct {
	ID    []byte   // the producer's own
	Entry StreamID // the entry it became
}

// ModuleValue is what a module wrote. Only the module knows what it means.
type ModuleValue struct {
	Name    string // nine characters
	Version int    // of the module's encoding
	Parts   []Part
}

// Value returns the current entry's value as a whole; the caller owns it. A
// value larger than Limits.MaxValue is passed over; the error is an ErrLimit
// then and the Reader can go on. Other errors are as of Elements.
func (r *Reader) Value() (Value, error) {
	v := Value{Type: r.entry.Type}
	b := builder{v: &v, budget: r.Limits.maxValue()}
	if r.unread && r.typ == typString {
		s, err := r.Bytes()
		if err != nil {
			return Value{}, err
		}
		b.element(&Element{Kind: KindItem, Member: s})
	} else {
		for el, err := range r.Elements() {
			if err != nil {
				return Value{}, err
			}
			if b.element(el); b.budget < 0 {
				break
			}
		}
	}
	if r.err != nil { // in what was passed over
		return Value{}, r.err
	}
	if b.budget < 0 {
		err := r.in.fault("value: %w of %d", ErrLimit, r.Limits.maxValue()).(*SyntaxError)
		err.Key = bytes.Clone(r.entry.Key)
		return Value{}, err
	}
	return v, nil
}

// builder puts elements together.
type builder struct {
	v      *Value
	budget int    // of Limits.MaxValue; negative: over it
	many   bool   // more than one string was copied
	room   []byte // what short strings are cut from
}

// perElement is what an element counts beside its bytes.
const perElement = 32

// copyBytes returns a copy of b, never nil.
func (bd *builder) copyBytes(b []byte) []byte {
	if bd.budget -= len(b); bd.budget < 0 {
		return nil
	}
	// The first string gets memory of its own, for many values have no other,
	// and so do long ones; the rest is cut from larger pieces.
	const chunk = 4096
	if !bd.many || len(b) >= chunk/4 {
		bd.many = true
		return append(make([]byte, 0, len(b)), b...)
	}
	if len(b) > cap(bd.room)-len(bd.room) {
		bd.room = make([]byte, 0, chunk)
	}
	n := len(bd.room)
	bd.room = append(bd.room, b...)
	return bd.room[n:len(bd.room):len(bd.room)]
}

func (bd *builder) element(el *Element) {
	bd.budget -= perElement
	switch v := bd.v; v.Type {
	case TypeString:
		v.String = bd.copyBytes(el.Member)
	case TypeList, TypeSet:
		v.Items = append(v.Items, bd.copyBytes(el.Member))
	case TypeHash:
		v.Fields = append(v.Fields, Field{bd.copyBytes(el.Member), bd.copyBytes(el.Value), el.ExpireAt})
	case TypeZSet:
		v.Members = append(v.Members, Member{bd.copyBytes(el.Member), el.Score})
	case TypeArray:
		v.Indexed = append(v.Indexed, IndexedMember{el.Index, bd.copyBytes(el.Member)})
	case TypeStream:
		if v.Stream == nil {
			v.Stream = new(StreamValue)
		}
		bd.streamElement(v.Stream, el)
	case TypeModule:
		bd.moduleElement(el)
	}
}

func (bd *builder) streamElement(s *StreamValue, el *Element) {
	switch el.Kind {
	case KindStreamEntry:
		fields := make([][]byte, len(el.Fields))
		bd.budget -= perElement * len(fields)
		for i, f := range el.Fields {
			fields[i] = bd.copyBytes(f)
		}
		s.Entries = append(s.Entries, StreamEntry{el.ID, fields})
	case KindStreamInfo, KindProducers:
		s.StreamInfo = *el.Info
	case KindGroup:
		s.Groups = append(s.Groups, StreamGroup{Name: bd.copyBytes(el.Member), LastID: el.ID, EntriesRead: el.Count})
	case KindProducer:
		s.Producers = append(s.Producers, StreamProducer{ID: bd.copyBytes(el.Member)})
	case KindProduced:
		p := &s.Producers[len(s.Producers)-1]
		p.Sent = append(p.Sent, StreamProduced{bd.copyBytes(el.Member), el.ID})
	default:
		bd.groupElement(&s.Groups[len(s.Groups)-1], el)
	}
}

func (bd *builder) groupElement(g *StreamGroup, el *Element) {
	switch el.Kind {
	case KindPending:
		g.Pending = append(g.Pending, StreamPending{el.ID, el.Time, el.Count})
	case KindConsumer:
		g.Consumers = append(g.Consumers, StreamConsumer{Name: bd.copyBytes(el.Member), Seen: el.Time, Active: el.Active})
	case KindConsumerPending:
		c := &g.Consumers[len(g.Consumers)-1]
		c.Pending = append(c.Pending, el.ID)
	case KindGroupNacked:
		g.Nacked = append(g.Nacked, el.ID)
	}
}

func (bd *builder) moduleElement(el *Element) {
	v := bd.v
	if el.Kind == KindModule {
		v.Module = &ModuleValue{Name: string(el.Member), Version: int(el.Count)}
		return
	}
	p := el.Part
	if p.Type == PartString {
		p.String = bd.copyBytes(p.String)
	}
	v.Module.Parts = append(v.Module.Parts, p)
}
