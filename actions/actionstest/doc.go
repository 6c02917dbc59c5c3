// Package actionstest is the suite that every kind of action passes: what the
// engine relies on, whatever the action does.
//
//	func TestLog(t *testing.T) {
//		actionstest.Run(t, func(t *testing.T) actions.Action {
//			a, err := actions.New("log", map[string]any{"message": "{{.key}}"}, actions.Options{})
//			if err != nil {
//				t.Fatal(err)
//			}
//			return a
//		})
//	}
package actionstest
