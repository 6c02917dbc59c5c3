package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"triggerd/internal/spool"
)

// history is what a server says of its own history, in INFO replication.
type history struct {
	replID  string // its name
	offset  int64  // how far the server has it
	earlier string // the name that it had up to switched; "": it had no other
	// switched is the offset up to which the history had its earlier name. Behind
	// it others may have gone on under that name: their bytes are not of this one.
	switched int64
	replica  bool // the server is a replica
	linkDown bool // which has lost its own primary, or is being sent a snapshot by it
	// exact: switched is what the primary of the replica says. A replica that did not
	// have all at that moment takes the name from where it was on, which is before.
	exact bool
}

// lineage is the names that the history of what was received has had, the oldest
// first. Offsets go on from one to the next.
type lineage []ancestor

// ancestor is a history from an offset on.
type ancestor struct {
	replID string
	from   int64
}

// maxAncestors is how many names are known. Servers know two.
const maxAncestors = 32

// lineageOf returns the lineage of what a spool has; nil if that is nothing.
func lineageOf(log *spool.Log) (l lineage) {
	names := log.Lineage()
	for i := len(names) - 1; i >= 0; i-- {
		from := int64(0)
		if len(l) > 0 {
			from = names[i+1].Offset
		}
		l = append(l, ancestor{names[i].ReplID, from})
	}
	return l
}

// current is the name that the history has now; "" for none.
func (l lineage) current() string {
	if len(l) == 0 {
		return ""
	}
	return l[len(l)-1].replID
}

// rename returns the lineage of a history that has another name from an offset
// on.
func (l lineage) rename(replID string, at int64) lineage {
	if l.current() == replID {
		return l
	}
	if len(l) == maxAncestors {
		l = l[1:]
	}
	return append(l, ancestor{replID, at})
}

// back returns the lineage up to an offset.
func (l lineage) back(to int64) lineage {
	for len(l) > 1 && l[len(l)-1].from >= to {
		l = l[:len(l)-1]
	}
	l = l[:len(l):len(l)]
	if len(l) == 1 && l[0].from > to {
		l = lineage{{l[0].replID, to}}
	}
	return l
}

// common returns the last offset up to which what was received, which ends at
// end, and what a server has are the same; false: they have nothing in common that
// is known.
func (l lineage) common(h *history, end int64) (at int64, ok bool) {
	for i := len(l) - 1; i >= 0; i-- {
		a := &l[i]
		if a.replID == h.replID {
			at, ok = max(at, min(end, h.offset)), true
		}
		if h.earlier != "" && a.replID == h.earlier {
			at, ok = max(at, min(end, h.switched, h.offset)), true
		}
		end = a.from
	}
	return at, ok
}

// errForeign: the server's history is neither that of what was received, nor one
// that came of it.
var errForeign = errors.New("its history is another one")

// ahead is how a server's history stands to what was received.
type ahead struct {
	verdict verdict
	at      int64 // resume, rewind: where to go on
	// renamed is the offset at which the history gets the server's name; -1: it has
	// it, or it is not known when it got it.
	renamed int64
}

type verdict uint8

const (
	resume  verdict = iota // go on where receiving stopped
	rewind                 // go on before that: the server's history lacks the last bytes
	lagging                // the server is a replica that has not yet what was received
	foreign                // nothing says that the two have to do with each other
)

// compare tells how a server's history stands to what was received, which ends at
// end.
func (l lineage) compare(h *history, end int64) ahead {
	at, ok := l.common(h, end)
	same := h.replID == l.current()
	switch {
	case !ok, same && at < end && !h.replica:
		// A primary that has less of the very history went back, and will give the
		// same offsets to other bytes.
		return ahead{verdict: foreign}
	case same && at < end, h.exact && at < end && at == h.offset && at < h.switched:
		// A replica that will have the rest in a moment.
		return ahead{verdict: lagging}
	}
	a := ahead{verdict: resume, at: at, renamed: -1}
	if at < end {
		a.verdict = rewind
	}
	if h.earlier != "" && l.nameAt(at) == h.earlier && h.switched >= at {
		a.renamed = h.switched
	}
	return a
}

// unsure reports whether a replica may be wrong about where its history and what was
// received parted. Its primary knows.
func (a *ahead) unsure(h *history) bool {
	return a.verdict == foreign || a.verdict == rewind && a.at == h.switched && !h.exact
}

// nameAt returns the name that the history had before an offset.
func (l lineage) nameAt(offset int64) string {
	for i := len(l) - 1; i > 0; i-- {
		if l[i].from < offset {
			return l[i].replID
		}
	}
	if len(l) == 0 {
		return ""
	}
	return l[0].replID
}

// foreigner is a server whose history is another one, and which is not believed
// yet: a primary that was killed comes back empty, for some seconds, before it is
// made a replica; and a name may point to another server for a moment.
type foreigner struct {
	replID string    // the name of its history
	since  time.Time // when it was first seen; zero: none is
}

// waits notes that a history is waited out, and returns since when it is. Another
// one has a wait of its own: a server that came back empty long ago says nothing
// about the next.
func (v *receiver) waits(replID string) (since time.Time) {
	if v.foreign.since.IsZero() {
		v.n.replica.updateStatus(func(st *Status) { st.Foreign++ })
	}
	if v.foreign.replID != replID {
		v.foreign = foreigner{replID, time.Now()}
	}
	return v.foreign.since
}

// waitForeign notes that the server has another history. It returns an error as
// long as that is waited out, and nil once the server is to be believed.
func (v *receiver) waitForeign(h *history, addr *address) error {
	s := v.n.replica
	left := s.cfg.ForeignWait - time.Since(v.waits(h.replID))
	if left <= 0 {
		return nil
	}
	role := "primary"
	if h.replica {
		role = "replica"
	}
	return &foreignError{fmt.Errorf("%s is a %s of another history, %s, not of %s or one that came of it: it is not believed for %s (foreign_wait); if it is the right server, a gap is told then",
		addr.text, role, shortID(h.replID), shortID(v.pos.ReplID), s.cfg.ForeignWait), left, foreignPause}
}

// waitUntold is waitForeign for a server that does not tell its history, and that
// answers with a full resync of another name. Each question may cost it a fork, so
// it is asked less often.
func (v *receiver) waitUntold(a *psyncReply, addr *address) error {
	err := v.waitForeign(&history{replID: a.pos.ReplID}, addr)
	waits, ok := errors.AsType[*foreignError](err)
	if !ok {
		return err
	}
	wait := v.n.replica.cfg.ForeignWait
	waits.err = fmt.Errorf("%s answers with a full resync of another history, %s, not of %s: it is not believed for %s (foreign_wait); if it is the right server, a gap is told then. With +info triggerd could ask it how the two belong together",
		addr.text, shortID(a.pos.ReplID), shortID(v.pos.ReplID), wait)
	waits.pause = max(wait/3, foreignPause)
	return waits
}

// maxYoung is how long after its start a server may be that has come back with old
// data, and is made a replica then.
const maxYoung = 15 * time.Second

// before is by how much at least a server has to have been started before a link
// was lost, to have been a replica meanwhile: servers tell whole seconds, and that
// a primary was killed may be noticed late.
const before = 3 * time.Second

// waitYoung returns an error as long as a server whose history lacks the last bytes
// may be one that has come back. A replica that was promoted ran before the link was
// lost. But a primary that was killed, and comes back with the data of a snapshot,
// looks like one, at a place that may be far back, until it is made a replica.
func (v *receiver) waitYoung(h *history, l *link) error {
	s := v.n.replica
	text, err := l.requestText("INFO", "server")
	var refused *ServerError
	if errors.As(err, &refused) {
		return nil // it is not known
	}
	if err != nil {
		return err
	}
	up, ok := uptime(text)
	left := min(maxYoung, s.cfg.ForeignWait) - up
	if !ok || left <= 0 || time.Now().Add(-up).Before(v.lostAt.Add(-before)) {
		return nil
	}
	v.waits(h.replID)
	return &foreignError{fmt.Errorf("%s was started after the link to the primary was lost, or just before, and has older data than what was received: it is not believed until it has run for %s (foreign_wait), since a primary that comes back may be made a replica",
		l.addr.text, min(maxYoung, s.cfg.ForeignWait)), left, foreignPause}
}

// uptime returns for how long a server has run, by its INFO.
func uptime(text string) (d time.Duration, ok bool) {
	for line := range strings.Lines(text) {
		if v, found := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "uptime_in_seconds:"); found {
			n, err := strconv.ParseUint(v, 10, 32)
			return time.Duration(n) * time.Second, err == nil
		}
	}
	return 0, false
}

// foreignError says that a server is waited out.
type foreignError struct {
	err   error
	left  time.Duration // for so long
	pause time.Duration // before it is asked again
}

func (e *foreignError) Error() string        { return e.err.Error() }
func (e *foreignError) Is(target error) bool { return target == errForeign }

// foreignPause is how often a server is asked that is waited out.
const foreignPause = time.Second

// shortID returns the beginning of a replication ID, for people.
func shortID(id string) string {
	if len(id) > 12 {
		return id[:12] + "…"
	}
	return id
}

// examine asks a server for its history, on a link before PSYNC, and decides how
// to go on. ok: it has told it.
func (v *receiver) examine(ctx context.Context, l *link) (a ahead, h history, ok bool, err error) {
	s := v.n.replica
	if s.group == nil && (v.pos.IsZero() || v.forceFull) || v.noInfo == l.addr.text {
		return a, h, false, nil
	}
	text, err := l.requestText("INFO", "replication")
	var refused *ServerError
	if errors.As(err, &refused) && !refused.temporary() {
		v.noInfo = l.addr.text
		if !v.toldNoInfo {
			v.toldNoInfo = true
			s.cfg.Logger.Info("the server does not tell its history: whether what it has is what was received is only seen when the stream goes on; after a failover that costs a full resync and a gap where triggerd had read further (the user needs +info)", "server", l.addr.text, "err", err)
		}
		return a, h, false, nil
	}
	if err != nil {
		return a, h, false, err
	}
	if h, err = parseHistory(text); err != nil {
		return a, h, false, nil // it is no server that PSYNC could be asked of in another way
	}
	if v.pos.IsZero() {
		return a, h, true, nil
	}
	if s.group != nil && !v.isPrimary && h.replica && h.earlier != "" && h.replID != v.lineage.current() {
		v.askPrimary(ctx, &h)
	}
	return v.lineage.compare(&h, v.pos.Offset), h, true, nil
}

// askPrimary has the primary that the Sentinels name say up to which offset the
// history of a replica had its earlier name. Nothing changes if it cannot be asked.
func (v *receiver) askPrimary(ctx context.Context, h *history) {
	if v.ofPrimary.replID == h.replID { // a name is given once
		h.switched, h.exact = v.ofPrimary.switched, true
		return
	}
	s := v.n.replica
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DialTimeout)
	defer cancel()
	p, err := s.historyOf(ctx, v.primary)
	if err != nil || p.replID != h.replID || p.earlier != h.earlier {
		s.cfg.Logger.Debug("the primary does not say where the history of its replica got its name", "primary", v.primary.text, "err", masked(s.cfg.Secrets, err))
		return
	}
	v.ofPrimary = p
	h.switched, h.exact = p.switched, true
}

// historyOf asks a server for its history, on a connection of its own.
func (s *Replica) historyOf(ctx context.Context, addr *address) (history, error) {
	a, err := ask(ctx, addr, s.cfg.DialTimeout)
	if err != nil {
		return history{}, err
	}
	defer a.Close()
	text, err := a.Text(ctx, "INFO", "replication")
	if err != nil {
		return history{}, err
	}
	return parseHistory(text)
}
