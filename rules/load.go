package rules

import "errors"

// Load reads a rules file and all that it includes.
func Load(path string, o Options) (*Set, error) { return nil, errNotYet }

// Parse reads a rules file from memory.
func Parse(name string, src []byte, o Options) (*Set, error) { return nil, errNotYet }

// Build makes a Set of a document that was never a file.
func Build(doc map[string]any, o Options) (*Set, error) { return nil, errNotYet }

var errNotYet = errors.New("rules: loading is not written yet")
