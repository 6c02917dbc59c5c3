package timing

import "strings"

// EndAll does to the rules with For what a Match with the role Ends does, for
// all values of Gather that begin with prefix: of a database of which all keys
// are gone.
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
