package outbox

import (
	"fmt"
	"strconv"
	"time"

	"triggerd/internal/store"
)

// A receiver that asks to be left alone for an hour means it over a restart
// too. So holds that last longer than a restart takes are written to the store.
// The gate learns everything else again in a few attempts.

// longHold is the shortest hold that is written to the store.
const longHold = time.Minute

// readHolds returns until when each endpoint is held. The entries are by
// endpoint, in milliseconds since 1970.
func readHolds(st *store.Store) (map[string]time.Time, error) {
	holds := map[string]time.Time{}
	for entry, err := range st.Scan(store.Holds, nil, nil) {
		if err != nil {
			return nil, fmt.Errorf("what is held: %w", err)
		}
		if ms, err := strconv.ParseInt(string(entry.Value), 10, 64); err == nil {
			holds[string(entry.Key)] = time.UnixMilli(ms)
		}
	}
	return holds, nil
}

func writeHolds(b *store.Batch, holds map[string]time.Time) {
	for name, until := range holds {
		if until.IsZero() {
			b.Delete(store.Holds, []byte(name))
		} else {
			b.Put(store.Holds, []byte(name), strconv.AppendInt(nil, until.UnixMilli(), 10))
		}
	}
}

// restoreHold sets the hold that an earlier process has left for an endpoint.
// The caller holds the outbox's lock.
func (o *Outbox) restoreHold(ep *endpoint) {
	until, ok := o.restoredHolds[ep.name]
	if !ok {
		return
	}
	delete(o.restoredHolds, ep.name)
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.gate.restoreHold(time.Now(), until)
	ep.savedHold = until
	o.publishCondition(ep, time.Now())
}

// updateSavedHold has the hold written if the store has another. The caller
// holds the lock.
func (ep *endpoint) updateSavedHold(now time.Time) {
	until := ep.gate.holdUntil
	switch {
	case until.Sub(now) > longHold && !until.Equal(ep.savedHold):
	case !until.After(now) && !ep.savedHold.IsZero():
		until = time.Time{}
	default:
		return
	}
	ep.savedHold = until
	ep.owner.saveHold(ep.name, until)
}
