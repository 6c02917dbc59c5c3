// Package print is the kind of action that writes a line to standard output, for
// a person or a pipe. Its fields are those of Kind.
package print
