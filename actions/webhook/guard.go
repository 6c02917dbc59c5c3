package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// guard returns a net.Dialer.Control that refuses addresses. It runs after the
// name was looked up and before the connection, for each address, so a name
// that changes its address (DNS rebinding) does not pass it.
func guard(denyPrivate bool) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("address guard: %w", err)
		}
		return checkAddr(ap.Addr(), denyPrivate)
	}
}

var (
	errMetadata = errors.New("link-local and metadata addresses are always refused")
	errPrivate  = errors.New("the address is private, and deny_private is set")
)

// checkAddr refuses link-local and cloud metadata addresses, and with
// denyPrivate everything that is not a public unicast address, in whichever
// IPv6 form an IPv4 address hides.
func checkAddr(a netip.Addr, denyPrivate bool) error {
	a = a.WithZone("").Unmap()
	for _, embedded := range embeddedIPv4(a) {
		if err := checkAddr(embedded, denyPrivate); err != nil {
			return err
		}
	}
	if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || within(metadataNets, a) {
		return fmt.Errorf("%s: %w", a, errMetadata)
	}
	if denyPrivate && (a.IsPrivate() || a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() || within(privateNets, a)) {
		return fmt.Errorf("%s: %w", a, errPrivate)
	}
	return nil
}

func within(nets []netip.Prefix, a netip.Addr) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func prefixes(all ...string) []netip.Prefix {
	nets := make([]netip.Prefix, len(all))
	for i, s := range all {
		nets[i] = netip.MustParsePrefix(s)
	}
	return nets
}

// Where clouds serve an instance's credentials outside the link-local nets, and
// what IANA's special-purpose registries have besides what package netip knows.
var (
	metadataNets = prefixes(
		"fd00:ec2::/32",      // AWS: metadata, DNS, time over IPv6
		"fd20:ce::254/128",   // Google
		"100.100.100.200/32", // Alibaba
		"168.63.129.16/32",   // Azure
		"192.0.0.192/32",     // Oracle
	)
	privateNets = prefixes(
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"fec0::/10", "2001:db8::/32", "64:ff9b:1::/48", "100::/64",
	)
)

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	nat64Own   = netip.MustParsePrefix("64:ff9b:1::/48")
	v4Compat   = netip.MustParsePrefix("::/96")
	translated = netip.MustParsePrefix("::ffff:0:0:0/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
)

// embeddedIPv4 returns the IPv4 addresses that a packet to a could reach: behind
// NAT64 (RFC 6052, RFC 8215), a translator (RFC 2765), 6to4 (RFC 3056), Teredo
// (RFC 4380), ISATAP (RFC 5214), or written in the old IPv4-compatible form.
func embeddedIPv4(a netip.Addr) []netip.Addr {
	if !a.Is6() || a.IsLoopback() || a.IsUnspecified() {
		return nil
	}
	b := a.As16()
	last := [4]byte(b[12:])
	switch {
	case nat64.Contains(a), v4Compat.Contains(a), translated.Contains(a):
		return addrs4(last)
	case nat64Own.Contains(a): // a network's own prefix may be any that begins so: RFC 6052, section 2.2
		return addrs4(last, [4]byte{b[6], b[7], b[9], b[10]}, [4]byte{b[7], b[9], b[10], b[11]}, [4]byte(b[9:]))
	case sixToFour.Contains(a):
		return addrs4([4]byte(b[2:]))
	case teredo.Contains(a):
		return addrs4([4]byte{^last[0], ^last[1], ^last[2], ^last[3]})
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, behind any prefix
		return addrs4(last)
	}
	return nil
}

func addrs4(list ...[4]byte) []netip.Addr {
	addrs := make([]netip.Addr, len(list))
	for i, b := range list {
		addrs[i] = netip.AddrFrom4(b)
	}
	return addrs
}
