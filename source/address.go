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
	group          *group // the Sentinels that know the address; nil: it is known

	connect func(ctx context.Context, network, host string) (net.Conn, error) // nil: a net.Dialer's; tests use pipes
}

// CheckURL returns what is wrong with a source URL, or nil:
//
//	redis://[user[:password]@]host[:6379]
//	rediss://...?cacert=FILE&cert=FILE&key=FILE&sni=NAME     TLS, verified
//	redis+sentinel://[user[:password]@]host[:26379],host.../NAME   the primary that Sentinels know by that name; rediss+sentinel: TLS to both
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
	one, _ := splitHosts(raw)
	u, err := url.Parse(one)
	if err != nil || u.User != nil || u.Scheme == "" || u.Opaque != "" || user == "" && password == "" {
		return raw
	}
	head, rest, _ := strings.Cut(raw, "://")
	return head + "://" + url.UserPassword(user, password).String() + "@" + rest
}

func parseAddress(raw string) (*address, error) {
	if head, _, ok := strings.Cut(raw, "://"); !ok && strings.Contains(head, ":") && !strings.HasPrefix(head, "redis:") && !strings.HasPrefix(head, "rediss:") {
		// It is not quoted: it may hold a password.
		return nil, errors.New("source URL: it is an address without a scheme: write redis://user:password@host:port, or rediss:// for TLS")
	}
	one, hosts := splitHosts(raw)
	u, err := url.Parse(one)
	if err != nil {
		// url.Error repeats the URL, which may hold a password.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("source URL: %s (write redis://user:password@host:port; %% and @ in a password as %%25 and %%40)", redactPort(err))
	}
	scheme, err := parseScheme(u.Scheme)
	if err != nil {
		return nil, err
	}
	if err := checkUnescaped(u, scheme); err != nil {
		return nil, err
	}
	a := &address{network: "tcp", user: u.User.Username()}
	a.password, _ = u.User.Password()
	if a.password == "" && a.user != "" {
		if _, has := u.User.Password(); !has {
			return nil, errors.New("source URL: user without a password (write redis://user:password@host, or redis://:password@host)")
		}
	}
	q := u.Query()
	switch scheme.kind {
	case ofUnix:
		a.network, a.host = "unix", u.Path
		if u.Host != "" || u.Path == "" {
			return nil, errors.New("source URL: no absolute path (write unix:///path/to.sock)")
		}
	case ofSentinels:
		if a.group, err = parseGroup(u, hosts, q); err != nil {
			return nil, err
		}
	default:
		if len(hosts) > 1 || q.Has("addr") {
			return nil, errors.New("source URL: more than one host: of a cluster one triggerd follows one shard, so run one for each, with the address of its primary; of Sentinels write redis+sentinel://host1:26379,host2:26379/NAME (docs/topologies.md)")
		}
		if a.host, err = parseHost(u.Host, "6379", u.Scheme); err != nil {
			return nil, err
		}
		if err := checkDatabase(strings.Trim(u.Path, "/")); err != nil {
			return nil, err
		}
	}
	a.text = u.Scheme + "://" + a.host
	if a.group != nil {
		a.text = u.Scheme + "://" + strings.Join(a.group.hosts, ",") + "/" + a.group.name
	}
	return a, a.parseOptions(q, scheme)
}

// scheme is what the scheme of a URL says.
type scheme struct {
	kind schemeKind
	tls  bool
}

type schemeKind uint8

const (
	ofServer schemeKind = iota
	ofUnix
	ofSentinels
)

func parseScheme(text string) (s scheme, err error) {
	switch text {
	case "":
		return s, errors.New("source URL: no scheme (write redis://host:port, rediss:// for TLS, redis+sentinel://, or unix:///path)")
	case "unix":
		return scheme{kind: ofUnix}, nil
	}
	base, kind, compound := strings.Cut(text, "+")
	if !compound {
		base, kind, _ = strings.Cut(text, "-")
	}
	switch base {
	case "redis", "valkey":
	case "rediss", "valkeys":
		s.tls = true
	default:
		return s, errors.New("source URL: unknown scheme (redis, rediss, redis+sentinel, rediss+sentinel or unix)") // it may be a password
	}
	switch kind {
	case "":
		return s, nil
	case "sentinel":
		s.kind = ofSentinels
		return s, nil
	case "cluster":
		return s, errors.New("source URL: a cluster is not followed as a whole yet: run one triggerd for each shard, with the address of its primary (redis://host:port); a slot that moves then looks like deletions where it was and writes where it goes (docs/topologies.md)")
	}
	return s, errors.New("source URL: unknown scheme (redis, rediss, redis+sentinel, rediss+sentinel or unix)")
}

// splitHosts splits the hosts of a URL that has several, with commas between
// them, which net/url does not take. It returns the URL with the first one, and
// all.
func splitHosts(raw string) (one string, hosts []string) {
	head, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw, nil
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	from := strings.LastIndexByte(rest[:end], '@') + 1
	hosts = strings.Split(rest[from:end], ",")
	return head + "://" + rest[:from] + hosts[0] + rest[end:], hosts
}

// parseHost parses a host and a port, which may be left out.
func parseHost(text, port, scheme string) (string, error) {
	u := url.URL{Host: text}
	host := u.Hostname()
	switch {
	case host == "":
		return "", fmt.Errorf("source URL: no host (write %s://host:port)", scheme)
	case strings.Contains(host, ":") && text[0] != '[':
		return "", errors.New("source URL: more than one port (write an IPv6 address in brackets)")
	}
	if u.Port() != "" {
		port = u.Port()
	} else if strings.HasSuffix(text, ":") || text[0] != '[' && strings.Contains(text, ":") {
		return "", errPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errPort
	}
	return net.JoinHostPort(host, port), nil
}

var errPort = errors.New("source URL: the port is not one (1 to 65535)") // it may be a password

func checkDatabase(db string) error {
	if db != "" && db != "0" {
		return errors.New("source URL: a database in it (a replica receives every database: select with db = [N] in a rule)")
	}
	return nil
}

// group is the Sentinels of a URL.
type group struct {
	name  string   // of the primary
	hosts []string // host:port
}

// maxSentinels is how many a URL may name.
const maxSentinels = 64

// parseGroup parses what a URL says of Sentinels. The name of the primary is the
// first part of the path, or what other clients know it by: the fragment, or an
// option.
func parseGroup(u *url.URL, hosts []string, q url.Values) (*group, error) {
	g := &group{}
	for _, text := range append(slices.Clone(hosts), q["addr"]...) {
		host, err := parseHost(text, "26379", u.Scheme)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(g.hosts, host) {
			g.hosts = append(g.hosts, host)
		}
	}
	if len(g.hosts) > maxSentinels {
		return nil, fmt.Errorf("source URL: more than %d Sentinels", maxSentinels)
	}
	name, db, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	names := []string{name, u.Fragment, q.Get("master_name"), q.Get("service_name"), q.Get("sentinelMasterId")}
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	slices.Sort(names)
	if names = slices.Compact(names); len(names) != 1 {
		return nil, fmt.Errorf("source URL: it names %d primaries, and not one (write %s://host1:26379,host2:26379/NAME, with the name by which the Sentinels know it)", len(names), u.Scheme)
	}
	if g.name = names[0]; len(g.name) > 200 || strings.ContainsFunc(g.name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, errors.New("source URL: the name of the primary is none that a Sentinel takes")
	}
	return g, checkDatabase(db)
}

// checkUnescaped refuses a URL whose password has an unescaped / ? or #. Such a
// URL parses with the user as its host, a part of the password as its port, and
// the rest of the password where errors and logs would show it.
func checkUnescaped(u *url.URL, s scheme) error {
	if s.kind == ofUnix && u.Fragment == "" {
		return nil // a path may have any character
	}
	fragment := u.Fragment != "" && s.kind != ofSentinels || strings.Contains(u.Fragment, "@")
	if fragment || strings.Contains(u.Path, "@") || u.User == nil && strings.Contains(u.RawQuery, "@") {
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

// groupOptions are those that name Sentinels, or a primary.
var groupOptions = []string{"addr", "master_name", "service_name", "sentinelMasterId"}

func (a *address) parseOptions(q url.Values, s scheme) error {
	if a.group != nil {
		for _, name := range groupOptions {
			q.Del(name)
		}
	}
	if !s.tls {
		if len(q) > 0 {
			return errors.New("source URL: options (what is behind ?) need rediss://")
		}
		return nil
	}
	a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if a.group == nil {
		a.tls.ServerName = serverName(a.host)
	}
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

func serverName(hostPort string) string {
	host, _, _ := net.SplitHostPort(hostPort)
	return host
}

// at returns the address of a server that a Sentinel has named, or of a Sentinel.
func (a *address) at(host string) *address {
	b := *a
	b.host, b.text = host, a.textOf(host)
	if b.tls != nil && b.tls.ServerName == "" {
		b.tls = b.tls.Clone()
		b.tls.ServerName = serverName(host)
	}
	return &b
}

func (a *address) textOf(host string) string {
	if a.tls != nil {
		return "rediss://" + host
	}
	return "redis://" + host
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
