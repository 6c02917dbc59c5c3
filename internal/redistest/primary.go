package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// Primary is a listener that plays scripts, one a connection: the first
// connection gets the first script and so on. When the last script has its
// connection, further connections are refused.
type Primary struct {
	Addr string // "127.0.0.1:port"

	t        testing.TB
	listener *net.TCPListener
	cancel   context.CancelFunc
	waited   sync.Once
	settled  sync.WaitGroup // scripts that are played to their end or to Hang
	all      sync.WaitGroup // goroutines
}

// StartPrimary starts a primary that plays scripts. A peer that deviates from
// its script fails the test with what was expected, what came, and what was
// said before. When the test ends, every script must have been played.
func StartPrimary(t testing.TB, scripts ...Script) *Primary {
	t.Helper()
	l := listen(t).(*net.TCPListener)
	ctx, cancel := context.WithCancel(context.Background())
	p := &Primary{Addr: l.Addr().String(), t: t, listener: l, cancel: cancel}
	p.settled.Add(len(scripts))
	p.all.Go(func() { p.serve(ctx, scripts) })
	t.Cleanup(func() {
		p.Wait()
		cancel()
		p.all.Wait()
	})
	return p
}

// Wait waits until every script has been played to its end or to its Hang. A
// connection that does not come within half a minute from now fails the test.
func (p *Primary) Wait() {
	p.waited.Do(func() { _ = p.listener.SetDeadline(time.Now().Add(stepTimeout)) }) // an error: all have come, it is closed
	p.settled.Wait()
}

func (p *Primary) serve(ctx context.Context, scripts []Script) {
	defer p.listener.Close()
	for i, script := range scripts {
		conn, err := p.listener.Accept()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = fmt.Errorf("it did not come within %v", stepTimeout)
			}
			p.t.Errorf("primary: connection %d of %d: %v", i+1, len(scripts), err)
			p.settled.Add(i - len(scripts))
			return
		}
		if i == len(scripts)-1 {
			p.listener.Close() // before the last script is settled, and Wait may return
		}
		settled := sync.OnceFunc(p.settled.Done)
		p.all.Go(func() {
			defer settled()
			if err := script.play(ctx, conn, settled); err != nil && !errors.Is(err, context.Canceled) {
				p.t.Errorf("primary: connection %d: %v", i+1, err)
			}
		})
	}
}
