package timing

// chunkSlots is how many slots a slab allocates at once, when it has that many.
const chunkSlots = 1024

// slab is an array that grows without being copied. Moving a million states
// would stop the stream for long. A pointer into a slab is valid until the slab
// grows.
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
