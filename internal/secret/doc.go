// Package secret masks secrets, by value, in texts that people read: errors,
// and what a receiver or a program wrote.
//
//	m := secret.New("hunter2-token")
//	m.Mask("Authorization: Bearer hunter2-token") // "Authorization: Bearer ***"
//
// A secret is found as it is, and as it looks when it was
//
//   - percent-encoded, as in a path, a query or a form, in either case of hex;
//   - escaped as in JSON, or as Go, Python or a shell quote, every character or
//     some of them;
//   - escaped as in HTML;
//   - base64, of either alphabet, at any place of a longer text that was
//     encoded, in one line or wrapped;
//   - hex,
//
// and in up to three of the escapes inside one another. What was encrypted,
// compressed, hashed or cut into pieces is not found.
//
// Nothing is allocated for a text that has no secret and no escape in it.
package secret
