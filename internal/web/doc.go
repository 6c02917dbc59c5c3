// Package web is how a running triggerd is seen and steered: an HTTP server
// with /healthz, /readyz, /metrics and the API under /api/v1/. What the API
// takes and returns is told in docs/operations.md; the shapes are those of
// admin.Status, admin.Delivery and admin.DeadLetter.
//
//	srv, err := web.New(web.Config{Listen: "127.0.0.1:9797", Daemon: daemon})
//	err = srv.Run(ctx) // until ctx is done
//
// # Who may ask
//
// Without a token the server listens on a loopback address only, and takes
// only requests that name a loopback host: a web page whose name was pointed at
// 127.0.0.1 cannot ask (DNS rebinding). With a token each request has to show
// it, but for /healthz and /readyz. Whatever changes something needs the header
// X-Triggerd besides, which a browser lets no foreign page send.
//
// # What is never told
//
// URLs but for scheme and host, arguments of commands, headers, tokens. What is
// delivered is told, though: keys and values of the server's data.
package web
