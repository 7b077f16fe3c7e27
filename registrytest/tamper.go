package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Tampering is a change of stored content that the registry does not know of:
// [Dropped], [Replaced], [Truncated] or [BitFlipped]. The zero Tampering is none of
// them, and fails the test.
type Tampering struct {
	drop    bool
	replace *[]byte
	size    int64 // the number of bytes to keep, or -1 for all
	flip    int64 // the index of the byte whose bit is flipped, or -1 for none
}

// Dropped removes the content. Tags and manifests still name it.
func Dropped() Tampering { return Tampering{drop: true, size: -1, flip: -1} }

// Replaced puts other content in the place of the stored content, under the same
// digest.
func Replaced(content []byte) Tampering { return Tampering{replace: &content, size: -1, flip: -1} }

// Truncated leaves the first n bytes of the content.
func Truncated(n int64) Tampering { return Tampering{size: n, flip: -1} }

// BitFlipped changes the lowest bit of byte n, counted from 0.
func BitFlipped(n int64) Tampering { return Tampering{size: -1, flip: n} }

// check returns an error if content of this size has no byte that the tampering
// would change, or if no function made the tampering.
func (tp Tampering) check(size int64) error {
	if tp == (Tampering{}) {
		return errors.New("the Tampering is empty; make it with Dropped, Replaced, Truncated or BitFlipped")
	}
	if n := max(tp.size, tp.flip); n >= size {
		return fmt.Errorf("it has %d bytes, so no byte %d", size, n)
	}
	return nil
}

// open returns the content with the tampering applied. Unless noticed is nil, open
// calls it when a client meets the change: at once or, for a flipped bit, when the
// client reads the byte.
func (tp Tampering) open(content io.ReadSeekCloser, noticed func()) (io.ReadSeekCloser, error) {
	if noticed == nil {
		noticed = func() {}
	}
	if tp.flip < 0 {
		noticed()
	}
	switch {
	case tp.drop:
		content.Close()
		return nil, fs.ErrNotExist
	case tp.replace != nil:
		return replacedContent{bytes.NewReader(*tp.replace), content}, nil
	}
	size, err := content.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil {
		content.Close()
		return nil, err
	}
	if tp.size >= 0 {
		size = min(size, tp.size)
	}
	return &alteredContent{ReadSeekCloser: content, size: size, flip: tp.flip, flipped: noticed}, nil
}

// bytes returns the content with the tampering applied.
func (tp Tampering) bytes(content []byte) ([]byte, error) {
	r, err := tp.open(replacedContent{bytes.NewReader(content), io.NopCloser(nil)}, nil)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// replacedContent reads from memory. Its Close closes the original content.
type replacedContent struct {
	io.ReadSeeker
	io.Closer
}

// alteredContent reads the original content up to a size, and flips one bit.
type alteredContent struct {
	io.ReadSeekCloser
	offset, size int64
	flip         int64
	flipped      func() // called when a client reads the byte with the flipped bit
}

func (c *alteredContent) Read(p []byte) (int, error) {
	if c.offset >= c.size {
		return 0, io.EOF
	}
	n, err := c.ReadSeekCloser.Read(p[:min(int64(len(p)), c.size-c.offset)])
	if i := c.flip - c.offset; 0 <= i && i < int64(n) {
		p[i] ^= 1
		c.flipped()
	}
	c.offset += int64(n)
	return n, err
}

func (c *alteredContent) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset, whence = c.size+offset, io.SeekStart
	}
	offset, err := c.ReadSeekCloser.Seek(offset, whence)
	if err == nil {
		c.offset = offset
	}
	return offset, err
}

// tamperings has the blobs and manifests of a server that are tampered with.
type tamperings struct {
	n  atomic.Int64 // the number of entries in by; while it is 0, a request takes no lock
	mu sync.RWMutex
	by map[contentKey]*tampered
}

// A contentKey names a blob or a manifest.
type contentKey struct {
	repo   string
	digest digest.Digest
}

// tampered is a tampering of one blob or manifest.
type tampered struct {
	Tampering
	noticed atomic.Bool // whether a request has met the change
}

// notice notes that a request has met the change.
func (tp *tampered) notice() { tp.noticed.Store(true) }

// get returns the tampering of the content, and false if there is none.
func (ts *tamperings) get(repo string, d digest.Digest) (*tampered, bool) {
	if ts.n.Load() == 0 {
		return nil, false
	}
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	tp, ok := ts.by[contentKey{repo, d}]
	return tp, ok
}

// dropped reports whether the content was dropped. If so, it notes that a request
// has met the change.
func (ts *tamperings) dropped(repo string, d digest.Digest) bool {
	tp, ok := ts.get(repo, d)
	if !ok || !tp.drop {
		return false
	}
	tp.notice()
	return true
}

func (ts *tamperings) set(repo string, d digest.Digest, tp Tampering) *tampered {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.by == nil {
		ts.by = make(map[contentKey]*tampered)
	}
	t := &tampered{Tampering: tp}
	ts.by[contentKey{repo, d}] = t
	ts.n.Store(int64(len(ts.by)))
	return t
}

func (ts *tamperings) undo(repo string, d digest.Digest) {
	if ts.n.Load() == 0 {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.by, contentKey{repo, d})
	ts.n.Store(int64(len(ts.by)))
}

// Tamper changes a blob or a manifest of a repository as the server's clients
// see it. [Server.State] still has the original. Tamper ends when undo is
// called, when the same content is put again, or when the test t ends.
//
// The test fails if no request met the change. A request meets a flipped bit only if
// it reads that byte, so a HEAD request never does.
func (s *Server) Tamper(t TB, repo string, d digest.Digest, tp Tampering) (undo func()) {
	needTest(t, "Server.Tamper")
	t.Helper()
	s.check(t, "Tamper")
	if operates(s.Store) {
		t.Fatalf("registrytest: cannot tamper with %s of %s: %s passes requests on to another registry; set a fault, such as Corrupt, or tamper with the content of that registry", d, repo, s.Host())
	}
	ctx := context.Background()
	size, err := s.Store.StatBlob(ctx, repo, d)
	if errors.Is(err, fs.ErrNotExist) {
		var desc ocispec.Descriptor
		desc, err = s.Store.StatManifest(ctx, repo, string(d))
		size = desc.Size
	}
	if err == nil {
		err = tp.check(size)
	}
	if err != nil {
		t.Fatalf("registrytest: tampering with %s of %s: %v", d, repo, err)
	}
	set := s.tampered.set(repo, d, tp)
	return until(t, "Tamper", func() error {
		s.tampered.undo(repo, d)
		if !set.noticed.Load() {
			return fmt.Errorf("tampering with %s of %s had no effect: no request met the change", d, repo)
		}
		return nil
	})
}
