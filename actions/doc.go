// Package actions does what a rule asks for when it fires: it posts a webhook,
// runs a command, writes a log record or prints a line. One kind of action is
// one file; New makes any of them from the fields the user wrote.
//
//	a, err := actions.New("webhook", map[string]any{"url": "https://crm.example.com/hooks/{{.params.sku}}"}, actions.Options{})
//	if err != nil {
//		return err // every mistake at once, each a *FieldError
//	}
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
// Where a field says "template" it is text/template over the names id, rule,
// action, event, key, command, args, db, type, params, time, offset, origin,
// cause, attempt and bytes, with the functions json, b64, text, upper, lower
// and pathescape beside Go's own. Strings are the raw bytes that Redis sent:
// {{json .key}} writes any of them as JSON ({"$base64":"..."} where they are
// not UTF-8), {{text .key}} escapes what is unprintable. In a URL, whatever a
// template writes is percent-encoded, so that data can add neither a path
// segment nor a query parameter. A name that is not there is an error, not an
// empty string; it is found by New, except below params, which only the rule
// knows.
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
// # Formats
//
// The JSON is a CloudEvents 1.0 structured event (internal/event); a webhook can
// send it in the binary mode of the CloudEvents HTTP protocol binding 1.0.2
// instead. Webhooks are signed as Standard Webhooks 1.0.0 says, and carry the
// traceparent of W3C Trace Context level 1. Access tokens are those of OAuth
// 2.0 client credentials (RFC 6749 section 4.4) with the type Bearer (RFC
// 6750).
package actions
