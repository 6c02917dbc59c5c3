package source

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ackSender acknowledges to the server what was received, or what is durable.
type ackSender struct {
	received   atomic.Int64  // offset of the last byte that was read
	sendNow    chan struct{} // capacity 1: wakes the sending goroutine
	requests   chan struct{} // capacity 1: receives at each GETACK
	noneOffset string        // the offset that AckNone acknowledges on the present link

	mu        sync.Mutex // guards what follows
	replID    string     // the history that is being read
	durable   int64
	requested int64 // offset at the last GETACK that durable has not reached; 0: none
}

// reset begins anew at p, where a link has attached.
func (k *ackSender) reset(p Position) {
	k.received.Store(p.Offset)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.replID != p.ReplID || k.durable > p.Offset {
		k.durable = 0 // it is of another history, and a server believes any offset
	}
	k.replID, k.requested = p.ReplID, 0
}

func (k *ackSender) setDurable(p Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.ReplID != k.replID {
		return
	}
	k.durable = max(k.durable, p.Offset)
	if k.requested > 0 && k.durable >= k.requested {
		k.requested = 0
		k.wake()
	}
}

// onGetAck answers the server's GETACK at once. It answers again as soon as
// what was received up to now is durable, since a client waits for that in
// WAIT.
func (k *ackSender) onGetAck() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requested = k.received.Load()
	k.wake()
	signal(k.requests)
}

func (k *ackSender) wake() { signal(k.sendNow) }

// signal sends to a channel of capacity 1, unless a signal waits there already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ackNoneOffset returns the offset that AckNone acknowledges on a link. It is
// before any write, so that WAIT does not count triggerd. It is not the
// server's own offset, so that FAILOVER does not choose triggerd.
func ackNoneOffset(a psyncReply) string {
	if a.pos.Offset == 0 && !a.legacy {
		return "1" // nothing is written yet; the first command ends after 1
	}
	return "0"
}

// start acknowledges over l once a second, until stop is called. In the first
// seconds it does so more often: after a snapshot a server sends nothing until
// it gets an acknowledgement, and it ignores one that comes too early.
func (k *ackSender) start(l *link, policy AckPolicy) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		began := time.Now()
		for {
			if k.send(l, policy) != nil {
				return // the reading goroutine sees the broken link too
			}
			timer := time.NewTimer(ackPause(time.Since(began)))
			select {
			case <-quit:
				timer.Stop()
				return
			case <-k.sendNow:
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

func (k *ackSender) send(l *link, policy AckPolicy) error {
	switch policy {
	case AckReceived:
		return l.send("REPLCONF", "ACK", strconv.FormatInt(k.received.Load(), 10))
	case AckDurable:
		k.mu.Lock()
		n := strconv.FormatInt(k.durable, 10)
		k.mu.Unlock()
		return l.send("REPLCONF", "ACK", n, "FACK", n)
	}
	return l.send("REPLCONF", "ACK", k.noneOffset)
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
