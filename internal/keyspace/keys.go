package keyspace

// keySpec says where a command's keys are, as Redis documents its key
// specifications (COMMAND, "key-specs"). Indexes count the command's name as 0.
type keySpec struct {
	keyword string // begin after this word, looked for from begin on; "": begin is the place itself
	begin   int    // negative: look backwards from the end
	last    int    // last key, counted from the first; negative: from the end of the arguments
	limit   int    // with a negative last: only the first 1/limit of what remains
	step    int    // distance between keys
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
	r := keyRange{begin, begin + s.last, s.step}
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
		r.last = r.first + (n-1)*s.step
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

// appendRanges appends where the keys are that a command reads or writes, in
// the order of COMMAND GETKEYS.
func appendRanges(dst []keyRange, id ID, args [][]byte) []keyRange {
	specs := commands[id].keys
	if id == cmdMigrate && len(args) > 3 && len(args[3]) == 0 {
		specs = specs[1:] // MIGRATE host port "" db timeout .. KEYS k..: the first is a placeholder
	}
	for i := range specs {
		if r, ok := specs[i].find(args); ok {
			dst = append(dst, r)
		}
	}
	if id == cmdSort {
		if at := sortStore(args); at > 0 {
			dst = append(dst, keyRange{at, at, 1})
		}
	}
	return dst
}

// sortStore returns the index of the key that SORT .. STORE writes, 0 if there
// is none. The server's key specification of SORT leaves it open.
func sortStore(args [][]byte) int {
	at := 0
	for i := 2; i < len(args)-1; i++ {
		switch {
		case is(args[i], "LIMIT"):
			i += 2
		case is(args[i], "GET"), is(args[i], "BY"):
			i++
		case is(args[i], "STORE"):
			i++
			at = i
		}
	}
	return at
}

// parseInt parses a decimal number of at most nine digits: a count of keys, a
// database. No command can hold more.
func parseInt(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
