package source_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"triggerd/internal/redistest"
	"triggerd/internal/servers"
	"triggerd/source"
)

// refusal attaches once, and returns the error.
func refusal(t *testing.T, cfg source.Config) string {
	t.Helper()
	cfg.FailFirst = true
	err := follow(t, cfg, source.Position{}).ended()
	if err == nil {
		t.Fatalf("%s: no error", cfg.URL)
	}
	return err.Error()
}

// works attaches and waits for a write.
func works(t *testing.T, srv *servers.Server, cfg source.Config, c ...source.Consumer) *follower {
	t.Helper()
	cfg.FailFirst = true
	f := follow(t, cfg, source.Position{}, c...)
	f.attached(1)
	value := fmt.Sprint(time.Now().UnixNano())
	redistest.Do(t, srv, "SET", "works", value)
	f.command("SET", "works", value)
	return f
}

// TestPermissions creates users with less and less, and does what the refusals say.
func TestPermissions(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		as := func(user string) source.Config {
			return source.Config{URL: "redis://" + user + ":secret@" + srv.Addr, MinBackoff: 10 * time.Millisecond}
		}
		setuser := func(user, rules string) {
			redistest.Do(t, srv, append([]string{"ACL", "SETUSER", user, "on", ">secret"}, words(rules)...)...)
		}
		setuser("enough", "+psync +replconf +ping")
		works(t, srv, as("enough"))
		setuser("noping", "+psync +replconf")
		works(t, srv, as("noping"))

		for user, rules := range map[string]string{"nopsync": "+replconf +ping", "noreplconf": "+psync +ping", "nothing": "-@all"} {
			setuser(user, rules)
			got := refusal(t, as(user))
			hint := regexp.MustCompile(`ACL SETUSER \S+ on [^":]+`).FindString(got)
			if hint != "ACL SETUSER "+user+" on +psync +replconf +ping" {
				t.Errorf("%s: %s", user, got)
				continue
			}
			redistest.Do(t, srv, words(hint)...) // an error ends the test
			works(t, srv, as(user))
		}
		if got := refusal(t, source.Config{URL: "redis://enough:wrong@" + srv.Addr}); !strings.Contains(got, `the password of user "enough" in the source URL is wrong`) {
			t.Error(got)
		}
		if got := refusal(t, source.Config{URL: "redis://:secret@" + srv.Addr}); !strings.Contains(got, "the server has no password: take it out") && !strings.Contains(got, `the password of user "default"`) {
			t.Error(got)
		}

		// The default user, of which triggerd should not be told to take from.
		admin := redistest.Dial(t, srv)
		send(t, admin, words("ACL SETUSER default -psync -sync"))
		got := refusal(t, source.Config{URL: url(srv)})
		hint := regexp.MustCompile(`ACL SETUSER triggerd on [^":]+`).FindString(got)
		if hint == "" {
			t.Fatal(got)
		}
		send(t, admin, words(hint))
		works(t, srv, source.Config{URL: "redis://triggerd:PASSWORD@" + srv.Addr})

		send(t, admin, words("CONFIG SET requirepass hunter2"))
		if got := refusal(t, source.Config{URL: url(srv)}); !strings.Contains(got, "NOAUTH") || !strings.Contains(got, "put it in the source URL") {
			t.Error(got)
		}
		send(t, admin, words("ACL SETUSER default +psync"))
		f := follow(t, source.Config{URL: "redis://:hunter2@" + srv.Addr}, source.Position{})
		f.attached(1)
		send(t, admin, words("SET requirepass 1"))
		f.command("SET", "requirepass", "1")
	})
}

func TestTLS(t *testing.T) {
	for _, name := range some {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.StartWith(t, servers.Options{Name: name, TLS: true})
			verified := source.Config{URL: "rediss://" + srv.TLSAddr + "?cacert=" + srv.CAFile}
			works(t, srv, verified)
			_, port, _ := strings.Cut(srv.TLSAddr, ":")
			for _, c := range []struct {
				name, url, want string
				timeout         time.Duration
			}{
				{"authority unknown", "rediss://" + srv.TLSAddr, "name the authority: rediss://host:port?cacert=", 0},
				{"other name", "rediss://127.0.0.1:" + port + "?sni=other.example&cacert=" + srv.CAFile, "other.example", 0},
				{"plain to TLS", "redis://" + srv.TLSAddr, "use rediss://", 0},
				{"TLS to plain", "rediss://" + srv.Addr + "?cacert=" + srv.CAFile, "use redis://", 500 * time.Millisecond},
			} {
				if got := refusal(t, source.Config{URL: c.url, DialTimeout: c.timeout}); !strings.Contains(got, c.want) {
					t.Errorf("%s: got %s, want %s", c.name, got, c.want)
				}
			}
			redistest.Do(t, srv, "CONFIG", "SET", "tls-auth-clients", "yes")
			if got := refusal(t, verified); !strings.Contains(got, "certificate") {
				t.Errorf("client certificate wanted: %s", got)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	redistest.Each(t, []string{"redis-7.0", "valkey-9.1"}, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		if got := works(t, srv, source.Config{URL: "unix://" + srv.Socket}).src.Status().Addr; got != "unix://"+srv.Socket {
			t.Errorf("Status.Addr is %s", got)
		}
	})
}

// TestRenamedPSYNC attaches where PSYNC has another name, which makes a SYNC of
// it, and where it has none, but SYNC is there.
func TestRenamedPSYNC(t *testing.T) {
	redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
		t.Parallel()
		f := works(t, srv, source.Config{URL: url(srv), PsyncCommand: "renamed"}, wantsKeys)
		if s := f.src.Status(); f.all(source.SnapshotEnd)[0].Pos.ReplID != info(t, srv, "replication", "master_replid") {
			t.Errorf("status %+v", s)
		}
		if r := f.all(source.Command)[0]; !r.Pos.IsZero() {
			t.Errorf("a position that cannot be resumed at: %v", r)
		}
	}, "--rename-command", "PSYNC", "renamed")
	t.Run("disabled", func(t *testing.T) {
		redistest.Each(t, redistest.All, func(t *testing.T, srv *servers.Server) {
			t.Parallel()
			for _, diskless := range []string{"yes", "no"} {
				redistest.Do(t, srv, "CONFIG", "SET", "repl-diskless-sync", diskless)
				f := works(t, srv, source.Config{URL: url(srv)}, wantsKeys)
				for _, r := range f.all(source.Command) {
					if !r.Pos.IsZero() {
						t.Errorf("a position that cannot be resumed at: %v", r)
					}
				}
				if id := f.all(source.SnapshotEnd)[0].Pos.ReplID; id != info(t, srv, "replication", "master_replid") {
					t.Errorf("ID %s is not the server's", id)
				}
				f.stop()
			}
		}, "--rename-command", "PSYNC", "")
	})
	t.Run("without SYNC", func(t *testing.T) {
		redistest.Each(t, some, func(t *testing.T, srv *servers.Server) {
			t.Parallel()
			if got := refusal(t, source.Config{URL: url(srv)}); !strings.Contains(got, "psync_command in [source]") {
				t.Error(got)
			}
		}, "--rename-command", "PSYNC", "", "--rename-command", "SYNC", "")
	})
}
