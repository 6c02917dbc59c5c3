package keyspace

import (
	"bytes"
	"strconv"

	"triggerd/rdb"
)

func newStream() *stream { return &stream{groups: map[string]map[string]struct{}{}} }

func (mi *mirror) trackStreams(in *Interpreter, m *maker, id ID, p plan) bool {
	switch id {
	case cmdXadd:
		mi.xadd(m, p)
	case cmdXtrim:
		in.stateless(m, id, p)
		mi.xtrim(m)
	case cmdXdel:
		in.stateless(m, id, p)
		mi.xdel(m, m.args[2:], true)
	case cmdXdelex:
		in.stateless(m, id, p)
		mi.xdelex(m, 2)
	case cmdXackdel:
		in.stateless(m, id, p)
		mi.xdelex(m, 3)
	case cmdXsetid, cmdXack, cmdXcfgset, cmdXidmprecord:
		in.stateless(m, id, p)
		if len(m.args) > 1 {
			present[*stream](mi, mi.open(m.c.DB, m.args[1]), kindStream)
		}
	case cmdXgroupCreate, cmdXgroupDestroy, cmdXgroupCreateconsumer, cmdXgroupDelconsumer, cmdXgroupSetid:
		in.stateless(m, id, p)
		if len(m.args) > 3 {
			mi.xgroup(m, id)
		}
	case cmdXclaim, cmdXautoclaim:
		mi.xclaim(in, m)
	default:
		return false
	}
	return true
}

// streamID parses "ms-seq" or "ms".
func streamID(b []byte) (rdb.StreamID, bool) {
	ms, seq, dashed := bytes.Cut(b, []byte("-"))
	var id rdb.StreamID
	var err error
	if id.Ms, err = strconv.ParseUint(string(ms), 10, 64); err != nil {
		return id, false
	}
	if dashed {
		id.Seq, err = strconv.ParseUint(string(seq), 10, 64)
	}
	return id, err == nil
}

// trimming is how XADD and XTRIM trim: by length or by ID.
type trimming struct {
	by     string // "MAXLEN", "MINID", "" for not at all
	limit  []byte
	acked  bool // only what all groups have acknowledged, which is not mirrored
	approx bool
}

// option takes one option of XADD or XTRIM at args[i] and returns how many
// words it has, 0 if it is none.
func (t *trimming) option(args [][]byte, i int) int {
	switch a := args[i]; {
	case is(a, "NOMKSTREAM"), is(a, "KEEPREF"), is(a, "DELREF"):
		return 1
	case is(a, "ACKED"):
		t.acked = true
		return 1
	case is(a, "LIMIT"), is(a, "IDMPAUTO"):
		return 2
	case is(a, "IDMP"):
		return 3
	case is(a, "MAXLEN"), is(a, "MINID"):
		t.by = "MAXLEN"
		if is(a, "MINID") {
			t.by = "MINID"
		}
		n := 2
		if i+1 < len(args) && len(args[i+1]) == 1 && (args[i+1][0] == '=' || args[i+1][0] == '~') {
			t.approx = args[i+1][0] == '~'
			n = 3
		}
		if i+n-1 < len(args) {
			t.limit = args[i+n-1]
		}
		return n
	}
	return 0
}

// apply trims, and reports how many entries went and whether that is known.
func (t *trimming) apply(s *stream, u *undo) (int, bool) {
	if t.by == "" {
		return 0, true
	}
	if t.approx || t.acked {
		return 0, false
	}
	n := 0
	if t.by == "MINID" {
		id, ok := streamID(t.limit)
		if !ok {
			return 0, false
		}
		n = s.find(id)
	} else {
		longest, ok := int64Of(t.limit)
		if !ok || longest < 0 {
			return 0, false
		}
		n = int(max(0, int64(s.len())-longest))
	}
	s.trim(u, n)
	return n, true
}

// xadd: XADD key [options] ID field value ... The ID is the real one.
func (mi *mirror) xadd(m *maker, p plan) {
	r := mi.open(m.c.DB, m.args[1])
	var t trimming
	i := 2
	for i < len(m.args) {
		n := t.option(m.args, i)
		if n == 0 {
			break
		}
		i += n
	}
	s, known := collectionOf(mi, r, kindStream, newStream)
	if !known || i+2 >= len(m.args) || (len(m.args)-i)%2 == 0 {
		m.emit(1, p.name, p.typ)
		if known {
			mi.lose(r, yes, kindStream, &mi.losses.Malformed)
		}
		return
	}
	id, ok := streamID(m.args[i])
	e := &entry{id: id}
	if r.it.texts {
		for _, f := range m.args[i+1:] {
			e.fields = append(e.fields, string(f))
		}
	}
	if !ok || !s.add(&r.undo, e) {
		if ok && !less(s.last, id) {
			return // a repetition, which the server recognized (IDMP)
		}
		m.emit(1, p.name, p.typ)
		mi.lose(r, yes, kindStream, &mi.losses.Mismatch)
		return
	}
	m.emit(1, p.name, p.typ)
	mi.trimmed(m, r, s, &t)
}

func (mi *mirror) trimmed(m *maker, r *ref, s *stream, t *trimming) {
	n, ok := t.apply(s, &r.undo)
	switch {
	case !ok:
		mi.lose(r, yes, kindStream, &mi.losses.Undecided)
	case n > 0:
		m.emit(1, "xtrim", typeStream)
	}
}

// xtrim: XTRIM key MAXLEN|MINID [=|~] limit [LIMIT n], which is announced
// already.
func (mi *mirror) xtrim(m *maker) {
	r := mi.open(m.c.DB, m.args[1])
	s, known := present[*stream](mi, r, kindStream)
	if !known {
		return
	}
	var t trimming
	for i := 2; i < len(m.args); {
		n := t.option(m.args, i)
		if n == 0 {
			t.acked = true // what is not understood is not known
			break
		}
		i += n
	}
	if _, ok := t.apply(s, &r.undo); !ok {
		mi.lose(r, yes, kindStream, &mi.losses.Undecided)
	}
}

func (mi *mirror) xdel(m *maker, ids [][]byte, all bool) {
	r := mi.open(m.c.DB, m.args[1])
	s, known := present[*stream](mi, r, kindStream)
	if !known {
		return
	}
	for _, b := range ids {
		id, ok := streamID(b)
		if !ok || !all {
			mi.lose(r, yes, kindStream, &mi.losses.Undecided)
			return
		}
		s.remove(&r.undo, id)
	}
}

// xdelex: XDELEX key [KEEPREF|DELREF|ACKED] IDS n id..., and XACKDEL, which has
// a group after the key. What is ACKED only the server knows.
func (mi *mirror) xdelex(m *maker, from int) {
	all := true
	for i := from; i+1 < len(m.args); i++ {
		switch {
		case is(m.args[i], "ACKED"):
			all = false
		case is(m.args[i], "IDS"):
			mi.xdel(m, m.args[i+2:], all)
			return
		}
	}
	mi.loseAll(m, cmdXdel, &mi.losses.Malformed)
}

// xgroup: XGROUP CREATE key group ..., of which the consumers are followed,
// since a new one is announced.
func (mi *mirror) xgroup(m *maker, id ID) {
	r := mi.open(m.c.DB, m.args[2])
	group := string(m.args[3])
	if id == cmdXgroupCreate {
		if s, ok := collectionOf(mi, r, kindStream, newStream); ok {
			s.group(&r.undo, group)
		}
		return
	}
	s, ok := present[*stream](mi, r, kindStream)
	if !ok {
		return
	}
	switch {
	case id == cmdXgroupDestroy:
		s.forget(&r.undo, group)
	case id == cmdXgroupCreateconsumer && len(m.args) > 4:
		s.consumer(&r.undo, group, string(m.args[4]))
	case id == cmdXgroupDelconsumer && len(m.args) > 4:
		s.leave(&r.undo, group, string(m.args[4]))
	}
}

// xclaim: XCLAIM key group consumer ..., what reading in a group is replicated
// as. A consumer that is new is announced, since Redis 7.0.
func (mi *mirror) xclaim(in *Interpreter, m *maker) {
	r := mi.open(m.c.DB, m.args[1])
	s, ok := present[*stream](mi, r, kindStream)
	if !ok {
		return
	}
	if s.consumer(&r.undo, string(m.args[2]), string(m.args[3])) && (in.config.Major == 0 || in.config.Major >= 7) {
		m.emit(1, "xgroup-createconsumer", typeStream)
	}
}
