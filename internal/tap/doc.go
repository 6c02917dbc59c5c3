// Package tap hands what happens in a daemon to those who watch it. What was
// last said is kept in a ring, and each Reader goes through it at its own pace.
// A reader that is too slow misses entries, and is told how many; it never makes
// a producer wait.
//
// Producers look at Level first. While nobody watches that is all they do:
//
//	if f.Level() >= tap.Watched {
//		f.Add(admin.FeedEntry{Kind: "match", Rule: name})
//	}
package tap
