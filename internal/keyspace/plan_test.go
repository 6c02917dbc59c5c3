package keyspace

import (
	"slices"
	"testing"
)

// TestPlans: each plan has what its code relies on, and no write command is
// silent by mistake.
func TestPlans(t *testing.T) {
	names := EventNames()
	for id := ID(1); id < numIDs; id++ {
		c, p := &commands[id], planOf(id)
		switch p.how {
		case onKey, onEachKey:
			if p.name == "" || len(c.keys) == 0 || c.keys[0].keyword != "" || c.keys[0].keynum || c.keys[0].begin < 1 {
				t.Errorf("%s: plan %+v with keys %+v", c.name, p, c.keys)
			}
		case keyless:
			if p.name == "" || len(c.keys) > 0 {
				t.Errorf("%s: plan %+v with keys %+v", c.name, p, c.keys)
			}
		case generic:
			if p.name != "" || genericNames[id] == "" {
				t.Errorf("%s: plan %+v, name %q", c.name, p, genericNames[id])
			}
		}
		if p.name != "" && !slices.Contains(names, p.name) {
			t.Errorf("%s: event %q is not in EventNames", c.name, p.name)
		}
		if len(c.keys) >= maxRanges {
			t.Errorf("%s has %d key specifications", c.name, len(c.keys))
		}
		for _, s := range c.keys {
			if s.step < 1 {
				t.Errorf("%s: keys %+v would never end", c.name, s)
			}
		}
		if c.write && plans[id].how == unplanned && insteadUse[id] == "" && !slices.Contains(unannounced, id) {
			t.Errorf("%s writes, and no plan says what is announced", c.name)
		}
	}
}

// unannounced write commands give an event of their own name.
var unannounced = []ID{cmdClusterFlushslot, cmdTrimslots, cmdXgroup}
