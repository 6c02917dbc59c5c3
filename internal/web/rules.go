package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"triggerd/internal/admin"
)

// Rules is the answer of GET /api/v1/rules. Total is how many rules there are,
// whether or not the request selects them.
type Rules struct {
	Rules []admin.RuleStatus `json:"rules"`
	Total int                `json:"total"`
}

// healths are what rules may be selected by.
var healths = map[string]func(*admin.RuleStatus) bool{
	"":       func(*admin.RuleStatus) bool { return true },
	"firing": func(r *admin.RuleStatus) bool { return r.MatchRate > 0 },
	"erring": func(r *admin.RuleStatus) bool { return r.ConditionError != "" || r.ConditionErrors > 0 },
	"paused": func(r *admin.RuleStatus) bool { return !r.PausedSince.IsZero() || !r.Enabled || r.DryRun },
}

// rules answers with the rules that have a text in their name or in what is
// written of them.
func (s *Server) rules(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	is, ok := healths[v.Get("health")]
	if !ok {
		s.writeError(w, http.StatusBadRequest, fmt.Errorf("health is firing, erring or paused, not %q", v.Get("health")))
		return
	}
	list, total := s.cfg.Daemon.Rules(v.Get("q"))
	list = slices.DeleteFunc(list, func(one admin.RuleStatus) bool { return !is(&one) })
	if list == nil {
		list = []admin.RuleStatus{}
	}
	if s.cfg.HideValues {
		for i := range list {
			hideText(&list[i].ConditionError)
		}
	}
	s.writeResult(w, Rules{list, total}, 0, nil)
}

// rule answers with what a rule counts and waits for.
func (s *Server) rule(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	q := admin.RuleQuery{By: v.Get("by"), Cursor: v.Get("cursor"), Limit: maxRuleDetails}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRuleDetails {
			s.writeError(w, http.StatusBadRequest, fmt.Errorf("limit is 1 to %d, not %q", maxRuleDetails, text))
			return
		}
		q.Limit = n
	}
	if q.By != "" && s.cfg.HideValues {
		s.writeError(w, http.StatusForbidden, fmt.Errorf("by may be a value: show_values is false"))
		return
	}
	d, err := s.cfg.Daemon.InspectRule(r.PathValue("name"), q)
	s.hideRule(d)
	s.writeResult(w, d, 0, err)
}

// maxRuleDetails limits the timers and the counts in an answer about a rule.
const maxRuleDetails = 100

// rates answers with how much happened in the last seconds.
func (s *Server) rates(w http.ResponseWriter, _ *http.Request) {
	s.writeResult(w, s.cfg.Daemon.Rates(), 0, nil)
}

func (s *Server) ruleRates(w http.ResponseWriter, r *http.Request) {
	rates, err := s.cfg.Daemon.RuleRates(r.PathValue("name"))
	s.writeResult(w, rates, 0, err)
}

// lastEvent answers with the last event of a key.
func (s *Server) lastEvent(w http.ResponseWriter, r *http.Request) {
	if s.cfg.HideValues {
		s.writeError(w, http.StatusForbidden, fmt.Errorf("an event has values: show_values is false"))
		return
	}
	e, err := s.cfg.Daemon.LastEvent(r.URL.Query().Get("key"))
	s.writeResult(w, e, 0, err)
}
