package layout

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
)

// A blobWriter receives a blob in a temporary file.
type blobWriter struct {
	store *Store
	repo  string
	file  *os.File
	temp  string // "" when it was renamed or removed
}

// Write implements [io.Writer].
func (w *blobWriter) Write(p []byte) (int, error) { return w.file.Write(p) }

// ReadAt implements [io.ReaderAt].
func (w *blobWriter) ReadAt(p []byte, off int64) (int, error) { return w.file.ReadAt(p, off) }

// ReadFrom implements [io.ReaderFrom]. What was read before an error stays
// written.
func (w *blobWriter) ReadFrom(r io.Reader) (int64, error) {
	return w.store.disk.copy(w.file, r)
}

// Commit implements [registry.BlobWriter].
func (w *blobWriter) Commit(_ context.Context, d digest.Digest) error {
	if w.temp == "" {
		return fmt.Errorf("blob upload to repository %s: %w", w.repo, fs.ErrClosed)
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	l, err := w.store.forWriting(w.repo)
	if err != nil {
		return err
	}
	if err := l.putBlob(w.repo, d, w.temp); err != nil {
		return err
	}
	w.temp = ""
	return nil
}

// Close implements [io.Closer].
func (w *blobWriter) Close() error {
	w.file.Close()
	if w.temp == "" {
		return nil
	}
	err := w.store.disk.remove(w.temp)
	w.temp = ""
	return err
}
