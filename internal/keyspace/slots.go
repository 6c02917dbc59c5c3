package keyspace

import "strings"

// numSlots is how many slots a cluster has.
const numSlots = 1 << 14

// slotSet is a set of slots.
type slotSet [numSlots / 64]uint64

func (s *slotSet) add(first, last int) {
	for n := first; n <= last; n++ {
		s[n/64] |= 1 << (n % 64)
	}
}

func (s *slotSet) has(slot int) bool { return s[slot/64]>>(slot%64)&1 != 0 }

// slotOf returns the slot that a server puts a key in: the CRC16 of the key, or
// of what is between its first "{" and the first "}" after that, unless that
// is nothing.
func slotOf(key string) int {
	if _, tail, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(tail, "}"); ok && tag != "" {
			key = tag
		}
	}
	var crc uint16
	for i := range len(key) {
		crc = crc<<8 ^ crc16[byte(crc>>8)^key[i]]
	}
	return int(crc) % numSlots
}

// crc16 is the table of CRC16-XMODEM, as crc16.c of the servers has it.
var crc16 = func() (table [256]uint16) {
	const poly = 0x1021
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			crc = crc<<1 ^ crc>>15*poly
		}
		table[i] = crc
	}
	return table
}()

// trimmedSlots returns the slots whose keys a command takes:
//
//	TRIMSLOTS RANGES count first last [first last ...]
//
// known is false where that cannot be told, since the command has a form that
// the servers of today do not have; ok is false where they refuse it, so that it
// takes none.
func trimmedSlots(args [][]byte) (s *slotSet, known, ok bool) {
	s = &slotSet{}
	if len(args) < 2 {
		return s, true, false
	}
	if !is(args[1], "RANGES") {
		return s, false, false
	}
	if len(args) < 3 {
		return s, true, false
	}
	count, ok := parseInt(args[2])
	ranges := args[3:]
	if !ok || count < 1 || count > numSlots || len(ranges) != 2*count {
		return s, true, false
	}
	for ; len(ranges) > 0; ranges = ranges[2:] {
		if !s.parse(ranges[0], ranges[1]) {
			return s, true, false
		}
	}
	return s, true, true
}

// flushedSlot does the same for CLUSTER FLUSHSLOT slot [ASYNC | SYNC].
func flushedSlot(args [][]byte) (s *slotSet, known, ok bool) {
	s = &slotSet{}
	if len(args) < 3 || len(args) > 4 || len(args) == 4 && !is(args[3], "SYNC") && !is(args[3], "ASYNC") {
		return s, true, false
	}
	return s, true, s.parse(args[2], args[2])
}

// parse adds a range. false: it is none.
func (s *slotSet) parse(first, last []byte) bool {
	from, ok1 := parseSlot(first)
	to, ok2 := parseSlot(last)
	if !ok1 || !ok2 || from > to {
		return false
	}
	s.add(from, to)
	return true
}

// parseSlot parses the number of a slot, which servers take in one spelling only.
func parseSlot(b []byte) (int, bool) {
	n, ok := parseInt(b)
	return n, ok && n < numSlots && (b[0] != '0' || len(b) == 1)
}
