// Package exec is the kind of action that runs a program, without a shell. Its
// fields are those of Kind; command says what a program gets and how it ends.
package exec
