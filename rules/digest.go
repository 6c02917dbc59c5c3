package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// digest returns the Digest of a rule. What came from the environment or from
// files is in it by its reference only.
func (c *compilation) digest(v view, r *Rule) string {
	h := sha256.New()
	write := func(what any) { fmt.Fprintf(h, "%#v\n", what) } // maps in the order of their keys
	write(v.v)
	for _, a := range r.Actions {
		if target, ok := c.d.targets[a.Target]; ok {
			write(target.v)
		}
	}
	for _, all := range []map[string]view{c.d.macros, c.d.lists, c.d.windows} {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			write(name)
			write(all[name].v)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
