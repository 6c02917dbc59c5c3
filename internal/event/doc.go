// Package event holds the one value that rules are matched against: an Event,
// one change of one key, and the JSON in which it is delivered.
//
// An Event is made by internal/keyspace, borrowed by rules while it matches,
// and cloned into a firing when a rule wants it delivered. The JSON is a
// CloudEvents 1.0 structured event and is the same everywhere: a webhook's
// body, a command's standard input, the output of listen.
//
//	ev := &event.Event{Name: "incrby", Origin: event.Stream, Key: []byte("stock:7"), ...}
//	body := event.AppendJSON(nil, ev, event.Delivery{ID: "…:851576/0:stock-zero/crm", Rule: "stock-zero", Attempt: 1})
//
// Keys, arguments and values are bytes, not text. AppendText decides, for the
// whole program, how bytes that are not UTF-8 appear where text is needed.
package event
