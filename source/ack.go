package source

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// acks tells the server how far reading and keeping has come.
type acks struct {
	received atomic.Int64
	poke     chan struct{} // capacity 1: send one now
	asked    chan struct{} // capacity 1: the server has asked for one
	none     string        // what AckNone acknowledges on the present link

	mu      sync.Mutex // guards what follows
	replID  string     // the history that is being read
	durable int64
	wanted  int64 // the offset a GETACK waits for; 0: none does
}

// begin starts the count anew at p, where a link has been attached.
func (k *acks) begin(p Position) {
	k.received.Store(p.Offset)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.replID != p.ReplID || k.durable > p.Offset {
		k.durable = 0 // of another history: a server believes any offset
	}
	k.replID, k.wanted = p.ReplID, 0
}

func (k *acks) setDurable(p Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.ReplID != k.replID {
		return
	}
	k.durable = max(k.durable, p.Offset)
	if k.wanted > 0 && k.durable >= k.wanted {
		k.wanted = 0
		k.now()
	}
}

// demand answers the server's GETACK: at once, and again as soon as what was
// received up to now is durable, as a client blocks in WAIT for it.
func (k *acks) demand() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = k.received.Load()
	k.now()
	signal(k.asked)
}

func (k *acks) now() { signal(k.poke) }

// signal sends to a channel with room for one, which is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// noneAt returns what AckNone acknowledges on a link: an offset that is before
// any write, so that WAIT does not count triggerd, and is not the server's own,
// so that FAILOVER does not choose it.
func noneAt(a attachment) string {
	if a.pos.Offset == 0 && !a.legacy {
		return "1" // nothing was written yet; the first command ends beyond it
	}
	return "0"
}

// run acknowledges over l once a second until the function it returns is
// called, and more often at first: after a snapshot a server sends nothing
// before an acknowledgement, and loses one that comes too early.
func (k *acks) run(l *link, policy AckPolicy) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		began := time.Now()
		for {
			if k.send(l, policy) != nil {
				return // the reader sees the broken link
			}
			timer := time.NewTimer(ackPause(time.Since(began)))
			select {
			case <-quit:
				timer.Stop()
				return
			case <-k.poke:
				timer.Stop()
			case <-timer.C:
			}
		}
	}()
	return func() {
		close(quit)
		l.close() // a write may be blocked
		<-done
	}
}

func (k *acks) send(l *link, policy AckPolicy) error {
	switch policy {
	case AckReceived:
		return l.send("REPLCONF", "ACK", strconv.FormatInt(k.received.Load(), 10))
	case AckDurable:
		k.mu.Lock()
		n := strconv.FormatInt(k.durable, 10)
		k.mu.Unlock()
		return l.send("REPLCONF", "ACK", n, "FACK", n)
	}
	return l.send("REPLCONF", "ACK", k.none)
}

// ackPause returns the time between acknowledgements on a link of that age.
func ackPause(age time.Duration) time.Duration {
	switch {
	case age < time.Second:
		return 20 * time.Millisecond
	case age < 5*time.Second:
		return 100 * time.Millisecond
	}
	return time.Second
}
