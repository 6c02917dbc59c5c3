package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/internal/firing"
	"triggerd/internal/web"
)

// completionTime is how long a shell waits for names.
const completionTime = time.Second

// addCompletions has a shell complete names of rules and actions, which the
// running daemon or the rules file tells, and files of rules.
func addCompletions(root *cobra.Command) {
	for _, c := range commandsOf(root) {
		if c.Flags().Lookup("rule") != nil {
			_ = c.RegisterFlagCompletionFunc("rule", flagOf(rulesOnly))
		}
		if c.Flags().Lookup("action") != nil {
			_ = c.RegisterFlagCompletionFunc("action", flagOf(actionsOnly))
		}
		if c.PersistentFlags().Lookup("output") != nil {
			_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "wide"}, cobra.ShellCompDirectiveNoFileComp))
		}
		if c.Flags().Lookup("config") != nil {
			_ = c.RegisterFlagCompletionFunc("config", files("toml"))
		}
		if c.Flags().Lookup("outcome") != nil {
			_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions([]string{"delivered", "retried", "given_up"}, cobra.ShellCompDirectiveNoFileComp))
		}
		if c.Flags().Lookup("reason") != nil && strings.HasPrefix(c.CommandPath(), "triggerd dlq ") {
			_ = c.RegisterFlagCompletionFunc("reason", cobra.FixedCompletions(deadReasons, cobra.ShellCompDirectiveNoFileComp))
		}
		switch c.CommandPath() {
		case "triggerd tail", "triggerd explain":
			c.ValidArgsFunction = firstOf(rulesOnly)
		case "triggerd send":
			c.ValidArgsFunction = firstOf(actionsOnly)
		case "triggerd pause", "triggerd resume":
			c.ValidArgsFunction = firstOf(rulesAndActions)
		case "triggerd check":
			c.ValidArgsFunction = files("toml")
		case "triggerd rdb":
			c.ValidArgsFunction = files("rdb")
		case "triggerd deliveries retry", "triggerd deliveries cancel", "triggerd deliveries redeliver", "triggerd deliveries show",
			"triggerd deliveries list", "triggerd dlq retry", "triggerd dlq drop", "triggerd dlq show", "triggerd dlq list", "triggerd dlq causes", "triggerd dlq export":
			c.ValidArgsFunction = cobra.NoFileCompletions // they take numbers
		case "triggerd status", "triggerd reload", "triggerd version", "triggerd schema":
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

// commandsOf returns a command and all under it.
func commandsOf(c *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{c}
	for _, under := range c.Commands() {
		list = append(list, commandsOf(under)...)
	}
	return list
}

// files completes names of files with an ending.
func files(ending string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{ending}, cobra.ShellCompDirectiveFilterFileExt
	}
}

// names are those that may be completed.
type names struct{ rules, actions []string }

func rulesOnly(n *names) []string   { return n.rules }
func actionsOnly(n *names) []string { return n.actions }

// rulesAndActions are names of rules and actions; where both have one, the full
// names.
func rulesAndActions(n *names) []string {
	var all []string
	for _, name := range n.rules {
		if slices.Contains(n.actions, name) {
			name = "rule/" + name
		}
		all = append(all, name)
	}
	for _, name := range n.actions {
		if slices.Contains(n.rules, name) {
			name = "target/" + name
		}
		all = append(all, name)
	}
	return all
}

// firstOf completes the first argument with names.
func firstOf(which func(*names) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return flagOf(which)(cmd, args, begun)
	}
}

// flagOf completes a flag with names.
func flagOf(which func(*names) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTime)
		defer cancel()
		n := namesFor(ctx, cmd)
		var found []string
		for _, name := range which(n) {
			if strings.HasPrefix(name, begun) {
				found = append(found, name)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// namesFor returns the names that a command may be given: those of the rules file
// that it reads, or of the daemon that it asks.
func namesFor(ctx context.Context, cmd *cobra.Command) *names {
	if config := cmd.Flags().Lookup("config"); config != nil {
		return namesInFile(config.Value.String())
	}
	c := &client{}
	for name, to := range map[string]*string{"api": &c.api, "token": &c.token} {
		if f := cmd.Flags().Lookup(name); f != nil {
			*to = f.Value.String()
		}
	}
	var s web.Status
	n := &names{}
	if _, err := c.do(ctx, "GET", "/api/v1/status", nil, nil, &s, io.Discard); err != nil || s.Status == nil {
		return namesInFile(env("TRIGGERD_CONFIG", "rules.toml"))
	}
	for i := range s.Rules {
		n.rules = append(n.rules, s.Rules[i].Name)
	}
	for i := range s.Actions {
		n.actions = append(n.actions, shortAction(s.Actions[i].Name))
	}
	return n
}

// namesInFile returns the names in a rules file; none if it has mistakes.
func namesInFile(path string) *names {
	n := &names{}
	set, err := engine.LoadRules(path, engine.ActionOptions{Offline: true})
	if err != nil {
		return n
	}
	for _, r := range set.Rules {
		n.rules = append(n.rules, r.Name)
		for i := range r.Actions {
			a := r.Actions[i]
			name := a.Target
			if name == "" {
				name = firing.OfRule(r.Name, a.Name).String()
			}
			if !slices.Contains(n.actions, name) {
				n.actions = append(n.actions, name)
			}
		}
	}
	return n
}

// shortAction is an action as people write it: a target by its name alone.
func shortAction(full string) string {
	if target := firing.Endpoint(full).Target(); target != "" {
		return target
	}
	return full
}
