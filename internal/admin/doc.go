// Package admin is the interface of a running triggerd to those who look after
// it: what it may be asked, and what it answers. The engine implements Daemon.
// The API knows nothing else of the engine, and commands know it through the
// API.
//
//	s, err := daemon.Status()
//	for _, a := range s.Actions {
//		fmt.Println(a.Name, a.Pending)
//	}
//
// The types are plain. Their JSON form is that of the API, which
// docs/operations.md describes. They hold no secrets: of an address only scheme
// and host, of a command only its name.
package admin
