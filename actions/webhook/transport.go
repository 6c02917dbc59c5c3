package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"triggerd/actions"
)

// transport says how to connect to a host.
type transport struct {
	connections int           // that are kept, and made at most
	timeout     time.Duration // of an attempt
	denyPrivate bool
	proxy       func(*http.Request) (*url.URL, error) // nil: none
	tls         *tls.Config
	http2       bool
}

func (t transport) open() *http.Transport {
	// An attempt's end does not end the connecting for it, which keeps one of the
	// connections: so that takes hardly longer than an attempt.
	connecting := min(5*time.Second, t.timeout+time.Second)
	dialer := &net.Dialer{Timeout: connecting, KeepAlive: 30 * time.Second, Control: guard(t.denyPrivate)}
	h := &http.Transport{
		DialContext:            timingProxies(dialer.DialContext, connecting),
		TLSClientConfig:        t.tls,
		TLSHandshakeTimeout:    connecting,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           t.connections,
		MaxIdleConnsPerHost:    t.connections, // net/http keeps 2, and would reconnect for the rest
		MaxConnsPerHost:        t.connections,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // the body is not wanted, and an encoded one can be a bomb
		Protocols:              new(http.Protocols),
	}
	if t.proxy != nil {
		h.Proxy = (&proxied{proxy: t.proxy}).choose
	}
	// Requests are small and many to one host: one HTTP/1.1 connection each is
	// faster than streams of one HTTP/2 connection, and fails alone.
	h.Protocols.SetHTTP1(true)
	if t.http2 {
		h.Protocols.SetHTTP2(true)
		// All attempts share the connection: find out soon that it is dead.
		h.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	}
	return h
}

// neverRedirect makes a redirect an answer like another.
func neverRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func takeHTTP2(s *actions.Settings, scheme string) bool {
	on := s.Flag("http2")
	if on && scheme == "http" {
		s.Fail("http2", "has no effect on an http:// url; write https:// or leave it out")
	}
	return on
}

func (w *webhook) takeProxy(s *actions.Settings, denyPrivate bool) func(*http.Request) (*url.URL, error) {
	raw, ok := s.Text("proxy")
	if !ok && !denyPrivate {
		return http.ProxyFromEnvironment
	}
	if !ok || raw == "none" {
		return nil
	}
	if denyPrivate {
		s.Fail("proxy", "cannot be used with deny_private: it is the proxy that looks up the address, so nothing here can refuse it")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		s.Fail("proxy", "must be \"none\" or a URL such as \"http://proxy.example.com:3128\" (http, https or socks5)")
		return nil
	}
	if password, ok := u.User.Password(); ok {
		w.credentials = w.credentials.add(password, base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	return http.ProxyURL(u)
}

func takeTLS(s *actions.Settings, scheme string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	t, ok := s.Table("tls")
	if !ok {
		return c
	}
	if scheme == "http" {
		s.Fail("tls", "has no effect on an http:// url; write https:// or leave it out")
	}
	if name, ok := t.Text("ca"); ok && s.Needs != nil {
		s.Needs("file", name)
	} else if ok {
		pem, err := os.ReadFile(name)
		c.RootCAs = x509.NewCertPool()
		if err != nil {
			t.Fail("ca", "%w", err)
		} else if !c.RootCAs.AppendCertsFromPEM(pem) {
			t.Fail("ca", "there is no PEM certificate in %s", name)
		}
	}
	cert, hasCert := t.Text("cert")
	key, hasKey := t.Text("key")
	if hasCert != hasKey {
		s.Fail("tls", "cert and key go together")
	} else if hasCert && s.Needs != nil {
		s.Needs("file", cert)
		s.Needs("file", key)
	} else if hasCert {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fail("cert", "%w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}
