package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"triggerd/internal/secret"
)

// encodings are what receivers, programs and libraries make of a text.
var encodings = map[string]func(string) string{
	"raw":          func(s string) string { return s },
	"query":        url.QueryEscape,
	"path":         url.PathEscape,
	"lower hex":    func(s string) string { return lowerHex(url.QueryEscape(s)) },
	"every byte":   func(s string) string { return everyByte("%%%02x", s) },
	"every BYTE":   func(s string) string { return everyByte("%%%02X", s) },
	"json":         func(s string) string { return toJSON(s, false) },
	"json in HTML": func(s string) string { return toJSON(s, true) },
	"json in json": func(s string) string { return toJSON(toJSON(s, true), true) },
	"json slashes": func(s string) string { return strings.ReplaceAll(toJSON(s, true), "/", `\/`) },
	"json ascii":   func(s string) string { q := strconv.QuoteToASCII(s); return q[1 : len(q)-1] },
	"query in json in json": func(s string) string {
		return toJSON(toJSON(url.QueryEscape(s), true), true)
	},
	"json in query":  func(s string) string { return url.QueryEscape(toJSON(s, true)) },
	"go quote":       func(s string) string { q := strconv.Quote(s); return q[1 : len(q)-1] },
	"\\x of each":    func(s string) string { return everyByte(`\x%02x`, s) },
	"html":           html.EscapeString,
	"hex":            func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":            func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, 1":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u:"[:1] + s + "x")) },
	"base64, 2":      func(s string) string { return base64.RawStdEncoding.EncodeToString([]byte("u:" + s + "xy")) },
	"base64url":      func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"base64url, 1":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("u" + s)) },
	"base64url, 2":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("u:" + s)) },
	"base64, query":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("id:" + url.QueryEscape(s))) },
	"base64, json":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte(toJSON(s, true))) },
	"query, base64":  func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("a" + s))) },
	"wrapped base64": func(s string) string { return wrap(base64.StdEncoding.EncodeToString([]byte(filler+s+filler)), "\n") },
	"mime base64": func(s string) string {
		return wrap(base64.StdEncoding.EncodeToString([]byte(filler+s+filler)), "\r\n")
	},
}

var filler = strings.Repeat("filler ", 12)

func everyByte(format, s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

func lowerHex(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == '%' {
			copy(b[i:], bytes.ToLower(b[i:i+3]))
		}
	}
	return string(b)
}

func toJSON(s string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	return b.String()[1 : b.Len()-2]
}

func wrap(s, end string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + end)
		s = s[76:]
	}
	return b.String() + s
}

// check checks that no encoding of a secret survives in what is around it.
func check(t *testing.T, m *secret.Masker, value, before, after string) {
	t.Helper()
	for name, encode := range encodings {
		written := encode(value)
		got := m.Mask(before + written + after)
		if strings.Contains(got, written) || !strings.Contains(got, secret.Mark) {
			t.Errorf("%s of %q, %q, is shown: %q", name, value, written, got)
		}
		if !strings.HasPrefix(name, "base64") && !strings.Contains(name, "base64") && got != before+secret.Mark+after {
			t.Errorf("%s of %q: %q, want only it masked in %q", name, value, got, before+written+after)
		}
	}
}

func TestEncodings(t *testing.T) {
	for _, value := range []string{
		"kx7Q", "hunter2-token", `pass"word\n`, "a b&c=d/e?f+g", "<script>&'x'", "grüße, Jürgen", "emoji 😀 inside",
		"100%41 %zz", `C:\new\table`, "tab\there", "two\nlines\nof a secret", "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "++//==", "\x01\x02\x7fctl", "&amp;%26\\u0026", strings.Repeat("long ", 100) + "end",
	} {
		check(t, secret.New(value), value, `{"echo": "`, `", "ok": false}`)
		check(t, secret.New("other-one", value, "another"), value, "token=", ";\n")
	}
}

// Bytes that are no text are masked too, in all that keeps them.
func TestNotText(t *testing.T) {
	value := "bytes \xff\xfe\x00 of a key"
	m := secret.New(value)
	for _, written := range []string{
		value, url.QueryEscape(value), strconv.Quote(value), toJSON(value, true), base64.StdEncoding.EncodeToString([]byte(value)),
		`bytes \udcff\udcfe\u0000 of a key`, "bytes \u00ff\u00fe\x00 of a key",
	} {
		if got := m.Mask("<" + written + ">"); strings.Contains(got, "of a key") || !strings.Contains(got, secret.Mark) {
			t.Errorf("%q is shown: %q", written, got)
		}
	}
}

func TestMask(t *testing.T) {
	tests := []struct {
		name    string
		secrets []string
		text    string
		want    string
	}{
		{"none", nil, "hello", "hello"},
		{"too short", []string{"abc"}, "abc", "abc"},
		{"one in another", []string{"token-1", "token-1-long"}, "token-1-long token-1", "*** ***"},
		{"overlapping", []string{"abcdef", "defghi"}, "x abcdefghi y", "x *** y"},
		{"repeated", []string{"aaaa"}, "baaaaaaab", "b***b"},
		{"trimmed", []string{" spaced\n"}, "it is [spaced]", "it is [***]"},
		{"a line", []string{"first line\nsecond line"}, "> second line <", "> *** <"},
		{"password of a URL", []string{"redis://user:p%40ss-w@host:1"}, `AUTH said "p@ss-w"`, `AUTH said "***"`},
		{"path of a URL", []string{"https://hooks.example.com/T0/B0/abcd?k=topsecret"}, "/T0/B0/abcd topsecret https://hooks.example.com", "*** *** https://hooks.example.com"},
		{"from a header taken for text", []string{"grüße"}, "grÃ¼Ã\u009fe gr\\u00c3\\u00bc\\u00c3\\u009fe", "*** ***"},
		{"with a plus in a form", []string{"a b+c d"}, "k=a+b%2Bc+d&", "k=***&"},
		{"encoded anew in a form", []string{"T0%20B0"}, "T0+B0 T0%20B0 T0 B0", "*** *** ***"},
		{"decoded in a form", []string{"a+b%2Bc"}, "a b+c", "***"},
		{"basic", []string{"hunter2pass"}, "Basic " + base64.StdEncoding.EncodeToString([]byte("user:hunter2pass")), "Basic dXNlcj***=="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := secret.New(tt.secrets...).Mask(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWith(t *testing.T) {
	m := secret.New("first-one")
	if m.With("abc", "first-one") != m || secret.New("abc") != nil {
		t.Error("a Masker that knows nothing new")
	}
	both := m.With("second-one")
	if got := both.Mask("first-one second-one"); got != "*** ***" {
		t.Errorf("got %q", got)
	}
	if got := m.Mask("first-one second-one"); got != "*** second-one" {
		t.Errorf("the first has changed: %q", got)
	}
	if got := both.Values(); len(got) != 2 {
		t.Errorf("values %q", got)
	}
}

// Wherever a text is cut off, no more than three characters of a secret are left
// of it, however they were written.
func TestMaskPart(t *testing.T) {
	for _, value := range []string{"hunter2/tok en", "kx7Q", `a"b<c>d\e`, "emoji 😀 inside", strings.Repeat("0123456789", 500)} {
		m := secret.New(value)
		for name, encode := range encodings {
			if strings.Contains(name, "wrapped") || strings.Contains(name, "mime") {
				continue // their filler is cut, too
			}
			written := encode(value)
			most := 3*max(1, (len(written)+len(value)-1)/len(value)) + len("dTpo") // and what is before it in base64
			for at := 1; at < len(written); at += 1 + len(written)/100 {
				got := m.MaskPart("some words: "+written[:at], false, true)
				if shown := strings.TrimPrefix(got, "some words: "); len(strings.ReplaceAll(shown, secret.Mark, "")) > most {
					t.Errorf("%s: of %.40q, cut at %d, %.60q is left", name, written, at, shown)
				}
				got = m.MaskPart(written[at:]+" some words", true, false)
				if shown := strings.TrimSuffix(got, " some words"); len(strings.ReplaceAll(shown, secret.Mark, "")) > most {
					t.Errorf("%s: of %.40q, from %d on, %.60q is left", name, written, at, shown)
				}
			}
		}
		if len(value) > 100 {
			if got := m.MaskPart(value[100:200], true, true); got != secret.Mark {
				t.Errorf("of a middle %q is left", got)
			}
		}
	}
}

// A text without the secret is not changed.
func TestOrdinaryText(t *testing.T) {
	m := secret.New("hunter2-token", "kx7Q", "grüße")
	for _, text := range []string{"", "a", "abc", "plain words", `100% of "it" \ & more`, "\xff\xfe%4", `\u12 \x4 &#x; &bogus; %%%`, ordinary, strings.Repeat("QUJD", 30) + "\n" + "QUJD"} {
		if got := m.Mask(text); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}

// randomSecret is of bytes that encoders have something to do with.
func randomSecret(r *rand.Rand) string {
	alphabet := []rune("abcXYZ019 -_.~%+&=?/\\\"'<>\n\tüß€😀\x01\x7f")
	s := make([]rune, 4+r.IntN(40))
	for i := range s {
		s[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(s)
}

// No encoding of any secret survives, whatever is around it.
func TestRandomSecrets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		value := randomSecret(r)
		m := secret.New(value, randomSecret(r), randomSecret(r))
		for name, encode := range encodings {
			written := encode(value)
			if got := m.Mask(randomSecret(r) + "; " + written + randomSecret(r)); strings.Contains(got, written) {
				t.Fatalf("%s of %q, %q, is shown: %q", name, value, written, got)
			}
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("hunter2-token", "{\"a\":\"", "\"}")
	f.Add("a b+c/d", "%2", "5%41")
	f.Add("gr\u00fc\u00dfe", "\\", "\\u00")
	f.Add("line one\nline two", "&", "#39;")
	f.Add("0000", "0", "00")
	f.Add("\xff\xfe\xfd\xfc", "\r\n", "\\udc80")
	f.Fuzz(func(t *testing.T, value, before, after string) {
		if len(value) > 200 || len(before)+len(after) > 2000 {
			return
		}
		m := secret.New(value)
		for name, encode := range encodings {
			if !utf8.ValidString(value) && strings.Contains(name, "json") {
				continue // encoding/json keeps nothing of what is no text
			}
			written := encode(value)
			text := before + "; " + written + after // what is before may not be half an escape: what it makes of the whole is another text
			got := m.Mask(text)
			if len(value) >= secret.MinLen && strings.Contains(got, written) && !strings.Contains(before+"; "+secret.Mark+after, written) {
				t.Errorf("%s of %q, %q, is shown: %q", name, value, written, got)
			}
			if len(got) > len(text) {
				t.Errorf("%q has grown to %q", text, got)
			}
			for cut := range 4 {
				m.MaskPart(text, cut&1 != 0, cut&2 != 0)
			}
		}
	})
}

// ordinary is an answer as receivers give it.
var ordinary = `{"type":"https://example.com/problems/unavailable","title":"Service Unavailable","status":503,"detail":"upstream connect error or disconnect/reset before headers. reset reason: connection timeout","instance":"/in/orders/4711","request_id":"5f0c6b9e-3d2b-4f0e-8f8a-0d6f5f0f1b1a","headers":{"accept":"*/*","content-type":"application/cloudevents+json","user-agent":"triggerd/1.4.2","webhook-id":"8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/0:stock-zero/crm"},"retry":true,"hint":"see the status page of us all"}`[:512]

func BenchmarkMask(b *testing.B) {
	values := func(n int) []string {
		r := rand.New(rand.NewPCG(1, 2))
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("sk_live_%016x%016x", r.Uint64(), r.Uint64())
		}
		return all
	}
	escaped := strconv.Quote(ordinary)[:512]
	hostile := strings.Repeat("%255c\\u0025&amp;#37;", 500)[:8<<10]
	for _, bb := range []struct {
		name string
		m    *secret.Masker
		text string
	}{
		{"no-secrets", nil, ordinary},
		{"secrets=1", secret.New(values(1)...), ordinary},
		{"secrets=10", secret.New(values(10)...), ordinary},
		{"secrets=1000", secret.New(values(1000)...), ordinary},
		{"secrets=10/escaped", secret.New(values(10)...), escaped},
		{"secrets=10/hostile-8KiB", secret.New(values(10)...), hostile},
		{"secrets=10/found", secret.New(values(10)...), ordinary[:400] + values(1)[0] + ordinary[400:472]},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bb.m.Mask(bb.text)
			}
		})
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var none *secret.Masker
	some := secret.New("hunter2-token", "another-token")
	if n := testing.AllocsPerRun(100, func() { none.Mask(ordinary); some.Mask(ordinary) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
