package source

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// quickConn is a connection that a stream is read from.
//
// A busy server sends many small pieces, one upon the other. Each wakes threads of
// the receiver's and of the reader's, which costs more than a hundred commands. So
// a Read that finds nothing, after many that soon got something, waits for much, or
// for a millisecond, whichever comes first. What comes after a pause is read at
// once.
//
// Its reads never wait in the system, and are short. So they are made without
// telling Go's scheduler, which would wake one more thread to watch over each.
type quickConn struct {
	net.Conn
	raw      syscall.RawConn
	tcp      bool
	deadline time.Time // of reads
	soon     int       // so many waits in a row were short, up to manySoon
	marked   bool      // the system tells only of much

	// The present Read. readable is a method value that is made once.
	readable func(fd uintptr) bool
	buf      []byte
	n        int
	errno    syscall.Errno
	pausing  bool      // it waits for much, or for a while
	paused   bool      // it has
	began    time.Time // when it began to wait for anything; zero: it did not
}

const (
	shortWait = time.Millisecond // for what follows close upon what was read before
	manySoon  = 16               // so many short waits in a row are a busy stream: what comes alone is not, though it may come in pieces
	readPause = time.Millisecond // for which little waits
	muchToSay = 64 << 10         // bytes that do not wait
)

// quicken returns a connection that is cheaper to read from, or c itself.
func quicken(c net.Conn) net.Conn {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return c
	}
	q := &quickConn{Conn: c, raw: raw}
	_, q.tcp = c.(*net.TCPConn)
	q.readable = q.tryRead
	return q
}

// SetReadDeadline implements net.Conn.
func (q *quickConn) SetReadDeadline(t time.Time) error {
	q.deadline = t
	return q.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (q *quickConn) SetDeadline(t time.Time) error {
	q.deadline = t
	return q.Conn.SetDeadline(t)
}

// Read implements net.Conn.
func (q *quickConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	q.buf, q.n, q.errno, q.paused, q.began = p, 0, 0, false, time.Time{}
	err := q.raw.Read(q.readable)
	if q.pausing {
		q.pausing, q.paused = false, true
		q.Conn.SetReadDeadline(q.deadline)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = q.raw.Read(q.readable)
		}
	}
	q.buf = nil
	switch {
	case err != nil:
		if op := new(net.OpError); errors.As(err, &op) {
			op.Op = "read" // as that of any connection
		}
		return 0, err
	case q.errno != 0:
		return 0, &net.OpError{Op: "read", Net: q.RemoteAddr().Network(), Source: q.LocalAddr(), Addr: q.RemoteAddr(), Err: os.NewSyscallError("read", q.errno)}
	case q.n == 0:
		return 0, io.EOF
	}
	q.noteWait()
	return q.n, nil
}

// noteWait notes how long a Read has waited that has got something. A pause says
// nothing.
func (q *quickConn) noteWait() {
	switch {
	case q.began.IsZero():
	case time.Since(q.began) > shortWait:
		q.soon = 0
	case q.soon < manySoon:
		q.soon++
	}
}

// tryRead reads what there is. If nothing is it returns false: it is called again
// when something has come.
func (q *quickConn) tryRead(fd uintptr) bool {
	for !q.readOnce(fd) {
		switch {
		case q.pausing:
			return false
		case q.tcp && q.soon == manySoon && !q.paused:
			q.mark(fd, muchToSay)
			q.pause()
			return false
		case q.marked:
			q.mark(fd, 1) // and what came before that was not told
		default:
			if q.began.IsZero() {
				q.began = time.Now()
			}
			return false
		}
	}
	return true
}

// readOnce reports false if there is nothing.
func (q *quickConn) readOnce(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(q.buf))), uintptr(len(q.buf)))
		switch errno {
		case 0:
			q.n = int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			q.errno = errno
			return true
		}
	}
}

// pause has the present Read wait no longer than the pause, unless its deadline is
// before that.
func (q *quickConn) pause() {
	q.pausing = true
	if until := time.Now().Add(readPause); q.deadline.IsZero() || until.Before(q.deadline) {
		q.Conn.SetReadDeadline(until)
	}
}

// mark has the system tell only of so many bytes. Where it refuses, it tells of all.
func (q *quickConn) mark(fd uintptr, bytes int32) {
	if q.marked == (bytes > 1) {
		return
	}
	q.marked = bytes > 1
	syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, uintptr(unsafe.Pointer(&bytes)), unsafe.Sizeof(bytes), 0)
}
