package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/webhook"
)

// hung is far longer than an attempt of these tests may take.
const hung = 30 * time.Second

// ends makes an attempt, which must end and may be made again, and returns what
// came of it.
func ends(t *testing.T, a actions.Action) error {
	t.Helper()
	return actionstest.EndsWithin(t, t.Context(), a)
}

// answering is a server that answers each request with text, and then does not
// close the connection.
func answering(t *testing.T, text string) string {
	return rawServer(t, func(c net.Conn, _ int) {
		if readRequest(bufio.NewReader(c)) {
			io.WriteString(c, text)
		}
	})
}

// openAnswers are those after which a receiver may keep a connection open for ever.
// Whatever the timeout is, the attempt ends by itself.
var openAnswers = map[string]struct{ answer, want string }{
	"101":               {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "101 Switching Protocols, which was not asked for"},
	"101 and more":      {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 9\r\n\r\nPRI * HTTP/2.0", "101 Switching Protocols, which was not asked for"},
	"101 bare":          {"HTTP/1.1 101 Whatever\r\n\r\n", "101 Switching Protocols, which was not asked for"},
	"101 after 100":     {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "101 Switching Protocols, which was not asked for"},
	"redirect":          {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 9\r\n\r\nx", "302 Found"},
	"redirect, nowhere": {"HTTP/1.1 302 Found\r\nLocation: ://\r\nContent-Length: 9\r\n\r\nx", "Location"},
	"gzip":              {"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\x1f\x8b\r\n", "500"},
	"no trailer":        {"HTTP/1.1 500 No\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "500"},
	"401":               {"HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nx", "401"},
}

func TestWebhookEnds(t *testing.T) {
	for name, test := range openAnswers {
		t.Run(name, func(t *testing.T) {
			// One connection at a time: what keeps it keeps the next attempt from it.
			a := newWebhook(t, table{"url": answering(t, test.answer)}, actions.Options{Timeout: time.Hour, Concurrency: 1})
			for range 3 {
				if err := ends(t, a); err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q in it", err, test.want)
				}
			}
		})
	}
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		t.Run(method+" 101", func(t *testing.T) {
			a := newWebhook(t, table{"url": answering(t, openAnswers["101"].answer), "method": method}, actions.Options{Timeout: time.Hour})
			if err := ends(t, a); err != nil && !strings.HasPrefix(err.Error(), method+" http://127.0.0.1:") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestWebhookTimesOut has what only the timeout ends: by the action's own, and
// by that of its context.
func TestWebhookTimesOut(t *testing.T) {
	silent := func(t *testing.T) string { return rawServer(t, func(net.Conn, int) {}) }
	silentTLS := func(t *testing.T) string { return strings.Replace(silent(t), "http:", "https:", 1) }
	for name, fields := range map[string]func(t *testing.T) table{
		"request not read": func(t *testing.T) table {
			return table{"url": silent(t), "body": strings.Repeat("x", 1<<20) + `{{.key}}`}
		},
		"TLS handshake":   func(t *testing.T) table { return table{"url": silentTLS(t)} },
		"proxy":           func(t *testing.T) table { return table{"url": "http://receiver.invalid", "proxy": silent(t)} },
		"proxy, CONNECT":  func(t *testing.T) table { return table{"url": "https://receiver.invalid", "proxy": silent(t)} },
		"proxy, over TLS": func(t *testing.T) table { return table{"url": "https://receiver.invalid", "proxy": silentTLS(t)} },
		"SOCKS":           func(t *testing.T) table { return table{"url": "http://receiver.invalid", "proxy": socks(silent(t))} },
		"SOCKS, https":    func(t *testing.T) table { return table{"url": "https://receiver.invalid", "proxy": socks(silent(t))} },
		"CONNECT, then none": func(t *testing.T) table {
			return table{"url": "https://receiver.invalid", "proxy": answering(t, "HTTP/1.1 200 OK\r\n\r\n")}
		},
		"DNS": func(t *testing.T) table {
			silentDNS(t)
			return table{"url": "http://receiver.test"}
		},
		"HTTP/2 server that is none": func(t *testing.T) table { return http2Fields(t, nil) },
		"HTTP/2, no answer": func(t *testing.T) table {
			return http2Fields(t, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
		},
		"HTTP/2, request not read": func(t *testing.T) table {
			f := http2Fields(t, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
			f["body"] = strings.Repeat("x", 1<<20) // more than one may send unasked
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			actionstest.CheckLeaks(t)
			a := newWebhook(t, fields(t), actions.Options{Timeout: 50 * time.Millisecond})
			if err := ends(t, a); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 50ms") {
				t.Errorf("got %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			if err := actionstest.EndsWithin(t, ctx, a); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("HTTP/2 body", func(t *testing.T) {
		a := newWebhook(t, http2Fields(t, func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			w.(http.Flusher).Flush()
			<-req.Context().Done()
		}), actions.Options{Timeout: time.Hour})
		if err := ends(t, a); err != nil && !strings.Contains(err.Error(), "500") {
			t.Errorf("got %v", err)
		}
	})
}

func socks(u string) string { return strings.Replace(u, "http:", "socks5:", 1) }

// http2Fields are those of a webhook to a server that speaks HTTP/2, or says so
// and then says nothing.
func http2Fields(t *testing.T, handle http.HandlerFunc) table {
	s := httptest.NewUnstartedServer(handle)
	s.EnableHTTP2 = true
	if handle == nil {
		s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
			"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) { _, _ = io.Copy(io.Discard, c) },
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca, _ := writePair(t, s)
	return table{"url": s.URL, "http2": true, "tls": table{"ca": ca}}
}

// dns, where it is set, is asked for names instead of the system's servers. It is
// part of the one resolver of all tests, because a lookup outlasts its test.
var dns atomic.Pointer[func() (net.Conn, error)]

func init() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dial := dns.Load(); dial != nil {
			return (*dial)()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
}

// silentDNS has names asked of a server that never answers.
func silentDNS(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asking := []io.Closer{c}
	dial := func() (net.Conn, error) {
		to, err := net.Dial("udp", c.LocalAddr().String())
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			asking = append(asking, to)
		}
		return to, err
	}
	dns.Store(&dial)
	t.Cleanup(func() {
		dns.Store(nil)
		mu.Lock()
		defer mu.Unlock()
		for _, c := range asking {
			c.Close()
		}
	})
}

// TestWebhookProxyComesBack: an attempt that a proxy left without an answer
// keeps no later one from it.
func TestWebhookProxyComesBack(t *testing.T) {
	for _, kind := range []string{"CONNECT", "SOCKS"} {
		t.Run(kind, func(t *testing.T) {
			actionstest.CheckLeaks(t)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(s.Close)
			fields := table{}
			if kind == "CONNECT" {
				s.StartTLS()
				ca, _ := writePair(t, s)
				fields["tls"] = table{"ca": ca}
			} else {
				s.Start()
			}
			proxy := rawServer(t, func(c net.Conn, n int) {
				if n > 0 { // the first attempt gets no answer
					relay(c, s.Listener.Addr().String())
				}
			})
			if kind == "SOCKS" {
				proxy = socks(proxy)
			}
			fields["url"], fields["proxy"] = s.URL, proxy
			a := newWebhook(t, fields, actions.Options{Timeout: 300 * time.Millisecond, Concurrency: 1})
			for limit := time.Now().Add(hung); ; {
				_, err := a.Do(t.Context(), actionstest.Firing())
				if err == nil {
					return
				}
				if time.Now().After(limit) {
					t.Fatalf("the proxy answers again, and attempts still fail: %v", err)
				}
			}
		})
	}
}

// relay is a proxy's side of a connection, of either kind: it connects to addr
// whatever it is asked for.
func relay(c net.Conn, addr string) {
	r := bufio.NewReader(c)
	first, err := r.Peek(1)
	if err != nil {
		return
	}
	if first[0] == 5 {
		request := make([]byte, 3+10) // no authentication; IPv4
		if _, err := io.ReadFull(r, request[:3]); err != nil {
			return
		}
		io.WriteString(c, "\x05\x00")
		if _, err := io.ReadFull(r, request[3:]); err != nil {
			return
		}
		io.WriteString(c, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	} else {
		if !readRequest(r) {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	}
	to, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(c, to)
		c.Close()
	}()
	_, _ = io.Copy(to, r)
}

// TestOAuth2Ends: a token server cannot hold an attempt either.
func TestOAuth2Ends(t *testing.T) {
	for name, test := range openAnswers {
		t.Run(name, func(t *testing.T) {
			u := answering(t, test.answer)
			// What it says counts, so that the attempt's time is what it has for it.
			timeout := 100 * time.Millisecond
			begin := func() actions.Action {
				return newWebhook(t, table{"url": "http://127.0.0.1:1", "oauth2": oauth2(u, nil)}, actions.Options{Timeout: timeout})
			}
			a := begin()
			for n := 0; n < 3; n++ {
				err := ends(t, a)
				switch {
				case err == nil || strings.Contains(err.Error(), test.want):
				case strings.Contains(err.Error(), fmt.Sprintf(": no answer within %s: ", timeout)) && timeout < hung/2: // too short for the answer to begin in
					timeout *= 2
					a = begin()
					n--
				default:
					t.Errorf("got %v, want %q in it", err, test.want)
				}
			}
		})
	}
	for name, answer := range map[string]string{
		"body that stops": "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
		"header":          "HTTP/1.1 200 OK\r\nContent-Le",
	} {
		t.Run(name, func(t *testing.T) {
			u := answering(t, answer)
			a := newWebhook(t, table{"url": "http://127.0.0.1:1", "oauth2": oauth2(u, nil)}, actions.Options{Timeout: 50 * time.Millisecond})
			if err := ends(t, a); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("access token from %s: no answer within 50ms", u)) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("101 is told at once", func(t *testing.T) {
		a := newWebhook(t, table{"url": "http://127.0.0.1:1", "oauth2": oauth2(answering(t, openAnswers["101"].answer), nil)}, actions.Options{Timeout: time.Hour})
		ends(t, a)
	})
}

// answeringDNS has every name be of one IPv4 address.
func answeringDNS(t *testing.T, addr [4]byte) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			name := bytes.IndexByte(buf[12:n], 0) + 13 // behind the header and the name
			msg := append(append([]byte{}, buf[:2]...), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
			msg = append(msg, buf[12:name+4]...)
			if buf[name+1] == 1 { // an A record is asked for
				msg[7] = 1
				msg = append(msg, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, addr[0], addr[1], addr[2], addr[3])
			}
			_, _ = c.WriteTo(msg, from)
		}
	}()
	dial := func() (net.Conn, error) { return net.Dial("udp", c.LocalAddr().String()) }
	dns.Store(&dial)
	t.Cleanup(func() {
		dns.Store(nil)
		c.Close()
	})
}

// TestWebhookProxyAndMetadata: what a proxy would look up is looked up here
// first, and it is not asked for an address that is always refused.
func TestWebhookProxyAndMetadata(t *testing.T) {
	asked := 0
	proxy := newReceiver(t, func(http.ResponseWriter, *http.Request) { asked++ })
	for _, test := range []struct {
		addr [4]byte
		want string // "": it is sent
	}{
		{[4]byte{169, 254, 169, 254}, "link-local and metadata addresses are always refused"},
		{[4]byte{100, 100, 100, 200}, "link-local and metadata addresses are always refused"},
		{[4]byte{127, 0, 0, 1}, ""},
	} {
		answeringDNS(t, test.addr)
		a := newWebhook(t, table{"url": "http://receiver.invalid/x", "proxy": proxy.URL}, actions.Options{})
		before := asked
		_, err := a.Do(t.Context(), actionstest.Firing())
		switch {
		case test.want == "" && (err != nil || asked == before):
			t.Errorf("%v: %v, the proxy was asked %d times", test.addr, err, asked-before)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || asked != before):
			t.Errorf("%v: %v, the proxy was asked %d times", test.addr, err, asked-before)
		}
	}
	for _, host := range []string{"2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "[::ffff:169.254.169.254]", "[::ffff:0:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[fd00:ec2::254]", "metadata.google.internal"} {
		_, err := actions.Kinds{&webhook.Kind}.New("webhook", table{"url": "http://" + host + "/", "proxy": proxy.URL}, actions.Options{})
		if err == nil || !strings.Contains(err.Error(), "url: ") || !strings.Contains(err.Error(), "always refused") {
			t.Errorf("%s: %v", host, err)
		}
	}
	a := newWebhook(t, table{"url": "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/", "proxy": proxy.URL}, actions.Options{})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err == nil || !strings.Contains(err.Error(), "not ASCII") {
		t.Errorf("an address that is not ASCII: %v", err)
	}
}
