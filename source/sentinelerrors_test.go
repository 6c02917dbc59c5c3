package source_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// TestSentinelMistakes: each mistake is told in one sentence with what to do, and
// what time can mend is mended by it.
func TestSentinelMistakes(t *testing.T) {
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		c := redistest.Dial(t, srv)
		send(t, c, words("CONFIG SET requirepass hunter2-server"), words("AUTH hunter2-server"))
		s := redistest.StartSentinels(t, srv, srv.Addr, redistest.SentinelOptions{DownAfter: time.Minute, Config: []string{"sentinel auth-pass mymaster hunter2-server"}})
		all := strings.Join(s.Addrs, ",")
		gone := strings.Split(redistest.UnusedAddr(t), ":")
		for _, m := range []struct {
			name, url string
			cfg       source.Config
			want      []string
		}{
			{"unknown name", "redis+sentinel://" + all + "/mymastre", source.Config{},
				[]string{`no Sentinel knows the name "mymastre": they know "mymaster"`}},
			{"no Sentinel", "redis+sentinel://127.0.0.1:" + gone[1] + "/mymaster", source.Config{},
				[]string{`no Sentinel says where "mymaster" is: Sentinel 127.0.0.1:`, "connection refused"}},
			{"not a Sentinel", "redis+sentinel://" + srv.Addr + "/mymaster", source.Config{SentinelPassword: "hunter2-server"},
				[]string{"it is no Sentinel: write the addresses of the Sentinels"}},
			{"password for Sentinels without one", "redis+sentinel://" + all + "/mymaster", source.Config{SentinelUser: "me", SentinelPassword: "hunter2-sentinel"},
				[]string{"sentinel_"}},
			{"no password for the server", "redis+sentinel://" + all + "/mymaster", source.Config{},
				[]string{"the server wants a password: put it in the source URL"}},
			{"wrong password for the server", "redis+sentinel://:hunter2-wrong@" + all + "/mymaster", source.Config{},
				[]string{"in the source URL is wrong"}},
			{"TLS to plain Sentinels", "rediss+sentinel://" + all + "/mymaster", source.Config{DialTimeout: 500 * time.Millisecond},
				[]string{"TLS"}},
		} {
			m.cfg.URL = m.url
			f := follow(t, m.cfg, source.Position{})
			got := told(f, m.want...)
			f.stop()
			if text := got + f.log.String(); strings.Contains(text, "hunter2") {
				t.Errorf("%s: a password is told: %s", m.name, text)
			}
		}

		// The Sentinels want a password themselves, from now on.
		for i := range s.Addrs {
			if _, err := s.Do(i, "CONFIG", "SET", "requirepass", "hunter2-sentinel"); err != nil {
				if _, err := s.Do(i, "ACL", "SETUSER", "default", ">hunter2-sentinel"); err != nil {
					t.Fatal(err)
				}
			}
		}
		right := source.Config{URL: "redis+sentinel://:hunter2-server@" + all + "/mymaster", SentinelPassword: "hunter2-sentinel"}
		wrong := right
		wrong.SentinelPassword = "hunter2-wrong"
		told(follow(t, wrong, source.Position{}), "sentinel_password in [source] is wrong")
		none := right
		none.SentinelPassword = ""
		told(follow(t, none, source.Position{}), "set sentinel_password in [source]")
		f := follow(t, right, source.Position{})
		f.attached(1)
		send(t, c, words("SET a 1"))
		f.command("SET", "a", "1")
	})
}

// TestSentinelACL: what a user of the Sentinels, or of the servers, may not do is told
// with what to allow, and costs no more than it has to.
func TestSentinelACL(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, "redis-7.0")
	replica := redistest.Start(t, "redis-7.0")
	host, port, _ := strings.Cut(srv.Addr, ":")
	redistest.Do(t, replica, "REPLICAOF", host, port)
	until(t, "a replica", func() bool { return info(t, replica, "replication", "master_link_status") == "up" })
	s := redistest.StartSentinels(t, srv, srv.Addr, redistest.SentinelOptions{DownAfter: time.Minute})
	s.AwaitReplicas(1)
	for _, n := range []*servers.Server{srv, replica} {
		redistest.Do(t, n, "ACL", "SETUSER", "full", "on", ">server-word", "-@all", "+psync", "+replconf", "+ping", "+info")
		redistest.Do(t, n, "ACL", "SETUSER", "noinfo", "on", ">server-word", "-@all", "+psync", "+replconf", "+ping")
	}
	users := map[string][]string{
		"full":       {"allchannels", "+sentinel|master", "+sentinel|replicas", "+sentinel|get-master-addr-by-name", "+subscribe"},
		"noreplicas": {"allchannels", "+sentinel|master", "+sentinel|get-master-addr-by-name", "+subscribe"},
		"nomaster":   {"allchannels", "+sentinel|replicas", "+sentinel|get-master-addr-by-name", "+subscribe"},
		"noaddress":  {"allchannels", "+sentinel|master", "+sentinel|replicas", "+subscribe"},
		"nochannel":  {"resetchannels", "+sentinel|master", "+sentinel|replicas", "+sentinel|get-master-addr-by-name", "+subscribe"},
		"nothing":    {"+subscribe"},
		"off":        {"off"},
	}
	for i := range s.Addrs {
		for name, rights := range users {
			if _, err := s.Do(i, append([]string{"ACL", "SETUSER", name, "on", ">sentinel-word", "-@all"}, rights...)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		user, sentinelUser string
		prefer             source.Prefer
		attached           string // to; "": not at all
		want               string // in the log
	}{
		{"full", "full", source.PreferPrimary, srv.Addr, "attached, full resync"},
		{"full", "full", source.PreferReplica, replica.Addr, "attached, full resync"},
		{"full", "noreplicas", source.PreferReplica, srv.Addr, "the Sentinel does not say which there are"},
		{"full", "nomaster", source.PreferReplica, replica.Addr, "attached, full resync"},
		{"full", "noaddress", source.PreferPrimary, srv.Addr, "attached, full resync"},
		{"full", "nochannel", source.PreferPrimary, srv.Addr, "a Sentinel is not heard"},
		{"full", "nothing", source.PreferPrimary, "", "+sentinel|get-master-addr-by-name"},
		{"full", "off", source.PreferPrimary, "", "sentinel_user or sentinel_password in [source] is wrong"},
		{"noinfo", "full", source.PreferPrimary, srv.Addr, "ACL SETUSER noinfo on +psync +replconf +ping +info"},
	} {
		t.Run(c.user+" "+c.sentinelUser+" "+string(c.prefer), func(t *testing.T) {
			f := follow(t, source.Config{URL: "redis+sentinel://" + c.user + ":server-word@" + strings.Join(s.Addrs, ",") + "/mymaster", SentinelUser: c.sentinelUser, SentinelPassword: "sentinel-word", Prefer: c.prefer}, source.Position{})
			if c.attached != "" {
				f.attached(1)
				if s := f.src.Status(); s.Server != "redis://"+c.attached {
					t.Errorf("attached to %s, want %s", s.Server, c.attached)
				}
			} else if got := told(f, c.want); strings.Count(got, c.want) != 1 {
				t.Errorf("%q is to be told once: %s", c.want, got)
			}
			until(t, c.want, func() bool { return strings.Contains(f.log.String(), c.want) })
			f.stop()
			if refused := c.attached == ""; strings.Contains(f.log.String(), "level=ERROR") != refused {
				t.Errorf("an error is to be logged: %v; log:\n%s", refused, f.log)
			}
			if strings.Contains(f.log.String(), "-word") {
				t.Errorf("a password is in the log:\n%s", f.log)
			}
		})
	}
}

// TestSentinelTLS: TLS to the Sentinel and to the server that it names, verified;
// and a refusal for want of a client certificate is told as such.
func TestSentinelTLS(t *testing.T) {
	for _, name := range []string{"redis-7.0", "valkey-9.1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.StartWith(t, servers.Options{Name: name, TLS: true})
			certs := filepath.Dir(srv.CAFile)
			sentinel := func(auth string) string {
				_, port, _ := strings.Cut(redistest.UnusedAddr(t), ":")
				redistest.StartSentinels(t, srv, srv.TLSAddr, redistest.SentinelOptions{N: 1, DownAfter: time.Minute, Config: []string{
					"tls-port " + port, "tls-replication yes", "tls-auth-clients " + auth, "tls-ca-cert-file " + srv.CAFile,
					"tls-cert-file " + filepath.Join(certs, "server.pem"), "tls-key-file " + filepath.Join(certs, "server.key"),
				}})
				return "rediss+sentinel://127.0.0.1:" + port + "/mymaster?cacert=" + srv.CAFile
			}
			f := follow(t, source.Config{URL: sentinel("no")}, source.Position{})
			f.attached(1)
			send(t, redistest.Dial(t, srv), words("SET a 1"))
			f.command("SET", "a", "1")
			if got := f.src.Status().Server; got != "rediss://"+srv.TLSAddr {
				t.Errorf("attached to %s", got)
			}
			wants := follow(t, source.Config{URL: sentinel("yes")}, source.Position{})
			told(wants, "client certificate", "add cert=FILE and key=FILE")
		})
	}
}

// told waits until the last error says all of what is wanted, and returns it. On a
// busy machine the first may be that nobody has answered in time.
func told(f *follower, wants ...string) string {
	f.t.Helper()
	return f.status(fmt.Sprintf("an error that says %q", wants), func(s source.Status) bool {
		return !slices.ContainsFunc(wants, func(want string) bool { return !strings.Contains(s.LastError, want) })
	}).LastError
}

// TestSentinelsThatDiffer: one has been cut off and names another server. The
// others have seen a later failover, and are believed.
func TestSentinelsThatDiffer(t *testing.T) {
	srv, other := redistest.Start(t, "redis-7.0"), redistest.Start(t, "redis-7.0")
	stale := sayer(t, other.Addr, "3")
	newer := sayer(t, srv.Addr, "4")
	f := follow(t, source.Config{URL: "redis+sentinel://" + stale + "," + newer + "/mymaster"}, source.Position{})
	// If it is late, the other one is believed at first.
	f.status("the server of the later epoch", func(s source.Status) bool {
		return s.State == source.Streaming && s.Server == "redis://"+srv.Addr
	})
	// Of two of the same epoch either may be right.
	f = follow(t, source.Config{URL: "redis+sentinel://" + stale + "," + sayer(t, srv.Addr, "3") + "/mymaster"}, source.Position{})
	f.attached(1)
	until(t, "it to be told that they differ", func() bool { return strings.Contains(f.log.String(), "do not agree on the primary") })
	// An address that only they reach is told as theirs.
	f = follow(t, source.Config{URL: "redis+sentinel://" + sayer(t, "127.0.0.1:1", "1") + "/mymaster", DialTimeout: time.Second}, source.Position{})
	told(f, "if only they can reach it")
}

// sayer starts what answers as a Sentinel of one epoch that names one primary, and
// returns its address.
func sayer(t *testing.T, primary, epoch string) string {
	t.Helper()
	d := startDirector(t)
	d.name(primary, "", epoch)
	return d.Addr
}

// TestAnnounce: Sentinels that get answers list triggerd not at all, and promote the
// real replica.
func TestAnnounce(t *testing.T) {
	redistest.Each(t, []string{"valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		replica := redistest.Start(t, srv.Program.Name)
		host, port, _ := strings.Cut(srv.Addr, ":")
		redistest.Do(t, replica, "REPLICAOF", host, port)
		until(t, "a replica", func() bool { return info(t, replica, "replication", "master_link_status") == "up" })
		s := redistest.StartSentinels(t, srv, srv.Addr, redistest.SentinelOptions{})
		announced := redistest.UnusedAddr(t)
		f := follow(t, source.Config{URL: "redis+sentinel://" + strings.Join(s.Addrs, ",") + "/mymaster", Announce: announced}, source.Position{})
		f.attached(1)
		if got := info(t, srv, "replication", "connected_slaves"); got != "2" {
			t.Fatalf("%s replicas, want 2", got)
		}
		until(t, "the Sentinels to have seen triggerd", func() bool {
			master, _ := s.Do(0, "SENTINEL", "MASTER", redistest.SentinelName)
			return strings.Contains(fmt.Sprint(master), "num-slaves 2")
		})
		s.AwaitReplicas(1)
		until(t, "triggerd not to be listed", func() bool { // it is until it has answered
			list, _ := s.Do(0, "SENTINEL", "REPLICAS", redistest.SentinelName)
			return !strings.Contains(fmt.Sprint(list), announced) && !strings.Contains(fmt.Sprint(list), " port 0")
		})
		send(t, redistest.Dial(t, srv), words("SET a 1"))
		f.command("SET", "a", "1")
		if err := srv.Kill(); err != nil {
			t.Fatal(err)
		}
		until(t, "the replica to be the primary", func() bool {
			c, err := servers.Dial(t.Context(), replica.Socket)
			if err != nil {
				return false
			}
			defer c.Close()
			text, _ := c.Do("INFO", "replication") // a Sentinel that promotes a server closes its connections
			return strings.Contains(fmt.Sprint(text), "role:master")
		})
		send(t, redistest.Dial(t, replica), words("SET b 1"))
		f.command("SET", "b", "1")
		if s := f.src.Status(); s.Gaps != 0 || s.FullResyncs != 1 {
			t.Errorf("status %+v; log:\n%s", s, f.log)
		}
	})
}
