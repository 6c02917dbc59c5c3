package notify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier tells the service manager. Its methods may be called from any
// goroutine, and on nil, where they do nothing. Errors are those of the socket.
type Notifier struct {
	socket   string
	watchdog time.Duration
}

// FromEnv returns the Notifier of the process's environment, nil where no
// service manager asks for one. It takes the variables away, so that no program
// that is run later speaks for this process.
func FromEnv() *Notifier {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	pid, usec := os.Getenv("WATCHDOG_PID"), os.Getenv("WATCHDOG_USEC")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"} {
		os.Unsetenv(name)
	}
	if n.socket == "" {
		return nil
	}
	if limit, err := strconv.ParseInt(usec, 10, 64); err == nil && limit > 0 && limit <= maxUsec && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(limit) * time.Microsecond
	}
	return n
}

// maxUsec is what a time.Duration holds.
const maxUsec = int64(^uint64(0)>>1) / int64(time.Microsecond)

// WatchdogLimit is how long the service manager waits for Alive; 0: it does not.
func (n *Notifier) WatchdogLimit() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready tells that the process does its work: for the first time, or again
// after Reloading.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Reloading tells that the configuration is being read again.
func (n *Notifier) Reloading() error {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	// In one datagram: systemd 253 and later go by the time that comes with it.
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(t.Nano()/1000, 10))
}

// Stopping tells that the process is about to end.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Alive is what the service manager waits for where WatchdogLimit is set.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// Status tells, in one line for people, how the process is doing.
func (n *Notifier) Status(line string) error {
	return n.send("STATUS=" + strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r == '\n' || r == '\r' }), " "))
}

// send sends one datagram. The socket is opened for each, since a service
// manager may be replaced while the process runs.
func (n *Notifier) send(text string) error {
	if n == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"}) // a leading @ is an abstract one's
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}
