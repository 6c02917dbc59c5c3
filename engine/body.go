package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"triggerd/internal/event"
)

// body returns what a firing sends as decoded JSON: the body of the first action
// that sends JSON, or else the event as JSON. Of a list with one element it is
// that.
func (f *TracedFiring) body() any {
	for i := range f.Requests {
		if v, ok := decodeJSON([]byte(f.Requests[i].Preview.Body)); ok && f.Requests[i].Err == nil {
			if list, isList := v.([]any); isList && len(list) == 1 {
				return list[0]
			}
			return v
		}
	}
	v, _ := decodeJSON(f.firing.AppendJSON(nil))
	return v
}

// decodeJSON decodes one JSON object or list, with numbers as they are written.
func decodeJSON(text []byte) (v any, ok bool) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err := d.Decode(&v)
	return v, err == nil && !d.More()
}

// missingBody compares the bodies of firings with those that are expected, each
// of them of a firing after that of the one before. It returns what was not
// found; "" if all were.
func missingBody(fired []TracedFiring, want []map[string]any) string {
	for i, w := range want {
		difference := "it fires no further time"
		if len(fired) == 0 && i == 0 {
			difference = "it does not fire"
		}
		found := false
		for len(fired) > 0 && !found {
			difference = notIn(w, fired[0].body(), "")
			found = difference == ""
			fired = fired[1:]
		}
		if !found {
			return difference
		}
	}
	return ""
}

// notIn returns where JSON lacks what is expected of it; "" if all is in it. Of
// an object the expected fields are looked at, and all elements of a list.
func notIn(want, got any, path string) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for _, name := range slices.Sorted(maps.Keys(w)) {
			at := joinPath(path, name)
			value, there := g[name]
			if !there {
				return at + " is not there"
			}
			if d := notIn(w[name], value, at); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			if d := notIn(w[i], g[i], joinPath(path, strconv.Itoa(i))); d != "" {
				return d
			}
		}
		return ""
	default:
		if sameScalar(want, got) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %s, not %s", path, asJSON(got), asJSON(want))
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// sameScalar compares a value of TOML with one of JSON.
func sameScalar(want, got any) bool {
	n, isNumber := got.(json.Number)
	switch w := want.(type) {
	case int64:
		return isNumber && (n.String() == strconv.FormatInt(w, 10) || sameFloat(n, float64(w)))
	case float64:
		return isNumber && sameFloat(n, w)
	}
	return want == got
}

func sameFloat(n json.Number, f float64) bool {
	g, err := n.Float64()
	return err == nil && g == f
}

// maxShownJSON is how many bytes of a difference are shown.
const maxShownJSON = 300

func asJSON(v any) string {
	if s, ok := v.(string); ok {
		return string(event.AppendJSONBytes(nil, s))
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(text) > maxShownJSON {
		return string(text[:maxShownJSON]) + "…"
	}
	return string(text)
}
