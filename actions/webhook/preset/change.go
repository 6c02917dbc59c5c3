package preset

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"triggerd/internal/event"
)

// maxElements is how many elements of a value, or changes of elements, are shown.
const maxElements = 5

// changeLines says what became of the key of an event, or what happened where
// there is none. It has at least one line.
func changeLines(e *event.Event) []string {
	if e.Key == nil {
		return []string{keyless(e)}
	}
	b, a := e.Before, e.After
	switch {
	case e.Name == "expire" && e.TTL > 0:
		return []string{"expires in " + roughly(time.Duration(min(e.TTL, maxTTL))*time.Millisecond)}
	case e.Name == "persist":
		return []string{"expires no more"}
	case a == event.None && b == event.None:
		return []string{shownValue(e.Name)}
	case a == event.None:
		return []string{ending(e) + was(b)}
	case b == event.None && a != nil:
		return []string{"created: " + valueText(a)}
	case a == nil && b == nil, a == nil && b == event.None:
		return []string{"changed (value not known)"}
	case a == nil:
		return []string{"was " + valueText(b) + ", what it is now is not known"}
	case b == nil && (e.Name == event.Snapshot):
		return []string{"is " + valueText(a)}
	case b == nil:
		return []string{"now " + valueText(a) + ", what it was is not known"}
	case a.Type() != b.Type():
		return []string{valueText(b) + " → " + valueText(a)}
	}
	if lines := difference(e, b, a); len(lines) > 0 {
		return lines
	}
	if b.Truncated() || a.Truncated() {
		return []string{"changed (" + size(a) + ")"}
	}
	return []string{valueText(a) + ", unchanged"}
}

// maxTTL keeps milliseconds in a time.Duration.
const maxTTL = int64(1<<63-1) / int64(time.Millisecond)

// keyless says what an event was that concerns no key.
func keyless(e *event.Event) string {
	arg := func(i int) string {
		if i < len(e.Args) {
			return shownValue(e.Args[i])
		}
		return "?"
	}
	switch e.Name {
	case event.FlushAll:
		return "all databases were emptied"
	case event.FlushDB:
		return "database " + strconv.Itoa(e.DB) + " was emptied"
	case event.SwapDB:
		return "databases " + arg(0) + " and " + arg(1) + " were swapped"
	case event.Publish, event.SPublish:
		return arg(0) + ": " + arg(1)
	case event.Resync:
		return "a full resync took place"
	case event.Gap:
		return "changes were missed"
	}
	return shownValue(e.Name)
}

// ending says how a key went.
func ending(e *event.Event) string {
	switch {
	case e.Name == "expired" || e.Cause == event.CauseExpired:
		return "expired"
	case e.Name == "evicted":
		return "evicted"
	case e.Name == "rename_from":
		return "renamed"
	case e.Name == "move_from":
		return "moved away"
	}
	return "deleted"
}

func was(b event.Value) string {
	if b == nil {
		return ""
	}
	return ", was " + valueText(b)
}

// valueText shows a value.
func valueText(v event.Value) string {
	switch v.Type() {
	case "none":
		return "nothing"
	case "string":
		return text(v)
	case "stream":
		return size(v)
	}
	if v.Len() == 0 {
		return size(v)
	}
	elements := slices.Collect(v.All())
	if t := v.Type(); t == "set" || t == "hash" { // which have no order of their own
		slices.SortFunc(elements, func(a, b event.Element) int { return strings.Compare(a.Name, b.Name) })
	}
	var all []string
	for _, e := range elements[:min(len(elements), maxElements)] {
		all = append(all, elementText(v.Type(), &e))
	}
	if more := v.Len() - len(all); more > 0 {
		all = append(all, "+"+strconv.Itoa(more)+" more")
	}
	return strings.Join(all, ", ")
}

// text shows a string, which may be cut within a character.
func text(v event.Value) string {
	b := v.Bytes()
	if v.Truncated() && len(b) <= maxValue*utf8.UTFMax {
		return shown(b) + "…"
	}
	return shownValue(b)
}

func elementText(typ string, e *event.Element) string {
	switch typ {
	case "hash":
		return shownValue(e.Name) + ": " + shownValue(e.Value)
	case "zset":
		return shownValue(e.Name) + " " + score(e.Score)
	}
	return shownValue(e.Name)
}

func score(f float64) string { return string(event.AppendScore(nil, f)) }

// size says how large a value is.
func size(v event.Value) string {
	switch v.Type() {
	case "string":
		return count(v.Len(), "byte")
	case "hash":
		return count(v.Len(), "field")
	case "stream":
		if v.Len() == 1 {
			return "1 entry"
		}
		return strconv.Itoa(v.Len()) + " entries"
	case "list":
		return count(v.Len(), "item")
	}
	return count(v.Len(), "member")
}

// difference says what differs between two values of the same type; nil if
// nothing does, as far as they are there.
func difference(e *event.Event, b, a event.Value) []string {
	switch a.Type() {
	case "string":
		return stringDifference(b, a)
	case "hash", "zset":
		return fieldDifference(e, b, a)
	}
	return memberDifference(b, a)
}

// stringDifference shows both strings. Of long ones the place is shown where they
// begin to differ.
func stringDifference(b, a event.Value) []string {
	x, y := b.Bytes(), a.Bytes()
	if string(x) == string(y) {
		return nil
	}
	from := 0
	for from < len(x) && from < len(y) && x[from] == y[from] {
		from++
	}
	if from < maxValue/2 {
		return []string{text(b) + " → " + text(a)}
	}
	from = max(from-maxValue/4, 0)
	for from > 0 && from < len(x) && from < len(y) && (!utf8.RuneStart(x[from]) || !utf8.RuneStart(y[from])) {
		from--
	}
	return []string{"…" + shownValue(x[min(from, len(x)):]) + " → …" + shownValue(y[min(from, len(y)):])}
}

// fieldDifference says which fields of a hash, or members of a sorted set, have
// another value: those that the command named first.
func fieldDifference(e *event.Event, b, a event.Value) []string {
	x, y := fields(b), fields(a)
	var names []string
	seen := map[string]bool{}
	note := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, name := range e.Changed {
		note(string(name))
	}
	named := len(names)
	for name := range x {
		note(name)
	}
	for name := range y {
		note(name)
	}
	slices.Sort(names[named:])
	var lines []string
	more := 0
	for _, name := range names {
		line := fieldLine(a.Type(), name, x, y, b.Truncated(), a.Truncated())
		switch {
		case line == "":
		case len(lines) == maxElements:
			more++
		default:
			lines = append(lines, line)
		}
	}
	if more > 0 {
		lines = append(lines, "+"+strconv.Itoa(more)+" more")
	}
	return lines
}

// fields are the fields of a hash, or the scores of a sorted set, as text.
func fields(v event.Value) map[string]string {
	m := make(map[string]string, v.Len())
	for e := range v.All() {
		if v.Type() == "zset" {
			e.Value = score(e.Score)
		}
		m[e.Name] = e.Value
	}
	return m
}

// fieldLine says what became of one field; "" if nothing did, or if a value that
// was cut cannot tell.
func fieldLine(typ, name string, before, after map[string]string, beforeCut, afterCut bool) string {
	b, had := before[name]
	a, has := after[name]
	between := ": "
	if typ == "zset" {
		between = " "
	}
	switch {
	case had && has && b != a:
		return shownValue(name) + between + shownValue(b) + " → " + shownValue(a)
	case has && !had && !beforeCut:
		return "+" + shownValue(name) + between + shownValue(a)
	case had && !has && !afterCut:
		return "−" + shownValue(name) + between + shownValue(b)
	}
	return ""
}

// memberDifference says, on one line, which members of a set, items of a list or
// entries of a stream came and went.
func memberDifference(b, a event.Value) []string {
	left := map[string]int{}
	for e := range a.All() {
		left[e.Name]++
	}
	var gone, come []string
	for e := range b.All() {
		if left[e.Name] > 0 {
			left[e.Name]--
		} else if !a.Truncated() {
			gone = append(gone, e.Name)
		}
	}
	if !b.Truncated() {
		for e := range a.All() {
			if left[e.Name] > 0 {
				left[e.Name]--
				come = append(come, memberText(a.Type(), &e))
			}
		}
	}
	if a.Type() == "set" {
		slices.Sort(come)
		slices.Sort(gone)
	}
	var all []string
	for _, text := range come[:min(len(come), maxElements)] {
		all = append(all, "+"+text)
	}
	for _, name := range gone[:min(len(gone), maxElements-len(all))] {
		all = append(all, "−"+shownValue(name))
	}
	if more := len(come) + len(gone) - len(all); more > 0 {
		all = append(all, "+"+strconv.Itoa(more)+" more")
	}
	sizes := strconv.Itoa(b.Len()) + " → " + strconv.Itoa(a.Len())
	switch {
	case len(all) > 0:
		return []string{strings.Join(all, " ") + " (" + sizes + ")"}
	case b.Len() != a.Len():
		return []string{sizes + " " + plural(a)}
	case a.Type() == "list" && !sameOrder(b, a):
		return []string{"in another order: " + valueText(a)}
	}
	return nil
}

// memberText shows what came: of a stream's entry its fields too.
func memberText(typ string, e *event.Element) string {
	if typ != "stream" {
		return shownValue(e.Name)
	}
	text := shownValue(e.Name)
	for i := 0; i+1 < len(e.Fields) && i < 2*maxElements; i += 2 {
		text += " " + shownValue(e.Fields[i]) + "=" + shownValue(e.Fields[i+1])
	}
	return text
}

func plural(v event.Value) string {
	_, what, _ := strings.Cut(size(v), " ")
	if v.Len() != 1 {
		return what
	}
	if v.Type() == "stream" {
		return "entries"
	}
	return what + "s"
}

// sameOrder reports whether two lists have the same items in the same order.
func sameOrder(b, a event.Value) bool {
	if b.Truncated() || a.Truncated() {
		return true // as far as they are there, nobody knows
	}
	for i := range b.Len() {
		x, _ := b.At(i)
		y, _ := a.At(i)
		if x.Name != y.Name {
			return false
		}
	}
	return true
}
