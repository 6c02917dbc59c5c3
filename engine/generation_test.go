package engine

import (
	"fmt"
	"slices"
	"testing"

	"triggerd/internal/secret"
	"triggerd/rules"
)

// What earlier rules had for secrets is masked after any number of reloads, up
// to a bound: the oldest are forgotten.
func TestOldSecretsAreMasked(t *testing.T) {
	var old []string
	for n := range maxOldSecrets + 10 {
		set := &rules.Set{Secrets: secret.New(fmt.Sprintf("secret-%04d", n), "constant")}
		for range 2 { // the same again changes nothing
			g, err := newGeneration(set, old, ActionOptions{}, newInstruments())
			if err != nil {
				t.Fatal(err)
			}
			old = g.secrets.Values()
		}
	}
	last := maxOldSecrets + 9
	for n, want := range map[int]bool{last: true, last - 1: true, last - 900: true, 0: false} {
		if got := slices.Contains(old, fmt.Sprintf("secret-%04d", n)); got != want {
			t.Errorf("secret %d of %d is masked: %v", n, last, got)
		}
	}
	if !slices.Contains(old, "constant") || len(old) > maxOldSecrets+2 {
		t.Errorf("%d secrets", len(old))
	}
}
