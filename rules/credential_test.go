package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"triggerd/rules"
)

// ${credential:NAME} is the file NAME in $CREDENTIALS_DIRECTORY, and a secret.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "server"), []byte("redis://:p4ssw0rd@h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var read []string
	parse := func(dir, ref string) (*rules.Set, error) {
		read = nil
		return rules.Parse("x.toml", []byte("[source]\nurl = \"${"+ref+"}\"\n"), rules.Options{Reads: func(path string, _ bool) { read = append(read, path) }, LookupEnv: func(name string) (string, bool) {
			return dir, name == "CREDENTIALS_DIRECTORY" && dir != ""
		}})
	}
	set, err := parse(dir, "credential:server")
	if err != nil {
		t.Fatal(err)
	}
	if set.Source.URL != "redis://:p4ssw0rd@h" {
		t.Errorf("url = %q", set.Source.URL)
	}
	if got := set.Secrets.Mask("it said redis://:p4ssw0rd@h"); strings.Contains(got, "p4ssw0rd") {
		t.Errorf("not masked: %s", got)
	}
	if want := filepath.Join(dir, "server"); len(read) != 1 || read[0] != want {
		t.Errorf("read %q, want %s", read, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "empty"), []byte("\r\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if set, err = parse(dir, "credential:empty"); err != nil || len(set.Warnings) != 1 || set.Warnings[0].Code != "empty-secret" {
		t.Errorf("an empty one: %v, %v", err, set)
	}

	for _, tt := range []struct{ dir, ref, want, hint string }{
		{dir, "credential:", "not the name of a credential", ""},
		{dir, "credential:..", "not the name of a credential", ""},
		{dir, "credential:../server", "not the name of a credential", ""},
		{dir, "credential:/etc/passwd", "not the name of a credential", ""},
		{dir, "credential:other", "no such file", ""},
		{"", "credential:server", "CREDENTIALS_DIRECTORY is not set", "LoadCredential=server:"},
		{dir, "credentials:server", "unknown reference", "${credential:NAME}"},
	} {
		_, err := parse(tt.dir, tt.ref)
		list := rules.Errors(err)
		if len(list) != 1 || !strings.Contains(list[0].Msg, tt.want) || !strings.Contains(list[0].Hint, tt.hint) || list[0].Line != 2 {
			t.Errorf("%s: %v", tt.ref, err)
		}
	}
}
