package store

import "github.com/cockroachdb/pebble/v2/vfs"

// OpenInMemory returns a store that is gone when the process ends.
func OpenInMemory() (*Store, error) {
	return Options{FS: vfs.NewMem(), Retention: -1, MaxSettled: 1}.Open("memory")
}
