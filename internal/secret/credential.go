package secret

import "strings"

// NamesCredential reports whether a header, parameter or variable of this name carries a
// credential, going by what such names are called.
func NamesCredential(name string) bool {
	name = strings.ToLower(name)
	if name == "sig" { // of a shared access signature
		return true
	}
	for _, word := range []string{"auth", "cookie", "token", "secret", "key", "passw", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
