package outbox

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"triggerd/actions"
)

// deaf is an action whose attempts of one firing end only when it is told to,
// whatever their context says.
type deaf struct {
	receiver
	which string
	end   chan struct{}
	once  sync.Once
}

func (d *deaf) Do(ctx context.Context, f *actions.Firing) (actions.Result, error) {
	if f.ID.String() == d.which && f.Attempt == 1 {
		<-d.end
		return actions.Result{}, nil // too late to count
	}
	return d.receiver.Do(ctx, f)
}

func (d *deaf) letGo() { d.once.Do(func() { close(d.end) }) }

func openDeaf(t *testing.T) (*box, *deaf) {
	d := &deaf{which: "x1", end: make(chan struct{})}
	t.Cleanup(func() {
		d.letGo()
		synctest.Wait()
	})
	b := newBox(t, 1000, 1)
	b.SetActions(map[string]*Action{"0": {Action: d, Concurrency: 1, Policy: spec(nil)}}, nil)
	return b, d
}

// An attempt that does not end with its time takes neither its slot nor its
// lane, and what comes of it later is nobody's.
func TestOutboxAbandons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := openDeaf(t)
		sp := spec(func(a *Policy) { a.Timeout = 3 * time.Second })
		b.put("0", "x", "x1", sp)
		b.put("0", "x", "x2", sp)
		b.put("0", "y", "y1", sp)
		sleep(3*time.Second + abandonAfter - time.Millisecond)
		if got := d.received(); len(got) != 0 {
			t.Errorf("received %v while the only slot was taken", got)
		}
		sleep(time.Millisecond) // not one more: the pause of x1, which is drawn, may be as short
		if got := strings.Join(d.received(), " "); got != "y1" {
			t.Errorf("received %q once it was abandoned, want the other key's", got)
		}
		sleep(time.Minute)
		if got := strings.Join(d.received(), " "); got != "y1 x1 x2" {
			t.Errorf("received %q, want the key to go on", got)
		}
		a := b.Endpoints()[0]
		if a.Abandoned != 1 || a.Retried != 1 || a.Delivered != 3 || a.InFlight != 0 || a.Classes["timeout"] != 1 || !strings.Contains(a.LastError, "had not ended 5s later") {
			t.Errorf("status %+v", a)
		}
		if n := strings.Count(b.log.String(), `msg="attempt abandoned: it does not end" action=0 firing=x1`); n != 1 {
			t.Errorf("told %d times:\n%s", n, b.log)
		}
		d.letGo()
		sleep(time.Minute)
		if s := b.total(); s.Delivered != 3 || s.Pending != 0 {
			t.Errorf("after its late end %+v", s)
		}
	})
}

// One that does not end does not hold up the end of triggerd; its firing waits
// for the next start.
func TestOutboxAbandonsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := openDeaf(t)
		b.put("0", "x", "x1", spec(func(a *Policy) { a.Timeout = time.Hour }))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		left := b.Stop(ctx, false)
		b.end()
		if took := time.Since(began); left != 1 || took != 10*time.Second+abandonAfter {
			t.Errorf("%d left, it took %v", left, took)
		}
		if !strings.Contains(b.log.String(), "attempts abandoned at the end") {
			t.Errorf("log:\n%s", b.log)
		}
		d.letGo()
		synctest.Wait()
		if s := b.total(); s.Delivered != 0 || s.Pending != 1 {
			t.Errorf("after its late end %+v", s)
		}
	})
}

// What says that it needs longer to end is given that.
func TestOutboxGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := graceful{actionFunc(func(ctx context.Context, _ *actions.Firing) error {
			<-ctx.Done()
			time.Sleep(abandonAfter + time.Second)
			return context.Cause(ctx)
		})}
		b := newBox(t, 10, 1)
		sp := spec(func(a *Policy) { a.Retry.MaxAttempts = 1 })
		b.SetActions(map[string]*Action{"0": {Action: a, Concurrency: 1, Policy: sp}}, nil)
		b.put("0", "k", "x", sp)
		sleep(time.Minute)
		if s := b.Endpoints()[0]; s.Abandoned != 0 || s.GivenUp != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

type graceful struct{ actionFunc }

func (graceful) Grace() time.Duration { return 5 * time.Second }
