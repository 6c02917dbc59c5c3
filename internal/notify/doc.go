// Package notify tells a service manager how the process is doing, as
// sd_notify(3) describes: one datagram for each thing to tell, to the socket
// that $NOTIFY_SOCKET names. Where there is none, nothing is told.
//
//	n := notify.FromEnv()
//	n.Ready()
//	defer n.Stopping()
package notify
