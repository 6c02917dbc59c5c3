package keyspace_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"triggerd/internal/event"
	"triggerd/internal/keyspace"
)

// TestOverwrite: a text is written over the one before where that fits; the event
// shows both, though a command names a key twice, or moves or copies it.
func TestOverwrite(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	in := emptyKeyspace()
	texts := map[string]string{} // as they should be
	key := func() string { return fmt.Sprintf("k%d", rnd.IntN(4)) }
	text := func() string {
		return strings.Repeat(fmt.Sprint(rnd.IntN(10)), []int{0, 1, 7, 8, 9, 16, 20, 600}[rnd.IntN(8)])
	}
	var dst []event.Event
	for range 50_000 {
		a, b, x, y := key(), key(), text(), text()
		_, there := texts[a]
		before := maps.Clone(texts)
		var args []string
		switch rnd.IntN(7) {
		case 0:
			args = []string{"MSET", a, x, b, y, a, y}
			texts[a], texts[b] = y, y
		case 1:
			if !there || a == b {
				continue
			}
			args = []string{"RENAME", a, b}
			texts[b] = texts[a]
			delete(texts, a)
		case 2:
			if !there || a == b {
				continue
			}
			args = []string{"COPY", a, b, "REPLACE"}
			texts[b] = texts[a]
		case 3:
			args = []string{"APPEND", a, x}
			texts[a] += x
		case 4:
			args = []string{"DEL", a}
			delete(texts, a)
		case 5:
			n := len(texts[a])
			if n == 0 || n > 10 { // of one digit, n times
				continue
			}
			var number int64
			fmt.Sscan(texts[a], &number)
			if texts[a][0] == '0' && n > 1 {
				continue
			}
			args = []string{"INCR", a}
			texts[a] = fmt.Sprint(number + 1)
		default:
			args = []string{"SET", a, x}
			texts[a] = x
		}
		command := &keyspace.Command{}
		for _, word := range args {
			command.Args = append(command.Args, []byte(word))
		}
		dst = in.Command(dst[:0], command)
		for _, ev := range dst {
			for _, side := range []struct {
				name  string
				value event.Value
				want  map[string]string
			}{{"before", ev.Before, before}, {"after", ev.After, texts}} {
				want, ok := side.want[string(ev.Key)]
				switch {
				case side.value == nil || ok != (side.value != event.None):
					t.Fatalf("%q: %s of %s is %v, want %q, %v", args, side.name, ev.Key, side.value, want, ok)
				case ok && string(side.value.Bytes()) != want:
					t.Fatalf("%q: %s of %s is %q, want %q", args, side.name, ev.Key, side.value.Bytes(), want)
				}
			}
		}
	}
}

// TestEventsAreWhole: an event that is made where another was has nothing of it.
func TestEventsAreWhole(t *testing.T) {
	var other event.Event
	fill(reflect.ValueOf(&other).Elem())
	words := func(line string) *keyspace.Command {
		c := &keyspace.Command{Time: time.Unix(1700000000, 0), ReplID: "id", Offset: 7}
		for word := range strings.FieldsSeq(line) {
			c.Args = append(c.Args, []byte(word))
		}
		return c
	}
	for _, line := range []string{"SET k v PXAT 1800000000000", "DEL k l", "PUBLISH c m", "HSET h f v"} {
		for _, begin := range []func() *keyspace.Interpreter{emptyKeyspace, func() *keyspace.Interpreter { return keyspace.New(keyspace.Config{}) }} {
			events := func(dst []event.Event) (list []*event.Event) {
				in := begin()
				in.Command(nil, words("MSET k v l w"))
				for _, ev := range in.Command(dst, words(line)) {
					list = append(list, ev.Clone())
				}
				return list
			}
			got, want := events([]event.Event{other, other, other}[:0]), events(nil)
			if len(got) == 0 || !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", line, got, want)
			}
		}
	}
}

// fill gives each field of a struct another value than its zero.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("other")
		case reflect.Int, reflect.Int64:
			f.SetInt(77)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 3, 3))
		case reflect.Interface:
			f.Set(reflect.ValueOf(event.String([]byte("other"))))
		case reflect.Struct:
			if f.Type() == reflect.TypeFor[time.Time]() {
				f.Set(reflect.ValueOf(time.Unix(77, 0)))
			} else {
				fill(f)
			}
		default:
			panic(f.Kind())
		}
	}
}
