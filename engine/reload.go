package engine

import (
	"triggerd/internal/admin"
	"triggerd/rules"
)

// Compare tells what a set of rules changes, were it loaded now.
func (e *Engine) Compare(set *rules.Set) admin.Reload {
	old := map[string]*rules.Rule{}
	for _, r := range e.gen.Load().set.Rules {
		old[r.Name] = r
	}
	out := admin.Reload{OK: true}
	if len(set.Files) > 0 {
		out.File = set.Files[0]
	}
	for _, r := range set.Rules {
		before := old[r.Name]
		delete(old, r.Name)
		switch {
		case before == nil:
			out.Added = append(out.Added, r.Name)
			continue
		case before.Digest != r.Digest:
			out.Changed = append(out.Changed, r.Name)
		default:
			out.Kept++
		}
		switch {
		case before.Time == nil || !before.Enabled:
		case r.Time != nil && r.Enabled && before.Time.Shape == r.Time.Shape:
			out.States = append(out.States, r.Name)
		default:
			out.Dropped = append(out.Dropped, r.Name)
		}
	}
	for _, r := range e.gen.Load().set.Rules {
		if old[r.Name] != nil {
			out.Removed = append(out.Removed, r.Name)
		}
	}
	return out
}
