package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"triggerd/engine"
	"triggerd/internal/notify"
)

// statusInterval is how often a service manager is told how the daemon is
// doing, if that is another than before.
const statusInterval = 2 * time.Second

// service tells the service manager, if there is one, how a daemon is doing.
type service struct {
	notify  *notify.Notifier
	engine  *engine.Engine
	log     *slog.Logger
	deaf    atomic.Bool // the service manager did not hear the last
	refused atomic.Bool // there were mistakes in the rules when they were last read
}

// tell logs that the service manager could not be told something, once until it
// hears again.
func (s *service) tell(err error) {
	if was := s.deaf.Swap(err != nil); err != nil && !was {
		s.log.Warn("the service manager does not hear", "err", err)
	}
}

// run tells that the daemon is ready, how it is doing, that its loops turn, and
// at the end of ctx that it stops. The function that it returns ends that.
func (s *service) run(ctx context.Context) (stop func()) {
	if s.notify == nil {
		return func() {}
	}
	s.tell(s.notify.Ready())
	told := context.AfterFunc(ctx, func() { s.tell(s.notify.Stopping()) })
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // firings are delivered past the end of ctx
	go func() {
		defer close(done)
		s.watch(ctx)
	}()
	return func() {
		told()
		cancel()
		<-done
	}
}

// watch tells the status where it has changed, and four times in what the
// watchdog allows that the loops turn.
func (s *service) watch(ctx context.Context) {
	status := time.NewTicker(statusInterval)
	defer status.Stop()
	var alive <-chan time.Time
	if limit := s.notify.WatchdogLimit(); limit > 0 {
		t := time.NewTicker(max(limit/4, time.Millisecond))
		defer t.Stop()
		alive = t.C
	}
	loops, last := s.engine.Watch(), ""
	for {
		if line := s.status(); line != last {
			s.tell(s.notify.Status(line))
			last = line
		}
		select {
		case <-ctx.Done():
			return
		case <-status.C:
		case <-alive:
			if stuck := loops.Stuck(); stuck != "" {
				s.log.Error("a loop stands still, the watchdog is not fed", "loop", stuck)
				continue
			}
			s.tell(s.notify.Alive())
		}
	}
}

// status is how the daemon is doing, in a line.
func (s *service) status() string {
	state := "reading"
	if err := s.engine.Ready(); err != nil {
		state = err.Error()
	}
	if n := s.engine.Stats().Pending; n > 0 {
		state += fmt.Sprintf("; %s to be delivered", plural(int(n), "firing"))
	}
	if s.refused.Load() {
		state += "; there are mistakes in the rules file, the old rules are in use"
	}
	return state
}

// reload does what reads the configuration again, and tells of it.
func (s *service) reload(read func()) {
	if s.notify == nil {
		read()
		return
	}
	s.tell(s.notify.Reloading())
	read()
	s.tell(s.notify.Ready())
}
