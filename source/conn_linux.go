package source

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// quickConn is a connection that a stream is read from. Its reads do not wait in
// the system, and are short, so they are made without telling Go's scheduler, which
// would wake a thread to watch over each. And it can put off being woken until
// much has come.
type quickConn struct {
	net.Conn
	raw    syscall.RawConn
	lazy   bool // the system tells only of much that has come
	tcp    bool
	read   func(fd uintptr) bool
	mark   func(fd uintptr)
	buf    []byte // of the present read
	n      int
	errno  syscall.Errno
	atMost int // bytes until which it is told of, for mark
}

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
	q.read, q.mark = q.readOnce, q.setMark
	return q
}

// muchReceived is how much has to come before a lazy connection is told of.
const muchReceived = 64 << 10

// beLazy has nobody woken for little until the next Read that finds nothing.
func (q *quickConn) beLazy() {
	if q.tcp && !q.lazy {
		q.lazy, q.atMost = true, muchReceived
		q.raw.Control(q.mark)
	}
}

// Read implements net.Conn.
func (q *quickConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	q.buf, q.n, q.errno = p, 0, 0
	err := q.raw.Read(q.read)
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
	return q.n, nil
}

// readOnce reads what there is, and reports false if nothing is.
func (q *quickConn) readOnce(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(q.buf))), uintptr(len(q.buf)))
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN && q.lazy:
			q.lazy, q.atMost = false, 1
			q.setMark(fd)
		case errno == syscall.EAGAIN:
			return false
		case errno != 0:
			q.errno = errno
			return true
		default:
			q.n = int(n)
			return true
		}
	}
}

// setMark tells the system how much is worth telling. Where it refuses, it tells
// of all.
func (q *quickConn) setMark(fd uintptr) {
	n := int32(q.atMost)
	syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, fd, syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, uintptr(unsafe.Pointer(&n)), unsafe.Sizeof(n), 0)
}
