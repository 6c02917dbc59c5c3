package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/secret"
)

// address is a parsed source URL.
type address struct {
	network, host  string // as net.Dial takes them
	user, password string
	tls            *tls.Config // nil: plain
	text           string      // the URL without credentials, for people
	secrets        *secret.Masker

	connect func(ctx context.Context, network, host string) (net.Conn, error) // nil: a net.Dialer's; tests use pipes
}

// CheckURL returns what is wrong with a source URL, or nil:
//
//	redis://[user[:password]@]host[:6379]
//	rediss://...?cacert=FILE&cert=FILE&key=FILE&sni=NAME     TLS, verified
//	unix://[user[:password]@]/path/to.sock
//
// Errors never contain the password. Of the rest of the URL they have at most
// the names of files.
func CheckURL(raw string) error {
	_, err := parseAddress(raw)
	return err
}

// WithUser returns a source URL with a user and a password in it, where it has
// neither and one of them is not "". Any bytes may be in them.
func WithUser(raw, user, password string) string {
	u, err := url.Parse(raw)
	if err != nil || u.User != nil || u.Scheme == "" || u.Opaque != "" || user == "" && password == "" {
		return raw
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func parseAddress(raw string) (*address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the URL, which may hold a password.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("source URL: %s (write redis://user:password@host:port; %% and @ in a password as %%25 and %%40)", redactPort(err))
	}
	if err := checkUnescaped(u); err != nil {
		return nil, err
	}
	a := &address{network: "tcp", user: u.User.Username()}
	a.password, _ = u.User.Password()
	if a.password == "" && a.user != "" {
		if _, has := u.User.Password(); !has {
			return nil, errors.New("source URL: user without a password (write redis://user:password@host, or redis://:password@host)")
		}
	}
	switch u.Scheme {
	case "redis", "rediss":
		if u.Hostname() == "" {
			return nil, fmt.Errorf("source URL: no host (write %s://host:port)", u.Scheme)
		}
		if strings.Contains(u.Hostname(), ":") && u.Host[0] != '[' {
			return nil, errors.New("source URL: more than one port (write an IPv6 address in brackets)")
		}
		port := u.Port()
		if port == "" {
			port = "6379"
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("source URL: the port is not one (1 to 65535)") // it may be a password
		}
		a.host = net.JoinHostPort(u.Hostname(), port)
		if db := strings.Trim(u.Path, "/"); db != "" && db != "0" {
			return nil, errors.New("source URL: a database in it (a replica receives every database: select with db = [N] in a rule)")
		}
	case "unix":
		a.network, a.host = "unix", u.Path
		if u.Host != "" || u.Path == "" {
			return nil, errors.New("source URL: no absolute path (write unix:///path/to.sock)")
		}
	case "":
		return nil, errors.New("source URL: no scheme (write redis://host:port, rediss:// for TLS, or unix:///path)")
	default:
		return nil, errors.New("source URL: unknown scheme (redis, rediss or unix)") // it may be a password
	}
	a.text = u.Scheme + "://" + a.host
	return a, a.parseOptions(u)
}

// checkUnescaped refuses a URL whose password has an unescaped / ? or #. Such a
// URL parses with the user as its host, a part of the password as its port, and
// the rest of the password where errors and logs would show it.
func checkUnescaped(u *url.URL) error {
	if u.Scheme == "unix" && u.Fragment == "" {
		return nil // a path may have any character
	}
	if u.Fragment != "" || strings.Contains(u.Path, "@") || u.User == nil && strings.Contains(u.RawQuery, "@") {
		return errors.New("source URL: something is behind the host (write / ? and # in a password as %2F %3F and %23)")
	}
	return nil
}

// redactPort drops what url.Parse quotes of a port. That is part of the
// password if the password has an unescaped character.
func redactPort(err error) string {
	msg, _, _ := strings.Cut(err.Error(), " \"")
	return msg
}

func (a *address) parseOptions(u *url.URL) error {
	q := u.Query()
	if u.Scheme != "rediss" {
		if len(q) > 0 {
			return errors.New("source URL: options (what is behind ?) need rediss://")
		}
		return nil
	}
	a.tls = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains([]string{"cacert", "cert", "key", "sni"}, name) {
			return errors.New("source URL: unknown option (cacert, cert, key, sni)") // it may be a part of a password
		}
	}
	if sni := q.Get("sni"); sni != "" {
		a.tls.ServerName = sni
	}
	if file := q.Get("cacert"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("source URL: cacert: %w", err)
		}
		a.tls.RootCAs = x509.NewCertPool()
		if !a.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("source URL: cacert: no certificate in %s", file)
		}
	}
	cert, key := q.Get("cert"), q.Get("key")
	if (cert == "") != (key == "") {
		return errors.New("source URL: cert and key go together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("source URL: cert: %w", err)
		}
		a.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// dial connects, and completes the TLS handshake.
func (a *address) dial(ctx context.Context, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	connect := a.connect
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	conn, err := connect(ctx, a.network, a.host)
	if err != nil {
		return nil, err
	}
	conn = quicken(conn)
	if a.tls == nil {
		return conn, nil
	}
	t := tls.Client(conn, a.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, tlsError(err)
	}
	return t, nil
}

func tlsError(err error) error {
	var notTLS tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("TLS: no answer to the handshake (does the port speak TLS? If not, use redis://)")
	case errors.As(err, &notTLS):
		return fmt.Errorf("TLS: %w (the port does not speak TLS: use redis://)", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("TLS: %w (name the authority: rediss://host:port?cacert=/path/ca.crt)", err)
	}
	return fmt.Errorf("TLS: %w", err)
}
