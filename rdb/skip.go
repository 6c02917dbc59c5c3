package rdb

// skipValue passes over the value of the current entry without decoding it.
func (r *Reader) skipValue() error {
	switch r.typ {
	case typString,
		typHashZipmap, typListZiplist, typSetIntset, typZSetZiplist, typHashZiplist,
		typHashListpack, typZSetListpack, typSetListpack, typHashListpackEx0:
		return r.in.skipString()
	case typHashListpackEx:
		if err := r.in.skip(8); err != nil {
			return err
		}
		return r.in.skipString()
	case typModule2:
		return r.skipModule()
	case typStream, typStream2, typStream3, typStream4, typStream5:
		return r.skipStream()
	case typArray:
		n, err := r.arrayHead()
		if err != nil {
			return err
		}
		return r.skipItems(n)
	case typHashMetadata:
		if err := r.in.skip(8); err != nil {
			return err
		}
	}
	n, err := r.count()
	if err != nil {
		return err
	}
	return r.skipItems(n)
}

// skipItems passes over n elements of the current value, which is stored
// element by element.
func (r *Reader) skipItems(n uint64) error {
	switch r.typ {
	case typList, typSet, typListQuicklist:
		return r.skipStrings(n)
	case typHash:
		for ; n > 0; n-- {
			if err := r.skipStrings(2); err != nil {
				return err
			}
		}
		return nil
	}
	for ; n > 0; n-- {
		if err := r.skipItem(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) skipItem() error {
	switch r.typ {
	case typZSet:
		if err := r.in.skipString(); err != nil {
			return err
		}
		_, err := r.textScore()
		return err
	case typZSet2:
		if err := r.in.skipString(); err != nil {
			return err
		}
		return r.in.skip(8)
	case typArray:
		if _, err := r.in.length(); err != nil {
			return err
		}
		tag, err := r.arrayTag()
		if err != nil {
			return err
		}
		if tag == arrayInt || tag == arrayDouble {
			return r.in.skip(8)
		}
		return r.in.skipString()
	case typListQuicklist2:
		if _, err := r.in.length(); err != nil {
			return err
		}
		return r.in.skipString()
	case typHash22:
		if r.valkey {
			if err := r.skipStrings(2); err != nil {
				return err
			}
			return r.in.skip(8)
		}
		fallthrough
	case typHashMetadata:
		if _, err := r.in.length(); err != nil {
			return err
		}
		return r.skipStrings(2)
	}
	return r.in.fault("type %d: %w", r.typ, ErrUnknown)
}

func (r *Reader) skipStrings(n uint64) error {
	for ; n > 0; n-- {
		if err := r.in.skipString(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) skipLengths(n uint64) error {
	for ; n > 0; n-- {
		if _, err := r.in.length(); err != nil {
			return err
		}
	}
	return nil
}

// skipStream passes over a stream: the listpacks of its entries, what is known
// of the whole, its groups.
func (r *Reader) skipStream() error {
	nodes, err := r.in.length()
	if err != nil {
		return err
	}
	if err := r.skipStreamNodes(nodes); err != nil {
		return err
	}
	return r.skipStreamTail()
}

// skipStreamNodes passes over n pairs of a key and a listpack.
func (r *Reader) skipStreamNodes(n uint64) error {
	for ; n > 0; n-- {
		if err := r.skipStrings(2); err != nil {
			return err
		}
	}
	return nil
}

// skipStreamTail passes over all that follows a stream's entries.
func (r *Reader) skipStreamTail() error {
	meta := uint64(3) // length, last ID
	if r.typ != typStream {
		meta += 5 // first ID, greatest deleted ID, entries added
	}
	if err := r.skipLengths(meta); err != nil {
		return err
	}
	groups, err := r.in.length()
	if err != nil {
		return err
	}
	return r.skipGroups(groups)
}

// skipGroups passes over n groups and all that follows them.
func (r *Reader) skipGroups(n uint64) error {
	for ; n > 0; n-- {
		if err := r.in.skipString(); err != nil {
			return err
		}
		if err := r.skipGroup(); err != nil {
			return err
		}
	}
	return r.skipProducers()
}

// skipGroup passes over a group whose name was read.
func (r *Reader) skipGroup() error {
	meta := uint64(2) // last ID
	if r.typ != typStream {
		meta++ // entries read
	}
	if err := r.skipLengths(meta); err != nil {
		return err
	}
	return r.skipGroupBody()
}

// skipGroupBody passes over a group's pending entries and its consumers.
func (r *Reader) skipGroupBody() error {
	pending, err := r.in.length()
	if err != nil {
		return err
	}
	return r.skipPending(pending)
}

// skipPending passes over n of a group's pending entries and its consumers.
func (r *Reader) skipPending(n uint64) error {
	for ; n > 0; n-- {
		if err := r.in.skip(16 + 8); err != nil {
			return err
		}
		if _, err := r.in.length(); err != nil {
			return err
		}
	}
	consumers, err := r.in.length()
	if err != nil {
		return err
	}
	return r.skipConsumers(consumers)
}

// skipConsumers passes over n consumers and what follows them in their group.
func (r *Reader) skipConsumers(n uint64) error {
	for ; n > 0; n-- {
		if err := r.in.skipString(); err != nil {
			return err
		}
		if err := r.skipConsumer(); err != nil {
			return err
		}
	}
	if r.typ < typStream5 {
		return nil
	}
	nacked, err := r.in.length()
	if err != nil {
		return err
	}
	return r.skipIDs(nacked)
}

// skipConsumer passes over a consumer whose name was read.
func (r *Reader) skipConsumer() error {
	times := uint64(8) // seen
	if r.typ >= typStream3 {
		times += 8 // active
	}
	if err := r.in.skip(times); err != nil {
		return err
	}
	pending, err := r.in.length()
	if err != nil {
		return err
	}
	return r.skipIDs(pending)
}

// skipIDs passes over n stream IDs of 16 bytes.
func (r *Reader) skipIDs(n uint64) error {
	const step = 1 << 40 // so that no product overflows
	for ; n > step; n -= step {
		if err := r.in.skip(16 * step); err != nil {
			return err
		}
	}
	return r.in.skip(16 * n)
}

// skipProducers passes over what a stream of Redis 8.6 knows of idempotent
// producers: duration, limit, each producer with what it sent, two counters.
func (r *Reader) skipProducers() error {
	if r.typ < typStream4 {
		return nil
	}
	if err := r.skipLengths(2); err != nil {
		return err
	}
	producers, err := r.in.length()
	if err != nil {
		return err
	}
	return r.skipProducerList(producers)
}

// skipProducerList passes over n producers and what follows them.
func (r *Reader) skipProducerList(n uint64) error {
	for ; n > 0; n-- {
		if err := r.in.skipString(); err != nil {
			return err
		}
		if err := r.skipProducer(); err != nil {
			return err
		}
	}
	return r.skipLengths(2)
}

// skipProducer passes over a producer whose name was read.
func (r *Reader) skipProducer() error {
	sent, err := r.in.length()
	if err != nil {
		return err
	}
	return r.skipProduced(sent)
}

// skipProduced passes over n of the things a producer sent.
func (r *Reader) skipProduced(n uint64) error {
	for ; n > 0; n-- {
		if err := r.in.skipString(); err != nil {
			return err
		}
		if err := r.skipLengths(2); err != nil {
			return err
		}
	}
	return nil
}

// Opcodes inside what a module wrote (rdb.h).
const (
	modEOF    = 0
	modSInt   = 1
	modUInt   = 2
	modFloat  = 3
	modDouble = 4
	modString = 5
)

func (r *Reader) skipModule() error {
	if _, err := r.in.length(); err != nil { // module ID
		return err
	}
	return r.skipModuleParts()
}

// skipModuleParts passes over what a module wrote, its end mark included.
func (r *Reader) skipModuleParts() error {
	for {
		op, err := r.in.length()
		if err != nil {
			return err
		}
		switch op {
		case modEOF:
			return nil
		case modSInt, modUInt:
			_, err = r.in.length()
		case modFloat:
			err = r.in.skip(4)
		case modDouble:
			err = r.in.skip(8)
		case modString:
			err = r.in.skipString()
		default:
			err = r.in.fault("module opcode %d: %w", op, ErrUnknown)
		}
		if err != nil {
			return err
		}
	}
}

// skipModuleAux passes over what a module keeps beside the keys.
func (r *Reader) skipModuleAux() error {
	if _, err := r.in.length(); err != nil { // module ID
		return err
	}
	op, err := r.in.length()
	if err != nil {
		return err
	}
	if op != modUInt {
		return r.in.fault("module aux opcode %d, want %d", op, modUInt)
	}
	if _, err := r.in.length(); err != nil { // before or after the keys
		return err
	}
	return r.skipModuleParts()
}

// skipKeyMeta passes over what modules attached to the key that follows (Redis
// 8.6): for each class four bytes and what the module wrote.
func (r *Reader) skipKeyMeta() error {
	classes, err := r.in.length()
	if err != nil {
		return err
	}
	for ; classes > 0; classes-- {
		if err := r.in.skip(4); err != nil {
			return err
		}
		if err := r.skipModuleParts(); err != nil {
			return err
		}
	}
	return nil
}

// skipSlotImport passes over a slot import under way (Valkey 9): the job's
// name and ranges of slots.
func (r *Reader) skipSlotImport() error {
	if err := r.in.skipString(); err != nil {
		return err
	}
	ranges, err := r.in.length()
	if err != nil {
		return err
	}
	for ; ranges > 0; ranges-- {
		if err := r.skipLengths(2); err != nil {
			return err
		}
	}
	return nil
}

// skipFunctionRC passes over a function library of a release candidate of
// Redis 7.0: name, engine, perhaps a description, code.
func (r *Reader) skipFunctionRC() error {
	if err := r.skipStrings(2); err != nil {
		return err
	}
	described, err := r.in.length()
	if err != nil {
		return err
	}
	if described > 1 {
		return r.in.fault("function library with %d descriptions", described)
	}
	return r.skipStrings(described + 1)
}
