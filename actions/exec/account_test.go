package exec_test

import (
	"os"
	"os/user"
	"strings"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/exec"
)

// another is a user that every system has, and is not root.
const another = "nobody"

// TestExecUser runs a program as another user where the tests run as root, as
// they do in a container, and checks that it is refused where they do not.
func TestExecUser(t *testing.T) {
	u, err := user.Lookup(another)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		_, err := actions.Kinds{&exec.Kind}.New("exec", table{"command": list("/bin/sh"), "user": another}, actions.Options{})
		if err == nil || !strings.Contains(err.Error(), "user: only root can run a program as another user") {
			t.Errorf("got %v", err)
		}
		return
	}
	groups, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	// says runs a script that fails, and returns what it wrote.
	says := func(t *testing.T, script string, fields table) string {
		t.Helper()
		_, err := sh(t, script+"; exit 1", fields, actions.Options{}).Do(t.Context(), actionstest.Firing())
		actionstest.WantRetry(t, err)
		if err == nil {
			return ""
		}
		return strings.TrimPrefix(err.Error(), "/bin/sh: exit status 1: ")
	}
	for _, name := range []string{another, u.Uid} {
		t.Run(name, func(t *testing.T) {
			got := says(t, `id -u; id -g; id -G; echo "$USER $HOME"`, table{"user": name})
			if want := strings.Join([]string{u.Uid, u.Gid, strings.Join(groups, " "), u.Username + " " + u.HomeDir}, `\n`); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("own environment", func(t *testing.T) {
		if got, want := says(t, `echo "$USER $HOME"`, table{"user": another, "env": table{"HOME": "/x"}}), another+` /x`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("pipes by name", func(t *testing.T) { // which only their owner may open
		if got, want := says(t, `head -c 1 /dev/stdin > /dev/stderr`, table{"user": another}), `{`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("no permission", func(t *testing.T) { // of root's
		if got := says(t, `cat /etc/shadow`, table{"user": another, "env": table{"LANG": "C"}}); !strings.Contains(got, "Permission denied") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("killed", func(t *testing.T) {
		_, err := sh(t, `exec sleep 1000`, table{"user": another}, actions.Options{Timeout: 50 * time.Millisecond}).Do(t.Context(), actionstest.Firing())
		actionstest.WantRetry(t, err)
	})
}
