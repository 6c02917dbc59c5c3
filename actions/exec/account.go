package exec

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"triggerd/actions"
)

// account is the user that a program runs as. A nil one is triggerd's own.
type account struct {
	credential syscall.Credential
	name, home string
}

func (c *command) takeUser(s *actions.Settings) {
	name, ok := s.Text("user")
	if !ok {
		return
	}
	a, err := newAccount(name, os.Geteuid())
	if err != nil {
		s.Fail("user", "%w", err)
		return
	}
	c.account = a
}

// newAccount looks up a user by name or number, for a process with the given
// effective user. A number without an entry in the system's user database is
// refused like an unknown name: it has no groups to look up.
func newAccount(name string, euid int) (*account, error) {
	if euid != 0 {
		return nil, fmt.Errorf("only root can run a program as another user, and triggerd runs as user %d; leave it out, or start triggerd as root", euid)
	}
	u, err := user.Lookup(name)
	if _, numeric := strconv.ParseUint(name, 10, 32); err != nil && numeric == nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return nil, fmt.Errorf("there is no user %q on this machine: %w", name, err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up the groups of %q: %w", name, err)
	}
	a := &account{name: u.Username, home: u.HomeDir}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	a.credential.Uid, a.credential.Gid = uint32(uid), uint32(gid)
	for _, g := range groups {
		n, err := strconv.ParseUint(g, 10, 32)
		err2 = errors.Join(err2, err)
		a.credential.Groups = append(a.credential.Groups, uint32(n))
	}
	return a, errors.Join(err1, err2)
}

// become has a process start as the account.
func (a *account) become(attr *syscall.SysProcAttr) {
	if a != nil {
		attr.Credential = &a.credential
	}
}

// own gives files to the account: a program that opens /dev/stdin or
// /dev/stderr opens the pipe once more, which only its owner may.
func (a *account) own(files ...*os.File) error {
	if a == nil {
		return nil
	}
	for _, f := range files {
		if err := f.Chown(int(a.credential.Uid), int(a.credential.Gid)); err != nil {
			return fmt.Errorf("give a pipe to user %s: %w", a.name, err)
		}
	}
	return nil
}

// lookup returns a variable of triggerd's environment, or the account's own
// HOME and USER.
func (a *account) lookup(name string) (value string, ok bool) {
	switch {
	case a != nil && name == "HOME":
		return a.home, true
	case a != nil && name == "USER":
		return a.name, true
	}
	return os.LookupEnv(name)
}
