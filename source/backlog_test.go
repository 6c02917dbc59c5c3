package source_test

import (
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// TestBacklog asks real servers, and one that does not answer this user.
func TestBacklog(t *testing.T) {
	redistest.Each(t, some, func(t *testing.T, srv *servers.Server) {
		c := redistest.Dial(t, srv)
		send(t, c, words("CONFIG SET repl-backlog-size 3145728"))
		f := follow(t, source.Config{URL: url(srv), BacklogInterval: 10 * time.Millisecond}, source.Position{})
		f.status("the backlog's size and a rate", func(s source.Status) bool {
			send(t, c, words("SET k v"))
			return s.Backlog.Bytes == 3<<20 && s.Backlog.Offset > 0 && s.Backlog.Offset <= infoInt(t, srv, "replication", "master_repl_offset") && s.Backlog.Rate > 0
		})
		send(t, c, words("ACL SETUSER triggerd on >secret +psync +replconf +ping"))
		f = follow(t, source.Config{URL: strings.Replace(url(srv), "redis://", "redis://triggerd:secret@", 1), BacklogInterval: 10 * time.Millisecond}, source.Position{})
		f.status("the answer in the log", func(source.Status) bool {
			return strings.Contains(f.log.String(), "the server does not say how much of its stream it keeps")
		})
		send(t, c, words("SET k v"))
		f.status("the server's offset", func(s source.Status) bool {
			return s.Received == infoInt(t, srv, "replication", "master_repl_offset") && s.Backlog == source.Backlog{} && s.Connects == 1
		})
	})
}

func TestBacklogLeft(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		b      source.Backlog
		offset int64
		want   time.Duration
		known  bool
	}{
		"not known":           {source.Backlog{}, 0, 0, false},
		"nothing is written":  {source.Backlog{Bytes: 1000, Offset: 500, At: now}, 500, 0, false},
		"up to date":          {source.Backlog{Bytes: 1000, Offset: 500, Rate: 10, At: now}, 500, 100 * time.Second, true},
		"ahead of the answer": {source.Backlog{Bytes: 1000, Offset: 500, Rate: 10, At: now}, 900, 100 * time.Second, true},
		"behind":              {source.Backlog{Bytes: 1000, Offset: 500, Rate: 10, At: now}, 100, 60 * time.Second, true},
		"an old answer":       {source.Backlog{Bytes: 1000, Offset: 500, Rate: 10, At: now.Add(-30 * time.Second)}, 500, 70 * time.Second, true},
		"too late":            {source.Backlog{Bytes: 1000, Offset: 5000, Rate: 10, At: now}, 500, 0, true},
		"hardly anything":     {source.Backlog{Bytes: 1 << 40, Rate: 1e-9, At: now}, 0, 365 * 24 * time.Hour, true},
	} {
		if got, known := test.b.TimeLeft(test.offset, now); got != test.want || known != test.known {
			t.Errorf("%s: %v, %v; want %v, %v", name, got, known, test.want, test.known)
		}
	}
}
