// Package firing defines what triggerd delivers: a Firing, its ID, the JSON
// that a receiver gets, and the form in which it is stored until then.
//
//	f := &firing.Firing{ID: firing.TriggerOf(ev).Firing("low-stock", "shop"), Rule: "low-stock", Action: "shop", Event: ev}
//	body := f.AppendJSON(nil)            // CloudEvents 1.0
//	stored := firing.AppendBinary(nil, f) // without the ID
//	f, err := firing.ParseBinary(id, stored)
//
// A firing owns its bytes. The stored form has a version byte, is drawn in
// payload.go, and is read by every later version of triggerd. Stored bytes are
// not trusted: they may be cut short or damaged. Reading them takes no more
// memory than they have bytes for.
package firing
