package rules

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// secretField matches the names of fields whose values may be secrets even
// where they are written into the file.
var secretField = regexp.MustCompile(`(?i)\b(url|sign|secret|headers?|authorization|password|token|proxy|env|api[-_]?key)\b["']?\s*=`)

// mayHoldSecret reports whether a line of the file had better not be shown.
func mayHoldSecret(line string) bool { return secretField.MatchString(line) }

// redact takes values that came from the environment or from a file out of a
// message, as they are and as they look quoted.
func (l *loader) redact(msg string) string {
	const tooShort = 3 // would garble the message and protect nothing
	for _, s := range l.secrets {
		if len(s) < tooShort {
			continue
		}
		msg = strings.ReplaceAll(msg, s, "[secret]")
		quoted := strconv.Quote(s)
		msg = strings.ReplaceAll(msg, quoted[1:len(quoted)-1], "[secret]")
	}
	return msg
}

// expand replaces ${env:NAME}, ${env:NAME:-default} and ${file:/path} in a
// value; $${ is a literal ${. ok is false if a mistake was reported.
func (v view) expand(s string) (out string, ok bool) {
	if !strings.Contains(s, "${") {
		return s, true
	}
	var b strings.Builder
	ok = true
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			b.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				v.inString(i).errorf("write $${ for a literal ${", "${ without }")
				return "", false
			}
			value, found := v.reference(i, s[i+2:i+end])
			b.WriteString(value)
			ok = ok && found
			i += end + 1
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String(), ok
}

// reference resolves what stands between ${ and }; at is where it begins in
// the value.
func (v view) reference(at int, ref string) (string, bool) {
	kind, name, _ := strings.Cut(ref, ":")
	switch kind {
	case "env":
		name, otherwise, hasDefault := strings.Cut(name, ":-")
		value, ok := v.l.o.lookupEnv(name)
		if ok && (value != "" || !hasDefault) {
			v.l.secrets = append(v.l.secrets, value)
			return value, true
		}
		if !hasDefault {
			v.inString(at).errorf("set it, or write ${env:"+name+":-default}", "%s is not set", name)
		}
		return otherwise, hasDefault
	case "file":
		if !filepath.IsAbs(name) && !v.s.built {
			name = filepath.Join(filepath.Dir(v.s.name), name)
		}
		value, err := readLimited(name, maxSecretFile)
		if err != nil {
			v.inString(at).errorf("", "%s", osReason(err))
			return "", false
		}
		value = strings.TrimRight(value, "\r\n")
		v.l.secrets = append(v.l.secrets, value)
		return value, true
	}
	v.inString(at).errorf("${env:NAME}, ${env:NAME:-default} or ${file:/path}; write $${ for a literal ${", "unknown reference ${%s}", ref)
	return "", false
}
