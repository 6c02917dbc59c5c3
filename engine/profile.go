package engine

import "time"

// Profile says which parts of a stream's time went where; together they are 1.
// It is measured on a sample of the records.
type Profile struct {
	Read      float64 // reading and parsing the stream
	Interpret float64 // making events of commands
	Match     float64 // matching events, and planning firings
}

// profiler measures one record in sampleEvery, since measuring takes time too.
// A nil profiler measures nothing.
type profiler struct {
	records  int
	sampling bool
	lapStart time.Time
	spent    [3]time.Duration
	overhead time.Duration // how long reading the time takes
}

const sampleEvery = 64

func newProfiler() *profiler {
	p := &profiler{overhead: time.Hour}
	for range 1000 {
		at := time.Now()
		p.overhead = min(p.overhead, time.Since(at))
	}
	return p
}

// begin is called when a record was read. Reading it began when end was called
// for the record before.
func (p *profiler) begin() {
	if p == nil {
		return
	}
	if p.sampling = p.records%sampleEvery == 1; p.sampling {
		p.lap(0)
	}
}

// interpreted is called when the record's events are made.
func (p *profiler) interpreted() {
	if p != nil && p.sampling {
		p.lap(1)
	}
}

// end is called when the record is handled.
func (p *profiler) end() {
	if p == nil {
		return
	}
	if p.sampling {
		p.lap(2)
	}
	if p.records++; p.records%sampleEvery == 1 {
		p.lapStart = time.Now()
	}
}

func (p *profiler) lap(stage int) {
	now := time.Now()
	p.spent[stage] += max(0, now.Sub(p.lapStart)-p.overhead)
	p.lapStart = now
}

func (p *profiler) result() Profile {
	all := float64(p.spent[0] + p.spent[1] + p.spent[2])
	if all == 0 {
		return Profile{}
	}
	return Profile{float64(p.spent[0]) / all, float64(p.spent[1]) / all, float64(p.spent[2]) / all}
}
