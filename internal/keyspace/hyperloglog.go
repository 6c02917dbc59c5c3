package keyspace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"
)

var hyperLogLogCommands = []command{
	{name: "PFADD", arity: -2, acl: "@fast @hyperloglog @write", keys: firstKey,
		events: onKey("pfadd", typeString), apply: (*call).pfadd},
	{name: "PFCOUNT", arity: -2, acl: "@hyperloglog @read @slow", keys: allKeys,
		events: silent, apply: (*call).pfcount, instead: insteadNothing},
	{name: "PFDEBUG", arity: 3, acl: "@admin @dangerous @hyperloglog @slow @write", keys: secondKey,
		events: silent, apply: (*call).pfdebug},
	{name: "PFMERGE", arity: -2, acl: "@hyperloglog @slow @write", keys: keyAndSources,
		events: onKey("pfadd", typeString), apply: (*call).pfmerge},
	{name: "PFSELFTEST", arity: 1, acl: "@admin @dangerous @hyperloglog @slow"},
}

// A HyperLogLog is a string: a header, and 16384 registers of 6 bits.
//
//	"HYLL", encoding, 3 bytes, cached count(8, the highest bit: not valid), registers
//
// Dense, registers follow one another, the lowest bits first. Sparse, they are
// runs: 00nnnnnn are n+1 zeros, 01nnnnnn nnnnnnnn likewise, and 1vvvvvnn are n+1
// times v+1. A sparse one becomes dense for good when it would take more than
// the server's hll-sparse-max-bytes, or when a register exceeds 32.
const (
	hllHeader    = 16
	hllBits      = 14
	hllRegisters = 1 << hllBits
	hllDense     = hllHeader + hllRegisters*6/8

	hllEncoding = 4  // where it is in the header: 0 dense, 1 sparse
	hllCount    = 8  // the cached count
	hllStale    = 15 // its last byte
	hllInvalid  = 0x80

	maxVal     = 32 // in a run
	maxValRun  = 4
	maxZeroRun = 64 // of the short kind
)

// DefaultSparseMax is what hll-sparse-max-bytes is in all servers, unless it is
// set.
const DefaultSparseMax = 3000

var hllMagic = []byte("HYLL")

// isHLL reports whether a string is a HyperLogLog, as the servers ask.
func isHLL(text []byte) bool {
	return len(text) >= hllHeader && bytes.HasPrefix(text, hllMagic) &&
		(text[hllEncoding] == 1 || text[hllEncoding] == 0 && len(text) == hllDense)
}

func isDense(hll []byte) bool { return hll[hllEncoding] == 0 }

// newHLL makes an empty one.
func newHLL() []byte {
	hll := append(make([]byte, 0, 64), hllMagic...)
	hll = append(hll, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	return appendZeros(hll, hllRegisters)
}

// hllPlace returns the register that an element belongs to, and what it has to
// be at least.
func hllPlace(element []byte) (index int, count byte) {
	h := murmur64A(element, 0xadc83b19)
	return int(h & (hllRegisters - 1)), byte(bits.TrailingZeros64(h>>hllBits|1<<(64-hllBits)) + 1)
}

// murmur64A is MurmurHash2 for 64 bits, variant A.
func murmur64A(b []byte, seed uint64) uint64 {
	const m = 0xc6a4a7935bd1e995
	const r = 47
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		h = (h ^ (k^k>>r)*m) * m
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = (h ^ binary.LittleEndian.Uint64(tail[:])) * m
	}
	h = (h ^ h>>r) * m
	return h ^ h>>r
}

// denseGet returns a register of the dense form.
func denseGet(hll []byte, index int) byte {
	at, shift := hllHeader+index*6/8, index*6%8
	n := uint16(hll[at])
	if shift > 2 {
		n |= uint16(hll[at+1]) << 8
	}
	return byte(n>>shift) & 63
}

// densePut returns where a register of the dense form is, and the bytes there
// with the register set.
func densePut(hll []byte, index int, count byte) (at int, written [2]byte, n int) {
	at, shift := hllHeader+index*6/8, index*6%8
	n = 1
	if shift > 2 {
		n = 2
	}
	copy(written[:n], hll[at:])
	both := binary.LittleEndian.Uint16(written[:])&^(63<<shift) | uint16(count)<<shift
	binary.LittleEndian.PutUint16(written[:], both)
	return at, written, n
}

// hllRun is a run of equal registers of the sparse form.
type hllRun struct {
	value  byte
	length int
	size   int // bytes
}

// runAt reads the run at an offset; false if it is cut off.
func runAt(hll []byte, at int) (hllRun, bool) {
	switch b := hll[at]; {
	case b&0x80 != 0:
		return hllRun{b>>2&31 + 1, int(b&3) + 1, 1}, true
	case b&0x40 == 0:
		return hllRun{0, int(b&63) + 1, 1}, true
	case at+1 < len(hll):
		return hllRun{0, int(b&63)<<8 + int(hll[at+1]) + 1, 2}, true
	}
	return hllRun{}, false
}

func appendZeros(dst []byte, n int) []byte {
	switch {
	case n == 0:
		return dst
	case n <= maxZeroRun:
		return append(dst, byte(n-1))
	}
	return append(dst, 0x40|byte((n-1)>>8), byte(n-1))
}

func appendVals(dst []byte, value byte, n int) []byte {
	if n == 0 {
		return dst
	}
	return append(dst, 0x80|(value-1)<<2|byte(n-1))
}

func (r *hllRun) appendPart(dst []byte, n int) []byte {
	if r.value == 0 {
		return appendZeros(dst, n)
	}
	return appendVals(dst, r.value, n)
}

var (
	errHLL       = errors.New("not a HyperLogLog")
	errSparseMax = errors.New("the form depends on hll-sparse-max-bytes")
)

// hllEdit is a HyperLogLog that is changed.
type hllEdit struct {
	text []byte // its own
	max  int    // hll-sparse-max-bytes; negative: not known
}

// raise sets a register that is less than count.
func (h *hllEdit) raise(index int, count byte) (changed bool, err error) {
	if !isDense(h.text) && count <= maxVal {
		changed, fits, err := h.raiseSparse(index, count)
		if fits || err != nil {
			return changed, err
		}
	}
	if err := h.toDense(); err != nil || denseGet(h.text, index) >= count {
		return false, err
	}
	at, written, n := densePut(h.text, index, count)
	copy(h.text[at:], written[:n])
	return true, nil
}

// raiseSparse splits the run that the register is in, and joins runs of equal
// values next to it. fits is false if the result would be too long: then nothing
// has changed.
func (h *hllEdit) raiseSparse(index int, count byte) (changed, fits bool, err error) {
	at, before, first := hllHeader, hllHeader, 0
	var r hllRun
	for {
		ok := at < len(h.text)
		if ok {
			r, ok = runAt(h.text, at)
		}
		if !ok {
			return false, false, errHLL
		}
		if index < first+r.length {
			break
		}
		before, at, first = at, at+r.size, first+r.length
	}
	if r.value >= count {
		return false, true, nil
	}
	var buf [5]byte
	parts := r.appendPart(buf[:0], index-first)
	parts = appendVals(parts, count, 1)
	parts = r.appendPart(parts, first+r.length-1-index)
	if more := len(parts) - r.size; more > 0 {
		switch {
		case h.max < 0:
			return false, false, errSparseMax
		case len(h.text)+more > h.max:
			return false, false, nil
		}
	}
	h.text = slices.Replace(h.text, at, at+r.size, parts...)
	h.join(before)
	return true, true, nil
}

// join makes one of runs of the same value, where they follow one another within
// five steps, which is how far the servers look.
func (h *hllEdit) join(at int) {
	for range 5 {
		if at >= len(h.text) {
			return
		}
		a, ok := runAt(h.text, at)
		if !ok {
			return
		}
		if a.value > 0 && at+1 < len(h.text) {
			if b, _ := runAt(h.text, at+1); b.value == a.value && a.length+b.length <= maxValRun {
				appendVals(h.text[:at], a.value, a.length+b.length)
				h.text = slices.Delete(h.text, at+1, at+2)
				continue
			}
		}
		at += a.size
	}
}

// toDense makes it dense. The cached count stays.
func (h *hllEdit) toDense() error {
	if isDense(h.text) {
		return nil
	}
	var registers hllMax
	if err := registers.merge(h.text); err != nil {
		return err
	}
	dense := make([]byte, hllDense)
	copy(dense, h.text[:hllHeader])
	dense[hllEncoding] = 0
	for i, count := range registers {
		if count > 0 {
			at, written, n := densePut(dense, i, count)
			copy(dense[at:], written[:n])
		}
	}
	h.text = dense
	return nil
}

// hllMax is the greatest of each register of several HyperLogLogs.
type hllMax [hllRegisters]byte

// merge raises the registers to those of a HyperLogLog.
func (m *hllMax) merge(hll []byte) error {
	if isDense(hll) {
		for i := range m {
			m[i] = max(m[i], denseGet(hll, i))
		}
		return nil
	}
	i := 0
	for at := hllHeader; at < len(hll); {
		r, ok := runAt(hll, at)
		if !ok || i+r.length > hllRegisters {
			return errHLL
		}
		for ; r.length > 0; r.length-- {
			m[i] = max(m[i], r.value)
			i++
		}
		at += r.size
	}
	if i != hllRegisters {
		return errHLL
	}
	return nil
}

// count estimates how many elements there are, as the servers do: by Otmar
// Ertl's improved estimator. What is converted to float64 is so that no two
// operations are made one, which would round differently.
func (m *hllMax) count() uint64 {
	var histogram [64]int
	for _, r := range m {
		histogram[r]++
	}
	const n, top = float64(hllRegisters), 64 - hllBits
	z := float64(n * tau((n-float64(histogram[top+1]))/n))
	for j := top; j >= 1; j-- {
		z += float64(histogram[j])
		z *= 0.5
	}
	z += float64(n * sigma(float64(histogram[0])/n))
	const alpha = 0.721347520444481703680 // half of 1/ln(2)
	return uint64(math.Round(float64(alpha*n*n) / z))
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		old := z
		z += float64(x * y)
		y += y
		if z == old {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		old := z
		y *= 0.5
		z -= float64(float64((1-x)*(1-x)) * y)
		if z == old {
			return z / 3
		}
	}
}

// sparseSize is how long the sparse form of a HyperLogLog is at best, or some
// more than limit if it is longer.
func sparseSize(hll []byte, limit int) int {
	size := hllHeader
	for i := 0; i < hllRegisters && size <= limit; {
		value, run := denseGet(hll, i), 1
		for i+run < hllRegisters && denseGet(hll, i+run) == value {
			run++
		}
		switch {
		case value > maxVal:
			return limit + 1
		case value > 0:
			size += (run + maxValRun - 1) / maxValRun
		case run > maxZeroRun:
			size += 2
		default:
			size++
		}
		i += run
	}
	return size
}

// checkSparseMax looks at a string that the server has made, or a client: a sparse
// HyperLogLog longer than we would make it, or a dense one that we would not
// have made yet, tells that hll-sparse-max-bytes is not what we take it for.
func (mi *mirror) checkSparseMax(text []byte) {
	if mi.sparseMax < 0 || !isHLL(text) {
		return
	}
	if half := mi.sparseMax / 2; isDense(text) && sparseSize(text, half) <= half || !isDense(text) && len(text) > mi.sparseMax {
		mi.sparseMax = -1
	}
}

// sameHLL reports whether two strings are HyperLogLogs of the same elements,
// whatever their form.
func sameHLL(a, b []byte) bool {
	if !isHLL(a) || !isHLL(b) {
		return false
	}
	var x, y hllMax
	return x.merge(a) == nil && y.merge(b) == nil && x == y
}

// pfadd: PFADD key element..., which is replicated if it changed something.
func (c *call) pfadd() {
	k := c.key(1)
	text, known := c.textForWrite(k)
	if !known {
		return
	}
	fresh := k.value.exists == no
	if !fresh && isHLL(text) && isDense(text) {
		c.pfaddDense(k, text, c.args[2:])
		return
	}
	h, err := c.editHLL(k, text)
	changed := fresh
	for _, element := range c.args[2:] {
		if err != nil {
			break
		}
		var raised bool
		raised, err = h.raise(hllPlace(element))
		changed = changed || raised
	}
	if err == nil && !changed {
		err = errHLL
	}
	c.putHLL(k, text, h, err)
}

// pfaddDense changes a dense one in place.
func (c *call) pfaddDense(k *operand, text []byte, elements [][]byte) {
	changed := false
	for _, element := range elements {
		index, count := hllPlace(element)
		if denseGet(text, index) < count {
			at, written, n := densePut(text, index, count)
			c.overwrite(k, text, at, written[:n])
			changed = true
		}
	}
	if !changed {
		c.lose(k, yes, kindString, &c.lost.Mismatch)
		return
	}
	c.overwrite(k, text, hllStale, []byte{text[hllStale] | hllInvalid})
	k.editText(text)
}

// editHLL returns a copy of a HyperLogLog, or a new one if the key is not there.
func (c *call) editHLL(k *operand, text []byte) (*hllEdit, error) {
	if k.value.exists == no {
		return &hllEdit{newHLL(), c.mi.sparseMax}, nil
	}
	if !isHLL(text) {
		return nil, errHLL
	}
	const room = 3 // a run that is split
	return &hllEdit{append(make([]byte, 0, len(text)+room), text...), c.mi.sparseMax}, nil
}

// putHLL makes a key what has become of old.
func (c *call) putHLL(k *operand, old []byte, h *hllEdit, err error) {
	switch {
	case err == errSparseMax:
		c.lose(k, yes, kindString, &c.lost.Undecided)
	case err != nil:
		c.lose(k, yes, kindString, &c.lost.Mismatch)
	case !c.tooLarge(k, max(0, len(h.text)-len(old))):
		h.text[hllStale] |= hllInvalid
		k.spliceText(old, h.text)
	}
}

// spliceText makes text, which is new, what old has become: the journal is told
// what differs.
func (k *operand) spliceText(old, text []byte) {
	if !k.undo.logs {
		k.setText(text)
		return
	}
	from, n := 0, min(len(old), len(text))
	for from < n && old[from] == text[from] {
		from++
	}
	same := 0
	for same < n-from && old[len(old)-1-same] == text[len(text)-1-same] {
		same++
	}
	k.undo.log(opSplice, uint64(from), uint64(len(old)-same-from), string(text[from:len(text)-same]))
	k.editText(text)
}

// pfmerge: PFMERGE destination source...
func (c *call) pfmerge() {
	dst := c.key(1)
	if !dst.needed() {
		return
	}
	var registers hllMax
	dense := false
	for _, key := range c.args[1:] {
		if c.in.pace.stopsAfter(hllRegisters) {
			return
		}
		k := c.keyIn(c.sent.DB, key)
		text, known := k.text()
		switch {
		case !known && k == dst:
			c.textForWrite(dst)
			return
		case !known:
			c.lose(dst, yes, kindString, &c.lost.Source)
			return
		case k.value.exists == no:
		case !isHLL(text) || registers.merge(text) != nil:
			c.lose(dst, yes, kindString, &c.lost.Mismatch)
			return
		default:
			dense = dense || isDense(text)
		}
	}
	old, _ := dst.text()
	h, err := c.editHLL(dst, old)
	if dense && err == nil {
		err = h.toDense()
	}
	for i, count := range registers {
		if count > 0 && err == nil {
			_, err = h.raise(i, count)
		}
	}
	c.putHLL(dst, old, h, err)
}

// pfcount: PFCOUNT key, which is replicated if it has written the count into the
// value, since that was not valid. Of several keys it changes nothing.
func (c *call) pfcount() {
	if len(c.args) > 2 {
		return
	}
	k := c.key(1)
	text, known := c.textForWrite(k)
	if !known {
		return
	}
	var registers hllMax
	if !isHLL(text) || text[hllStale]&hllInvalid == 0 || registers.merge(text) != nil {
		c.lose(k, yes, kindString, &c.lost.Mismatch)
		return
	}
	c.overwrite(k, text, hllCount, binary.LittleEndian.AppendUint64(nil, registers.count()))
	k.editText(text)
}

// pfdebug: PFDEBUG GETREG|TODENSE key, which is replicated if it has made a
// sparse one dense.
func (c *call) pfdebug() {
	k := c.key(2)
	text, known := c.textForWrite(k)
	if !known {
		return
	}
	h := &hllEdit{text: text}
	if !isHLL(text) || isDense(text) || h.toDense() != nil {
		c.lose(k, yes, kindString, &c.lost.Mismatch)
	} else if !c.tooLarge(k, len(h.text)-len(text)) {
		k.setText(h.text)
	}
}
