// Command gen writes the command table of internal/keyspace.
//
// Its input is what the servers say about their own commands, one file for
// each server in this directory. Make or renew such a file from a running
// server, then write the table:
//
//	go run ./internal/keyspace/gen -dump localhost:6379 > internal/keyspace/gen/redis-8.6.json
//	go generate ./internal/keyspace
//
// A dump holds one line for each command and subcommand: arity, flags, ACL
// categories, the place of its keys (COMMAND), and its key specifications
// (COMMAND of Redis 7.0 and later). Where servers disagree the later one in
// the list of main.go wins, and categories are joined.
package main
