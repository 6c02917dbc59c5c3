package keyspace

// unitOf returns which of the options "EX", "PX", "EXAT" and "PXAT", that give a
// key or a field a deadline, an argument is; "" if it is none.
func unitOf(option []byte) string {
	for _, unit := range [...]string{"PXAT", "EX", "PX", "EXAT"} {
		if is(option, unit) {
			return unit
		}
	}
	return ""
}

// isDeadline reports whether an option gives a key, or field, a deadline.
func isDeadline(option []byte) bool { return unitOf(option) != "" }

// deadlineOption returns the deadline that an option and its argument give.
func (c *call) deadlineOption(option, arg []byte) (int64, bool) {
	return c.deadline(unitOf(option), arg)
}

// deadline returns the Unix time in milliseconds that a number stands for: in
// seconds ("EX", "EXAT") or milliseconds ("PX", "PXAT"), from now on or since
// 1970. false: it is not known.
func (c *call) deadline(unit string, arg []byte) (int64, bool) {
	n, ok := int64Of(arg)
	if !ok {
		return 0, false
	}
	if unit == "EX" || unit == "EXAT" {
		if n > 1<<50 {
			return 0, false
		}
		n *= 1000
	}
	if unit == "EX" || unit == "PX" {
		if c.now == 0 || n > 1<<60 {
			return 0, false
		}
		n += c.now
	}
	return max(n, 1), true
}
