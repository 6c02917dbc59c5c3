package exec

import (
	"slices"
	"strings"
	"testing"
)

func TestNewAccount(t *testing.T) {
	for name, test := range map[string]struct {
		user string
		euid int
		want string // "" is success
	}{
		"root, name":      {"root", 0, ""},
		"root, number":    {"0", 0, ""},
		"not root":        {"root", 1000, "only root can run a program as another user, and triggerd runs as user 1000"},
		"unknown":         {"no-such-user", 0, `there is no user "no-such-user" on this machine`},
		"unknown number":  {"4123456789", 0, `there is no user "4123456789"`},
		"negative number": {"-1", 0, `there is no user "-1"`},
		"empty":           {"", 0, `there is no user ""`},
	} {
		a, err := newAccount(test.user, test.euid)
		if test.want == "" {
			if err != nil || a.name != "root" || a.credential.Uid != 0 || !slices.Contains(a.credential.Groups, 0) || a.home == "" {
				t.Errorf("%s: got %+v, %v", name, a, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
