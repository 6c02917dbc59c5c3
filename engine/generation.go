package engine

import (
	"errors"

	"triggerd/actions"
	"triggerd/actions/kinds"
	"triggerd/internal/firing"
	"triggerd/internal/keyspace"
	"triggerd/internal/outbox"
	"triggerd/internal/secret"
	"triggerd/rules"
	"triggerd/source"
)

// generation is one loaded rules file with its actions. It does not change. The
// maps of actions and policies are what the outbox is given.
type generation struct {
	set        *rules.Set
	endpoints  map[string]*outbox.Action
	endpointOf map[*rules.Action]string
	policies   map[outbox.PolicyKey]*outbox.Policy
	policyOf   map[*rules.Action]*outbox.Policy
	ruleByName map[string]*rules.Rule // only the enabled ones
	readsKeys  map[*rules.Rule]bool   // rules whose templates read values of other keys
	needText   string                 // see rules.Set.NeedText
	secrets    *secret.Masker
	states     map[*rules.Rule]*ruleState // set before the generation is used
}

// actionConfig is what an action was made from, for the status.
type actionConfig struct {
	kind        string
	fields      map[string]any
	destination string // for people, without secrets
}

// newPolicy returns how an action delivers the firings of a rule.
func newPolicy(r *rules.Rule, a *rules.Action) *outbox.Policy {
	return &outbox.Policy{
		Timeout: a.Timeout, Retry: outbox.Retry(a.Retry), Order: a.Order, Overflow: r.Overflow,
		ByValue: r.Time != nil && r.Time.Absent.For > 0,
	}
}

// LoadRules reads a rules file and all files that it includes, and checks the
// actions in them.
func LoadRules(path string, o ActionOptions) (*rules.Set, error) {
	return load(o, func(options rules.Options) (*rules.Set, error) { return rules.Load(path, options) })
}

// load loads rules, and adds to what is not looked up offline what actions need.
func load(o ActionOptions, from func(rules.Options) (*rules.Set, error)) (*rules.Set, error) {
	if !o.Offline {
		return from(loadOptions(o, nil))
	}
	var more []rules.Lookup
	set, err := from(loadOptions(o, func(what, name string) { more = append(more, rules.Lookup{What: what, Name: name}) }))
	if err == nil {
		for _, n := range more {
			set.AddLookup(n)
		}
	}
	return set, err
}

// ParseRules does what LoadRules does with a rules file that is in memory.
func ParseRules(name string, src []byte, o ActionOptions) (*rules.Set, error) {
	return load(o, func(options rules.Options) (*rules.Set, error) { return rules.Parse(name, src, options) })
}

// BuildRules does what LoadRules does with a document that was never a file.
func BuildRules(doc map[string]any, o ActionOptions) (*rules.Set, error) {
	return rules.Build(doc, loadOptions(o, nil))
}

// kinds are the kinds that rules may have.
func (o ActionOptions) kinds() actions.Kinds {
	if o.Kinds == nil {
		return kinds.All
	}
	return o.Kinds
}

// loadOptions returns what rules have to know. needs is told of each file and
// program that an action needs, and that is not looked up then; nil: they are.
func loadOptions(o ActionOptions, needs func(what, name string)) rules.Options {
	known := keyspace.Commands()
	commands := make([]rules.Command, len(known))
	for i, c := range known {
		commands[i] = rules.Command{Name: c.Name, Classes: c.Classes, Instead: c.InsteadUse, Events: c.Events, Types: c.Types}
	}
	actionKinds := make([]rules.Kind, len(o.kinds()))
	for i, k := range o.kinds() {
		actionKinds[i] = rules.Kind{Name: k.Name, Secrets: k.Secrets(), Templates: k.Templates(), URLs: k.URLs(), Tables: k.Tables()}
	}
	return rules.Options{
		Commands: commands,
		Events:   keyspace.EventNames(),
		Kinds:    actionKinds,
		Source:   source.CheckURL,
		Feed:     CheckCommand,
		Allow:    o.Allow,
		Offline:  o.Offline, NoInclude: o.NoInclude, MaxMistakes: o.MaxMistakes, MaxPatterns: o.MaxPatterns, Reads: o.Reads,
		Action: func(kind string, fields map[string]any) (facts rules.ActionFacts, err error) {
			a, err := o.kinds().New(kind, fields, actions.Options{NoExec: o.NoExec, Needs: needs})
			if err != nil {
				return facts, err
			}
			facts.Reads, facts.Elements, facts.Others = actions.Reads(a), actions.Elements(a), actions.KeyPieces(a)
			facts.Params = actions.Params(a)
			facts.Tracks, facts.SendsEvent = actions.Tracks(a), actions.SendsEvent(a)
			for _, w := range actions.Warnings(a) {
				facts.Warnings = append(facts.Warnings, w)
			}
			return facts, nil
		},
	}
}

// maxOldSecrets limits how many secrets of earlier generations are still
// masked.
const maxOldSecrets = 1000

// newGeneration makes the actions of a set. The secrets of earlier generations,
// old, the oldest first, stay masked: errors may quote them long after a
// reload.
func newGeneration(set *rules.Set, old []string, o ActionOptions, m *instruments) (*generation, error) {
	secrets := set.Secrets.With(old[max(0, len(old)-maxOldSecrets):]...)
	g := &generation{set: set, endpoints: map[string]*outbox.Action{}, endpointOf: map[*rules.Action]string{}, policies: map[outbox.PolicyKey]*outbox.Policy{}, policyOf: map[*rules.Action]*outbox.Policy{}, ruleByName: map[string]*rules.Rule{}, readsKeys: map[*rules.Rule]bool{}, needText: set.NeedText(), secrets: secrets}
	g.policies[outbox.Removed] = &outbox.Policy{Timeout: set.Defaults.Timeout, Retry: outbox.Retry(set.Defaults.Retry), Order: firing.OrderKey, Overflow: firing.Block}
	var errs []error
	for _, r := range set.Rules {
		if !r.Enabled {
			continue
		}
		g.ruleByName[r.Name] = r
		for _, a := range r.Actions {
			g.policyOf[a] = newPolicy(r, a)
			g.policies[outbox.PolicyKey{Rule: r.Name, Action: a.Name}] = g.policyOf[a]
			errs = append(errs, g.addEndpoint(r, a, o, m))
			if made := g.endpoints[g.endpointOf[a]].Action; made != nil && actions.KeyPieces(made) != nil {
				g.readsKeys[r] = true
			}
		}
	}
	return g, errors.Join(errs...)
}

// actionName returns the full name of an action of a rule.
func actionName(r *rules.Rule, a *rules.Action) string {
	if a.Target != "" {
		return firing.OfTarget(a.Target).String()
	}
	return firing.OfRule(r.Name, a.Name).String()
}

// concurrency is how many attempts of an action are made at once, at most.
func concurrency(a *rules.Action, all actions.Kinds) int {
	if k := all.Of(a.Kind); k != nil && a.Concurrency == 0 {
		return k.Concurrency
	}
	return a.Concurrency // making the action fails for an unknown kind
}

// addEndpoint makes the endpoint of an action. Rules that name the same target
// share one.
func (g *generation) addEndpoint(r *rules.Rule, a *rules.Action, o ActionOptions, m *instruments) error {
	name := actionName(r, a)
	g.endpointOf[a] = name
	if _, made := g.endpoints[name]; made {
		return nil
	}
	c := &outbox.Action{
		Policy: g.policyOf[a], Concurrency: concurrency(a, o.kinds()), Rate: outbox.Rate(a.RateLimit),
		Meter: m.meterFor(a.Kind, name),
	}
	var err error
	options := actions.Options{
		Logger: o.Logger, Stdout: o.Stdout, NoExec: o.NoExec, UserAgent: o.UserAgent,
		Timeout: a.Timeout, Concurrency: c.Concurrency, Secrets: g.secrets, Rule: g.factsOf,
	}
	fields := a.Fields
	if o.Offline {
		options.Needs = func(string, string) {}
		fields = offlineFields(o.kinds().Of(a.Kind), fields)
	}
	c.Action, err = o.kinds().New(a.Kind, fields, options)
	if err != nil && o.Offline {
		c.Action, err = offlineAction{err}, nil
	}
	if c.Rate.Max == 0 {
		c.Rate.Max, c.Rate.Per = actions.Rate(c.Action)
	}
	c.LatestOnly = actions.LatestOnly(c.Action)
	c.Config = actionConfig{a.Kind, a.Fields, actions.Destination(c.Action)}
	g.endpoints[name] = c
	return err
}

// factsOf returns what actions are told of a rule.
func (g *generation) factsOf(rule string) actions.Rule {
	if r := g.ruleByName[rule]; r != nil {
		return ruleFacts(r)
	}
	return actions.Rule{}
}

func ruleFacts(r *rules.Rule) actions.Rule {
	facts := actions.Rule{Description: r.Description, Severity: r.Severity}
	if r.Time != nil {
		facts.Silence, facts.Repeat = r.Time.Absent.For, r.Time.Absent.Repeat
	}
	return facts
}
