package actionstest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"triggerd/actions"
)

// Says is what an error says of the receiver.
func Says(err error) string {
	_, asked := actions.RetryDelay(err)
	var all []string
	for name, is := range map[string]bool{
		"unreached": actions.IsUnreached(err), "unanswered": actions.IsUnanswered(err), "unsent": actions.IsUnsent(err),
	} {
		if is {
			all = append(all, name)
		}
	}
	switch {
	case len(all) == 0 && asked:
		return "asked"
	case len(all) == 0 && actions.IsPermanent(err):
		return "permanent"
	case len(all) == 0:
		return "answer"
	}
	return strings.Join(all, " ")
}

var lowerHex = regexp.MustCompile("%..")

// FormsOf are the ways in which the receiver and the program of these tests say
// what they got.
func FormsOf(s string) []string {
	asJSON, _ := json.Marshal(s)
	return []string{
		s, url.QueryEscape(s), lowerHex.ReplaceAllStringFunc(url.QueryEscape(s), strings.ToLower), url.PathEscape(s), string(asJSON[1 : len(asJSON)-1]), strconv.QuoteToASCII(s), hex.EncodeToString([]byte(s)),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte("u" + s)), base64.StdEncoding.EncodeToString([]byte("u:" + s)),
	}
}

// CheckMasked checks that a result and an error show no form of a secret.
func CheckMasked(t testing.TB, res actions.Result, err error, value string) {
	t.Helper()
	for _, form := range FormsOf(value) {
		for what, text := range map[string]string{"error": fmt.Sprint(err), "excerpt": res.Excerpt} {
			if strings.Contains(text, form) || strings.Contains(text, strings.ReplaceAll(form, `\`, `\\`)) {
				t.Errorf("%q is in the %s: %s", form, what, text)
			}
		}
	}
}
