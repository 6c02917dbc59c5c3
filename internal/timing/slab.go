package timing

// chunkSlots is how many values a slab allocates at once, when it has that many.
const chunkSlots = 1024

// slab is an array that grows without being copied: a million states do not
// stop the stream for as long as it takes to move them. A pointer into it is
// valid until it grows.
type slab[T any] struct {
	chunks [][]T
	width  int // values to a slot; 0 stands for 1
}

// grow makes room for slot n.
func (s *slab[T]) grow(n int) {
	width := max(s.width, 1)
	for n >= s.room() {
		switch len(s.chunks) {
		case 0:
			s.chunks = append(s.chunks, make([]T, 4*width))
		case 1:
			if first := s.chunks[0]; len(first) < chunkSlots*width {
				s.chunks[0] = append(first, make([]T, len(first))...)
				continue
			}
			fallthrough
		default:
			s.chunks = append(s.chunks, make([]T, chunkSlots*width))
		}
	}
}

// room returns how many slots there are.
func (s *slab[T]) room() int {
	last := len(s.chunks) - 1
	if last < 0 {
		return 0
	}
	return last*chunkSlots + len(s.chunks[last])/max(s.width, 1)
}

func (s *slab[T]) at(slot uint32) *T {
	return &s.chunks[slot/chunkSlots][slot%chunkSlots]
}

// row returns the values of a slot.
func (s *slab[T]) row(slot uint32) []T {
	i := int(slot%chunkSlots) * s.width
	return s.chunks[slot/chunkSlots][i : i+s.width : i+s.width]
}
