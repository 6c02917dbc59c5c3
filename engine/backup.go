package engine

import (
	"archive/tar"
	"io"
	"time"
)

// Backup implements admin.Daemon.
func (e *Engine) Backup(w io.Writer) error {
	out, now := tar.NewWriter(w), time.Now()
	err := e.store.Backup(func(name string, size int64, content io.Reader) error {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, ModTime: now}); err != nil {
			return err
		}
		_, err := io.CopyN(out, content, size)
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}
