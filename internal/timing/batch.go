package timing

// maxBatchBytes limits the bytes of a batch that has more than one item.
const maxBatchBytes = 1 << 20

// batch is a batch that is being gathered.
type batch struct {
	items [][]byte // see candidate.append
	bytes uint32
	saved uint32 // items that have been written
}

// addToBatch adds a candidate to its batch. It releases the batch if that is
// full.
func (s *State) addToBatch(dst []Release, f *candidate) []Release {
	key := f.keys.Batch
	f.keys = Keys{}
	item := s.m.packed(f)
	t := s.tables.batch
	dst, slot, made := t.findOrAdd(dst, key, f.at)
	if !made && int(t.batches.at(slot).bytes)+len(item) > maxBatchBytes {
		dst = s.closeBatch(dst, slot, f.at)
		dst, slot, made = t.findOrAdd(dst, key, f.at)
	}
	if made {
		t.arm(slot, addTime(f.at, s.batchWait))
	}
	t.touch(slot)
	b := t.batches.at(slot)
	b.items = append(b.items, item)
	b.bytes += uint32(len(item))
	s.m.unsaved++
	if len(b.items) >= s.rule.Batch.Max || b.bytes >= maxBatchBytes {
		return s.closeBatch(dst, slot, f.at)
	}
	return dst
}

// closeBatch releases a batch.
func (s *State) closeBatch(dst []Release, slot uint32, at int64) []Release {
	t := s.tables.batch
	b := t.batches.at(slot)
	out := Release{Rule: s.rule, Kind: Batched, By: t.key(slot), At: timeOf(at), Items: make([]Item, 0, len(b.items))}
	timed := false // First and Last are set, which may be the zero time
	for _, item := range b.items {
		f, _ := parseCandidate(item)
		i := f.item()
		out.Items = append(out.Items, i)
		out.Tag = i.Tag
		out.Count += f.count
		out.Suppressed += f.suppressed
		if f.empty {
			continue
		}
		if first := timeOf(f.first); !timed || first.Before(out.First) {
			out.First = first
		}
		if last := timeOf(f.last); !timed || last.After(out.Last) {
			out.Last = last
		}
		timed = true
	}
	t.forget(slot)
	return append(dst, out)
}
