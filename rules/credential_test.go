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
	parse := func(dir, ref string) (*rules.Set, error) {
		return rules.Parse("x.toml", []byte("[source]\nurl = \"${"+ref+"}\"\n"), rules.Options{LookupEnv: func(name string) (string, bool) {
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
	if want := filepath.Join(dir, "server"); len(set.SecretFiles) != 1 || set.SecretFiles[0] != want {
		t.Errorf("secret files = %q, want %s", set.SecretFiles, want)
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
