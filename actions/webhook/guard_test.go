package webhook

import (
	"errors"
	"net/netip"
	"testing"
)

func TestCheckAddr(t *testing.T) {
	for _, test := range []struct {
		addr           string
		always, denied error // without and with deny_private
	}{
		{"93.184.216.34", nil, nil},
		{"2606:2800:220:1::1", nil, nil},
		{"127.0.0.1", nil, errPrivate},
		{"127.1.2.3", nil, errPrivate},
		{"::1", nil, errPrivate},
		{"::", nil, errPrivate},
		{"0.0.0.0", nil, errPrivate},
		{"0.1.2.3", nil, errPrivate},
		{"10.1.2.3", nil, errPrivate},
		{"172.16.0.1", nil, errPrivate},
		{"172.32.0.1", nil, nil},
		{"192.168.0.1", nil, errPrivate},
		{"100.64.0.1", nil, errPrivate},
		{"100.128.0.1", nil, nil},
		{"198.18.0.1", nil, errPrivate},
		{"239.1.1.1", nil, errPrivate},
		{"255.255.255.255", nil, errPrivate},
		{"fc00::1", nil, errPrivate},
		{"fd12::1", nil, errPrivate},
		{"fec0::1", nil, errPrivate},
		{"ff05::1", nil, errPrivate},
		{"::ffff:10.0.0.1", nil, errPrivate},
		{"::ffff:8.8.8.8", nil, nil},
		{"::10.0.0.1", nil, errPrivate},
		{"64:ff9b::10.0.0.1", nil, errPrivate},
		{"64:ff9b::8.8.8.8", nil, nil},
		{"64:ff9b:1::1", nil, errPrivate},
		{"2002:a00:1::1", nil, errPrivate},                     // 6to4 of 10.0.0.1
		{"2002:808:808::1", nil, nil},                          // 6to4 of 8.8.8.8
		{"2001:0:1::f5ff:fffe", nil, errPrivate},               // Teredo of 10.0.0.1
		{"169.254.169.254", errMetadata, errMetadata},          // AWS, Google, Azure
		{"169.254.0.1", errMetadata, errMetadata},              // link-local
		{"::ffff:169.254.169.254", errMetadata, errMetadata},   // mapped
		{"::169.254.169.254", errMetadata, errMetadata},        // compatible
		{"64:ff9b::169.254.169.254", errMetadata, errMetadata}, // NAT64
		{"64:ff9b:1::169.254.169.254", errMetadata, errMetadata},
		{"2002:a9fe:a9fe::1", errMetadata, errMetadata},        // 6to4
		{"2001:0:1::5601:5601", errMetadata, errMetadata},      // Teredo
		{"fe80::1", errMetadata, errMetadata},                  // link-local
		{"fe80::1%eth0", errMetadata, errMetadata},             // with a zone
		{"ff02::1", errMetadata, errMetadata},                  // link-local multicast
		{"224.0.0.1", errMetadata, errMetadata},                // link-local multicast
		{"fd00:ec2::254", errMetadata, errMetadata},            // AWS
		{"fd20:ce::254", errMetadata, errMetadata},             // Google
		{"100.100.100.200", errMetadata, errMetadata},          // Alibaba
		{"168.63.129.16", errMetadata, errMetadata},            // Azure
		{"192.0.0.192", errMetadata, errMetadata},              // Oracle
		{"::ffff:100.100.100.200", errMetadata, errMetadata},   // mapped
		{"::ffff:0:169.254.169.254", errMetadata, errMetadata}, // translated
		{"::ffff:0:10.0.0.1", nil, errPrivate},
		{"::ffff:0:8.8.8.8", nil, nil},
		{"64:ff9b:1:a9fe:a9:fe00::", errMetadata, errPrivate},             // NAT64 with a prefix of 48 bits
		{"64:ff9b:1:0:a9:fea9:fe00:0", errMetadata, errPrivate},           // of 64 bits
		{"2606:2800::200:5efe:169.254.169.254", errMetadata, errMetadata}, // ISATAP
		{"2606:2800::5efe:10.0.0.1", nil, errPrivate},
	} {
		a := netip.MustParseAddr(test.addr)
		if err := checkAddr(a, false); !errors.Is(err, test.always) {
			t.Errorf("%s: got %v, want %v", test.addr, err, test.always)
		}
		if err := checkAddr(a, true); !errors.Is(err, test.denied) {
			t.Errorf("%s with deny_private: got %v, want %v", test.addr, err, test.denied)
		}
	}
}

func TestGuardAddress(t *testing.T) {
	for address, want := range map[string]bool{"8.8.8.8:80": true, "[2606:2800:220:1::1]:443": true, "127.0.0.1:80": false, "[fe80::1%2]:80": false, "name:80": false, "": false} {
		if err := guard(true)("tcp", address, nil); (err == nil) != want {
			t.Errorf("%q: got %v, want let through: %v", address, err, want)
		}
	}
}

// FuzzCheckAddr: an address that is refused as IPv4 is refused in each of its
// IPv6 forms.
func FuzzCheckAddr(f *testing.F) {
	f.Add([]byte{169, 254, 169, 254})
	f.Add([]byte{10, 0, 0, 1})
	f.Add([]byte{8, 8, 8, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		v4, ok := netip.AddrFromSlice(b)
		if !ok || !v4.Is4() {
			return
		}
		a := v4.As4()
		nat64 := netip.MustParseAddr("64:ff9b::").As16()
		copy(nat64[12:], a[:])
		sixToFour := [16]byte{0x20, 0x02, a[0], a[1], a[2], a[3]}
		teredo := [16]byte{0x20, 0x01, 12: ^a[0], 13: ^a[1], 14: ^a[2], 15: ^a[3]}
		translated := netip.MustParseAddr("::ffff:0:0:0").As16()
		copy(translated[12:], a[:])
		for _, deny := range []bool{false, true} {
			if checkAddr(v4, deny) == nil {
				continue
			}
			for _, six := range []netip.Addr{netip.AddrFrom16(v4.As16()), netip.AddrFrom16(nat64), netip.AddrFrom16(sixToFour), netip.AddrFrom16(teredo), netip.AddrFrom16(translated)} {
				if checkAddr(six, deny) == nil {
					t.Errorf("%s is refused, %s is not (deny_private %v)", v4, six, deny)
				}
			}
		}
	})
}

// TestCheckName: an address is refused in every way in which something that
// resolves names would take it for one.
func TestCheckName(t *testing.T) {
	for _, host := range []string{
		"169.254.169.254", "169.254.169.254.", "2852039166", "0xA9FEA9FE", "0xa9fea9fe", "025177524776", "169.254.43518", "169.16689662", "169.0xfea9fe",
		"0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe", "0xa9.254.0251.254", "0000251.0376.0251.0376", "169.254.169.0254",
		"::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "fd00:ec2::254", "100.100.25800", "Metadata.Google.Internal.", "instance-data",
	} {
		if err := checkName(host, false); !errors.Is(err, errMetadata) {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"2130706433", "127.1", "0x7f.1", "017700000001", "10.1", "192.168.257", "0"} {
		if err := checkName(host, true); !errors.Is(err, errPrivate) {
			t.Errorf("%s: %v", host, err)
		}
		if err := checkName(host, false); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"example.com", "134744072", "8.8", "web.1", "4294967296", "1.2.3.4.5", "0x", "a9fea9fe", "", "x.169.254.169.254"} {
		if err := checkName(host, true); err != nil && host != "0x" {
			t.Errorf("%s: %v", host, err)
		}
	}
}
