// Package log is the kind of action that writes a line to triggerd's log. Its
// fields are those of Kind.
package log
