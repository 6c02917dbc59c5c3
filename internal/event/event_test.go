package event_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"triggerd/internal/event"
)

func TestCutTexts(t *testing.T) {
	const each = 16 // counts beside the bytes of a text
	for name, test := range map[string]struct {
		limit      int
		list, want []string
	}{
		"all fit":                 {2*each + 4, []string{"ab", "cd"}, nil},
		"none":                    {0, nil, nil},
		"the last is cut":         {2*each + 3, []string{"ab", "cd"}, []string{"ab", "c"}},
		"the last is left out":    {each + 2, []string{"ab", "cd", "ef"}, []string{"ab"}},
		"no room for its bytes":   {2*each + 2, []string{"ab", "cd"}, []string{"ab"}},
		"empty texts count":       {2 * each, []string{"", "", ""}, []string{"", ""}},
		"before a character":      {each + 5, []string{"aключ"}, []string{"aкл"}},
		"within a character":      {each + 4, []string{"aключ"}, []string{"aк"}},
		"not text":                {each + 6, []string{strings.Repeat("\xbf", 9)}, []string{strings.Repeat("\xbf", 6)}},
		"nothing may be kept":     {-1, []string{"ab"}, []string{}},
		"a character and no more": {each + 1, []string{"ключ"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			e := &event.Event{}
			for _, text := range test.list {
				e.Args = append(e.Args, []byte(text))
			}
			e.Changed = e.Args
			whole := slices.Clone(e.Args)
			cut := test.want != nil
			if !cut {
				test.want = test.list
			}
			c := e.CloneCut(test.limit)
			for _, list := range [][][]byte{c.Args, c.Changed, e.Shorten(test.limit, nil).Args} {
				var got []string
				for _, text := range list {
					got = append(got, string(text))
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
			if c.Cut != cut || e.Cut {
				t.Errorf("cut %t, want %t; the event itself %t", c.Cut, cut, e.Cut)
			}
			if !slices.EqualFunc(e.Args, whole, bytes.Equal) {
				t.Errorf("the event was changed: %q", e.Args)
			}
		})
	}
}
