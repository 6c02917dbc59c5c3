package timing

// summaryLine counts what one rule has released since the last run of another,
// which sums it up.
type summaryLine struct {
	owner *State // of the rule with the schedule
	rule  string // the rule that is counted

	count, suppressed int
	first, last       int64
	data              []byte

	dirty, durable, gone bool
}

// add counts a candidate.
func (l *summaryLine) add(f *candidate) {
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
	l.markDirty()
}

func (l *summaryLine) markDirty() {
	if !l.dirty {
		l.dirty = true
		l.owner.m.dirtyLines = append(l.owner.m.dirtyLines, l)
		l.owner.m.unsaved++
	}
}

// cut returns the line, and begins a new one.
func (l *summaryLine) cut() Line {
	out := Line{Rule: l.rule, Count: l.count, Suppressed: l.suppressed}
	if l.count > 0 {
		out.First, out.Last, out.Data = timeOf(l.first), timeOf(l.last), l.data
		l.count, l.suppressed, l.data = 0, 0, nil
		l.markDirty()
	}
	return out
}

func (l *summaryLine) delete() {
	l.gone = true
	if l.durable {
		l.owner.m.delete(appendKey(nil, l.owner.rule.Name, stageLine, l.rule))
	}
}
