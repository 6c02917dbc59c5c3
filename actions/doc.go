// Package actions is what is done when a rule fires, whatever it is: what a kind
// of action says of itself, how an action is made from the fields that the user
// wrote, and what it answers for an attempt. A kind, such as webhook, is a folder
// below; package kinds lists them.
//
//	a, err := kinds.All.New("webhook", map[string]any{"url": "https://crm.example.com/hooks/{{.params.sku}}"}, actions.Options{})
//	if err != nil {
//		return err // every mistake at once, each a *FieldError
//	}
//	shown, err := actions.Render(ctx, a, firing) // what it would send, for people
//	res, err := a.Do(ctx, firing)
//
// An action makes one attempt and says how it went. It never retries, queues or
// waits for its turn: the engine owns attempts, and asks IsPermanent and
// RetryDelay what to do with an error. Deliveries are at least once; the
// firing's ID stays the same over all of them and is the receiver's means to
// recognise one it has had.
//
// # Templates
//
// Where a field says "template" it is text/template over all of an event;
// docs/rules.md has names and functions. Strings are the raw bytes that Redis
// sent: {{json .key}} writes any of them as JSON ({"$base64":"..."} where they
// are not UTF-8), {{text .key}} escapes what is unprintable. In a URL, whatever a
// template writes is percent-encoded, so that data can add neither a path
// segment nor a query parameter. A name of an event that is not there is an
// error, not an empty string; it is found by New, except below params, which
// only the rule knows. What a key's value does not have is no text.
//
// # Secrets
//
// No error, no excerpt and no text of the user's own in a log record has a
// secret of four bytes or more in it, as it is or encoded (internal/secret says
// how), also where a receiver or a program repeats what it was given: none of
// Options.Secrets, no password of a URL, no signing secret, no access token, and
// not the value of a header or variable that carries a credential by its name.
// Of a URL only scheme and host are shown. What is sent, and the data of an
// event, is never masked.
//
// A preview is for people too: secrets are masked in the data as well.
//
// # Formats
//
// The JSON is a CloudEvents 1.0 structured event (internal/event).
package actions
