package glob

import (
	"cmp"
	"slices"
)

// Automaton holds many patterns, to find those that match a key all at once.
// The patterns share a trie of parts: a node is what has been read of some of
// them, and a set of nodes is where a key has got to. An Automaton does not
// change once it is made: see Finder.
type Automaton struct {
	nodes   []node32
	lits    []litEdge
	sets    []setEdge
	emits   []int32 // patterns that end in a star, by the node before it
	accepts []int32 // patterns that end here, by node
	classes [256]uint8
	width   int // number of classes: bytes of one class are the same to every pattern

	unsure []*Pattern // by pattern: the one to ask, where more is found than it matches; else nil
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

// trieNode is a node while the trie is built. Patterns that end at a node are
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
	before []int32 // by pattern: the one that ended at the same node before
}

// NewAutomaton builds the automaton of some patterns. A pattern is known by its
// index in the list from then on.
func NewAutomaton(patterns []*Pattern) *Automaton {
	t := trie{nodes: []trieNode{{loop: partByte}}, before: make([]int32, len(patterns))}
	a := &Automaton{unsure: make([]*Pattern, len(patterns))}
	for i, r := range relax(patterns) {
		t.insert(r.parts, int32(i))
		if !r.exact {
			a.unsure[i] = patterns[i]
		}
	}
	a.freeze(&t)
	a.classify()
	return a
}

func (t *trie) insert(parts []part, pattern int32) {
	at := int32(0)
	for i := range parts {
		p := &parts[i]
		if p.kind == partStar && i == len(parts)-1 {
			t.before[pattern], t.nodes[at].emits = t.nodes[at].emits, pattern+1
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
	t.before[pattern], t.nodes[at].accepts = t.nodes[at].accepts, pattern+1
}

// ended appends the patterns of a list that begins with head.
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
func (a *Automaton) freeze(t *trie) {
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

// classify puts bytes that no pattern tells apart into one class.
func (a *Automaton) classify() {
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
func (a *Automaton) split(set *byteSet) {
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

func (a *Automaton) emitsOf(n int32) []int32 { return a.emits[a.nodes[n].emit:a.nodes[n+1].emit] }
func (a *Automaton) acceptsOf(n int32) []int32 {
	return a.accepts[a.nodes[n].accept:a.nodes[n+1].accept]
}

func (a *Automaton) literal(i int32, c byte) int32 {
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
