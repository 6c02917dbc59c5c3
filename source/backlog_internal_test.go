package source

import (
	"testing"
	"time"
)

func TestReplicationInfo(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want replicationInfo
		ok   bool
	}{
		"whole":           {"# Replication\r\nrole:master\r\nmaster_replid:abc\r\nmaster_repl_offset:12\r\nrepl_backlog_active:1\r\nrepl_backlog_size:1048576\r\n", replicationInfo{replID: "abc", offset: 12, backlog: 1 << 20}, true},
		"no backlog":      {"# Replication\r\nmaster_repl_offset:12\r\n", replicationInfo{}, false},
		"empty":           {"", replicationInfo{}, false},
		"not a number":    {"repl_backlog_size:1mb\r\n", replicationInfo{}, false},
		"negative":        {"repl_backlog_size:-1\r\n", replicationInfo{}, false},
		"without an end":  {"repl_backlog_size:7", replicationInfo{backlog: 7}, true},
		"of other things": {"a\r\n:\r\nrepl_backlog_size:7\n", replicationInfo{backlog: 7}, true},
	} {
		if got, err := parseReplicationInfo(test.text); got != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, test.want)
		}
	}
}

func TestBacklogRate(t *testing.T) {
	w := &inquirer{}
	at := time.Unix(1000, 0)
	for i, step := range []struct {
		after  time.Duration
		replID string
		offset int64
		want   float64
	}{
		{0, "a", 1000, 0},
		{10 * time.Second, "a", 2000, 100},
		{10 * time.Second, "a", 2000, 50},
		{60 * time.Second, "a", 2000, 0},        // a minute ago it was there already
		{10 * time.Second, "b", 9000, 0},        // another history
		{10 * time.Second, "b", 9100, 10},       //
		{10 * time.Second, "b", 100, 0},         // and another of that name
		{10 * time.Minute, "b", 100 + 600, 1},   // asked rarely
		{10 * time.Minute, "b", 100 + 6600, 10}, //
	} {
		at = at.Add(step.after)
		if got := w.growthRate(replicationInfo{at: at, replID: step.replID, offset: step.offset}); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}
