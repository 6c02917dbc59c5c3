// Package servers gets real Redis, Valkey and Redict servers of many versions,
// runs them, and speaks to them. Tests use it through internal/redistest, and
// `triggerd demo` uses it to show the main job on a machine that has no server.
//
//	srv, err := servers.Start(ctx, servers.Options{Name: "redis-7.0", Args: []string{"--hz", "100"}})
//	if err != nil {
//		return err
//	}
//	defer srv.Close()
//	c, err := servers.Dial(ctx, srv.Addr)
//	...
//	reply, err := c.Do("SET", "stock:7", "0")
//
// # Where servers come from
//
// A name such as "redis-7.0" means the newest patch release of that minor
// version. [Get] takes it from the cache, else from PATH, else it fetches it
// from the Debian archive that this machine's own apt sources name: apt-get,
// with a private configuration and with signature checks on, downloads the
// server's package and the libraries it needs from one Debian suite, and their
// files are unpacked into the cache. Nothing is installed, root is not needed,
// and nothing outside the cache is written. A fetched server is started by its
// own suite's dynamic loader with its own suite's libraries, so neither the C
// library nor the OpenSSL of the machine matters.
//
// The cache is a directory with one directory a server, made complete under
// another name and then renamed, so that what is there is whole; delete one to
// have it fetched anew. Fetching holds a file lock, because the test binaries
// of several packages run at once.
//
// # What is promised
//
// A started server listens on loopback only, has a directory of its own, saves
// nothing unless told to, and does not outlive the process that started it (on
// Linux; elsewhere only if [Server.Close] is reached).
package servers
