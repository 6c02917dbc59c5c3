package source_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/source"
)

func TestCheckURL(t *testing.T) {
	for _, raw := range []string{
		"redis://127.0.0.1:6379",
		"redis://localhost",
		"redis://[::1]:6380/",
		"redis://h/0",
		"redis://:pw@h",
		"redis://user:p%40ss%2Fw%3F%23@h:1",
		"redis://user:@h", // a user without a password is one with an empty one
		"rediss://h:6380?sni=example.com",
		"unix:///run/redis.sock",
		"unix:///run/a@b/redis.sock",
		"unix://:pw@/run/redis.sock",
	} {
		if err := source.CheckURL(raw); err != nil {
			t.Errorf("CheckURL(%q): %v", raw, err)
		}
	}
}

func TestCheckURLErrors(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, url, want string }{
		{"empty", "", "no scheme"},
		{"no scheme", "localhost", "no scheme"},
		{"host and port only", "127.0.0.1:6379", "write redis://user:password@host:port"},
		{"user, host and port only", "u:p@host:6379", "without a scheme: write redis://"},
		{"unknown scheme", "http://h", `unknown scheme (redis, rediss, redis+sentinel, rediss+sentinel or unix)`},
		{"no host", "redis://", "no host (write redis://host:port)"},
		{"no host but port", "rediss://:6379", "no host (write rediss://host:port)"},
		{"opaque", "redis:h", "no host"},
		{"port not a number", "redis://h:port", "invalid port"},
		{"port zero", "redis://h:0", "the port is not one (1 to 65535)"},
		{"port too large", "redis://h:65536", "the port is not one (1 to 65535)"},
		{"space", "redis://h h", "invalid character"},
		{"control character", "redis://h\n", "invalid control character"},
		{"more than one port", "redis://h:1:2", "more than one port"},
		{"database", "redis://h/3", "a database in it"},
		{"user without password", "redis://user@h", "user without a password"},
		{"option of plain", "redis://h?sni=x&cacert=y", "options (what is behind ?) need rediss://"},
		{"option of unix", "unix:///s?sni=x", "options (what is behind ?) need rediss://"},
		{"unknown option", "rediss://h?insecure=1", `unknown option (cacert, cert, key, sni)`},
		{"no cacert", "rediss://h?cacert=" + none, "cacert: open " + none},
		{"empty cacert", "rediss://h?cacert=" + empty, "cacert: no certificate in"},
		{"cert without key", "rediss://h?cert=a", "cert and key go together"},
		{"key without cert", "rediss://h?key=a", "cert and key go together"},
		{"no cert", "rediss://h?key=" + none + "&cert=" + none, "cert: open " + none},
		{"unix without path", "unix://", "no absolute path"},
		{"unix with relative path", "unix://run/redis.sock", "no absolute path"},
		{"slash in password", "redis://user:1/2@h", "write / ? and # in a password as %2F %3F and %23"},
		{"question mark in password", "redis://user:1?2@h", "write / ? and # in a password"},
		{"hash in password", "redis://user:1#2@h", "write / ? and # in a password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := source.CheckURL(c.url)
			if err == nil || !strings.HasPrefix(err.Error(), "source URL: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("CheckURL(%q):\ngot  %v\nwant source URL: ... %s", c.url, err, c.want)
			}
			if _, err := source.NewReplica(source.Config{URL: c.url}); err == nil {
				t.Errorf("NewReplica(%q): no error", c.url)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]source.Config{
		`ack policy "all" (none, received, spooled or durable)`: {Ack: "all"},
		"listening port 65536 (0 to 65535)":                     {ListeningPort: 65536},
		"listening port -1 (0 to 65535)":                        {ListeningPort: -1},
	} {
		cfg.URL = "redis://h"
		if _, err := source.NewReplica(cfg); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestPasswordNeverInError damages URLs with a password in every way that is
// likely, and looks for the password, or a part of it, in what is said.
func TestPasswordNeverInError(t *testing.T) {
	const secret = "4242133742"
	for _, special := range []string{"", "/", "?", "#", "@", ":", "%", "%zz", " ", "\n", "[", "]", "\\", "&", "=", "?x=", "\x7f", "ü"} {
		for _, form := range []string{
			"redis://user:%@h:6379", "redis://:%@h", "rediss://user:%@h", "redis://user:%@", "redis://user:%@h:port", "redis://user:%@h/1",
			"redis://user:%@h?cacert=1", "rediss://user:%@h?cacert=/nonexistent", "http://user:%@h", "user:%@h:6379", "://user:%@h", ":%@h",
			"redis:user:%@h", "redis:/user:%@h", "unix://user:%@", "unix://user:%@h/x", "//user:%@h", "redis://user:%@[::1", "redis://user:%",
		} {
			for _, password := range []string{secret + special, secret + special + secret, special + secret} {
				raw := strings.Replace(form, "%", password, 1)
				err := source.CheckURL(raw)
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("CheckURL(%q) tells the password: %v", raw, err)
				}
				if !strings.Contains(form, "@h") {
					continue // without a host behind it, a password cannot be told from one
				}
				if src, err := source.NewReplica(source.Config{URL: raw}); err == nil && strings.Contains(src.Status().Addr, secret) {
					t.Errorf("%q: the password is in Status.Addr: %s", raw, src.Status().Addr)
				}
			}
		}
	}
}
