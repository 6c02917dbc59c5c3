package keyspace

// keySpec says where a command's keys are, as Redis documents its key
// specifications (COMMAND, "key-specs"). Indexes count the command's name as 0.
type keySpec struct {
	keyword string // begin after this word, looked for from begin on; "": begin is the place itself
	begin   int    // negative: look backwards from the end
	last    int    // last key, counted from the first; negative: from the end of the arguments
	limit   int    // with a negative last: only the first 1/limit of what remains
	step    int    // distance between keys, 0 for 1
	keynum  bool   // the number of keys is an argument itself,
	numAt   int    // this far from the beginning,
	firstAt int    // and the first key this far
}

// keyRange is a run of keys: args[first], args[first+step], ... up to and
// including last.
type keyRange struct{ first, last, step int }

// find returns where the keys are in args, and false if they are not there.
// The range never leaves args.
func (s *keySpec) find(args [][]byte) (keyRange, bool) {
	begin := s.begin
	if s.keyword != "" {
		if begin = s.findKeyword(args); begin == 0 {
			return keyRange{}, false
		}
	}
	r := keyRange{begin, begin + s.last, max(s.step, 1)}
	switch {
	case s.keynum:
		if begin+s.numAt >= len(args) {
			return keyRange{}, false
		}
		n, ok := parseInt(args[begin+s.numAt])
		if !ok || n < 1 {
			return keyRange{}, false
		}
		r.first = begin + s.firstAt
		r.last = r.first + (n-1)*r.step
	case s.last < 0 && s.limit > 1:
		r.last = begin + (len(args)-begin)/s.limit + s.last
	case s.last < 0:
		r.last = len(args) + s.last
	}
	r.last = min(r.last, len(args)-1)
	return r, r.first <= r.last
}

// findKeyword returns the index after the keyword, 0 if it is not there.
func (s *keySpec) findKeyword(args [][]byte) int {
	if s.begin < 0 {
		for i := len(args) + s.begin; i > 0; i-- {
			if is(args[i], s.keyword) {
				return i + 1
			}
		}
		return 0
	}
	for i := s.begin; i < len(args)-1; i++ {
		if is(args[i], s.keyword) {
			return i + 1
		}
	}
	return 0
}

// maxRanges is the most that appendRanges appends: the key specifications of a
// command, and one more for SORT.
const maxRanges = 4

// appendRanges appends where the keys are that the command reads or writes, in
// the order of COMMAND GETKEYS.
func (cmd *command) appendRanges(dst []keyRange, args [][]byte) []keyRange {
	if cmd.findKeys == nil {
		return appendFound(dst, cmd.keys, args)
	}
	for _, r := range cmd.findKeys(cmd.keys, args) {
		if r != (keyRange{}) {
			dst = append(dst, r)
		}
	}
	return dst
}

// appendFound appends where the keys are that specifications find.
func appendFound(dst []keyRange, keys []keySpec, args [][]byte) []keyRange {
	for i := range keys {
		if r, ok := keys[i].find(args); ok {
			dst = append(dst, r)
		}
	}
	return dst
}
