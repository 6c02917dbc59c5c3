package engine

import "time"

// Profile says where the reader's time went, as parts of 1. It is of a sample
// of the records.
type Profile struct {
	Read      float64 // reading and parsing the stream
	Interpret float64 // making events of commands
	Match     float64 // matching events, and planning firings
}

// profiler measures one record in sampleEvery, so that measuring costs little.
// A nil profiler measures nothing.
type profiler struct {
	n     int
	on    bool
	at    time.Time
	spent [3]time.Duration
	clock time.Duration // what asking for the time takes
}

const sampleEvery = 64

func newProfiler() *profiler {
	p := &profiler{clock: time.Hour}
	for range 1000 {
		at := time.Now()
		p.clock = min(p.clock, time.Since(at))
	}
	return p
}

// begin is called when a record was read: its reading began at the end of the
// record before.
func (p *profiler) begin() {
	if p == nil {
		return
	}
	if p.on = p.n%sampleEvery == 1; p.on {
		p.lap(0)
	}
}

// interpreted is called when its events are made.
func (p *profiler) interpreted() {
	if p != nil && p.on {
		p.lap(1)
	}
}

// end is called when it is done with.
func (p *profiler) end() {
	if p == nil {
		return
	}
	if p.on {
		p.lap(2)
	}
	if p.n++; p.n%sampleEvery == 1 {
		p.at = time.Now()
	}
}

func (p *profiler) lap(stage int) {
	now := time.Now()
	p.spent[stage] += max(0, now.Sub(p.at)-p.clock)
	p.at = now
}

func (p *profiler) result() Profile {
	all := float64(p.spent[0] + p.spent[1] + p.spent[2])
	if all == 0 {
		return Profile{}
	}
	return Profile{float64(p.spent[0]) / all, float64(p.spent[1]) / all, float64(p.spent[2]) / all}
}
