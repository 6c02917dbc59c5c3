package timing

// line counts what became of a rule since the last run of another.
type line struct {
	s    *State // of the rule with the schedule
	rule string

	count, suppressed int
	first, last       int64
	data              []byte

	dirty, durable, gone bool
}

// add counts a firing.
func (l *line) add(f *firing) {
	if l.count == 0 {
		l.first, l.last = f.first, f.last
	}
	l.count++
	l.first, l.last = min(l.first, f.first), max(l.last, f.last)
	l.data = l.data[:0]
	if f.match != nil {
		l.data = f.match.Data.AppendSlim(l.data)
	} else {
		l.data = append(l.data, f.data...)
	}
	l.change()
}

func (l *line) change() {
	if !l.dirty {
		l.dirty = true
		l.s.m.dirtyLines = append(l.s.m.dirtyLines, l)
		l.s.m.unsaved++
	}
}

// take returns the line, which begins anew.
func (l *line) take() Line {
	out := Line{Rule: l.rule, Count: l.count, Suppressed: l.suppressed}
	if l.count > 0 {
		out.First, out.Last, out.Data = timeOf(l.first), timeOf(l.last), l.data
		l.count, l.suppressed, l.data = 0, 0, nil
		l.change()
	}
	return out
}

func (l *line) forget() {
	l.gone = true
	if l.durable {
		l.s.m.delete(appendKey(nil, l.s.rule.Name, stageLine, l.rule))
	}
}
