package rules

import (
	"fmt"

	"triggerd/internal/suggest"
)

// WarningCodes are the codes of warnings, by which [check] allow silences them,
// and what each is about.
var WarningCodes = map[string]string{
	"absent-dedupe":    "dedupe keeps back the signs of life that absent waits for",
	"absent-deletion":  "a deletion of the key counts as a sign of life for absent",
	"absent-sample":    "sample leaves out signs of life that absent waits for",
	"all-values":       "the value of every key is kept in memory for a rule",
	"body-json":        "a body that is, or nearly is, JSON may not be sent as it looks",
	"doubtful-path":    "a path into JSON may not mean what it says",
	"doubtful-pattern": "a key pattern may not mean what it says",
	"duplicate":        "two rules match the same",
	"every-element":    "a condition looks at every element of a value at each event",
	"every-event":      "a condition is evaluated for every event",
	"empty-secret":     "the file of a secret is empty",
	"evicted":          "an eviction arrives as a deletion",
	"for-gone":         "with for or until, after events that remove the key",
	"for-momentary":    "with for or until, a condition does not tell of the key",
	"incident":         "an incident is not opened and closed as it happens",
	"includes-nothing": "a pattern of include finds no file",
	"never-arrives":    "a command is not replicated under its name",
	"never-matches":    "no event is as a rule asks",
	"never-open":       "the windows of a rule leave no time",
	"no-sentinels":     "what is for Sentinels has no effect at the address of a server",
	"open-secret":      "a secret is in a file that everybody may read",
	"rounded":          "a number is not exactly what is written",
	"service-format":   "a service is sent what it does not take",
	"shell-template":   "a shell runs what a template writes",
	"short-secret":     "a secret is too short to be masked",
	"unknown-param":    "a template reads what the key of its rule does not capture",
	"until-always":     "an until holds whenever the condition of its rule does",
	"until-never":      "an until can never hold",
}

// CheckWarningCode returns what is wrong with the code of a warning, and what to
// write instead; "" for nothing.
func CheckWarningCode(code string) (mistake, hint string) {
	if _, ok := WarningCodes[code]; ok {
		return "", ""
	}
	return fmt.Sprintf("there is no warning %q", code), suggest.DidYouMean(code, sortedKeys(WarningCodes))
}
