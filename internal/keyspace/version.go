package keyspace

import (
	"cmp"
	"strconv"
	"strings"
)

// Version is a server's version. The zero Version is one that is not known, which
// is taken for a new one.
type Version struct{ Major, Minor, Patch int }

// newest stands for the part of a version that is not known.
const newest = 1 << 20

// ParseVersion parses "8.0.2". A server that tells only the beginning of that is
// taken for the newest of that name.
func ParseVersion(text string) Version {
	var parts [3]int
	words := strings.Split(text, ".")
	for i := range parts {
		n, err := 0, strconv.ErrSyntax
		if i < len(words) {
			n, err = strconv.Atoi(words[i])
		}
		if err != nil || n < 0 {
			if i == 0 {
				break
			}
			n = newest
		}
		parts[i] = n
	}
	return Version{parts[0], parts[1], parts[2]}
}

func (v Version) String() string {
	text := strconv.Itoa(v.Major)
	for _, n := range [...]int{v.Minor, v.Patch} {
		if n == newest {
			break
		}
		text += "." + strconv.Itoa(n)
	}
	return text
}

// before reports whether a server is known to be older than a version.
func (v Version) before(other Version) bool {
	return v.Major != 0 && cmp.Or(cmp.Compare(v.Major, other.Major), cmp.Compare(v.Minor, other.Minor), cmp.Compare(v.Patch, other.Patch)) < 0
}
