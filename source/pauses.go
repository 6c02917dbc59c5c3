package source

import (
	"math/rand/v2"
	"time"
)

// pauses tells how long to wait between attempts to attach. The limit doubles
// with each attempt in a row that came to the same: a connection that could not
// be made costs a server nothing, a full resync costs it a fork.
type pauses struct {
	got reached // by the last attempt

	refused int // attempts in a row without a connection
	failed  int // attempts with one since a link that worked
	resyncs int // full resyncs since a stream that lasted
}

// reached says how far an attempt came.
type reached uint8

const (
	nothing    reached = iota
	connection         // but nothing that worked
	fullResync
	workingLink // by a partial resync
)

// maxRefusedPause is the longest pause after a connection that could not be
// made: a server that comes back is not to be missed for long.
const maxRefusedPause = 2 * time.Second

// begin is called before each attempt, and what follows when it comes so far.
func (p *pauses) begin() { p.got = nothing }

func (p *pauses) connected() { p.got, p.refused = connection, 0 }

func (p *pauses) resynced() {
	p.got = fullResync
	p.resyncs++
}

// worked notes that the link was of use. Only a stream that lasted makes up for
// the full resyncs before it.
func (p *pauses) worked(lasted bool) {
	p.failed = 0
	if lasted {
		p.resyncs = 0
	}
	if lasted || p.got != fullResync {
		p.got = workingLink
	}
}

// next returns the pause after an attempt. It is random, up to the limit, so that
// many triggerds do not come back at once.
func (p *pauses) next(least, most time.Duration) time.Duration {
	var doublings int
	switch p.got {
	case nothing:
		doublings, p.refused = p.refused, p.refused+1
		most = min(most, maxRefusedPause)
	case connection:
		doublings, p.failed = p.failed, p.failed+1
	case fullResync:
		doublings = p.resyncs - 1
	}
	limit := most
	if doublings < 16 {
		limit = min(most, least<<doublings)
	}
	return max(time.Duration(rand.Int64N(int64(limit)+1)), 10*time.Millisecond)
}
