package keyspace

// pace is asked by loops over what may be very many elements whether they are to
// be given up: see Config.Stopped. From then on it says so each time, so that all
// loops of a command end, one inside the other. What they leave is of no use.
type pace struct {
	stopped func() bool // nil: never
	steps   int         // since stopped was asked, or askEvery once it has said so
	gaveUp  bool
}

// askEvery is after how many steps stopped is asked. A step may take a few
// microseconds.
const askEvery = 4096

// stops counts a step, and reports whether there is to be no other.
func (p *pace) stops() bool { return p.stopsAfter(1) }

// stopsAfter is stops, for so many steps at once.
func (p *pace) stopsAfter(steps int) bool {
	if p == nil {
		return false
	}
	if p.steps += steps; p.steps < askEvery {
		return false
	}
	return p.ask()
}

func (p *pace) ask() bool {
	p.gaveUp = p.gaveUp || p.stopped != nil && p.stopped()
	if p.steps = 0; p.gaveUp {
		p.steps = askEvery
	}
	return p.gaveUp
}

// stops is pace's, of the command that the undo belongs to.
func (u *undo) stops() bool { return u.pace.stops() }
