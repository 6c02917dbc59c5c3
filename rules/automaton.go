package rules

import (
	"cmp"
	"slices"
)

// An automaton matches a key against all globs of a set at once. The globs
// share a trie of parts: a node is what has been read of some of them, and a
// set of nodes is where a key has got to. Sets of nodes that keys really reach
// are kept as states, with a table that leads from state to state by byte, so
// that a key costs a look-up a byte however many globs there are.
//
// States are made when a key first needs them, within a budget of time and
// memory: a hostile stream of keys that would make one after another is run
// on the sets themselves instead, which costs more a byte but makes nothing.
type automaton struct {
	nodes   []node32
	lits    []litEdge
	sets    []setEdge
	emits   []int32 // globs that end in a star, by the node before it
	accepts []int32 // globs that end here, by node
	classes [256]uint8
	width   int // number of classes: bytes of one class are the same to every glob
	row     int // entries of trans a state: width, and one for its number

	states  []state
	trans   []int32          // rows, one a state; see the constants below
	byNodes map[uint64]int32 // hash of a state's nodes to its number
	used    int              // bytes of states and trans
	limit   int              // of used
	credit  int              // of new states; see spend

	found []uint32 // by glob: the key that it was last found for
	keys  uint32   // number of the key at hand
	stamp []uint32 // by node: the step in which it was last added
	step  uint32
	cur   []int32
	next  []int32
}

// node32 is one node. What belongs to it is the range from its own start to
// the next node's.
type node32 struct {
	lit, set, emit, accept int32    // starts of its ranges
	star                   int32    // node of a star that may begin here; 0 if none
	capture                int32    // node of a {name} that begins here; 0 if none
	loop                   partKind // partStar, partCapture: the node may be stayed in; else partByte
}

type litEdge struct {
	to int32
	c  byte
}

type setEdge struct {
	to  int32
	set *byteSet
}

// state is a set of nodes that some key reached.
type state struct {
	nodes   []int32 // sorted
	emits   []int32 // globs that match whatever follows
	accepts []int32 // globs that match if the key ends here
}

// Entries of trans: 0 is a step nobody has taken yet, dead is one after which
// nothing can match, and else it is where the row of a state begins, negative
// if the state emits.
const dead = -1 << 31

// Budget of states. Each event earns one credit and a new state costs
// stateCost, so that keys that always need new ones spend a bounded share of
// the time on making them.
const (
	stateCost  = 8
	maxCredit  = 1 << 17
	stateBytes = 16 << 20 // of states and their table, for one set
)

// trieNode is a node while the trie is built. Globs that end at a node are
// linked: each has the one before it, plus one, so that 0 is none.
type trieNode struct {
	lits    []litEdge
	sets    []setEdge
	emits   int32
	accepts int32
	star    int32
	capture int32
	loop    partKind
}

// trie is the nodes while they are built.
type trie struct {
	nodes  []trieNode
	before []int32 // by glob: the one that ended at the same node before
}

// newAutomaton builds the automaton of globs, each given by its parts. What it
// reports are indices of globs.
func newAutomaton(globs [][]part) *automaton {
	t := trie{nodes: []trieNode{{loop: partByte}}, before: make([]int32, len(globs))}
	for i, parts := range globs {
		t.insert(parts, int32(i))
	}
	a := &automaton{limit: stateBytes, credit: maxCredit, found: make([]uint32, len(globs))}
	a.freeze(&t)
	a.classify()
	a.stamp = make([]uint32, len(a.nodes))
	a.reset()
	return a
}

func (t *trie) insert(parts []part, glob int32) {
	at := int32(0)
	for i := range parts {
		p := &parts[i]
		if p.kind == partStar && i == len(parts)-1 {
			t.before[glob], t.nodes[at].emits = t.nodes[at].emits, glob+1
			return
		}
		to := t.nodes[at].follow(p)
		if to == 0 {
			to = int32(len(t.nodes))
			n := trieNode{loop: partByte}
			if p.loops() {
				n.loop = p.kind
			}
			t.nodes = append(t.nodes, n)
			t.nodes[at].link(p, to)
		}
		at = to
	}
	t.before[glob], t.nodes[at].accepts = t.nodes[at].accepts, glob+1
}

// ended appends the globs of a list that begins with head.
func (t *trie) ended(dst []int32, head int32) []int32 {
	for ; head != 0; head = t.before[head-1] {
		dst = append(dst, head-1)
	}
	return dst
}

func (n *trieNode) follow(p *part) int32 {
	switch p.kind {
	case partStar:
		return n.star
	case partCapture:
		return n.capture
	case partByte:
		if i, ok := findLit(n.lits, p.c); ok {
			return n.lits[i].to
		}
		return 0
	}
	set := setOfPart(p)
	for _, e := range n.sets {
		if *e.set == *set {
			return e.to
		}
	}
	return 0
}

func (n *trieNode) link(p *part, to int32) {
	switch p.kind {
	case partStar:
		n.star = to
	case partCapture:
		n.capture = to
	case partByte:
		i, _ := findLit(n.lits, p.c)
		n.lits = slices.Insert(n.lits, i, litEdge{to, p.c})
	default:
		n.sets = append(n.sets, setEdge{to, setOfPart(p)})
	}
}

func findLit(lits []litEdge, c byte) (int, bool) {
	return slices.BinarySearchFunc(lits, c, func(e litEdge, c byte) int { return cmp.Compare(e.c, c) })
}

// anyByte is the set that ? stands for.
var anyByte = &byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

func setOfPart(p *part) *byteSet {
	if p.kind == partAny {
		return anyByte
	}
	return p.set
}

// freeze lays the trie out in a few flat slices.
func (a *automaton) freeze(t *trie) {
	lits, sets := 0, 0
	for i := range t.nodes {
		lits, sets = lits+len(t.nodes[i].lits), sets+len(t.nodes[i].sets)
	}
	a.nodes = make([]node32, 0, len(t.nodes)+1)
	a.lits, a.sets = make([]litEdge, 0, lits), make([]setEdge, 0, sets)
	start := func() node32 {
		return node32{lit: int32(len(a.lits)), set: int32(len(a.sets)), emit: int32(len(a.emits)), accept: int32(len(a.accepts))}
	}
	for i := range t.nodes {
		from, n := &t.nodes[i], start()
		n.star, n.capture, n.loop = from.star, from.capture, from.loop
		a.nodes = append(a.nodes, n)
		a.lits, a.sets = append(a.lits, from.lits...), append(a.sets, from.sets...)
		a.emits, a.accepts = t.ended(a.emits, from.emits), t.ended(a.accepts, from.accepts)
	}
	a.emits, a.accepts = slices.Clip(a.emits), slices.Clip(a.accepts)
	a.nodes = append(a.nodes, start()) // ends the last ranges
}

// classify puts bytes that no glob tells apart into one class.
func (a *automaton) classify() {
	used := [256]bool{}
	for _, e := range a.lits {
		used[e.c] = true
	}
	for _, n := range a.nodes {
		if n.capture != 0 {
			used[':'] = true
		}
	}
	a.width = 1
	for c := range used {
		if used[c] {
			a.classes[c] = uint8(a.width % 256)
			a.width++
		}
	}
	if a.width > 256 { // all bytes are used: class 0 is nobody's, and numbers start there
		for c := range a.classes {
			a.classes[c] = uint8(c)
		}
		a.width = 256
	}
	seen := map[*byteSet]bool{}
	distinct := map[byteSet]bool{}
	for _, e := range a.sets {
		if !seen[e.set] && !distinct[*e.set] && a.width < 256 {
			a.split(e.set)
		}
		seen[e.set], distinct[*e.set] = true, true
	}
}

// split divides each class into the bytes in set and the others.
func (a *automaton) split(set *byteSet) {
	var in, out [256]bool
	for c := range 256 {
		if set.contains(byte(c)) {
			in[a.classes[c]] = true
		} else {
			out[a.classes[c]] = true
		}
	}
	fresh := [256]uint8{}
	for class := range 256 {
		if in[class] && out[class] {
			fresh[class] = uint8(a.width)
			a.width++
		}
	}
	for c := range 256 {
		if f := fresh[a.classes[c]]; f != 0 && set.contains(byte(c)) {
			a.classes[c] = f
		}
	}
}

// reset forgets all states but the one where every key begins.
func (a *automaton) reset() {
	a.states = append(a.states[:0], state{}) // number 0 is none
	a.row = a.width + 1
	a.trans = append(a.trans[:0], make([]int32, a.row)...)
	a.byNodes = map[uint64]int32{}
	a.used = 0
	a.begin()
	a.add(0)
	slices.Sort(a.next)
	a.states = append(a.states, a.newState(a.next))
	a.addRow(1)
}

// match appends the globs that match key to dst.
func (a *automaton) match(dst []int32, key []byte) []int32 {
	a.credit = min(a.credit+1, maxCredit)
	if a.keys++; a.keys == 0 { // around once in four thousand million keys
		clear(a.found)
		a.keys = 1
	}
	at := int32(a.row) // of state 1
	dst = a.report(dst, a.states[1].emits)
	trans := a.trans
	for i, c := range key {
		next := trans[at+int32(a.classes[c])]
		if next > 0 {
			at = next
			continue
		}
		if next == 0 {
			if next = a.take(at, c); next == 0 {
				return a.simulate(dst, key[i+1:])
			}
			trans = a.trans
		}
		if next == dead {
			return dst
		}
		if next < 0 {
			next = -next
			dst = a.report(dst, a.stateAt(next).emits)
		}
		at = next
	}
	if n := trans[int(at)+a.width]; n > 0 {
		return a.report(dst, a.states[n].accepts)
	}
	return dst
}

// report appends globs to dst, each once a key however often it is found.
func (a *automaton) report(dst, globs []int32) []int32 {
	for _, g := range globs {
		if a.found[g] != a.keys {
			a.found[g] = a.keys
			dst = append(dst, g)
		}
	}
	return dst
}

// stateAt returns the state of a row.
func (a *automaton) stateAt(row int32) *state {
	n := a.trans[int(row)+a.width]
	return &a.states[max(n, -n)]
}

// addRow adds the row of state n. Its last entry is the state's number,
// negative if no glob ends there: most keys end in such a state, and need not
// look at it.
func (a *automaton) addRow(n int32) {
	a.trans = append(a.trans, make([]int32, a.row)...)
	if len(a.states[n].accepts) == 0 {
		n = -n
	}
	a.trans[len(a.trans)-1] = n
}

// take makes the step from the state of a row by c, and the state that it
// leads to. If there is no credit for a new one it returns 0, with the nodes
// in cur.
func (a *automaton) take(at int32, c byte) int32 {
	a.advance(a.stateAt(at).nodes, c)
	entry := int32(dead)
	if len(a.next) > 0 {
		slices.Sort(a.next)
		n := a.find(a.next)
		if n == 0 {
			if n = a.spend(); n == 0 {
				return 0
			}
		}
		entry = n * int32(a.row)
		if len(a.states[n].emits) > 0 {
			entry = -entry
		}
	}
	a.trans[at+int32(a.classes[c])] = entry
	return entry
}

// find returns the number of the state of these nodes, 0 if there is none.
func (a *automaton) find(nodes []int32) int32 {
	for h := hashNodes(nodes); ; h++ {
		n, ok := a.byNodes[h]
		if !ok {
			return 0
		}
		if slices.Equal(a.states[n].nodes, nodes) {
			return n
		}
	}
}

// spend adds next as a state. Without credit or room it moves next to cur and
// returns 0. Where there is no room all states are dropped, but only by a set
// that has earned all its credit: it will pay for making them anew.
func (a *automaton) spend() int32 {
	full := a.used >= a.limit
	if a.credit < stateCost || full {
		a.cur, a.next = a.next, a.cur
		if full && a.credit == maxCredit {
			a.credit /= 2
			a.reset()
		}
		return 0
	}
	a.credit -= stateCost
	n := int32(len(a.states))
	a.states = append(a.states, a.newState(a.next))
	a.addRow(n)
	h := hashNodes(a.next)
	for a.byNodes[h] != 0 {
		h++
	}
	a.byNodes[h] = n
	return n
}

// newState makes a state of sorted nodes.
func (a *automaton) newState(nodes []int32) state {
	s := state{nodes: slices.Clone(nodes)}
	for _, n := range nodes {
		s.emits = append(s.emits, a.emitsOf(n)...)
		s.accepts = append(s.accepts, a.acceptsOf(n)...)
	}
	const overhead = 3*24 + 32 // the slices, and the entry of byNodes
	a.used += overhead + 4*(a.row+cap(s.nodes)+cap(s.emits)+cap(s.accepts))
	return s
}

func hashNodes(nodes []int32) uint64 {
	h := uint64(14695981039346656037)
	for _, n := range nodes {
		h = (h ^ uint64(n)) * 1099511628211
	}
	return h ^ h>>29
}

func (a *automaton) emitsOf(n int32) []int32 { return a.emits[a.nodes[n].emit:a.nodes[n+1].emit] }
func (a *automaton) acceptsOf(n int32) []int32 {
	return a.accepts[a.nodes[n].accept:a.nodes[n+1].accept]
}

// simulate reads the rest of a key from the nodes in cur on, without making
// states.
func (a *automaton) simulate(dst []int32, key []byte) []int32 {
	for i := 0; ; i++ {
		for _, n := range a.cur {
			dst = a.report(dst, a.emitsOf(n))
		}
		if i == len(key) || len(a.cur) == 0 {
			break
		}
		a.advance(a.cur, key[i])
		a.cur, a.next = a.next, a.cur
	}
	for _, n := range a.cur {
		dst = a.report(dst, a.acceptsOf(n))
	}
	return dst
}

// advance sets next to the nodes that c leads to from nodes. nodes is not next.
func (a *automaton) advance(nodes []int32, c byte) {
	a.begin()
	for _, i := range nodes {
		n := &a.nodes[i]
		if n.loop == partStar || n.loop == partCapture && c != ':' {
			a.add(i)
		}
		if n.capture != 0 && c != ':' {
			a.add(n.capture)
		}
		if to := a.literal(i, c); to != 0 {
			a.add(to)
		}
		for _, e := range a.sets[n.set:a.nodes[i+1].set] {
			if e.set.contains(c) {
				a.add(e.to)
			}
		}
	}
}

func (a *automaton) literal(i int32, c byte) int32 {
	const few = 8
	lits := a.lits[a.nodes[i].lit:a.nodes[i+1].lit]
	if len(lits) > few {
		if i, ok := findLit(lits, c); ok {
			return lits[i].to
		}
		return 0
	}
	for _, e := range lits {
		if e.c == c {
			return e.to
		}
	}
	return 0
}

// begin begins a step with no nodes.
func (a *automaton) begin() {
	a.next = a.next[:0]
	if a.step++; a.step == 0 { // around once in four thousand million steps
		clear(a.stamp)
		a.step = 1
	}
}

// add adds a node to next, and the star that may begin there.
func (a *automaton) add(n int32) {
	if a.stamp[n] == a.step {
		return
	}
	a.stamp[n] = a.step
	a.next = append(a.next, n)
	if star := a.nodes[n].star; star != 0 {
		a.add(star)
	}
}
