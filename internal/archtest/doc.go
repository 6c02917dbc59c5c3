// Package archtest holds the rule of who may import whom as a test. The rule
// and its reasons are in docs/ARCHITECTURE.md; change both together, and not to
// mend a build.
package archtest
