package engine

import (
	"slices"
	"testing"
)

// A series has each second, and each minute as the sum of its seconds, also when
// it has gone round.
func TestSeries(t *testing.T) {
	var r rates
	var s series
	for i := range 2*keptMinutes*60 + 90 {
		r.seconds++
		r.add(&s, int64(i%7), false)
	}
	seconds := r.lastSeconds(&s, 3)
	last := 2*keptMinutes*60 + 89
	if want := []int{(last - 2) % 7, (last - 1) % 7, last % 7}; !slices.Equal(seconds, want) {
		t.Errorf("the last seconds are %v, want %v", seconds, want)
	}
	if all := r.lastSeconds(&s, 10_000); len(all) != keptSeconds {
		t.Errorf("%d seconds are kept", len(all))
	}
	minutes := r.lastMinutes(&s)
	sum := 0
	for i := last - 30; i <= last; i++ { // since the minute began: the first second is number 1
		sum += i % 7
	}
	if len(minutes) != keptMinutes || minutes[len(minutes)-1] != sum {
		t.Errorf("%d minutes, the last has %d, want %d", len(minutes), minutes[len(minutes)-1], sum)
	}
	full := 0
	for i := last - 90; i < last-30; i++ {
		full += i % 7
	}
	if minutes[len(minutes)-2] != full {
		t.Errorf("the minute before has %d, want %d", minutes[len(minutes)-2], full)
	}
	var young rates
	young.seconds = 1
	young.add(&s, 4, true)
	if got := young.lastSeconds(&s, 5); !slices.Equal(got, []int{0}) {
		t.Errorf("the first second is %v", got)
	}
}

func TestTyped(t *testing.T) {
	for arg, want := range map[string]string{"a:1": "a:1", "": `""`, `a "b"`: `"a \"b\""`, "a\n\x01": `"a\n\x01"`, `\`: `"\\"`} {
		if got := string(appendTyped(nil, []byte(arg))); got != want {
			t.Errorf("%q is typed as %s, want %s", arg, got, want)
		}
	}
}
