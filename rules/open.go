package rules

import (
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"triggerd/internal/secret"
)

// othersRead is the permission by which everybody on the machine may read a file.
const othersRead fs.FileMode = 0o004

// isOpen reports whether everybody on the machine may read a file.
func isOpen(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&othersRead != 0
}

// minPathSecret is how long the last part of a path is at least that is a secret.
const minPathSecret = 16

// warnOpen warns of a secret that is written in the file itself, if everybody may
// read that.
func (v view) warnOpen() {
	written, _ := v.v.(string)
	if v.s.open && written != "" && !strings.Contains(written, "${") && !strings.Contains(written, "{{") {
		v.as("open-secret").warnf("chmod o-r, or take it from ${env:NAME}, ${file:/path} or ${credential:NAME}", "a secret, in a file that everybody on this machine may read")
	}
}

// warnOpenURL warns of a user, a password or a parameter that is called like a
// credential, written in a URL, if everybody may read the file.
func (v view) warnOpenURL() {
	if written, _ := v.v.(string); v.s.open && urlHasSecret(written) {
		written, _, _ = strings.Cut(written, "{{")
		v.v = strings.ReplaceAll(written, "${", "")
		v.warnOpen()
	}
}

// secretPaths are the hosts of services at which whoever knows the path of a URL
// may post.
var secretPaths = []string{"hooks.slack.com", "hooks.slack-gov.com", "discord.com", "discordapp.com"}

// urlHasSecret reports whether a URL has a secret in it that is written out.
func urlHasSecret(written string) bool {
	shape := reference.ReplaceAllString(written, "\x00") // no letter of a reference is part of the secret
	parts := splitURL(shape)
	if parts.host > parts.authority && parts.host <= parts.path {
		user, password, both := strings.Cut(shape[parts.authority:parts.host-1], ":")
		if both {
			user = password
		}
		if user != "" && !strings.Contains(user, "\x00") {
			return true
		}
	}
	if strings.HasPrefix(strings.ToLower(shape), "rediss:") {
		return false // key=FILE
	}
	path := shape[min(parts.path, len(shape)):min(parts.query, len(shape))]
	if last := path[strings.LastIndexByte(path, '/')+1:]; len(last) >= minPathSecret && !strings.ContainsAny(last, "\x00{") &&
		slices.Contains(secretPaths, strings.ToLower(shape[min(parts.host, len(shape)):min(parts.path, len(shape))])) {
		return true
	}
	query, _, _ := strings.Cut(shape[min(parts.query, len(shape)):], "#")
	for pair := range strings.SplitSeq(strings.TrimPrefix(query, "?"), "&") {
		name, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if value != "" && !strings.ContainsAny(value, "\x00{") && secret.NamesCredential(name) {
			return true
		}
	}
	return false
}

// warnOpenField warns of a text of an action that is a secret by its field: one
// of the kind's secrets, or a header, parameter or variable that is called like a
// credential.
func (v view) warnOpenField(k *Kind, path string, f form) {
	if !v.s.open {
		return
	}
	table, name := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		table, name = path[:i], path[i+1:]
	}
	switch {
	case f&formURL != 0:
		v.warnOpenURL()
	case k != nil && k.hasSecret(name):
		v.warnOpen()
	case k != nil && slices.Contains(k.Tables, table) && secret.NamesCredential(name):
		v.warnOpen()
	}
}
