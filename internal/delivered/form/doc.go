// Package form has the stored forms of what is kept of a delivery and is opaque
// to packages delivered and store: an attempt, and the request that was sent.
//
//	b := form.AppendAttempt(nil, &form.Attempt{Number: 1, Outcome: form.Delivered, Code: 200})
//	a, err := form.ParseAttempt(b)
//
// Each form begins with its version, and is drawn where it is written. Whatever
// the bytes, parsing ends with an error or with what is written back the same.
// It takes no more memory than a few times the input. A function here may be
// called by any goroutine.
//
// It is apart from package outbox, which uses it, so that its fuzz target is not
// built with a whole store.
package form
