// Package suggest finds the name that somebody meant who wrote another one.
//
//	suggest.DidYouMean("comand", slices.Values(names)) // did you mean "command"?
//
// A name is near if few letters have to be inserted, deleted, replaced or
// swapped, up to a third of what was written, or if one of the two begins with
// the other. Upper and lower case are the same letters. What is longer than 64
// bytes is no slip of anybody's, and costs nothing.
package suggest
