package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"triggerd/actions"
)

// checkHost refuses a host that is an address which guard would refuse, in
// whichever way it is spelled, or a name under which clouds serve credentials.
func checkHost(s *actions.Settings, field string, u *url.URL, denyPrivate bool) {
	if err := checkName(u.Hostname(), denyPrivate); err != nil {
		s.Fail(field, "%w", err)
	}
}

// metadataNames are the names of metadata services, which need not be known to
// this machine's own resolver to be known to a proxy's.
var metadataNames = []string{"metadata", "metadata.google.internal", "metadata.goog", "metadata.tencentyun.com", "instance-data", "instance-data.ec2.internal"}

// checkName refuses a host by what it says, before anything is looked up.
func checkName(host string, denyPrivate bool) error {
	host = strings.ToLower(strings.TrimRight(host, "."))
	if slices.Contains(metadataNames, host) {
		return fmt.Errorf("%s: %w", host, errMetadata)
	}
	for _, a := range spelledAddrs(host) {
		if err := checkAddr(a, denyPrivate); err != nil {
			return err
		}
	}
	return nil
}

// spelledAddrs returns the addresses that a host may stand for without being
// looked up: an address as RFC 4291 spells it, or as inet_aton reads it, which
// resolvers and proxies use: of one to four numbers, the last of which fills
// what is left, decimal, octal (0251) or hexadecimal (0xa9). A number that
// begins with 0 is read as decimal too.
func spelledAddrs(host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}
	}
	numbers := strings.Split(host, ".")
	if len(numbers) > 4 {
		return nil
	}
	var addrs []netip.Addr
	for _, octal := range []bool{true, false} {
		if a, ok := addrOf(numbers, octal); ok {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// addrOf returns the address that inet_aton makes of up to four numbers.
func addrOf(numbers []string, octal bool) (netip.Addr, bool) {
	var v uint64
	for i, text := range numbers {
		bits := 8
		if i == len(numbers)-1 {
			bits = 8 * (5 - len(numbers))
		}
		base := 10
		switch {
		case strings.HasPrefix(text, "0x"):
			text, base = "0"+text[2:], 16
		case octal && strings.HasPrefix(text, "0"):
			base = 8
		}
		n, err := strconv.ParseUint(text, base, bits)
		if err != nil {
			return netip.Addr{}, false
		}
		v = v<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}

// proxied decides for each request whether a proxy is used. It is that which
// looks up the name then, so the name is looked up here first, and refused if one
// of its addresses is. A name that is not known here is left to the proxy.
type proxied struct {
	proxy func(*http.Request) (*url.URL, error)

	mu      sync.Mutex // guards what follows
	host    string     // that was looked up last
	checked time.Time
}

const (
	checkedFor = 30 * time.Second // a name is not looked up again for so long
	lookUpTime = time.Second      // after which a name counts as not known here
)

func (p *proxied) choose(r *http.Request) (*url.URL, error) {
	u, err := p.proxy(r)
	if u == nil || err != nil {
		return u, err
	}
	if err := p.check(r.Context(), r.URL.Hostname()); err != nil {
		return nil, err
	}
	return u, nil
}

var errNotASCII = errors.New("the host is not ASCII, and a proxy would decide what it means; write it as xn--")

func (p *proxied) check(ctx context.Context, host string) error {
	if strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }) {
		return errNotASCII
	}
	p.mu.Lock()
	known := p.host == host && time.Since(p.checked) < checkedFor
	p.mu.Unlock()
	if known {
		return nil
	}
	if err := checkName(host, false); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	addrs, _ := net.DefaultResolver.LookupNetIP(limited, "ip", host)
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, a := range addrs {
		if err := checkAddr(a, false); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host, p.checked = host, time.Now()
	return nil
}
