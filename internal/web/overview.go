package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"triggerd/internal/admin"
)

// Overview is the answer of GET /api/v1/overview: the status without rules and
// actions, and what is wrong now.
type Overview struct {
	Version     string               `json:"version"`
	At          time.Time            `json:"at"`
	Ready       string               `json:"ready"`
	Streams     []admin.StreamStatus `json:"streams"`
	Counts      admin.Stats          `json:"counts"`
	DeadLetters int                  `json:"dead_letters"`
	Problems    []Problem            `json:"problems"`
}

// Problem is something that is wrong now, or that somebody should remember, with
// what to do about it.
type Problem struct {
	ID     string `json:"id"`    // "reload", "store-full", ..; the same for the same kind
	Level  string `json:"level"` // "bad", or "warn" where nothing is lost or late
	Text   string `json:"text"`
	Do     string `json:"do,omitempty"`     // what to do
	More   string `json:"more,omitempty"`   // in full
	Href   string `json:"href,omitempty"`   // of the page, where it is seen
	Link   string `json:"link,omitempty"`   // what Href is called
	Resume string `json:"resume,omitempty"` // the full name of what is paused
}

func (s *Server) overview(w http.ResponseWriter, _ *http.Request) {
	st, err := s.cfg.Daemon.Status()
	if err != nil {
		s.writeResult(w, nil, 0, err)
		return
	}
	s.hideStatus(st)
	s.writeResult(w, Overview{
		Version: s.cfg.Version, At: st.At, Ready: st.Ready, Streams: st.Streams, Counts: st.Counts, DeadLetters: st.DeadLetters, Problems: problemsOf(st),
	}, 0, nil)
}

// Limits of what counts as a problem.
const (
	lateBehind    = 30.0 // seconds by which a stream is behind
	shortHeadroom = 60.0 // seconds that triggerd could be away without a gap
	nearlyFull    = 0.9  // of max_pending
	maxProblems   = 5    // of one kind; more are summed up
)

// problems gathers problems.
type problems struct {
	list  []Problem
	kinds map[string]int
}

func (p *problems) add(one Problem) {
	p.kinds[one.ID]++
	if p.kinds[one.ID] <= maxProblems {
		p.list = append(p.list, one)
	}
}

// problemsOf returns what is wrong, the worst first.
func problemsOf(st *admin.Status) []Problem {
	p := &problems{list: []Problem{}, kinds: map[string]int{}}
	if !st.Reload.OK && !st.Reload.At.IsZero() {
		first, _, _ := strings.Cut(st.Reload.Error, "\n")
		p.add(Problem{
			ID: "reload", Level: "bad", Text: "The rules were not read again: " + first, More: st.Reload.Error,
			Do: "The old rules are in use. Mend the file, then run triggerd reload.",
		})
	}
	if st.Store.Full != "" {
		p.add(Problem{ID: "store-full", Level: "bad", Text: "No more firings are taken in: " + st.Store.Full, Do: "Make room on the disk, or deliver or drop what waits.", Href: "/streams", Link: "Store"})
	}
	for i := range st.Streams {
		p.stream(&st.Streams[i])
	}
	if most := float64(st.MaxPending); most > 0 && float64(st.Counts.Pending) > nearlyFull*most {
		p.add(Problem{ID: "pending", Level: "bad", Text: fmt.Sprintf("%d of at most %d firings wait", st.Counts.Pending, st.MaxPending), Do: "See which action does not take them.", Href: "/streams", Link: "Actions"})
	}
	for i := range st.Actions {
		p.action(&st.Actions[i])
	}
	if st.Store.Damaged > 0 {
		p.add(Problem{ID: "damaged", Level: "bad", Text: fmt.Sprintf("%d records of the store are damaged", st.Store.Damaged), Do: "Stop triggerd and run triggerd store verify."})
	}
	dry := 0
	for i := range st.Rules {
		r := &st.Rules[i]
		if r.ConditionError != "" && r.Enabled {
			p.add(Problem{ID: "condition", Level: "warn", Text: fmt.Sprintf("The condition of the rule %s fails: %s", r.Name, r.ConditionError), Do: "An event about which it fails does not match.", Href: ruleHref(r.Name), Link: "Rule"})
		}
		if !r.PausedSince.IsZero() {
			p.paused("rule/"+r.Name, r.Pause, ruleHref(r.Name))
		}
		if r.DryRun && r.Enabled {
			dry++
		}
	}
	if dry > 0 {
		p.add(Problem{ID: "dry-run", Level: "warn", Text: fmt.Sprintf("%s in dry run, and %s nothing", isAre(dry, "rule"), deliver(dry)), Href: "/rules?health=paused", Link: "Rules"})
	}
	for id, n := range p.kinds {
		if n > maxProblems {
			p.list = append(p.list, Problem{ID: id, Level: "warn", Text: fmt.Sprintf("and %d more like the last ones (%s)", n-maxProblems, id)})
		}
	}
	return p.list
}

func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

func deliver(n int) string {
	if n == 1 {
		return "delivers"
	}
	return "deliver"
}

// ruleHref returns where the page shows a rule.
func ruleHref(name string) string { return "/rules/" + (&url.URL{Path: name}).EscapedPath() }

func (p *problems) stream(s *admin.StreamStatus) {
	switch {
	case s.State != "streaming":
		text := fmt.Sprintf("Not attached to %s: %s", s.Server, s.State)
		if s.LastError != "" {
			text += ", " + s.LastError
		}
		p.add(Problem{ID: "link", Level: "bad", Text: text, Do: "triggerd tries again by itself; triggerd doctor looks at the server's settings.", Href: "/streams", Link: "Streams"})
	case s.BehindSeconds > lateBehind:
		p.add(Problem{ID: "behind", Level: "bad", Text: fmt.Sprintf("Changes are dealt with %.0f s after they come", s.BehindSeconds), Do: "See which rule costs most.", Href: "/rules?sort=-Cost", Link: "Rules by cost"})
	case s.BacklogSeconds != nil && *s.BacklogSeconds < shortHeadroom:
		p.add(Problem{ID: "headroom", Level: "warn", Text: fmt.Sprintf("After %.0f s away there would be a gap", *s.BacklogSeconds), Do: "Raise repl-backlog-size of the server.", Href: "/streams", Link: "Streams"})
	}
	if s.Gaps > 0 {
		p.add(Problem{ID: "gap", Level: "warn", Text: fmt.Sprintf("Changes were missed %s since triggerd began: the server no longer had them", times(s.Gaps)), Do: "What differs was told by a resync. Raise repl-backlog-size of the server.", Href: "/streams", Link: "Streams"})
	}
	if s.Spool.Full != "" {
		p.add(Problem{ID: "spool-full", Level: "bad", Text: "The spool takes no more: " + s.Spool.Full, Do: "Make room, or raise [source] spool.", Href: "/streams", Link: "Streams"})
	}
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (p *problems) action(a *admin.ActionStatus) {
	name := strings.TrimPrefix(a.Name, "target/")
	if !a.PausedSince.IsZero() {
		p.paused(a.Name, a.Pause, "/streams")
		return
	}
	switch a.State {
	case "down", "suspect", "held":
		text := fmt.Sprintf("%s is %s", name, a.State)
		if a.Why != "" {
			text += ": " + a.Why
		}
		do := fmt.Sprintf("%d wait; it is tried again by itself.", a.Pending)
		if !a.NextAttempt.IsZero() {
			do = fmt.Sprintf("%d wait; the next attempt is at %s.", a.Pending, a.NextAttempt.UTC().Format("15:04:05 UTC"))
		}
		level := "bad"
		if a.State == "held" {
			level = "warn"
		}
		p.add(Problem{ID: "endpoint", Level: level, Text: text, Do: do, Href: "/deliveries?state=failing&action=" + url.QueryEscape(a.Name), Link: "Deliveries"})
	}
}

func (p *problems) paused(name string, pause *admin.Pause, href string) {
	text, do := strings.TrimPrefix(name, "target/")+" is paused", ""
	if pause != nil {
		if pause.Reason != "" {
			text += ": " + pause.Reason
		}
		if pause.By != "" {
			do = "By " + pause.By + ". "
		}
		if pause.Until.IsZero() {
			do += "It has no end."
		} else {
			do += "It ends at " + pause.Until.UTC().Format("2006-01-02 15:04 UTC") + "."
		}
	}
	p.add(Problem{ID: "paused", Level: "warn", Text: text, Do: do, Href: href, Resume: name})
}
