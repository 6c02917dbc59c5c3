package timing

import "strings"

// EndAll does, for each rule with For, what an Arrival with the role Ends does:
// for all values of Gather that begin with prefix. It is meant for a database
// whose keys are all gone.
func (m *Machine) EndAll(prefix string) {
	m.endRestore()
	for _, s := range m.order {
		t := s.tables.holding
		if t == nil {
			continue
		}
		t.forgetAll(func(slot uint32) bool { return strings.HasPrefix(t.key(slot), prefix) })
	}
}
