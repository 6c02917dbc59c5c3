// Package doctor tells what a server's settings mean for triggers: how long
// triggerd may be away before changes are lost, what makes the server drop it,
// which events are not what they seem. It only asks, and changes nothing.
//
// A Report has one Finding for each thing that was looked at. A finding's figure
// is the number that decides, its fix the command that mends it. What the user
// may not look at is Unknown, which is no fault.
//
// The thresholds come from what was measured on Redis 7.0 and 8.6 and Valkey
// 9.1: a failover takes some seconds, a snapshot stops a server for 25 to 30 ms
// a GB.
package doctor
