package glob

import "slices"

// A Finder finds the patterns of an automaton that match a key. It is for one
// goroutine at a time.
//
// Sets of nodes that keys really reach are kept as states, with a table that
// leads from state to state by byte, so that a key costs a look-up a byte
// however many patterns there are. States are made when a key first needs them,
// within a budget of time and memory: a hostile stream of keys that would make
// one after another is run on the sets themselves instead, which costs more a
// byte but makes nothing.
type Finder struct {
	a   *Automaton
	row int // entries of trans a state: one for each class of bytes, and one for its number

	states  []state
	trans   []int32          // rows, one a state; see the constants below
	byNodes map[uint64]int32 // hash of a state's nodes to its number
	used    int              // bytes of states and trans
	limit   int              // of used
	credit  int              // of new states; see addState

	found []uint32 // by pattern: the key that it was last found for
	keys  uint32   // number of the key at hand
	stamp []uint32 // by node: the step in which it was last added
	step  uint32
	cur   []int32
	next  []int32
}

// state is a set of nodes that some key reached.
type state struct {
	nodes   []int32 // sorted
	emits   []int32 // patterns that match whatever follows
	accepts []int32 // patterns that match if the key ends here
}

// Entries of trans: 0 is a step nobody has taken yet, dead is one after which
// nothing can match, and else it is where the row of a state begins, negative
// if the state emits.
const dead = -1 << 31

// Budget of states. Each key earns one credit and a new state costs
// stateCost, so that keys that always need new ones spend a bounded share of
// the time on making them.
const (
	stateCost  = 8
	maxCredit  = 1 << 17
	stateBytes = 16 << 20 // of states and their table, for one finder
)

// Finder returns a new finder, which has learnt nothing yet.
func (a *Automaton) Finder() *Finder {
	f := &Finder{
		a: a, row: a.width + 1, limit: stateBytes, credit: maxCredit,
		found: make([]uint32, len(a.unsure)), stamp: make([]uint32, len(a.nodes)),
	}
	f.reset()
	return f
}

// Find appends the patterns that may match key to dst, each once, in no order.
// All that match are among them; Confirm tells which do. It allocates nothing
// but dst and, within bounds, what it learns of keys unlike those before.
func (f *Finder) Find(dst []int32, key []byte) []int32 {
	f.credit = min(f.credit+1, maxCredit)
	if f.keys++; f.keys == 0 { // around once in four thousand million keys
		clear(f.found)
		f.keys = 1
	}
	at := int32(f.row) // of state 1
	dst = f.report(dst, f.states[1].emits)
	trans, classes := f.trans, &f.a.classes
	for i, c := range key {
		next := trans[at+int32(classes[c])]
		if next > 0 {
			at = next
			continue
		}
		if next == 0 {
			if next = f.move(at, c); next == 0 {
				return f.simulate(dst, key[i+1:])
			}
			trans = f.trans
		}
		if next == dead {
			return dst
		}
		if next < 0 {
			next = -next
			dst = f.report(dst, f.stateAt(next).emits)
		}
		at = next
	}
	if n := trans[int(at)+f.a.width]; n > 0 {
		return f.report(dst, f.states[n].accepts)
	}
	return dst
}

// Confirm reports whether a pattern that Find has found for a key matches it.
// It costs nothing where what is found always does.
func (f *Finder) Confirm(pattern int32, key []byte) bool {
	p := f.a.unsure[pattern]
	return p == nil || p.Match(key)
}

// reset forgets all states but the one where every key begins.
func (f *Finder) reset() {
	f.states = append(f.states[:0], state{}) // number 0 is none
	f.trans = append(f.trans[:0], make([]int32, f.row)...)
	f.byNodes = map[uint64]int32{}
	f.used = 0
	f.begin()
	f.addNode(0)
	slices.Sort(f.next)
	f.states = append(f.states, f.newState(f.next))
	f.addRow(1)
}

// report appends patterns to dst, each once a key however often it is found.
func (f *Finder) report(dst, patterns []int32) []int32 {
	for _, g := range patterns {
		if f.found[g] != f.keys {
			f.found[g] = f.keys
			dst = append(dst, g)
		}
	}
	return dst
}

// stateAt returns the state of a row.
func (f *Finder) stateAt(row int32) *state {
	n := f.trans[int(row)+f.a.width]
	return &f.states[max(n, -n)]
}

// addRow adds the row of state n. Its last entry is the state's number,
// negative if no pattern ends there: most keys end in such a state, and need not
// look at it.
func (f *Finder) addRow(n int32) {
	f.trans = append(f.trans, make([]int32, f.row)...)
	if len(f.states[n].accepts) == 0 {
		n = -n
	}
	f.trans[len(f.trans)-1] = n
}

// move makes the step from the state of a row by c, and the state that it
// leads to. If there is no credit for a new one it returns 0, with the nodes
// in cur.
func (f *Finder) move(at int32, c byte) int32 {
	f.advance(f.stateAt(at).nodes, c)
	entry := int32(dead)
	if len(f.next) > 0 {
		slices.Sort(f.next)
		n := f.stateOf(f.next)
		if n == 0 {
			if n = f.addState(); n == 0 {
				return 0
			}
		}
		entry = n * int32(f.row)
		if len(f.states[n].emits) > 0 {
			entry = -entry
		}
	}
	f.trans[at+int32(f.a.classes[c])] = entry
	return entry
}

// stateOf returns the number of the state of these nodes, 0 if there is none.
func (f *Finder) stateOf(nodes []int32) int32 {
	for h := hashNodes(nodes); ; h++ {
		n, ok := f.byNodes[h]
		if !ok {
			return 0
		}
		if slices.Equal(f.states[n].nodes, nodes) {
			return n
		}
	}
}

// addState adds next as a state. Without credit or room it moves next to cur and
// returns 0. Where there is no room all states are dropped, but only by a set
// that has earned all its credit: it will pay for making them anew.
func (f *Finder) addState() int32 {
	full := f.used >= f.limit
	if f.credit < stateCost || full {
		f.cur, f.next = f.next, f.cur
		if full && f.credit == maxCredit {
			f.credit /= 2
			f.reset()
		}
		return 0
	}
	f.credit -= stateCost
	n := int32(len(f.states))
	f.states = append(f.states, f.newState(f.next))
	f.addRow(n)
	h := hashNodes(f.next)
	for f.byNodes[h] != 0 {
		h++
	}
	f.byNodes[h] = n
	return n
}

// newState makes a state of sorted nodes.
func (f *Finder) newState(nodes []int32) state {
	s := state{nodes: slices.Clone(nodes)}
	for _, n := range nodes {
		s.emits = append(s.emits, f.a.emitsOf(n)...)
		s.accepts = append(s.accepts, f.a.acceptsOf(n)...)
	}
	const overhead = 3*24 + 32 // the slices, and the entry of byNodes
	f.used += overhead + 4*(f.row+cap(s.nodes)+cap(s.emits)+cap(s.accepts))
	return s
}

func hashNodes(nodes []int32) uint64 {
	h := uint64(14695981039346656037)
	for _, n := range nodes {
		h = (h ^ uint64(n)) * 1099511628211
	}
	return h ^ h>>29
}

// simulate reads the rest of a key from the nodes in cur on, without making
// states.
func (f *Finder) simulate(dst []int32, key []byte) []int32 {
	for i := 0; ; i++ {
		for _, n := range f.cur {
			dst = f.report(dst, f.a.emitsOf(n))
		}
		if i == len(key) || len(f.cur) == 0 {
			break
		}
		f.advance(f.cur, key[i])
		f.cur, f.next = f.next, f.cur
	}
	for _, n := range f.cur {
		dst = f.report(dst, f.a.acceptsOf(n))
	}
	return dst
}

// advance sets next to the nodes that c leads to from nodes. nodes is not next.
func (f *Finder) advance(nodes []int32, c byte) {
	a := f.a
	f.begin()
	for _, i := range nodes {
		n := &a.nodes[i]
		if n.loop == partStar || n.loop == partCapture && c != ':' {
			f.addNode(i)
		}
		if n.capture != 0 && c != ':' {
			f.addNode(n.capture)
		}
		if to := a.literal(i, c); to != 0 {
			f.addNode(to)
		}
		for _, e := range a.sets[n.set:a.nodes[i+1].set] {
			if e.set.contains(c) {
				f.addNode(e.to)
			}
		}
	}
}

// begin begins a step with no nodes.
func (f *Finder) begin() {
	f.next = f.next[:0]
	if f.step++; f.step == 0 { // around once in four thousand million steps
		clear(f.stamp)
		f.step = 1
	}
}

// addNode adds a node to next, and the star that may begin there.
func (f *Finder) addNode(n int32) {
	if f.stamp[n] == f.step {
		return
	}
	f.stamp[n] = f.step
	f.next = append(f.next, n)
	if star := f.a.nodes[n].star; star != 0 {
		f.addNode(star)
	}
}
