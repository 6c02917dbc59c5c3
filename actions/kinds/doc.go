// Package kinds is the list of the kinds of actions. Whoever asks for kinds asks
// this list: the engine makes actions from it, the rules file is checked with it,
// its schema and docs are made from it. A kind that is not in it is not in
// triggerd.
package kinds
