package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"triggerd/engine"
	"triggerd/rules"
)

func newTestCommand() *cobra.Command {
	var config, only string
	var coverage bool
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Run the [[test]] blocks of a rules file",
		Long: `Test plays the feed of each [[test]] to the rules of the file, through the same
interpreter and matcher as the daemon's, and compares how often rules fire with
what is expected. Nothing is delivered, and no server is needed.

  [[test]]
  name = "fires when stock is set to zero"
  given = { "stock:9" = "5" }
  feed = ["SET stock:7 1", { at = "+30m" }, "SET stock:7 0", "SET stock:9 0"]
  expect = { sold-out = 2 }
  expect_body = { sold-out = { data = { key = "stock:9", before = "5" } } }

given is what is there before. expect_body is what the body that is sent has in it,
among other things. Of a rule that is not as expected each step is shown as by
triggerd explain.

Commands are written as they arrive from the server: triggerd check tells of
those that never do. It ends with 0 if all pass, with 1 if one fails or there is none,
and with 78 if there is a mistake in the file.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := engine.LoadRules(config, engine.ActionOptions{})
			if err != nil {
				return rulesError(config, err)
			}
			return runTests(cmd, set, only, coverage)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&config, "config", "c", env("TRIGGERD_CONFIG", "rules.toml"), "rules file")
	f.StringVar(&only, "run", "", "run only the tests whose name contains this")
	f.BoolVar(&coverage, "coverage", false, "list the rules that no test fires")
	return cmd
}

func runTests(cmd *cobra.Command, set *rules.Set, only string, coverage bool) error {
	out := cmd.OutOrStdout()
	passed, wrong := 0, 0
	fired := map[string]bool{}
	for _, test := range set.Tests {
		if !strings.Contains(test.Name, only) {
			continue
		}
		r := engine.RunTest(cmd.Context(), set, test, engine.ActionOptions{})
		for name := range r.Fired {
			fired[name] = true
		}
		if report(out, &r) {
			passed++
		} else {
			wrong++
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, wrong)
	if coverage {
		printCoverage(out, set, fired)
	}
	switch {
	case wrong > 0:
		return failed(fmt.Errorf("%s failed", plural(wrong, "test")))
	case passed == 0 && len(set.Tests) > 0:
		var names []string
		for _, test := range set.Tests {
			names = append(names, strconv.Quote(test.Name))
		}
		return failed(fmt.Errorf("no test has %q in its name; there are: %s", only, strings.Join(names, ", ")))
	case passed == 0:
		return failed(errors.New("there is no test to run: write a [[test]] (triggerd help test shows one)"))
	}
	return nil
}

func report(w io.Writer, r *engine.TestResult) (passed bool) {
	differences := r.Differences()
	if len(differences) == 0 {
		fmt.Fprintf(w, "ok    %s\n", r.Test.Name)
		return true
	}
	fmt.Fprintf(w, "FAIL  %s (%s:%d)\n", r.Test.Name, r.Test.File, r.Test.Line)
	if r.Err != nil {
		fmt.Fprintf(w, "        %s\n", clean(r.Err.Error()))
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(r.Traces)) {
		if d := r.Difference(name); d != "" {
			fmt.Fprintf(w, "        rule %s: %s\n", name, clean(d))
			printTrace(w, r.Traces[name], "          ")
			fmt.Fprintln(w)
		}
	}
	return false
}

func printCoverage(w io.Writer, set *rules.Set, fired map[string]bool) {
	enabled, covered := 0, 0
	var missing []string
	for _, r := range set.Rules {
		if !r.Enabled {
			continue
		}
		enabled++
		if fired[r.Name] {
			covered++
		} else {
			missing = append(missing, r.Name)
		}
	}
	fmt.Fprintf(w, "%d of %s fired by a test\n", covered, plural(enabled, "rule"))
	for _, name := range missing {
		fmt.Fprintf(w, "        not fired: %s\n", name)
	}
}
