// Package examples carries the example rules inside the program, for
// `triggerd demo`.
package examples

import _ "embed"

// Rules is examples/rules.toml.
//
//go:embed rules.toml
var Rules []byte
