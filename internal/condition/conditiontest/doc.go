// Package conditiontest makes random conditions and events for tests of what
// evaluates conditions, and of what finds the rules that they are of.
package conditiontest
