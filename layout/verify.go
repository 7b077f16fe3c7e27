package layout

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// A damagedError is the error for a blob whose file does not have its digest. The
// blob counts as missing: a client that checks for the blob then pushes it, which
// repairs the file. The text of the error names the file.
type damagedError struct{ forClient *registry.Error }

func newDamagedError(name string, d, got digest.Digest) damagedError {
	e := registry.Errorf(registry.CodeBlobUnknown, "%s is damaged: its content has the digest %s", name, got)
	e.Detail = map[string]string{"digest": string(d)}
	return damagedError{e}
}

// Error returns the text of the error for the client.
func (e damagedError) Error() string { return e.forClient.Error() }

// Is makes the error match [fs.ErrNotExist].
func (e damagedError) Is(target error) bool { return target == fs.ErrNotExist }

// Unwrap returns the error for the client.
func (e damagedError) Unwrap() error { return e.forClient }

// A verdict is the result of verifying the content of a file.
type verdict struct {
	file fs.FileInfo
	err  error
}

// hasVerdict reports whether the content of a blob had the digest when the store
// last verified or received it.
func (l *imageLayout) hasVerdict(d digest.Digest) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	v := l.verdicts[d]
	return v.file != nil && v.err == nil
}

// verified returns the info that the file of a blob or manifest had when its
// content was last verified. It returns nil if the store must verify the content
// again.
func (l *imageLayout) verified(d digest.Digest) fs.FileInfo {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if v := l.verdicts[d]; v.err == nil && !l.disk.verify {
		return v.file
	}
	return nil
}

// openVerified opens the file of a blob. It verifies the content, unless the
// file is unchanged since the last verification.
func (l *imageLayout) openVerified(ctx context.Context, d digest.Digest, name string) (io.ReadSeekCloser, error) {
	known := l.verified(d)
	file, info, err := l.disk.openKnown(name, known)
	if err != nil {
		return nil, err
	}
	f, ok := file.(io.ReadSeekCloser)
	if !ok {
		f = &seeker{file: file, size: info.Size(), open: func() (fs.File, error) { return l.disk.FS.Open(name) }}
	}
	if !sameFile(known, info) {
		if err := l.verify(ctx, d, name, f, info); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// verify returns an error unless the content of the file f has the digest. It
// leaves f at its beginning. If several callers verify the same blob at once,
// one reads the file and the others wait for the result.
func (l *imageLayout) verify(ctx context.Context, d digest.Digest, name string, f io.ReadSeeker, info fs.FileInfo) error {
	for {
		l.mu.Lock()
		v, busy := l.verdicts[d], l.verifying[d]
		if sameFile(v.file, info) && !l.disk.verify {
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
		v.err = newDamagedError(name, d, got)
	}
	if settled(info, now) {
		l.verdicts[d] = v
	}
	return v.err
}
