package rdb

// The lengths of compact structures that have no entries.
const (
	emptyListpack = lpHeader + 1
	emptyZiplist  = zlHeader + 1
)

// passEmpty looks whether the value that is to be read is a collection without
// elements, and if so reads it. Servers do not keep such a key, and do not load
// it, where they do not refuse it: intsets and zipmaps. Streams may be empty.
func (r *Reader) passEmpty() (empty bool, err error) {
	r.isAhead = false
	switch r.typ {
	case typList, typSet, typZSet, typZSet2, typHash, typHash22:
		empty, err = r.countIsZero(0)
	case typHashMetadata:
		empty, err = r.countIsZero(8)
	case typHashListpack, typZSetListpack, typSetListpack, typHashListpackEx0:
		empty, err = r.stringHas(0, emptyListpack)
	case typHashListpackEx:
		empty, err = r.stringHas(8, emptyListpack)
	case typListZiplist, typZSetZiplist, typHashZiplist:
		empty, err = r.stringHas(0, emptyZiplist)
	case typListQuicklist, typListQuicklist2:
		empty, err = r.passEmptyNodes()
	}
	if !empty || err != nil {
		return false, err
	}
	return true, r.decode(func(*Element, error) bool { return true })
}

// countIsZero reports whether the length that stands so many bytes ahead is 0.
func (r *Reader) countIsZero(at int) (bool, error) {
	n, _, special, err := r.in.peekLength(at)
	return n == 0 && !special, err
}

// stringHas reports whether the string that stands so many bytes ahead has n
// bytes, unpacked.
func (r *Reader) stringHas(at int, n uint64) (bool, error) {
	got, next, special, err := r.in.peekLength(at)
	if err != nil || !special {
		return got == n, err
	}
	if got != encLZF {
		return false, nil
	}
	if _, next, _, err = r.in.peekLength(next); err != nil {
		return false, err
	}
	got, _, special, err = r.in.peekLength(next)
	return got == n && !special, err
}

// passEmptyNodes passes over the nodes without items that a quicklist begins
// with, and reports whether it has no others.
func (r *Reader) passEmptyNodes() (empty bool, err error) {
	n, next, special, err := r.in.peekLength(0)
	if err != nil || special || n == 0 {
		return n == 0 && !special, err
	}
	if node, err := r.nodeIsEmpty(next); err != nil || !node {
		return false, err
	}
	if _, err := r.in.length(); err != nil {
		return false, err
	}
	all := func(*Element, error) bool { return true }
	for ; n > 0; n-- {
		if node, err := r.nodeIsEmpty(0); err != nil {
			return false, err
		} else if !node {
			break
		}
		if r.typ == typListQuicklist {
			err = r.listZiplist(all)
		} else if _, err = r.in.length(); err == nil {
			err = r.listListpack(all)
		}
		if err != nil {
			return false, err
		}
	}
	r.ahead, r.isAhead = n, true
	return n == 0, nil
}

// nodeIsEmpty reports whether the quicklist's node that stands so many bytes
// ahead has no items.
func (r *Reader) nodeIsEmpty(at int) (bool, error) {
	if r.typ == typListQuicklist {
		return r.stringHas(at, emptyZiplist)
	}
	container, next, _, err := r.in.peekLength(at)
	if err != nil || container != nodePacked {
		return false, err
	}
	return r.stringHas(next, emptyListpack)
}

// count reads the number of elements, or nodes, of the current value.
func (r *Reader) count() (uint64, error) {
	if r.isAhead {
		r.isAhead = false
		return r.ahead, nil
	}
	return r.in.length()
}
