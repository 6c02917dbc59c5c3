// Package web is the HTTP server of a running triggerd: /healthz, /readyz,
// /metrics and the API under /api/v1/. docs/operations.md describes the API;
// its answers are admin.Status, admin.Delivery and admin.DeadLetter.
//
//	srv, err := web.New(web.Config{Listen: "127.0.0.1:9797", Daemon: daemon})
//	err = srv.Run(ctx) // until ctx is done
//
// # Who may ask
//
// Without a token the server listens on a loopback address only, and accepts
// only requests that name a loopback host. So a web page whose name points at
// 127.0.0.1 cannot use it (DNS rebinding). With a token each request needs it,
// except /healthz and /readyz. A request that changes something also needs the
// header X-Triggerd, which a browser does not let pages of other sites send.
//
// # What is never shown
//
// Of URLs anything but scheme and host; arguments of commands; headers; tokens.
// Payloads are shown, with keys and values of the server's data.
package web
