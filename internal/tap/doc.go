// Package tap hands what happens in a daemon to those who watch it. What was
// last said is kept in a ring, and each Reader goes through it at its own pace.
// A reader that is too slow misses entries, and is told how many; it never makes
// a producer wait.
//
// Producers look at Level first. While nobody watches that is all they do. Then they
// ask whether the entry is worth making; most of what is very frequent is not:
//
//	if f.Level() >= tap.Watched && f.Admits(gate, "match", rule, "", about) {
//		f.Put(admin.FeedEntry{Kind: "match", Rule: rule})
//	}
package tap
