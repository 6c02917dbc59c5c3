// Package rules turns a rules file into an immutable Set, and tells which of
// its rules match an event.
package rules
