//go:build race

package store_test

// raceDivisor makes tests smaller under the race detector, with which the
// engine also checks its own invariants at every step: a power cut takes
// thirty times as long.
const raceDivisor = 10
