package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"triggerd/internal/event"
	"triggerd/rules"
)

// ParseSteps returns the steps of a feed that is typed: a command in each line, or
// a pause such as +30m.
func ParseSteps(lines []string) ([]rules.Step, error) {
	var steps []rules.Step
	var open rules.Transactions
	for _, line := range lines {
		if strings.HasPrefix(line, "+") {
			pause, ok := rules.ParsePause(line)
			if !ok {
				return nil, fmt.Errorf(`%q is not a pause: "+10s", "+5m", "+1h30m", "+7d"`, line)
			}
			steps = append(steps, rules.Step{Pause: pause})
			continue
		}
		mistake, hint := CheckCommand(line)
		if _, isPause := rules.ParsePause("+" + line); isPause {
			hint = "+" + line + " moves the clock"
		}
		if mistake == "" {
			mistake, hint = open.Step(rules.Step{Command: line})
		}
		if mistake == "" {
			steps = append(steps, rules.Step{Command: line})
			continue
		}
		if whole := strings.Join(lines, " "); len(lines) > 1 && isCommand(whole) {
			hint = fmt.Sprintf("each command is one argument: '%s'", whole)
		}
		if hint != "" {
			mistake += " (" + hint + ")"
		}
		return nil, fmt.Errorf("%q: %s", line, mistake)
	}
	if mistake, hint := open.End(); mistake != "" {
		return nil, fmt.Errorf("%s (%s)", mistake, hint)
	}
	return steps, nil
}

func isCommand(line string) bool {
	mistake, _ := CheckCommand(line)
	return mistake == ""
}

// GivenBefore returns the key of the first command that has one, with a value that
// is typed as JSON, in the form that deliveries have.
func GivenBefore(text string, steps []rules.Step) ([]rules.Given, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var decoded any
	if err := dec.Decode(&decoded); err != nil {
		return nil, fmt.Errorf(`%q is not JSON: a text is quoted, as in '"new"'`, text)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%q is more than one JSON value", text)
	}
	value, err := rules.ValueOf(decoded)
	if err != nil || value == event.None {
		return nil, err
	}
	for _, s := range steps {
		if key, ok := FirstKey(s.Command); ok {
			return []rules.Given{{Key: key, Value: value}}, nil
		}
	}
	return nil, errors.New("no command has a key")
}
