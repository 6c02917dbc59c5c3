package main

import (
	"log/slog"
	"path/filepath"
	"sync/atomic"

	"triggerd/internal/delivered"
	"triggerd/internal/store"
	"triggerd/rules"
)

// keptDeliveries is what a daemon keeps of deliveries: nothing, as long as its
// log is nil.
type keptDeliveries struct{ log atomic.Pointer[delivered.Log] }

// open opens what is kept in a data directory, or removes it if nothing is to be
// kept.
func (k *keptDeliveries) open(dataDir string, o *rules.Store, st *store.Store, log *slog.Logger) error {
	dir := filepath.Join(dataDir, delivered.DirName)
	if o.KeepDelivered == 0 {
		return delivered.Remove(dir)
	}
	first := uint64(1) // after those of which only a line is kept
	for s, err := range st.Settled(0) {
		if err != nil {
			return err
		}
		first = s.Number + 1
		break
	}
	l, err := delivered.Open(delivered.Options{Dir: dir, Limit: o.KeepDelivered, Retention: o.Retention, First: first, Logger: log})
	if err != nil {
		return err
	}
	k.log.Store(l)
	return nil
}

// reclaim removes so many bytes of it, which the store needs.
func (k *keptDeliveries) reclaim(bytes int64) int64 {
	if l := k.log.Load(); l != nil {
		return l.Shrink(bytes)
	}
	return 0
}

func (k *keptDeliveries) close() {
	if l := k.log.Load(); l != nil {
		l.Close()
	}
}
