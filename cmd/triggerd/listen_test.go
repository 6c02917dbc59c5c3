package main

import "testing"

// What is an address, and what a pattern of keys, where no scheme says so.
func TestIsAddress(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]bool{
		"127.0.0.1:7000": true, "10.0.0.7:6379": true, "localhost:6380": true, "[::1]:6379": true, "db.example.com:6379": true,
		"redis:6379": true, "cache-1:6379": true, "u:pw@host:1": true, "u:p@host": true, ":pw@10.0.0.7:6379": true,
		"order:7": false, "stock:*": false, "user:1000": false, "session:joe": false, "a@b": false, "order:{id}": false,
		"cart:1.5": false, "host": false, "10.0.0.7": false, "joe@example.com": false, "v1.2:x": false,
	} {
		if got := isAddress(arg); got != want {
			t.Errorf("%s: %v, want %v", arg, got, want)
		}
	}
}
