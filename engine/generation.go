package engine

import (
	"errors"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/keyspace"
	"triggerd/internal/secret"
	"triggerd/rules"
)

// generation is one loaded rules file with its actions. It does not change.
type generation struct {
	set        *rules.Set
	endpoints  map[string]endpointConfig
	endpointOf map[*rules.Action]string
	specs      map[specKey]*rules.Action
	byName     map[string]*rules.Rule // enabled ones
	need       string                 // see rules.Set.NeedText
	secrets    *secret.Masker
	states     map[*rules.Rule]*ruleState // set before the generation is used
}

type endpointConfig struct {
	action      actions.Action
	spec        *rules.Action
	concurrency int
	rate        rules.RateLimit
	latestOnly  bool // of the firings of one lane that wait, only the last is attempted
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

func ruleOptions(o ActionOptions) rules.Options {
	known := keyspace.Commands()
	commands := make([]rules.Command, len(known))
	for i, c := range known {
		commands[i] = rules.Command{Name: c.Name, Classes: c.Classes, Instead: c.InsteadUse}
	}
	return rules.Options{
		Commands: commands,
		Events:   keyspace.EventNames(),
		Action: func(kind string, fields map[string]any) (event.Parts, error) {
			a, err := actions.New(kind, fields, actions.Options{NoExec: o.NoExec})
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
func newGeneration(set *rules.Set, old []string, o ActionOptions) (*generation, error) {
	secrets := set.Secrets.With(old[max(0, len(old)-maxOldSecrets):]...)
	g := &generation{set: set, endpoints: map[string]endpointConfig{}, endpointOf: map[*rules.Action]string{}, specs: map[specKey]*rules.Action{}, byName: map[string]*rules.Rule{}, need: set.NeedText(), secrets: secrets}
	var errs []error
	for _, r := range set.Rules {
		if !r.Enabled {
			continue
		}
		g.byName[r.Name] = r
		for _, a := range r.Actions {
			g.specs[specKey{r.Name, a.Name}] = a
			errs = append(errs, g.addEndpoint(r, a, o))
		}
	}
	return g, errors.Join(errs...)
}

func defaultConcurrency(kind string) int {
	if k := actions.KindOf(kind); k != nil {
		return k.Concurrency
	}
	return 0 // and making the action fails
}

// addEndpoint makes the action of a, unless another rule with the same target
// has made it.
func (g *generation) addEndpoint(r *rules.Rule, a *rules.Action, o ActionOptions) error {
	name := "rule/" + r.Name + "/" + a.Name
	if a.Target != "" {
		name = "target/" + a.Target
	}
	g.endpointOf[a] = name
	if _, made := g.endpoints[name]; made {
		return nil
	}
	c := endpointConfig{spec: a, concurrency: a.Concurrency, rate: a.RateLimit}
	if c.concurrency == 0 {
		c.concurrency = defaultConcurrency(a.Kind)
	}
	var err error
	c.action, err = actions.New(a.Kind, a.Fields, actions.Options{
		Logger: o.Logger, Stdout: o.Stdout, NoExec: o.NoExec, UserAgent: o.UserAgent,
		Timeout: a.Timeout, Concurrency: c.concurrency, Secrets: g.secrets,
	})
	c.latestOnly = actions.LatestOnly(c.action)
	g.endpoints[name] = c
	return err
}
