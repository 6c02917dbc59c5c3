package keyspace

import (
	"iter"

	"triggerd/internal/event"
)

// ownArgs says which of a command's arguments are about one of its keys. With
// all of them in each event a DEL of n keys would fire n times n arguments.
type ownArgs uint8

const (
	ownKey            ownArgs = iota + 1 // the key: DEL k
	ownPair                              // the key and its value: MSET k v
	ownPairAndOptions                    // 1, these, and the options: MSETEX 1 k v PXAT t
	ownScript                            // the beginning of what was called, 1 and the key: EVAL s 1 k
)

// maxStep is how many keys of a command are dealt with at once. Events take
// more memory than the keys that they are about, so those of a long command are
// never all there.
const maxStep = 1024

// Of what belongs to all keys an event has so many bytes of a script, and so many
// options: no server sends more of those.
const (
	maxScriptHead = 1 << 10
	maxOwnOptions = 8
)

// manyKeys are the keys of a command that does the same to each, which is
// interpreted in steps.
type manyKeys struct {
	all    keyRange // where the keys are
	step   keyRange // those of this step
	size   int      // how many they are; 0 if they are not where they should be
	broken bool     // the last key has no value

	options        [][]byte    // of MSETEX, behind the pairs
	deadlineOption bool        // one of them is a deadline
	deadline       newDeadline // which it is, once the first step knows

	own [][]byte // what the events of this step have for arguments, where these do not follow one another
}

// findMany finds the keys of a command, and begins the first step.
func (c *call) findMany() {
	m := &c.many
	m.release()
	*m = manyKeys{own: m.own}
	r, ok := c.cmd.keys[0].find(c.args)
	if !ok {
		return
	}
	m.size = (r.last-r.first)/r.step + 1
	switch c.cmd.own {
	case ownPair:
		m.broken = (len(c.args)-r.first)%r.step != 0
	case ownPairAndOptions:
		m.broken = r.last+2 > len(c.args)
		m.options = c.args[min(r.last+2, len(c.args)):]
		for i := 0; i < len(m.options)-1; i++ {
			m.deadlineOption = m.deadlineOption || isDeadline(m.options[i])
		}
	}
	r.last = r.first + (m.size-1)*r.step
	m.all = r
	m.begin(r.first)
}

// begin begins the step whose first key is the argument at first.
func (m *manyKeys) begin(first int) {
	m.step = keyRange{first, min(m.all.last, first+(maxStep-1)*m.all.step), m.all.step}
}

// isFirst reports whether this is the command's first step.
func (m *manyKeys) isFirst() bool { return m.step.first == m.all.first }

// more reports whether there are keys behind those of this step.
func (m *manyKeys) more() bool { return m.step.last < m.all.last }

// places gives the indexes of this step's keys among the arguments.
func (m *manyKeys) places() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := m.step.first; m.size > 0 && i <= m.step.last; i += m.step.step {
			if !yield(i) {
				return
			}
		}
	}
}

// release gives up the arguments of the events.
func (m *manyKeys) release() {
	if clear(m.own); cap(m.own) > (3+maxOwnOptions)*maxStep {
		m.own = nil
	}
	m.own = m.own[:0]
}

var oneKey = []byte("1")

// setOwn gives the event of the key at index its own arguments.
func (c *call) setOwn(ev *event.Event, index int) {
	m := &c.many
	ev.Part = event.Part{Index: (index-m.all.first)/m.all.step + 1, Size: m.size}
	end, from := index+1, len(m.own)
	switch c.cmd.own {
	case ownPair:
		end = min(index+2, len(c.args))
	case ownPairAndOptions:
		m.own = append(m.own, oneKey)
		m.own = append(m.own, c.args[index:min(index+2, len(c.args))]...)
		m.own = append(m.own, m.options[:min(len(m.options), maxOwnOptions)]...)
	case ownScript:
		script := c.args[1]
		m.own = append(m.own, script[:min(len(script), maxScriptHead)], oneKey, c.args[index])
	}
	if len(m.own) > from {
		ev.Args = m.own[from:len(m.own):len(m.own)]
	} else {
		ev.Args = c.args[index:end:end]
	}
}

// rest is a command of many keys whose next step has not been asked for.
type rest struct {
	cmd      *command // nil: there is none
	sent     Command  // its bytes are borrowed
	mirrored bool
	made     int // events so far
}

// hasRest reports whether there is more of the last command.
func (in *Interpreter) hasRest() bool {
	return in.rest.cmd != nil || in.mirror != nil && in.mirror.slotTrim != nil
}

// abandonRest takes what nobody has asked for.
func (in *Interpreter) abandonRest() {
	for len(in.Rest(nil)) > 0 {
	}
}

// Rest appends the next events of the command that Command was given last: one
// of many keys makes those of a thousand keys at a time. It has to be called,
// while that command's bytes are valid, until it appends nothing; the next
// Command would take the rest without events.
func (in *Interpreter) Rest(dst []event.Event) []event.Event {
	base := len(dst)
	for in.hasRest() && len(dst) == base && !in.pace.ask() {
		if in.rest.cmd != nil {
			dst = in.nextStep(dst)
		} else {
			dst = in.nextTrim(dst)
		}
	}
	in.stats.Events += int64(len(dst) - base)
	return dst
}

// nextStep deals with the next keys of the rest.
func (in *Interpreter) nextStep(dst []event.Event) []event.Event {
	r, c := &in.rest, &in.call
	c.start(r.cmd, &r.sent, dst)
	c.number = r.made
	c.many.release()
	c.many.begin(c.many.step.last + c.many.step.step)
	c.interpret(r.mirrored && in.mirror != nil)
	r.made += len(c.events) - c.base
	if !c.many.more() {
		*r = rest{}
		c.many.options = nil
	}
	return c.end()
}
