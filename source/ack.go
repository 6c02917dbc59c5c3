package source

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"triggerd/internal/spool"
)

// ackSender acknowledges to the server what was received, spooled, or is durable.
type ackSender struct {
	received   atomic.Int64  // offset of the last byte that was read
	sendNow    chan struct{} // capacity 1: wakes the sending goroutine
	requests   chan struct{} // capacity 1: receives at each GETACK
	syncNow    chan struct{} // capacity 1: likewise, for AckSpooled
	noneOffset string        // the offset that AckNone acknowledges on the present link

	mu        sync.Mutex // guards what follows
	replID    string     // the history that is being received
	spooled   int64
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
	k.spooled = 0
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

// onGetAck answers the server's GETACK, which begins at an offset, at once. It
// answers again as soon as what came before is durable, since a client waits for
// that in WAIT.
func (k *ackSender) onGetAck(offset int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requested = offset
	k.wake()
	signal(k.requests)
	signal(k.syncNow)
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
func (k *ackSender) start(l *link, policy AckPolicy, log *spool.Log) (stop func()) {
	quit := make(chan struct{})
	var senders sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	if policy == AckSpooled {
		senders.Go(func() { k.sync(ctx, log) })
	}
	senders.Go(func() {
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
	})
	return func() {
		close(quit)
		cancel()
		l.close() // a write may be blocked
		senders.Wait()
	}
}

// sync syncs the spool once a second, and at each GETACK, until ctx is done.
func (k *ackSender) sync(ctx context.Context, log *spool.Log) {
	for {
		end, place := log.End()
		if log.Sync(ctx, end) != nil {
			return
		}
		k.mu.Lock()
		if place.ReplID == k.replID {
			k.spooled = place.Offset
		}
		k.mu.Unlock()
		k.wake()
		timer := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-k.syncNow:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (k *ackSender) send(l *link, policy AckPolicy) error {
	switch policy {
	case AckReceived:
		return l.send("REPLCONF", "ACK", strconv.FormatInt(k.received.Load(), 10))
	case AckSpooled, AckDurable:
		k.mu.Lock()
		n := strconv.FormatInt(k.durable, 10)
		if policy == AckSpooled {
			n = strconv.FormatInt(k.spooled, 10)
		}
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

// getAckFinder finds the server's GETACK in the bytes of a stream, without
// parsing them: whoever reads them may be far behind. A value that looks like
// one costs an acknowledgement more.
type getAckFinder struct {
	last []byte // the last bytes of what was looked at before
}

// getAck begins the command, as servers send it. It ends with a byte that is
// rare, and so quickly looked for.
var getAck = []byte("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK")

// find returns where the last GETACK begins in the next bytes of the stream,
// which may be before them, and false if there is none.
func (f *getAckFinder) find(b []byte) (at int, found bool) {
	for i := 0; ; i++ {
		k := bytes.IndexByte(b[i:], 'K')
		if k < 0 {
			break
		}
		i += k
		if n := i + 1 - len(getAck); n >= 0 && bytes.Equal(b[n:i+1], getAck) || n < 0 && bytes.HasSuffix(append(f.last[:len(f.last):len(f.last)], b[:i+1]...), getAck) {
			at, found = n, true
		}
	}
	if len(b) >= len(getAck) {
		f.last = append(f.last[:0], b[len(b)-len(getAck):]...)
		return at, found
	}
	f.last = append(f.last, b...)
	f.last = append(f.last[:0], f.last[max(0, len(f.last)-len(getAck)):]...)
	return at, found
}
