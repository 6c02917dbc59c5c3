// Package admin is what may be asked of a running triggerd, and what it may be
// told: one interface, Daemon, of plain types. The engine implements it; the
// API, and through that the commands and whatever else looks after a daemon,
// know no more than this.
//
//	s, err := daemon.Status()
//	for _, a := range s.Actions {
//		fmt.Println(a.Name, a.Pending)
//	}
//
// The types are plain: their JSON form is that of the API, which
// docs/operations.md describes. They hold no secrets: of an address only scheme
// and host are told, of a command only its name.
package admin
