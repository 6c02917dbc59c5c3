package redistest_test

import (
	"testing"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
)

func TestEachStartsEveryServer(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		if got := redistest.Do(t, srv, "PING"); got != "PONG" {
			t.Errorf("PING: got %v, want PONG", got)
		}
		const key, value = "k\x00\r\n\xff", "v\r\n$3\r\n\x00\xfe"
		c := redistest.Dial(t, srv)
		if _, err := c.Do("SET", key, value); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Do("GET", key); err != nil || got != value {
			t.Errorf("GET: got %q, %v, want %q", got, err, value)
		}
	})
}
