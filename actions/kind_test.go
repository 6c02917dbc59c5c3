package actions_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/internal/secret"
)

// silent is an action that does nothing and says nothing of itself.
type silent struct{}

func (silent) Do(context.Context, *actions.Firing) (actions.Result, error) {
	return actions.Result{}, nil
}

// kindThat is a kind with a constructor and some fields.
func kindThat(makes func(s *actions.Settings) (actions.Action, error)) actions.Kinds {
	return actions.Kinds{{Name: "k", Fields: []actions.Field{
		{Name: "text"}, {Name: "flag", Type: actions.Flag}, {Name: "names", Type: actions.TextTable},
		{Name: "table", Type: actions.Table, Fields: []actions.Field{{Name: "inner"}}},
	}, New: makes}}
}

// A constructor that takes what its kind does not declare is found by the first
// test that makes the action.
func TestUndeclaredFieldPanics(t *testing.T) {
	for name, take := range map[string]func(s *actions.Settings){
		"txet":        func(s *actions.Settings) { s.Text("txet") },
		"table.iner":  func(s *actions.Settings) { inner, _ := s.Table("table"); inner.Text("iner") },
		"table.other": func(s *actions.Settings) { inner, _ := s.Table("table"); inner.Has("other") },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, name) {
					t.Errorf("%s: panicked with %q", name, text)
				}
			}()
			_, _ = kindThat(func(s *actions.Settings) (actions.Action, error) { take(s); return silent{}, nil }).New("k", map[string]any{"table": map[string]any{}}, actions.Options{})
			t.Errorf("%s is taken", name)
		}()
	}
}

// What is wrong with no field in particular is told beside what is wrong with
// some, without secrets.
func TestErrorOfConstructor(t *testing.T) {
	all := kindThat(func(s *actions.Settings) (actions.Action, error) {
		s.Flag("flag")
		if names, ok := s.Table("names"); ok {
			for _, name := range names.Names() {
				names.Text(name)
			}
		}
		return nil, errors.New("no library for hunter2")
	})
	fields := map[string]any{"flag": "yes", "tabel": 1, "table": map[string]any{"iner": 1}, "names": map[string]any{"any": "x", "b": 1}}
	a, err := all.New("k", fields, actions.Options{Secrets: secret.New("hunter2")})
	const want = `flag: must be true or false, not a string
names.b: must be a string, not a int
tabel: unknown field; did you mean "table"?
table.iner: unknown field; did you mean "inner"?
type: no library for ***`
	if a != nil || err == nil || err.Error() != want {
		t.Errorf("got %v\n%v\nwant\n%s", a, err, want)
	}
}

// shows is an action with a preview.
type shows struct{ silent }

func (shows) Render(context.Context, *actions.Firing) (actions.Preview, error) {
	return actions.NewPreview([]string{"CALL", "a b", "", "http://h/hunter2"}, []actions.Named{{Name: "hunter2", Value: "x"}}, []byte("hunter2\n"), nil), nil
}

// The secrets that the engine knows are masked whatever a kind forgets, and who
// says nothing of itself has no preview.
func TestRender(t *testing.T) {
	for _, secrets := range []*secret.Masker{nil, secret.New("hunter2")} {
		a, err := kindThat(func(*actions.Settings) (actions.Action, error) { return shows{}, nil }).New("k", nil, actions.Options{Secrets: secrets})
		if err != nil {
			t.Fatal(err)
		}
		want := "CALL \"a b\" \"\" http://h/hunter2\nhunter2: x\n\nhunter2\n"
		if secrets != nil {
			want = strings.ReplaceAll(want, "hunter2", secret.Mark)
		}
		if p, err := actions.Render(t.Context(), a, actionstest.Firing()); err != nil || p.String() != want {
			t.Errorf("got %q, %v; want %q", p, err, want)
		}
		a, err = kindThat(func(*actions.Settings) (actions.Action, error) { return silent{}, nil }).New("k", nil, actions.Options{Secrets: secrets})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := actions.Render(t.Context(), a, actionstest.Firing()); !errors.Is(err, actions.ErrNoPreview) {
			t.Errorf("got %v", err)
		}
	}
}

// A preview is bounded and printable, whatever is in it.
func TestPreviewIsCut(t *testing.T) {
	long := strings.Repeat("é\x1b", 1<<20)
	p := actions.NewPreview([]string{long}, []actions.Named{{Name: long, Value: "a\n\tb\u202e\xff"}}, []byte("a\n\tb\r"+long), secret.New("hunter2"))
	if !strings.HasSuffix(p.Call[0], "...(+3129345 bytes)") || !strings.HasSuffix(p.Named[0].Name, "...(+3129345 bytes)") {
		t.Errorf("the ends are %q and %q", p.Call[0][len(p.Call[0])-30:], p.Named[0].Name[len(p.Named[0].Name)-30:])
	}
	if want := `a\n\tb\u202e\xff`; p.Named[0].Value != want {
		t.Errorf("got %q, want %q", p.Named[0].Value, want)
	}
	if want := "a\n\tb\\ré\\x1b"; !strings.HasPrefix(p.Body, want) || len(p.Body) > 1<<18 {
		t.Errorf("got %d bytes that begin with %q, want %q", len(p.Body), p.Body[:20], want)
	}
}
