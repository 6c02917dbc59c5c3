package source

import (
	"errors"
	"fmt"
	"strings"

	"triggerd/internal/secret"
)

// masked returns err with secrets masked in its text, whatever the server put
// there. errors.Is and errors.As work as before. A ServerError is returned as
// it is: its secrets are masked already, and its hint may rightly contain a
// word that is also a password.
func masked(m *secret.Masker, err error) error {
	var refused *ServerError
	if err == nil || errors.As(err, &refused) {
		return err
	}
	text := err.Error()
	if shown := m.Mask(text); shown != text {
		return &maskedError{shown, err}
	}
	return err
}

type maskedError struct {
	shown string
	err   error
}

func (e *maskedError) Error() string { return e.shown }
func (e *maskedError) Unwrap() error { return e.err }

// ServerError is a server's error reply to a command of the handshake.
type ServerError struct {
	Command string // what was sent, without secrets
	Reply   string // the server's error line, without its leading "-", and without secrets
	Hint    string // what to do about it; "" if there is nothing to say
}

func (e *ServerError) Error() string {
	s := fmt.Sprintf("%s: server said %q", e.Command, e.Reply)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// code returns the first word of the reply, which tells errors apart.
func (e *ServerError) code() string {
	code, _, _ := strings.Cut(e.Reply, " ")
	return code
}

// Refused reports whether the user may not do it.
func (e *ServerError) Refused() bool { return e.code() == "NOPERM" }

// temporary reports whether the server is in a state that ends by itself.
func (e *ServerError) temporary() bool {
	switch e.code() {
	case "LOADING", "NOMASTERLINK", "MASTERDOWN", "BUSY":
		return true
	}
	return false
}

// unknown reports whether the server does not know the command, or its option.
func (e *ServerError) unknown() bool {
	l := strings.ToLower(e.Reply)
	return strings.HasPrefix(l, "err unknown") || strings.HasPrefix(l, "err unrecognized") || strings.HasPrefix(l, "err syntax error")
}

// unknownCommand reports whether the server does not know the command, whatever
// its arguments.
func (e *ServerError) unknownCommand() bool {
	return strings.HasPrefix(strings.ToLower(e.Reply), "err unknown command")
}

// serverError makes a ServerError of a reply, with a hint for the user. Servers
// repeat the arguments of a command that they do not know, and one of AUTH's is
// the password.
func (a *address) serverError(command, reply string) *ServerError {
	reply, _, _ = strings.Cut(reply, ", with args beginning")
	if command == "AUTH" {
		reply = strings.ReplaceAll(reply, a.password, "***")
	}
	e := &ServerError{Command: command, Reply: reply}
	e.Hint = a.hint(e)
	e.Command, e.Reply = a.secrets.Mask(command), a.secrets.Mask(reply)
	return e
}

func (a *address) hint(e *ServerError) string {
	user := a.secrets.Mask(a.user)
	if user == "" {
		user = "default"
	}
	switch code := e.code(); {
	case code == "NOAUTH":
		return "the server wants a password: put it in the source URL, redis://user:password@host:port"
	case code == "WRONGPASS", strings.Contains(e.Reply, "invalid password"):
		return fmt.Sprintf("the password of user %q in the source URL is wrong, or the user is off", user)
	case strings.Contains(e.Reply, "without any password configured"), strings.Contains(e.Reply, "no password is set"):
		return "the server has no password: take it out of the source URL"
	case code == "NOPERM" && user == "default":
		return "give triggerd a user of its own: ACL SETUSER triggerd on >PASSWORD " + permissions(e)
	case code == "NOPERM":
		return fmt.Sprintf("allow it to the user: ACL SETUSER %s on %s", user, permissions(e))
	case code == "LOADING":
		return "the server is loading its data; triggerd tries again until it is done"
	case code == "NOMASTERLINK", code == "MASTERDOWN":
		return "the server is a replica that has lost its own primary; triggerd tries again until it is back"
	case code == "BUSY":
		return "the server is busy with a script; triggerd tries again"
	case code == "DENIED":
		return "the server runs in protected mode: set a password on it, or connect over loopback"
	case e.unknown() && e.Command == "SYNC":
		return "this server does not let replicas attach, as most hosted services do; if it has PSYNC under another name, set psync_command in [source]"
	case e.unknown() && !strings.HasPrefix(e.Command, "REPLCONF"):
		return "is this a Redis or Valkey server? If it has PSYNC under another name, set psync_command in [source]"
	}
	return ""
}

// permissions returns what a user of the server needs, as an ACL rule. It was
// enough on redis 6.0 to 8.6 and valkey 8.0 to 9.1.
func permissions(e *ServerError) string {
	switch e.Command {
	case "SYNC":
		return "+psync +sync +replconf +ping"
	case "INFO":
		return "+psync +replconf +ping +info"
	}
	return "+psync +replconf +ping"
}
