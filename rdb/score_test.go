package rdb

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestParseScore(t *testing.T) {
	for _, tc := range []struct {
		text string
		want float64
		ok   bool
	}{
		{"0", 0, true},
		{"-0", math.Copysign(0, -1), true},
		{"1.5", 1.5, true},
		{"-3.14159265358979", -3.14159265358979, true},
		{".5", .5, true},
		{"5.", 5, true},
		{"123456789012345", 123456789012345, true},
		{"1e5", 1e5, true},
		{"inf", math.Inf(1), true},
		{"-inf", math.Inf(-1), true},
		{"1e999", math.Inf(1), true},
		{"nan", 0, false},
		{"", 0, false},
		{"-", 0, false},
		{".", 0, false},
		{"1.2.3", 0, false},
		{"1_0", 0, false},
		{"0x_1p0", 0, false},
		{" 1", 0, false},
		{"1 ", 0, false},
		{"--1", 0, false},
	} {
		got, ok := parseScore([]byte(tc.text))
		if ok != tc.ok || ok && (got != tc.want || math.Signbit(got) != math.Signbit(tc.want)) {
			t.Errorf("parseScore(%q) = %v, %v, want %v, %v", tc.text, got, ok, tc.want, tc.ok)
		}
	}
}

func TestParseScoreIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		text := strconv.FormatFloat((rng.Float64()-.5)*math.Pow(10, float64(rng.IntN(16))), 'f', rng.IntN(12), 64)
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseScore([]byte(text)); !ok || got != want {
			t.Fatalf("parseScore(%q) = %v, %v, want %v", text, got, ok, want)
		}
	}
}
