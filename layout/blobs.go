package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/ocireg/registry/internal/names"
	"github.com/opencontainers/go-digest"
)

// blobFile returns the name of the file for a blob; the file need not exist. All
// repositories of a layout share the blobs. If the digest is the digest of a
// manifest, the error says that the blob is missing, unless this store received
// the same bytes as a blob too.
func (l *imageLayout) blobFile(repo string, d digest.Digest) (string, error) {
	name := blobPath(d)
	if name == "" || l.isOnlyManifest(d) {
		return "", names.Missing(repo, "blob", string(d))
	}
	return l.path(name), nil
}

// isOnlyManifest reports whether the layout has a manifest with the digest and
// this store did not receive a blob with the digest. It does not check
// index.json for changes, because that would cost one more stat for each blob.
func (l *imageLayout) isOnlyManifest(d digest.Digest) bool {
	l.mu.RLock()
	_, pushed := l.pushed[d]
	l.mu.RUnlock()
	if pushed {
		return false
	}
	x := l.cur.Load()
	if x == nil {
		var err error
		if x, err = l.index(); err != nil {
			return false
		}
	}
	return l.isManifest(x, d)
}

// statBlob returns the size of a blob. See [registry.Store.StatBlob].
func (l *imageLayout) statBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	name, err := l.blobFile(repo, d)
	if err != nil {
		return 0, err
	}
	if known := l.verified(d); l.disk.unchanged(name, known) {
		return known.Size(), nil
	}
	f, err := l.openVerified(ctx, d, name)
	if err != nil {
		return 0, blobError(repo, d, err)
	}
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}

// findBlob returns the info of the file of a blob without verifying the content.
func (l *imageLayout) findBlob(repo string, d digest.Digest) (fs.FileInfo, error) {
	name, err := l.blobFile(repo, d)
	if err != nil {
		return nil, err
	}
	info, err := l.disk.statRegular(name)
	if err != nil {
		return nil, blobError(repo, d, err)
	}
	return info, nil
}

func blobError(repo string, d digest.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, new(damagedError)) {
		return names.Missing(repo, "blob", string(d))
	}
	return fmt.Errorf("blob %s in repository %s: %w", d, repo, err)
}

// openBlob opens a blob for reading. See [registry.Store.OpenBlob].
func (l *imageLayout) openBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	name, err := l.blobFile(repo, d)
	if err != nil {
		return nil, err
	}
	f, err := l.openVerified(ctx, d, name)
	if err != nil {
		return nil, blobError(repo, d, err)
	}
	return f, nil
}

// putBlob adds a blob to the layout by renaming a temporary file that holds the
// content of the blob.
func (l *imageLayout) putBlob(ctx context.Context, d digest.Digest, temp string) error {
	if blobPath(d) == "" {
		return fmt.Errorf("blob %s: %w", d, digest.ErrDigestUnsupported)
	}
	return l.addBlob(ctx, d, func() error { return l.placeBlob(d, temp) })
}

// placeBlob is like place, but with the option [Sync] it first writes the
// temporary file through to the disk.
func (l *imageLayout) placeBlob(d digest.Digest, temp string) error {
	if err := l.disk.temps.sync(temp); err != nil {
		return err
	}
	return l.place(d, temp)
}

// place renames a temporary file to the file of the blob or manifest. The caller
// has checked that the content of the temporary file has the digest. The store does
// not verify it again if later changes to the file can be detected.
func (l *imageLayout) place(d digest.Digest, temp string) error {
	info, settled, err := l.disk.temps.settle(temp)
	if err != nil {
		return err
	}
	if err := l.disk.temps.rename(temp, l.path(blobPath(d))); err != nil {
		return err
	}
	if settled {
		l.mu.Lock()
		l.verdicts[d] = verdict{file: info}
		l.mu.Unlock()
	}
	return nil
}

// addBlob calls the function place, which creates or finds the file of the blob.
// If place succeeds, addBlob records in l.pushed that this store has the blob. It
// creates the layout first if necessary.
func (l *imageLayout) addBlob(ctx context.Context, d digest.Digest, place func() error) error {
	if err := l.exist(ctx); err != nil {
		return err
	}
	l.blobs.Lock()
	defer l.blobs.Unlock()
	if err := place(); err != nil {
		return err
	}
	l.mu.Lock()
	l.pushed[d] = struct{}{}
	l.mu.Unlock()
	return nil
}

// exist creates the layout, unless the directory is already a layout.
func (l *imageLayout) exist(ctx context.Context) error {
	if l.unchanged() != nil {
		return nil
	}
	if _, err := l.disk.stat(l.path(markerFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.write(ctx, func(*draft) (func() error, error) { return nil, nil })
}

// deleteBlob deletes a blob from the layout. See [registry.Store.DeleteBlob].
func (l *imageLayout) deleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return l.write(ctx, func(dr *draft) (func() error, error) {
		if _, err := l.findBlob(repo, d); err != nil {
			return nil, err
		}
		return func() error {
			l.blobs.Lock()
			defer l.blobs.Unlock()
			if l.isManifest(dr.index, d) {
				l.mu.Lock()
				defer l.mu.Unlock()
				if _, ok := l.pushed[d]; !ok {
					return names.Missing(repo, "blob", string(d))
				}
				delete(l.pushed, d)
				return nil
			}
			if err := l.checkUnused(ctx, dr.index, repo, d); err != nil {
				return err
			}
			return l.removeFile(d)
		}, nil
	})
}

// checkUnused returns an error if another repository of the layout needs the
// file of the blob or manifest, because it has the manifest or a manifest that
// names the digest.
func (l *imageLayout) checkUnused(ctx context.Context, x *index, repo string, d digest.Digest) error {
	other, err := l.usedBy(context.WithoutCancel(ctx), x, repo, d)
	if err != nil || other == "" {
		return err
	}
	return fmt.Errorf("%s cannot be deleted from %s: repository %s, which shares the layout, needs it: %w",
		d, repo, other, errors.ErrUnsupported)
}

// removeFile removes the file of a blob or manifest. The caller holds l.blobs.
func (l *imageLayout) removeFile(d digest.Digest) error {
	l.mu.Lock()
	delete(l.verdicts, d)
	delete(l.pushed, d)
	l.mu.Unlock()
	name := l.path(blobPath(d))
	if err := l.disk.remove(name); err != nil {
		return err
	}
	return l.disk.temps.syncDir(path.Dir(name))
}

// mountBlob mounts a blob between two repositories of the layout, which share
// the file. See [registry.Store.MountBlob].
func (l *imageLayout) mountBlob(ctx context.Context, repo string, d digest.Digest) error {
	// Verify the blob before calling addBlob, because addBlob keeps other writes
	// waiting.
	if _, err := l.statBlob(ctx, repo, d); err != nil {
		return err
	}
	return l.addBlob(ctx, d, func() error {
		_, err := l.findBlob(repo, d)
		return err
	})
}

// linkBlob mounts a blob from another layout by a hard link to its file, or by a
// copy where the file system cannot link it. See [registry.Store.MountBlob].
func (l *imageLayout) linkBlob(ctx context.Context, d digest.Digest, from *imageLayout) error {
	oldname, newname := from.path(blobPath(d)), l.path(blobPath(d))
	return l.addBlob(ctx, d, func() error {
		if info, err := l.disk.root.Lstat(oldname); err == nil && !info.Mode().IsRegular() {
			return l.copyBlob(ctx, d, from) // A hard link to a relative symbolic link would point to another file.
		}
		err := l.disk.root.Link(oldname, newname)
		if errors.Is(err, fs.ErrNotExist) {
			if err := l.disk.mkdirAll(path.Dir(newname)); err != nil {
				return err
			}
			err = l.disk.root.Link(oldname, newname)
		}
		switch {
		case errors.Is(err, fs.ErrExist):
			f, err := l.openVerified(ctx, d, newname)
			if err != nil {
				return l.copyBlob(ctx, d, from) // The file is damaged, or it is a link that cannot be followed.
			}
			return f.Close()
		case errors.Is(err, fs.ErrNotExist):
			return names.Missing(from.name, "blob", string(d))
		case err != nil:
			// The file system may have no hard links, or permit no more links to this
			// file.
			return l.copyBlob(ctx, d, from)
		}
		if err := l.disk.temps.syncDir(path.Dir(newname)); err != nil {
			return err
		}
		from.mu.RLock()
		v, ok := from.verdicts[d]
		from.mu.RUnlock()
		if ok {
			l.mu.Lock()
			l.verdicts[d] = v
			l.mu.Unlock()
		}
		return nil
	})
}

// copyBlob copies the file of a blob from another layout into this layout.
func (l *imageLayout) copyBlob(ctx context.Context, d digest.Digest, from *imageLayout) error {
	src, err := from.openVerified(ctx, d, from.path(blobPath(d)))
	if err != nil {
		return err
	}
	defer src.Close()
	file, temp, err := l.disk.temps.create()
	if err != nil {
		return err
	}
	_, err = l.disk.copy(file, src)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = l.placeBlob(d, temp)
	}
	if err != nil {
		l.disk.remove(temp)
	}
	return err
}

// A blobWriter is a [registry.BlobWriter] that writes a blob to a temporary
// file. Each write closes the file at its end, because a client may begin many
// uploads and leave them idle.
type blobWriter struct {
	store *Store
	repo  string
	file  *os.File // open until the first write, and then nil between calls
	temp  string   // "" once the file is renamed or removed
}

// open opens the temporary file for appending, unless the file is open already.
func (w *blobWriter) open() (err error) {
	if w.file == nil {
		w.file, err = w.store.disk.root.OpenFile(w.temp, os.O_WRONLY|os.O_APPEND|unblocked, 0)
	}
	return err
}

// closeFile closes the temporary file, if it is open.
func (w *blobWriter) closeFile() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// Write implements [io.Writer].
func (w *blobWriter) Write(p []byte) (n int, err error) {
	if err := w.open(); err != nil {
		return 0, err
	}
	n, err = w.file.Write(p)
	if closeErr := w.closeFile(); closeErr != nil {
		return 0, closeErr
	}
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (w *blobWriter) ReadAt(p []byte, off int64) (int, error) {
	f, err := w.store.disk.root.OpenFile(w.temp, os.O_RDONLY|unblocked, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(p, off)
}

// ReadFrom implements [io.ReaderFrom]. If r fails, the temporary file keeps the
// bytes that were read before the error.
func (w *blobWriter) ReadFrom(r io.Reader) (n int64, err error) {
	if err := w.open(); err != nil {
		return 0, err
	}
	n, err = w.store.disk.copy(w.file, r)
	if closeErr := w.closeFile(); closeErr != nil {
		return 0, closeErr
	}
	return n, err
}

// Commit implements [registry.BlobWriter].
func (w *blobWriter) Commit(ctx context.Context, d digest.Digest) error {
	if w.temp == "" {
		return fmt.Errorf("blob upload to repository %s: %w", w.repo, fs.ErrClosed)
	}
	if err := w.closeFile(); err != nil {
		return err
	}
	return w.store.change(w.repo, func(l *imageLayout) error {
		if err := l.putBlob(ctx, d, w.temp); err != nil {
			return err
		}
		w.temp = ""
		return nil
	})
}

// Close implements [io.Closer].
func (w *blobWriter) Close() error {
	w.closeFile()
	if w.temp == "" {
		return nil
	}
	err := w.store.disk.remove(w.temp)
	w.temp = ""
	return err
}
