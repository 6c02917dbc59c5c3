package keyspace

// A key that is not in the processor's cache costs a command several waits for
// memory, one after the other: for its place in the map, its name, its state, its
// text. Prepare has those of many commands waited for at once, each kind in a loop
// of its own, in which one wait does not depend on another.

const (
	// maxPrepared is how many keys are looked up at once.
	maxPrepared = 64
	// fewKeys are in the cache anyway.
	fewKeys = 512
)

// prepared are the states of the keys that are looked up at once.
type prepared struct {
	states [maxPrepared]*keyState
	sum    int // of what was read, so that it is read
}

// Prepare fetches from memory what is kept of the keys of commands that come
// next, likely in this database. It is a hint: it changes nothing, and what
// commands do does not depend on it. The commands are borrowed until it returns.
func (in *Interpreter) Prepare(db int, commands [][][]byte) {
	mi := in.mirror
	if mi == nil {
		return
	}
	d := mi.dbs[db]
	if d == nil || len(d.keys) < fewKeys {
		return
	}
	p := &mi.prepared
	n := 0
	for _, args := range commands {
		if len(args) < 2 || len(args[0]) == 0 {
			continue
		}
		cmd := commandOf(args)
		if cmd.oneKey {
			if s := d.keys[string(args[1])]; s != nil && n < maxPrepared {
				p.states[n] = s
				n++
			}
			continue
		}
		n = p.lookUp(n, d, cmd, args)
	}
	states := p.states[:n]
	sum := 0
	for _, s := range states { // both of its cache lines
		sum += int(s.value.kind) + int(s.marks.epoch) + s.size
	}
	for _, s := range states {
		if len(s.value.text) > 0 {
			sum += int(s.value.text[0])
		} else if s.value.elements != nil {
			sum += s.value.elements.len()
		}
	}
	clear(states)
	p.sum = sum
}

// lookUp looks up the first keys of a command that is not as simple as most, and
// returns how many states there are then.
func (p *prepared) lookUp(n int, d *database, cmd *command, args [][]byte) int {
	var buf [maxRanges]keyRange
	for _, r := range cmd.appendRanges(buf[:0], args) {
		for i := r.first; i <= r.last && n < maxPrepared; i += r.step {
			if s := d.keys[string(args[i])]; s != nil {
				p.states[n] = s
				n++
			}
		}
	}
	return n
}
