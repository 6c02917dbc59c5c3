package engine

import (
	"errors"

	"triggerd/actions"
	"triggerd/actions/kinds"
	"triggerd/internal/event"
	"triggerd/internal/firing"
	"triggerd/internal/keyspace"
	"triggerd/internal/outbox"
	"triggerd/internal/secret"
	"triggerd/rules"
)

// generation is one loaded rules file with its actions. It does not change.
type generation struct {
	set        *rules.Set
	endpoints  map[string]*outbox.Action
	endpointOf map[*rules.Action]string
	policies   map[outbox.PolicyKey]*outbox.Policy
	policyOf   map[*rules.Action]*outbox.Policy
	byName     map[string]*rules.Rule // enabled ones
	need       string                 // see rules.Set.NeedText
	secrets    *secret.Masker
	states     map[*rules.Rule]*ruleState // set before the generation is used
}

// actionConfig is what an action was made of.
type actionConfig struct {
	kind        string
	fields      map[string]any
	destination string // for people, without secrets
}

// newPolicy returns how the firings of a rule are delivered with an action.
func newPolicy(r *rules.Rule, a *rules.Action) *outbox.Policy {
	return &outbox.Policy{Timeout: a.Timeout, Retry: outbox.Retry(a.Retry), Order: a.Order, Overflow: r.Overflow}
}

// LoadRules reads a rules file and all that it includes, and checks its
// actions.
func LoadRules(path string, o ActionOptions) (*rules.Set, error) {
	return rules.Load(path, ruleOptions(o))
}

// ParseRules checks a rules file in memory, as LoadRules does.
func ParseRules(name string, src []byte, o ActionOptions) (*rules.Set, error) {
	return rules.Parse(name, src, ruleOptions(o))
}

// BuildRules checks a document that was never a file, as LoadRules does.
func BuildRules(doc map[string]any, o ActionOptions) (*rules.Set, error) {
	return rules.Build(doc, ruleOptions(o))
}

func (o ActionOptions) kinds() actions.Kinds {
	if o.Kinds == nil {
		return kinds.All
	}
	return o.Kinds
}

func ruleOptions(o ActionOptions) rules.Options {
	known := keyspace.Commands()
	commands := make([]rules.Command, len(known))
	for i, c := range known {
		commands[i] = rules.Command{Name: c.Name, Classes: c.Classes, Instead: c.InsteadUse}
	}
	kinds := make([]rules.Kind, len(o.kinds()))
	for i, k := range o.kinds() {
		kinds[i] = rules.Kind{Name: k.Name, Secrets: k.Secrets()}
	}
	return rules.Options{
		Commands: commands,
		Events:   keyspace.EventNames(),
		Kinds:    kinds,
		Action: func(kind string, fields map[string]any) (event.Parts, error) {
			a, err := o.kinds().New(kind, fields, actions.Options{NoExec: o.NoExec})
			if err != nil {
				return 0, err
			}
			return actions.Reads(a), nil
		},
	}
}

// maxOldSecrets is how many secrets of earlier generations are masked.
const maxOldSecrets = 1000

// newGeneration makes the actions of a set. What was masked before, old, the
// oldest first, is masked still: a receiver may know it for long.
func newGeneration(set *rules.Set, old []string, o ActionOptions, m *instruments) (*generation, error) {
	secrets := set.Secrets.With(old[max(0, len(old)-maxOldSecrets):]...)
	g := &generation{set: set, endpoints: map[string]*outbox.Action{}, endpointOf: map[*rules.Action]string{}, policies: map[outbox.PolicyKey]*outbox.Policy{}, policyOf: map[*rules.Action]*outbox.Policy{}, byName: map[string]*rules.Rule{}, need: set.NeedText(), secrets: secrets}
	var errs []error
	for _, r := range set.Rules {
		if !r.Enabled {
			continue
		}
		g.byName[r.Name] = r
		for _, a := range r.Actions {
			g.policyOf[a] = newPolicy(r, a)
			g.policies[outbox.PolicyKey{Rule: r.Name, Action: a.Name}] = g.policyOf[a]
			errs = append(errs, g.addEndpoint(r, a, o, m))
		}
	}
	return g, errors.Join(errs...)
}

// concurrency is how many attempts of an action are made at once.
func concurrency(a *rules.Action, all actions.Kinds) int {
	if k := all.Of(a.Kind); k != nil && a.Concurrency == 0 {
		return k.Concurrency
	}
	return a.Concurrency // without a kind making the action fails
}

// addEndpoint makes the action of a, unless another rule with the same target
// has made it.
func (g *generation) addEndpoint(r *rules.Rule, a *rules.Action, o ActionOptions, m *instruments) error {
	name := firing.OfRule(r.Name, a.Name).String()
	if a.Target != "" {
		name = firing.OfTarget(a.Target).String()
	}
	g.endpointOf[a] = name
	if _, made := g.endpoints[name]; made {
		return nil
	}
	c := &outbox.Action{
		Policy: g.policyOf[a], Concurrency: concurrency(a, o.kinds()), Rate: outbox.Rate(a.RateLimit),
		Meter: m.of(a.Kind),
	}
	var err error
	c.Action, err = o.kinds().New(a.Kind, a.Fields, actions.Options{
		Logger: o.Logger, Stdout: o.Stdout, NoExec: o.NoExec, UserAgent: o.UserAgent,
		Timeout: a.Timeout, Concurrency: c.Concurrency, Secrets: g.secrets,
	})
	c.LatestOnly = actions.LatestOnly(c.Action)
	c.Config = actionConfig{a.Kind, a.Fields, actions.Destination(c.Action)}
	g.endpoints[name] = c
	return err
}
