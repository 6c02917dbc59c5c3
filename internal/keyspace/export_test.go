package keyspace

// KeptNames is the number of names of unknown commands that are kept.
func (in *Interpreter) KeptNames() int { return len(in.unknown) }
