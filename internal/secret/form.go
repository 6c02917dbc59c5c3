package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// form is one way in which a secret is written, apart from escapes, which are
// undone in the text.
type form struct {
	text string // MinLen bytes or more

	// Of base64: how many characters before and after the text are made of bits
	// of the secret and of its neighbours, so that they differ.
	before, after uint8
}

// formsOf returns all forms of some secrets, each once.
func formsOf(values []string) []form {
	var forms []form
	seen := map[form]bool{}
	add := func(f form) {
		if len(f.text) >= MinLen && !seen[f] {
			seen[f] = true
			forms = append(forms, f)
		}
	}
	for _, v := range values {
		for _, s := range spellings(v) {
			add(form{text: s})
			add(form{text: hex.EncodeToString([]byte(s))})
			add(form{text: strings.ToUpper(hex.EncodeToString([]byte(s)))})
			for _, inner := range encoded(s) {
				for _, f := range base64Forms(inner) {
					add(f)
				}
			}
		}
	}
	return forms
}

// spellings returns a secret, and what a part of the world makes of it that is
// no escape.
func spellings(v string) []string {
	all := []string{v, strings.TrimSpace(v)}
	if strings.ContainsAny(v, "\r\n") { // a shell, or a log, takes it line by line
		for line := range strings.Lines(v) {
			if line = strings.TrimSpace(line); len(line) >= minLine {
				all = append(all, line)
			}
		}
	}
	all = append(all, urlParts(v)...)
	for _, s := range slices.Clone(all) {
		for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
			if plain, err := decode(s); err == nil {
				all = append(all, plain) // it was encoded for a URL
			}
		}
	}
	for _, s := range slices.Clone(all) {
		if strings.Contains(s, " ") {
			all = append(all, strings.ReplaceAll(s, " ", "+")) // in a form
		}
		all = append(all, string([]rune(s)), latin1(s)) // one that takes a header for text
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < MinLen })
}

// minLine is the length from which a line of a secret is a secret by itself.
const minLine = 8

// latin1 returns s as who takes each of its bytes for a character writes it.
func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// urlParts returns what of a URL is secret by itself: a receiver sees the parts
// and not the whole.
func urlParts(v string) []string {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" {
		return nil
	}
	parts := []string{u.Path, u.EscapedPath(), u.RawQuery}
	if password, ok := u.User.Password(); ok {
		parts = append(parts, password, u.User.String(), u.User.Username()+":"+password)
	}
	for _, values := range u.Query() {
		parts = append(parts, values...)
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if len(segment) >= minLine {
			parts = append(parts, segment)
		}
	}
	return parts
}

// encoded returns s as it is and escaped, as it may be inside of base64.
func encoded(s string) []string {
	all := []string{s, url.QueryEscape(s), url.PathEscape(s)}
	for _, html := range []bool{false, true} {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if e.Encode(s) == nil {
			all = append(all, strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// base64Forms returns the characters that base64 has for s wherever it stands
// in what is encoded: they depend on its place modulo 3.
func base64Forms(s string) []form {
	var forms []form
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			text := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
			from := (8*shift + 5) / 6      // the first character that is s's alone
			to := 8 * (shift + len(s)) / 6 // behind the last
			f := form{text: text[from:to], before: uint8(min(shift, 1))}
			if to < len(text) {
				f.after = 1
			}
			forms = append(forms, f)
		}
	}
	return forms
}
