// Package redistest gives tests the peers that triggerd has to cope with:
//
//   - [Start] and [Each] run real servers, from internal/servers;
//   - [Primary] is a scripted primary, for what a real server would never send;
//   - [Proxy] stands in front of a real server and spoils the connection, for
//     what a network might do.
//
// Everything ends with the test that it was made for.
//
//	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
//		proxy := redistest.StartProxy(t, srv.Addr)
//		proxy.Chunk(1)
//		... connect to proxy.Addr
//		redistest.Do(t, srv, "SET", "stock:7", "0")
//		proxy.Reset()
//		...
//	})
//
// A server that cannot be had fails the test where the environment variable CI
// is set and skips it elsewhere; it is the only reason for a skip in this
// project. TRIGGERD_TEST_SERVERS, a comma-separated list of server names,
// replaces the servers that Each was asked for, for a quick run.
package redistest
