package servers

import (
	"slices"
	"testing"
)

func TestArchiveURI(t *testing.T) {
	const printed = `'http://apt.test/debian-security/dists/bookworm-security/main/binary-amd64/Packages.xz' a 0
'http://other.test/apt/dists/bookworm/main/binary-amd64/Packages.xz' b 0
'http://mirror.test/x/debian/dists/bookworm/InRelease' c 0
'http://mirror.test/x/debian/dists/bookworm/main/binary-amd64/Packages.xz' d 0
'http://mirror.test/y/debian/dists/trixie/contrib/binary-amd64/Packages.xz' e 0
'http://own.test/z/dists/trixie/main/binary-amd64/Packages.xz' f 0
`
	for codename, want := range map[string]string{
		"bookworm": "http://mirror.test/x/debian",
		"trixie":   "http://own.test/z",
		"book":     "",
	} {
		if got := archiveURI(printed, codename); got != want {
			t.Errorf("%s: got %q, want %q", codename, got, want)
		}
	}
}

func TestPickVersion(t *testing.T) {
	const madison = ` redis-server | 5:8.6.3-1 | http://mirror.test/debian experimental/main amd64 Packages
 redis-server | 5:8.0.6+dfsg-3 | http://mirror.test/debian sid/main amd64 Packages
 redis-server | 5:8.0.5~rc1-3 | http://mirror.test/debian sid/main amd64 Packages
 valkey-server | 9.1.2-1 | http://mirror.test/debian sid/contrib amd64 Packages
`
	tests := []struct {
		suite, wanted, version string
		others                 []string
	}{
		{"experimental", "8.6", "5:8.6.3-1", nil},
		{"experimental", "8", "", []string{"8.6.3"}},
		{"sid", "8.0", "5:8.0.6+dfsg-3", nil},
		{"sid", "8.6", "", []string{"8.0.6", "8.0.5"}},
		{"sid", "9.1", "", []string{"8.0.6", "8.0.5"}},
		{"trixie", "8.0", "", nil},
	}
	for _, tt := range tests {
		version, others := pickVersion(madison, tt.suite, tt.wanted)
		if version != tt.version || !slices.Equal(others, tt.others) {
			t.Errorf("%s %s: got %q, %q, want %q, %q", tt.suite, tt.wanted, version, others, tt.version, tt.others)
		}
	}
}

func TestNeededPackages(t *testing.T) {
	const plan = `'http://mirror.test/a' libc6_2.36-9%2bdeb12u14_amd64.deb 2758000 SHA256:0
'http://mirror.test/b' zlib1g_1%3a1.3-1_amd64.deb 1 SHA256:0
'http://mirror.test/c' lua-cjson_2.1.0+dfsg-2.1_amd64.deb 1 SHA256:0
'http://mirror.test/d' systemd_262.1-1_amd64.deb 1 SHA256:0
'http://mirror.test/e' redis-server_5%3a7.0.15-1~deb12u7_amd64.deb 1 SHA256:0
E: not one of them
`
	want := []string{"libc6=2.36-9+deb12u14", "zlib1g=1:1.3-1", "lua-cjson=2.1.0+dfsg-2.1", "redis-server=5:7.0.15-1~deb12u7"}
	if got := neededPackages(plan, "redis"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNewestFirst(t *testing.T) {
	got := []*Program{{Version: "8.0.2"}, {Version: "7.0.15"}, {Version: "10.0.0"}, {Version: "8.0.10"}}
	slices.SortFunc(got, newestFirst)
	for i, want := range []string{"10.0.0", "8.0.10", "8.0.2", "7.0.15"} {
		if got[i].Version != want {
			t.Errorf("%d: got %s, want %s", i, got[i].Version, want)
		}
	}
}
