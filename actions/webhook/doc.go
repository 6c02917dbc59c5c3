// Package webhook is the kind of action that sends an HTTP request. Its fields
// are those of Kind; webhook says what a request carries and which answers mean
// that it is delivered.
//
// Requests are signed as Standard Webhooks 1.0.0 says, and carry the traceparent
// of W3C Trace Context level 1. The body is a CloudEvents 1.0 structured event,
// or the event is sent in the binary mode of the CloudEvents HTTP protocol
// binding 1.0.2. Access tokens are those of OAuth 2.0 client credentials (RFC
// 6749 section 4.4) with the type Bearer (RFC 6750).
package webhook
