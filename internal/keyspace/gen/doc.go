// Command gen writes the command table of internal/keyspace, table.go.
//
// Its input is what the servers say about their own commands, one file for
// each server in this directory. A test of the package holds these files
// against the running servers and rewrites them on demand:
//
//	go test ./internal/keyspace -run TestDumps -update
//	go generate ./internal/keyspace
//
// A file holds one line for each command and subcommand: flags, ACL
// categories, the place of its keys, and its key specifications (Redis 7.0 and
// later). Where servers disagree the later one in the list of table.go wins;
// flags and categories are joined.
package main
