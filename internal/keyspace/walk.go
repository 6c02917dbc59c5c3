package keyspace

import "iter"

// walk goes over the keys that a whole cut has to tell, a few at a time, while the
// mirror goes on. Of a key that is gone when its turn comes it says nothing, and
// one that came meanwhile it may name: who changes a key that was not told tells
// it first, and a new one has the number of the cut.
type walk struct {
	databases []*database // that are still to be gone over
	keys      []walked    // of the first of them, whose turn comes
	next      func() ([]walked, bool)
	stop      func()
}

// walked is a key of a walk.
type walked struct {
	key string
	s   *keyState
}

// inTurns gives keys, some at a time: going from one to the next from outside is
// not free.
func inTurns(keys map[string]*keyState) iter.Seq[[]walked] {
	return func(yield func([]walked) bool) {
		list := make([]walked, 0, 64)
		for key, s := range keys {
			if list = append(list, walked{key, s}); len(list) == cap(list) {
				if !yield(list) {
					return
				}
				list = list[:0]
			}
		}
		yield(list)
	}
}

// beginWalk makes all keys be told by the cut that begins. It costs nothing for
// each.
func (mi *mirror) beginWalk(j *journal) {
	if j.base++; j.base == 0 { // its numbers begin again
		j.base = 1
		for _, d := range mi.dbs {
			for _, s := range d.keys {
				s.marks.base = 0
			}
		}
	}
	j.databases, j.walk = true, &walk{}
	for _, d := range mi.dbs {
		d.dirty = true
		j.walk.databases = append(j.walk.databases, d)
	}
}

// tellWalk tells keys until so many bytes of the cut are told. It reports whether
// there are no more.
func (j *journal) tellWalk(end int) (done bool) {
	w, c := j.walk, &j.cut
	for w != nil && c.told < end {
		switch {
		case len(w.keys) > 0:
			if k := w.keys[0]; j.lacks(k.s) {
				j.save(w.databases[0].id, []byte(k.key), k.s)
			}
			w.keys = w.keys[1:]
			c.told += 8 // going over keys that were told takes time, too
		case w.next != nil:
			var more bool
			if w.keys, more = w.next(); !more {
				w.next, w.databases = nil, w.databases[1:]
			}
		case len(w.databases) > 0:
			w.next, w.stop = iter.Pull(inTurns(w.databases[0].keys))
		default:
			j.walk, w = nil, nil
		}
	}
	return w == nil
}

// AbandonCut gives up a cut that is under way, if there is one: what it told is of
// no use, and the next one has to be whole. It is for who has no more use for the
// Interpreter.
func (in *Interpreter) AbandonCut() {
	if j := in.journal; j != nil {
		j.endWalk()
		j.cut = cut{}
	}
}

// endWalk gives a walk up.
func (j *journal) endWalk() {
	if j.walk != nil && j.walk.next != nil {
		j.walk.stop()
	}
	j.walk = nil
}
