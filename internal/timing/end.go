package timing

import "strings"

// EndAll does to the rules with For what a Match with the role Ends does, for
// all values of Gather that begin with prefix: of a database of which all keys
// are gone.
func (m *Machine) EndAll(prefix string) {
	m.endRestore()
	for _, s := range m.order {
		t := s.tables[stageFor]
		if t == nil {
			continue
		}
		var gone []uint32
		t.each(func(slot uint32, _ *node) {
			if strings.HasPrefix(t.key(slot), prefix) {
				gone = append(gone, slot)
			}
		})
		for _, slot := range gone {
			t.forget(slot)
		}
	}
}
