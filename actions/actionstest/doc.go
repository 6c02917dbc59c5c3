// Package actionstest is the suites that every kind of action passes: what the
// engine relies on, whatever the action does (Run, RunWaiting), and that a kind
// takes the fields that it declares (CheckFields).
//
//	func TestLog(t *testing.T) {
//		fields := map[string]any{"message": "{{.key}}"}
//		actionstest.CheckFields(t, &log.Kind, fields)
//		actionstest.Run(t, func(t *testing.T) actions.Action {
//			return actionstest.New(t, &log.Kind, fields, actions.Options{})
//		})
//	}
package actionstest
