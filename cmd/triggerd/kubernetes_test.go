package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"triggerd/engine"
)

// The rules in the manifests are good ones, with the secrets of the manifests.
func TestKubernetesRules(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(packaging, "kubernetes", "triggerd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "  rules.toml: |\n")
	rules, _, end := strings.Cut(rest, "\n---\n")
	if !ok || !end {
		t.Fatal("the manifests have no rules.toml")
	}
	dir := t.TempDir()
	for _, name := range []string{"source", "token"} {
		m := regexp.MustCompile(`(?m)^  ` + name + `: (.+)$`).FindStringSubmatch(rest)
		if m == nil {
			t.Fatalf("the manifests have no secret %s", name)
		}
		write(t, dir, name, m[1])
	}
	rules = strings.ReplaceAll(strings.ReplaceAll(rules, "\n    ", "\n"), "/etc/triggerd-secrets", dir)
	set, err := engine.LoadRules(write(t, dir, "rules.toml", strings.TrimPrefix(rules, "    ")), engine.ActionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules) == 0 || len(set.Warnings) > 0 || len(set.HTTP.Token) < 16 || set.Store.Dir != "/var/lib/triggerd" {
		t.Errorf("%d rules, warnings %v, store in %s", len(set.Rules), set.Warnings, set.Store.Dir)
	}
}
