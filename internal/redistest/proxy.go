package redistest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy forwards TCP connections to a real server and spoils them as it is
// told. Without having been told anything it forwards faithfully. All methods
// may be called at any time from any goroutine.
//
// "Downstream" is the direction from the server to whoever connected to the
// proxy, for a replica the one that matters.
type Proxy struct {
	Addr string // "127.0.0.1:port", to connect to; it never changes

	t  testing.TB
	wg sync.WaitGroup // everything that the proxy started

	mu       sync.Mutex // guards all below
	upstream string
	listener net.Listener
	links    map[*link]bool
	accepted int
	chunk    int           // 0: as it comes
	delay    time.Duration // before each write
	stalled  chan struct{} // closed when the stall is over; nil when there is none
	cut      position      // downstream
	flip     position      // downstream
	closed   bool
}

// position is an armed fault: a 0-based position in a downstream.
type position struct {
	armed bool
	at    int64
}

// StartProxy starts a proxy in front of upstream ("host:port") and closes it
// and its connections when the test ends.
func StartProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	l := listen(t)
	p := &Proxy{Addr: l.Addr().String(), t: t, upstream: upstream, links: make(map[*link]bool)}
	p.serve(l)
	t.Cleanup(p.close)
	return p
}

// Move makes connections from now on go to another upstream. Those that are
// there stay.
func (p *Proxy) Move(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
}

func (p *Proxy) target() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upstream
}

// Accepted returns how many connections have been accepted so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Chunk makes both directions arrive in writes of at most n bytes; 0 lets
// them through as they come.
func (p *Proxy) Chunk(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chunk = n
}

// Delay holds each write, and so with Chunk each chunk, back for d.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Stall stops forwarding in both directions, without closing anything, until
// Resume. New connections are accepted and stall too: the half-open peer.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Resume ends a stall.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// Cut ends all connections in good order (FIN), after what was already written
// to them.
func (p *Proxy) Cut() { p.endAll((*link).finish) }

// Reset ends all connections with RST; what is under way may be lost.
func (p *Proxy) Reset() { p.endAll((*link).reset) }

// CutAfter ends one connection in good order after exactly n bytes downstream:
// the first one that gets that far from now on.
func (p *Proxy) CutAfter(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = position{true, n}
}

// CutPending reports whether what CutAfter was told last has not happened yet.
func (p *Proxy) CutPending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut.armed
}

// Flip inverts all bits of the byte at the 0-based position pos downstream, of
// one connection: the first one that gets that far from now on.
func (p *Proxy) Flip(pos int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flip = position{true, pos}
}

// Refuse closes the listener, so that connecting is refused, until Admit.
// Connections that are there stay.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

// Admit ends Refuse: it listens on the same address again.
func (p *Proxy) Admit() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return
	}
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		p.t.Errorf("proxy: listen again: %v", err)
		return
	}
	p.serve(l)
}

// serve accepts on l until it is closed. The caller holds p.mu or is alone.
func (p *Proxy) serve(l net.Listener) {
	p.listener = l
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed by Refuse or close
			}
			p.open(conn.(*net.TCPConn))
		}
	})
}

func (p *Proxy) open(down *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		down.Close()
		return
	}
	p.accepted++
	l := &link{proxy: p, down: down}
	l.ctx, l.end = context.WithCancel(context.Background())
	p.links[l] = true
	p.wg.Go(l.run)
}

func (p *Proxy) endAll(end func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		end(l)
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Refuse()
	p.Reset()
	p.wg.Wait()
}

// hold returns how long the next write is to be held back: until the channel
// is closed, if it is not nil, else for the duration.
func (p *Proxy) hold() (stalled <-chan struct{}, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalled, p.delay
}

// shape returns how many bytes of data, of which the first is at pos of its
// stream, to write at once, and whether to cut the connection after them. It
// flips the byte in data that is to be flipped.
func (p *Proxy) shape(data []byte, pos int64, downstream bool) (n int, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n = len(data)
	if p.chunk > 0 {
		n = min(n, p.chunk)
	}
	if !downstream {
		return n, false
	}
	if left := p.cut.at - pos; p.cut.armed && 0 <= left && left <= int64(n) {
		p.cut.armed = false
		n, cut = int(left), true
	}
	if i := p.flip.at - pos; p.flip.armed && 0 <= i && i < int64(n) {
		p.flip.armed = false
		data[i] ^= 0xff
	}
	return n, cut
}

// link is one connection through the proxy.
type link struct {
	proxy *Proxy
	down  *net.TCPConn
	up    *net.TCPConn // guarded by proxy.mu; nil until connected

	ctx context.Context // done when nothing is to be forwarded any more
	end context.CancelFunc
}

func (l *link) run() {
	defer l.locked((*link).forget)
	var d net.Dialer
	up, err := d.DialContext(l.ctx, "tcp", l.proxy.target())
	if err != nil {
		l.locked((*link).reset)
		return
	}
	if !l.connected(up.(*net.TCPConn)) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.pump(l.up, l.down, false) })
	wg.Go(func() { l.pump(l.down, l.up, true) })
	wg.Wait()
}

// connected notes the connection to the server, if it is still wanted.
func (l *link) connected(up *net.TCPConn) bool {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.ctx.Err() != nil {
		up.Close()
		return false
	}
	l.up = up
	return true
}

// pump forwards src to dst until src ends. When the link has been finished it
// goes on reading, for closing a socket that has unread bytes makes a reset of it.
func (l *link) pump(dst, src *net.TCPConn, downstream bool) {
	buf := make([]byte, 32<<10)
	pos := int64(0)
	for {
		n, err := src.Read(buf)
		if n > 0 && !l.forward(dst, buf[:n], &pos, downstream) && l.ctx.Err() == nil {
			l.locked((*link).reset) // dst is gone
			return
		}
		if err == io.EOF {
			_ = dst.CloseWrite() // what dst does with it shows in the other direction
			return
		}
		if err != nil {
			l.locked((*link).reset)
			return
		}
	}
}

// forward writes data to dst as the proxy was told. It returns false if dst
// could not be written to or the link was ended.
func (l *link) forward(dst io.Writer, data []byte, pos *int64, downstream bool) bool {
	for len(data) > 0 {
		if !l.wait() {
			return false
		}
		n, cut := l.proxy.shape(data, *pos, downstream)
		if _, err := dst.Write(data[:n]); err != nil {
			return false
		}
		*pos += int64(n)
		data = data[n:]
		if cut {
			l.locked((*link).finish)
			return false
		}
	}
	return true
}

// wait holds a write back as the proxy was told. It returns false if the link was ended.
func (l *link) wait() bool {
	for {
		stalled, delay := l.proxy.hold()
		switch {
		case stalled != nil:
			select {
			case <-stalled:
				continue // it may have been stalled again
			case <-l.ctx.Done():
			}
		case delay > 0:
			t := time.NewTimer(delay)
			defer t.Stop()
			select {
			case <-t.C:
			case <-l.ctx.Done():
			}
		}
		return l.ctx.Err() == nil
	}
}

// locked calls f, which wants proxy.mu to be held.
func (l *link) locked(f func(*link)) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	f(l)
}

// finish sends FIN both ways. The link goes away when both peers have closed.
func (l *link) finish() {
	l.end()
	_ = l.down.CloseWrite() // it fails if the peer was faster
	if l.up != nil {
		_ = l.up.CloseWrite()
	}
}

// reset sends RST both ways, unless the connection is closed already.
func (l *link) reset() {
	l.end()
	_ = reset(l.down) // it fails if the peer was faster
	if l.up != nil {
		_ = reset(l.up)
	}
}

// forget closes what has ended both ways. It must not reset it: what was
// written last may still be under way.
func (l *link) forget() {
	l.end()
	_ = l.down.Close() // it may have been closed by reset
	if l.up != nil {
		_ = l.up.Close()
	}
	delete(l.proxy.links, l)
}
