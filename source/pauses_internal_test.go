package source

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const leastPause, mostPause = 100 * time.Millisecond, 15 * time.Second

// limitOf returns the limit of the next pause: about the longest of many.
func limitOf(p pauses) (limit time.Duration) {
	for range 2000 {
		q := p
		limit = max(limit, q.next(leastPause, mostPause))
	}
	return limit
}

func TestPauses(t *testing.T) {
	var p pauses
	refused := func() { p.begin() }
	broken := func() { p.begin(); p.connected() }
	full := func() { p.begin(); p.connected(); p.resynced() }
	young := func() { full(); p.worked(false) }
	partial := func() { p.begin(); p.connected(); p.worked(false) }
	lasting := func() { p.begin(); p.connected(); p.worked(true) }
	for i, step := range []struct {
		name    string
		attempt func()
		times   int
		want    time.Duration // the limit of the pause after the last
	}{
		{"refused", refused, 1, leastPause},
		{"refused", refused, 4, 16 * leastPause},
		{"refused for long", refused, 100, maxRefusedPause},
		{"answered", broken, 1, leastPause},
		{"answered", broken, 3, 8 * leastPause},
		{"refused again", refused, 1, leastPause},
		{"full resync, cut soon", young, 1, leastPause},
		{"partial resync", partial, 1, leastPause},
		{"answered", broken, 1, leastPause},
		{"second full resync", young, 1, 2 * leastPause},
		{"refused between", refused, 1, leastPause},
		{"third, cut in its snapshot", full, 1, 4 * leastPause},
		{"partial between", partial, 5, leastPause},
		{"fourth", young, 1, 8 * leastPause},
		{"many", young, 100, mostPause},
		{"a stream that lasts", lasting, 1, leastPause},
		{"full resync after it", young, 1, leastPause},
	} {
		var limit time.Duration
		for range step.times {
			step.attempt()
			limit = limitOf(p)
			p.next(leastPause, mostPause)
		}
		if limit > step.want || limit < step.want*9/10 {
			t.Errorf("step %d, %s: limit %v, want %v", i, step.name, limit, step.want)
		}
	}
}

// TestReasonsAreLoggedOnce: our port is another one at each attempt.
func TestReasonsAreLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	s, err := NewReplica(Config{URL: "redis://h", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	v := receiver{n: &session{replica: s}}
	for port := range 5 {
		v.logLost(fmt.Errorf("PING: write tcp 127.0.0.1:%d->127.0.0.1:6379: write: broken pipe", 50000+port), 0)
	}
	if n := strings.Count(log.String(), "trying again"); n != 1 {
		t.Errorf("the same reason is logged %d times:\n%s", n, &log)
	}
	v.logLost(errors.New("PING: write tcp 127.0.0.1:50005->127.0.0.1:6380: write: broken pipe"), 0)
	if n := strings.Count(log.String(), "trying again"); n != 2 {
		t.Errorf("another reason is not logged:\n%s", &log)
	}
}
