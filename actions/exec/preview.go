package exec

import (
	"context"
	"slices"
	"strings"

	"triggerd/actions"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
)

// Render shows the run that Do would make: the program and its arguments, its
// whole environment, and its standard input. A variable that carries a credential
// by its name is shown without what the user or triggerd's environment says; one
// that has nothing but data in it is shown. The rest is masked by value.
func (c *command) Render(ctx context.Context, f *firing.Firing) (actions.Preview, error) {
	args, env, err := c.render(ctx, f)
	if err != nil {
		return actions.Preview{}, err
	}
	return c.preview(args, env, input(f)), nil
}

// preview shows a run with arguments, variables and an input.
func (c *command) preview(args, env []string, input []byte) actions.Preview {
	hidden, words := c.hidden()
	named := make([]actions.Named, len(env))
	for i, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if slices.Contains(hidden, name) {
			value = secret.Mark
		}
		named[i] = actions.Named{Name: name, Value: value}
	}
	call := append([]string{c.program}, args...)
	return actions.NewPreview(call, named, input, c.masker.With(words...))
}

// hidden returns the names of the variables that carry a credential by their name
// and are not all data, and the words that the user wrote into them.
func (c *command) hidden() (names, words []string) {
	for _, passed := range c.env {
		if name, _, _ := strings.Cut(passed, "="); secret.NamesCredential(name) {
			names = append(names, name)
		}
	}
	for _, own := range c.ownEnv {
		if !secret.NamesCredential(own.name) {
			continue
		}
		written := strings.Fields(strings.Join(own.value.Literals(), " "))
		if len(written) > 0 {
			names, words = append(names, own.name), append(words, written...)
		}
	}
	return names, words
}
