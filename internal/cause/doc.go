// Package cause tells why attempts to deliver failed, in a text that is the same
// for all that failed for the same.
//
//	cause.Of("POST http://crm: 503 Service Unavailable: order 17") // "POST http://crm: 503 Service Unavailable"
//	cause.Known("exit status 3: no such order: 17")                // "exit status 3"
//
// What Of returns is part of the error's text. What Known returns is not: it is
// put together of words that are in this package, and at most of a status or an
// exit code, so that it has no data in it, whatever the error says.
package cause
