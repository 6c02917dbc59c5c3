// Package firing is what triggerd delivers: a Firing, its ID, the JSON that a
// receiver gets of it, and the form in which it is stored until then.
//
//	f := &firing.Firing{ID: firing.TriggerOf(ev).Firing("low-stock", "shop"), Rule: "low-stock", Action: "shop", Event: ev}
//	body := f.AppendJSON(nil)            // CloudEvents 1.0
//	stored := firing.AppendBinary(nil, f) // without the ID
//	f, err := firing.ParseBinary(id, stored)
//
// A firing owns its bytes. What is stored has a version byte, is drawn in
// payload.go, and is read by every later version of triggerd. What is read is
// not trusted: it may be cut or damaged, and takes no more memory than its
// bytes promise.
package firing
