package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
)

// hasBlob reports whether a blob belongs to the repository, if its file is
// there.
func (l *imageLayout) hasBlob(ctx context.Context, repo string, d digest.Digest) (bool, error) {
	has, known, claimed := l.noted(repo, d)
	if known || l.tree {
		return has || !known, nil
	}
	x, err := l.index()
	if err != nil {
		return false, err
	}
	own, _ := x.repos.Get(repo)
	others := x.repos.Len()
	if own != nil {
		others--
	}
	if others == 0 && !claimed {
		return true, nil
	}
	if own != nil {
		if yes, err := own.reaches(ctx, d); yes || err != nil {
			return yes, err
		}
	}
	if claimed {
		return false, nil
	}
	// What nothing leads to may be of an upload that was interrupted, to any
	// repository.
	elsewhere, err := l.reachedElsewhere(ctx, x, repo, d)
	return !elsewhere, err
}

// noted returns what this process knows by itself: whether the repository has
// the blob, and whether any other has.
func (l *imageLayout) noted(repo string, d digest.Digest) (has, known, elsewhere bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if n := l.notes[repo]; n != nil {
		has, known = n.blobs[d]
	}
	if !l.tree {
		for name, n := range l.notes {
			elsewhere = elsewhere || name != repo && n.blobs[d]
		}
	}
	return has, known, elsewhere
}

// blobFile returns the name of the file of a blob that belongs to the
// repository, if that file is there.
func (l *imageLayout) blobFile(ctx context.Context, repo string, d digest.Digest) (string, error) {
	name := blobPath(d)
	if name == "" {
		return "", missing(repo, "blob", string(d))
	}
	has, err := l.hasBlob(ctx, repo, d)
	if err == nil && !has {
		err = missing(repo, "blob", string(d))
	}
	return l.path(name), err
}

// statBlob implements [registry.Store.StatBlob].
func (l *imageLayout) statBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	name, err := l.blobFile(ctx, repo, d)
	if err != nil {
		return 0, err
	}
	info, err := l.disk.statRegular(name)
	if err != nil {
		return 0, blobError(repo, d, err)
	}
	return info.Size(), nil
}

func blobError(repo string, d digest.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return missing(repo, "blob", string(d))
	}
	return fmt.Errorf("blob %s in repository %s: %w", d, repo, err)
}

// openBlob implements [registry.Store.OpenBlob].
func (l *imageLayout) openBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	name, err := l.blobFile(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	f, err := l.openVerified(ctx, d, name)
	if err != nil {
		return nil, blobError(repo, d, err)
	}
	return f, nil
}

// A verdict says whether the content of a blob's file is what the digest says.
type verdict struct {
	file fs.FileInfo
	err  error
}

// openVerified opens the file of a blob, once it is known that its content is
// what the digest says.
func (l *imageLayout) openVerified(ctx context.Context, d digest.Digest, name string) (io.ReadSeekCloser, error) {
	l.mu.RLock()
	v := l.verdicts[d]
	l.mu.RUnlock()
	file, info, err := l.disk.open(name)
	if err != nil {
		return nil, err
	}
	f, ok := file.(io.ReadSeekCloser)
	if !ok {
		f = &seeker{file: file, size: info.Size(), open: func() (fs.File, error) { return l.disk.FS.Open(name) }}
	}
	if v.err != nil || !sameFile(v.file, info) {
		if err := l.verify(ctx, d, name, f, info); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// verify returns an error unless the content of a file is what the digest
// says. It leaves the file at its beginning. Of several that open the same
// file, one reads it and the others wait.
func (l *imageLayout) verify(ctx context.Context, d digest.Digest, name string, f io.ReadSeeker, info fs.FileInfo) error {
	for {
		l.mu.Lock()
		v, busy := l.verdicts[d], l.verifying[d]
		if sameFile(v.file, info) {
			l.mu.Unlock()
			return v.err
		}
		if busy == nil {
			l.verifying[d] = make(chan struct{})
			l.mu.Unlock()
			break
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	now := time.Now()
	got, err := l.disk.digest(ctx, d.Algorithm(), f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.verifying[d])
	delete(l.verifying, d)
	if err != nil {
		return fmt.Errorf("verifying %s: %w", name, err)
	}
	v := verdict{file: info}
	if got != d {
		v.err = fmt.Errorf("%s is damaged: its content has the digest %s", name, got)
	}
	if settled(info, now) {
		l.verdicts[d] = v
	}
	return v.err
}

// putBlob makes a temporary file a blob of the repository.
func (l *imageLayout) putBlob(repo string, d digest.Digest, temp string) error {
	if blobPath(d) == "" {
		return fmt.Errorf("blob %s: %w", d, digest.ErrDigestUnsupported)
	}
	return l.addBlob(repo, d, func() error { return l.placeBlob(d, temp) })
}

// placeBlob renames a temporary file, whose content is known to be what the
// digest says, to where the layout keeps it.
func (l *imageLayout) placeBlob(d digest.Digest, temp string) error {
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

// addBlob calls place, which puts the file of a blob where it belongs, and
// makes it one of the repository.
func (l *imageLayout) addBlob(repo string, d digest.Digest, place func() error) error {
	if err := l.exist(); err != nil {
		return err
	}
	l.blobs.Lock()
	defer l.blobs.Unlock()
	if err := place(); err != nil {
		return err
	}
	l.note(repo, func(n *note) { n.blobs[d] = true })
	return nil
}

// exist makes the directory a layout, if it is none.
func (l *imageLayout) exist() error {
	if _, err := l.disk.stat(l.path(markerFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.write(func(*draft) (func() error, error) { return nil, nil })
}

// deleteBlob implements [registry.Store.DeleteBlob].
func (l *imageLayout) deleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return l.write(func(dr *draft) (func() error, error) {
		if _, err := l.statBlob(ctx, repo, d); err != nil {
			return nil, err
		}
		if pushed, _, _ := l.noted(repo, d); !pushed && l.there(dr.index, repo, d) {
			return nil, missing(repo, "blob", string(d))
		}
		return func() error {
			l.blobs.Lock()
			defer l.blobs.Unlock()
			_, _, needed := l.noted(repo, d)
			if needed = needed || l.there(dr.index, repo, d); !needed {
				var err error
				if needed, err = l.reachedElsewhere(context.WithoutCancel(ctx), dr.index, repo, d); err != nil {
					return err
				}
			}
			if needed {
				l.note(repo, func(n *note) { n.blobs[d] = false })
				return nil
			}
			return l.removeBlob(d)
		}, nil
	})
}

// removeBlob removes the file of a blob that belongs to no repository any
// more. The caller holds l.blobs.
func (l *imageLayout) removeBlob(d digest.Digest) error {
	l.mu.Lock()
	delete(l.verdicts, d)
	for _, n := range l.notes {
		delete(n.blobs, d)
	}
	l.mu.Unlock()
	return l.disk.remove(l.path(blobPath(d)))
}

// mountBlob implements [registry.Store.MountBlob] between two repositories of
// one layout, which have the blob's file in common.
func (l *imageLayout) mountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	return l.addBlob(repo, d, func() error {
		if from != "" {
			_, err := l.statBlob(ctx, from, d)
			return err
		}
		_, err := l.disk.stat(l.path(blobPath(d)))
		return err
	})
}

// linkBlob implements [registry.Store.MountBlob] between two layouts.
func (l *imageLayout) linkBlob(ctx context.Context, repo string, d digest.Digest, from *imageLayout) error {
	oldname, newname := from.path(blobPath(d)), l.path(blobPath(d))
	return l.addBlob(repo, d, func() error {
		err := l.disk.link(oldname, newname)
		if errors.Is(err, fs.ErrNotExist) {
			if err := l.disk.root.MkdirAll(path.Dir(newname), 0o755); err != nil {
				return err
			}
			err = l.disk.link(oldname, newname)
		}
		switch {
		case errors.Is(err, fs.ErrExist):
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return missing(from.name, "blob", string(d))
		case err != nil:
			// It may be that this file system has no links, or no more for
			// this file.
			return l.copyBlob(ctx, d, from)
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

// copyBlob copies the file of a blob from another layout.
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
