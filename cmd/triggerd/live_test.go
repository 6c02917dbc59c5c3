package main

import (
	"math"
	"testing"

	"triggerd/internal/event"
)

// TestValueOfJSON: what the API tells of a value is read as the same value.
func TestValueOfJSON(t *testing.T) {
	t.Parallel()
	for _, v := range []event.Value{
		event.String([]byte("paid")), event.String([]byte("\xff\x00")), event.String(nil),
		event.Elements("list", []event.Element{{Name: "a"}, {Name: "\xff"}, {Name: `{"$base64":""}`}}),
		event.Elements("set", []event.Element{{Name: "a"}}),
		event.Elements("hash", []event.Element{{Name: "f", Value: "\xff"}}), event.Elements("hash", []event.Element{{Name: "f\xff", Value: "v"}}),
		event.Elements("hash", []event.Element{{Name: "$base64", Value: "YQ=="}}),
		event.Elements("zset", []event.Element{{Name: "a", Score: math.Inf(-1)}, {Name: "b", Score: -1.5}, {Name: "\xff", Score: 9007199254740993}}),
		event.Elements("stream", []event.Element{{Name: "1-1", Fields: []string{"f", "\xff"}}}),
	} {
		told := event.AppendJSONValue(nil, v)
		got, err := valueOfJSON(v.Type(), told)
		if err != nil {
			t.Errorf("%s: %v", told, err)
			continue
		}
		if again := event.AppendJSONValue(nil, got); got.Type() != v.Type() || got.Len() != v.Len() || string(again) != string(told) {
			t.Errorf("%s is read as %s %s", told, got.Type(), again)
		}
	}
	for _, no := range [][2]string{{"string", "5"}, {"list", `"a"`}, {"zset", `[["a","x"]]`}, {"zset", `[["a"]]`}, {"stream", `[["1-1",5]]`}, {"ReJSON-RL", "{}"}, {"hash", "[5]"}} {
		if v, err := valueOfJSON(no[0], []byte(no[1])); err == nil {
			t.Errorf("%s as a %s: %v", no[1], no[0], v)
		}
	}
}
