package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// downloads has the running downloads of blobs, by repository and digest.
type downloads struct {
	mu  sync.Mutex // guards all
	all map[string]*download
}

// A download fetches a blob from the upstream for all its readers. It ends early
// when the last reader leaves.
type download struct {
	key     string
	readers int // guarded by downloads.mu
	cancel  context.CancelFunc
	ended   chan struct{}

	// header is closed when the header of the response has arrived, or when the
	// download has ended without one.
	header chan struct{}
	size   int64 // size of the blob, or -1 if unknown

	mu      sync.RWMutex // guards the fields below
	writer  registry.BlobWriter
	written int64
	sealed  bool          // whether readers must not use the writer any more
	changed chan struct{} // closed when written changes; nil if no reader waits
	done    bool
	err     error
}

// join adds a reader to the download with the key. Without such a download, it
// starts one, which calls run.
func (a *downloads) join(ctx context.Context, key string, run func(context.Context, *download) error) *download {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.all[key]
	if d == nil {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		d = &download{key: key, cancel: cancel, ended: make(chan struct{}), header: make(chan struct{}), size: -1}
		if a.all == nil {
			a.all = make(map[string]*download)
		}
		a.all[key] = d
		go func() {
			defer close(d.ended)
			defer cancel()
			err := run(own, d)
			a.forget(d)
			d.finish(err)
		}()
	}
	d.readers++
	return d
}

func (a *downloads) forget(d *download) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all[d.key] == d {
		delete(a.all, d.key)
	}
}

// leave removes a reader from the download. If it was the last one, leave
// cancels the download and waits for its end.
func (a *downloads) leave(d *download) {
	a.mu.Lock()
	d.readers--
	last := d.readers == 0
	if last && a.all[d.key] == d {
		delete(a.all, d.key) // A later reader must not get the error of this download.
	}
	a.mu.Unlock()
	if last {
		d.cancel()
		<-d.ended
	}
}

// start sets the size from the header of the response, and the writer for the
// blob.
func (d *download) start(size int64, w registry.BlobWriter) {
	d.size, d.writer = size, w
	close(d.header)
}

// finish ends the download with an error or nil. Only the goroutine of the
// download calls start, add and finish.
func (d *download) finish(err error) {
	select {
	case <-d.header:
	default:
		close(d.header)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writer != nil {
		d.writer.Close()
	}
	d.done, d.err = true, err
	d.wake()
}

// wake wakes the waiting readers. The caller holds d.mu.
func (d *download) wake() {
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// add writes bytes that have arrived from the upstream, and wakes the readers.
func (d *download) add(p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.writer.Write(p)
	d.written += int64(n)
	d.wake()
	return err
}

// seal makes readers wait until the writer has committed the blob, instead of
// reading from the writer.
func (d *download) seal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sealed = true
}

// has reports whether the readers may read bytes from the offset on now. The last
// byte of the blob is withheld from them, and so is a blob of unknown size. The
// caller holds d.mu.
func (d *download) has(offset int64) bool {
	return !d.sealed && offset < min(d.written, d.size-1)
}

// begun waits for the header of the response or the end of the download. It returns
// an error if the download has failed.
func (d *download) begun(ctx context.Context) error {
	select {
	case <-d.header:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.err
}

// announced returns the size in the header of the response, or -1. Call it after
// begun.
func (d *download) announced() int64 { return d.size }

// wait waits for the end of the download and returns its error.
func (d *download) wait(ctx context.Context) error {
	select {
	case <-d.ended:
		return d.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read waits until bytes from the offset on have arrived, and reads them, except
// for the last byte of the blob. If done is true, the download has succeeded,
// and the rest of the blob is in the local store.
func (d *download) read(ctx context.Context, p []byte, offset int64) (n int, done bool, err error) {
	for {
		d.mu.RLock()
		if d.done {
			defer d.mu.RUnlock()
			return 0, d.err == nil, d.err
		}
		if d.has(offset) {
			defer d.mu.RUnlock()
			limit := min(d.written, d.size-1)
			n, err := d.writer.ReadAt(p[:min(int64(len(p)), limit-offset)], offset)
			if n > 0 {
				err = nil
			}
			return n, false, err
		}
		d.mu.RUnlock()
		if err := d.waitForMore(ctx, offset); err != nil {
			return 0, false, err
		}
	}
}

// waitForMore waits until bytes from the offset on have arrived or the download
// has ended.
func (d *download) waitForMore(ctx context.Context, offset int64) error {
	d.mu.Lock()
	if d.done || d.has(offset) {
		d.mu.Unlock()
		return nil
	}
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	changed := d.changed
	d.mu.Unlock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stallTime is the time after which a download fails if the upstream sends no
// byte.
const stallTime = time.Minute

// errStalled is the error of a download whose upstream sent no byte for
// stallTime.
var errStalled = fmt.Errorf("the upstream sent nothing for %v", stallTime)

// fetchBlob requests a blob from the upstream, verifies it, and commits it to
// the local store.
func (s *Store) fetchBlob(ctx context.Context, p place, d digest.Digest, to *download) error {
	if !d.Algorithm().Available() {
		return notFound(registry.CodeBlobUnknown, "the digest "+string(d)+" cannot be verified")
	}
	// Another download may have fetched the blob meanwhile.
	if _, err := s.local.StatBlob(ctx, p.local, d); !missing(err) {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := p.upstream.GetBlob(ctx, p.remote, d)
	if err != nil {
		return s.blobFailure(p, d, err)
	}
	defer resp.Body.Close()
	w, err := s.local.CreateBlob(ctx, p.local, resp.ContentLength)
	if err != nil {
		return fmt.Errorf("recording %s: %w", p.blobName(d), err)
	}
	to.start(resp.ContentLength, w)
	if err := s.receive(ctx, cancel, resp, p, d, to); err != nil {
		if errors.Is(err, context.Canceled) {
			return err // All clients have disconnected.
		}
		if err := s.recording.forgetSize(p, d); err != nil {
			return err
		}
		return err
	}
	to.seal()
	if err := w.Commit(ctx, d); err != nil {
		return fmt.Errorf("recording %s: %w", p.blobName(d), err)
	}
	return s.recording.found(p, blobKind, string(d))
}

// receive passes the body of the response to the download, and returns an error
// unless it is the blob with the digest d.
func (s *Store) receive(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response, p place, d digest.Digest, to *download) error {
	stalled := time.AfterFunc(stallTime, func() { cancel(errStalled) })
	defer stalled.Stop()
	hash := d.Algorithm().Hash()
	piece := make([]byte, pieceSize)
	var n int64
	for {
		m, err := resp.Body.Read(piece)
		stalled.Reset(stallTime)
		n += int64(m)
		hash.Write(piece[:m])
		if m > 0 {
			if err := to.add(piece[:m]); err != nil {
				return fmt.Errorf("recording %s: %w", p.blobName(d), err)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
				err = cause
			}
			return failure(fmt.Errorf("after %d bytes: %w", n, err), p.blobName(d))
		}
	}
	if size := resp.ContentLength; size >= 0 && n != size {
		return failure(fmt.Errorf("it sent %d bytes, but announced %d", n, size), p.blobName(d))
	}
	if got := digest.NewDigest(d.Algorithm(), hash); got != d {
		return failure(fmt.Errorf("the %d bytes that it sent have the digest %s", n, got), p.blobName(d))
	}
	return nil
}
