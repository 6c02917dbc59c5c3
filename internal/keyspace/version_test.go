package keyspace_test

import (
	"testing"

	"triggerd/internal/keyspace"
)

// TestVersion: a version is read as servers tell it, and as it was kept; what is
// not known of one counts as new.
func TestVersion(t *testing.T) {
	for _, test := range []struct {
		text, again    string
		sendsIncrement bool // as HSETEX .. KEEPTTL
	}{
		{"8.0.2", "8.0.2", false},
		{"8.0.5", "8.0.5", false},
		{"8.0.6", "8.0.6", true},
		{"8.6.3", "8.6.3", true},
		{"10.0.0", "10.0.0", true},
		{"7.4.2", "7.4.2", false},
		{"255.255.255", "255.255.255", true},
		{"8", "8", true},
		{"8.0", "8.0", true},
		{"7", "7", false},
		{"8.1-rc1", "8", true},
		{"8.0.0-m02", "8.0", true},
		{"", "0.0.0", true},
		{"0", "0", true},
		{"unknown", "0.0.0", true},
		{"-1.2", "0.0.0", true},
	} {
		v := keyspace.ParseVersion(test.text)
		if got := v.String(); got != test.again || keyspace.ParseVersion(got) != v {
			t.Errorf("%q: spelt %q, want %q", test.text, got, test.again)
		}
		s := newSession(keyspace.Config{Version: v})
		s.do("HSET h f 1")
		events := s.do("HSETEX h KEEPTTL FIELDS 1 f 2.5")
		if got := len(events) == 1 && events[0][:len("hincrbyfloat")] == "hincrbyfloat"; got != test.sendsIncrement {
			t.Errorf("%q: an increment: %v, want %v", test.text, got, test.sendsIncrement)
		}
	}
}
