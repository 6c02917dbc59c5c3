package cause

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	statusInError = regexp.MustCompile(`^(.*?: \d{3} [A-Z][A-Za-z' -]*)(: |, |$)`)
	changesOften  = regexp.MustCompile(`\d+(\.\d+){3}:\d+->|:\d{5}->|0x[0-9a-f]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{12,}|\d{6,}`)
)

// maxCause is how long a cause is at most, in bytes.
const maxCause = 200

// Of returns what an error has in common with others that came of the same: up to
// the status of an answer, and without what differs from one to the next, such as
// ports and IDs.
func Of(text string) string {
	text = text[:min(len(text), 4*maxCause)]
	if m := statusInError.FindStringSubmatch(text); m != nil {
		return clip(m[1])
	}
	text, _, _ = strings.Cut(text, "\n")
	text = changesOften.ReplaceAllString(text, "…")
	return clip(text)
}

func clip(text string) string {
	if len(text) > maxCause {
		return strings.ToValidUTF8(text[:maxCause], "")
	}
	return text
}

// phrases are parts of errors of the system, of Go and of triggerd, and what is
// said for them.
var phrases = map[string]string{
	"connection refused":                "connection refused",
	"connection reset by peer":          "connection reset",
	"broken pipe":                       "connection closed",
	": EOF":                             "connection closed",
	"unexpected EOF":                    "connection closed",
	"server closed idle connection":     "connection closed",
	"no such host":                      "no such host",
	"network is unreachable":            "network unreachable",
	"no route to host":                  "no route to host",
	"attempt took longer than":          "timeout",
	"deadline exceeded":                 "timeout",
	"i/o timeout":                       "timeout",
	"TLS handshake timeout":             "timeout",
	"x509: ":                            "the certificate is not trusted",
	"tls: ":                             "TLS failed",
	"no such file or directory":         "no such file or directory",
	"permission denied":                 "permission denied",
	"argument list too long":            "argument list too long",
	"signal: ":                          "ended by a signal",
	"cancelled by ":                     "cancelled",
	"was lost in a failover":            "lost in a failover",
	"101 Switching Protocols":           "101 Switching Protocols",
	"nobody reads standard output":      "nobody reads standard output",
	"no rule has it any more":           "no rule has the action any more",
	"damaged record ":                   "damaged",
	"no space left on device":           "no space left on device",
	"file already closed":               "file already closed",
	"server gave HTTP response to HTTP": "plain HTTP where TLS was expected",
	"malformed HTTP response":           "the answer is not HTTP",
}

// known finds the first of what Known knows.
var known = regexp.MustCompile(`\b([1-5]\d\d) [A-Z]|exit status (\d{1,3})\b|` + alternatives())

func alternatives() string {
	quoted := slices.Sorted(maps.Keys(phrases))
	for i := range quoted {
		quoted[i] = regexp.QuoteMeta(quoted[i])
	}
	return strings.Join(quoted, "|")
}

// maxLooked is how much of a text Known looks at, in bytes: what failed comes
// first, and then what a receiver said.
const maxLooked = 1 << 10

// Known returns why an attempt failed by its error, or what it got by its status,
// as far as that is one of the ways in which many do; "" if it is not.
func Known(text string) string {
	text = text[:min(len(text), maxLooked)]
	if code, err := strconv.Atoi(text); err == nil && http.StatusText(code) != "" || text == "exit 0" {
		return text // of a delivery
	}
	for {
		m := known.FindStringSubmatchIndex(text)
		if m == nil {
			return ""
		}
		part := func(i int) string { return text[max(m[2*i], 0):max(m[2*i+1], 0)] }
		switch {
		case part(1) != "":
			code, _ := strconv.Atoi(part(1))
			if words := http.StatusText(code); words != "" && strings.HasPrefix(text[m[2]:], part(1)+" "+words) {
				return part(1) + " " + words
			}
		case part(2) != "":
			if code, _ := strconv.Atoi(part(2)); code <= 255 {
				return "exit status " + strconv.Itoa(code)
			}
		default:
			return phrases[part(0)]
		}
		text = text[m[1]:] // it was not what it looked like
	}
}
