// Package examples carries the example rules inside the program: those of
// `triggerd demo`, and some about time.
package examples

import _ "embed"

// Rules is examples/rules.toml.
//
//go:embed rules.toml
var Rules []byte

// Time is examples/time.toml.
//
//go:embed time.toml
var Time []byte
