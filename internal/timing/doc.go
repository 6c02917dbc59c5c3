// Package timing is what rules say of time: how many, how often, how long
// nothing, not before, and when.
//
// A Machine is told of each match of a rule with time fields, with the time it
// came and the values that it is counted by, and of time as it passes; it
// answers with what is to fire. It keeps no clock and starts no goroutine, so
// that the same matches at the same times give the same firings, live, in a
// replay and in a test.
package timing
