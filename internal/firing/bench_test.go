package firing_test

import (
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/firing"
)

// BenchmarkBinary is what a delivery costs between plan and attempt: the stored
// form of an ordinary firing, written and read.
func BenchmarkBinary(b *testing.B) {
	f := &firing.Firing{Rule: "stock-zero", Action: "webhook", Params: map[string]string{"sku": "7"}, Event: &event.Event{
		Name: "hset", Origin: event.FromStream, Cause: event.CauseCommand, Key: []byte("stock:7"), Type: "hash", Command: "HSET",
		Args: [][]byte{[]byte("stock:7"), []byte("amount"), []byte("0")}, Time: time.Unix(1_700_000_000, 5), Bytes: 42,
		ReplID: "8371445ee67dcee4dd0ddb4c7a5a1d5e5f9f7a3c", Offset: 123456, Source: "127.0.0.1:6379", Changed: [][]byte{[]byte("amount")},
		Before: event.Elements("hash", []event.Element{{Name: "amount", Value: "1"}, {Name: "name", Value: "lamp"}}),
		After:  event.Elements("hash", []event.Element{{Name: "amount", Value: "0"}, {Name: "name", Value: "lamp"}}),
	}}
	stored := firing.AppendBinary(nil, f)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst = firing.AppendBinary(dst[:0], f)
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := firing.ParseBinary(f.ID, stored); err != nil {
				b.Fatal(err)
			}
		}
	})
}
