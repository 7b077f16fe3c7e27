package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/registrytest/content"
)

// A Sink receives a manifest or blob that a client pulled. It reads r to the end
// and returns the error of r. It may be called concurrently.
type Sink func(d digest.Digest, r io.Reader) error

// A received compares the content that a client pulls with the expected content,
// byte by byte, and does not keep it.
type received struct {
	mu    sync.Mutex
	want  map[digest.Digest]func() io.Reader
	seen  map[digest.Digest]bool
	wrong []error
}

func expect(c content.Content) *received {
	r := &received{want: map[digest.Digest]func() io.Reader{}, seen: map[digest.Digest]bool{}}
	for m := range c.Manifests() {
		r.want[m.Digest] = func() io.Reader { return bytes.NewReader(m.Manifest) }
	}
	for b := range c.Blobs() {
		r.want[b.Digest] = func() io.Reader { return b.Open() }
	}
	return r
}

func (r *received) take(d digest.Digest, got io.Reader) error {
	want := r.want[d]
	if want == nil {
		r.note(fmt.Errorf("%s was pulled, but the operation does not need it", d))
		_, err := io.Copy(io.Discard, got)
		return err
	}
	same, err := equal(got, want())
	if err != nil {
		return err
	}
	if !same {
		r.note(fmt.Errorf("%s has wrong bytes", d))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[d] = true
	return nil
}

// A comparer is a Writer that compares the bytes written to it with those of want.
type comparer struct {
	want  io.Reader
	wrong bool
}

func (c *comparer) Write(p []byte) (int, error) {
	want := make([]byte, len(p))
	_, err := io.ReadFull(c.want, want)
	c.wrong = c.wrong || err != nil || !bytes.Equal(p, want)
	return len(p), nil
}

// equal reports whether got and want have the same bytes. It reads all of got even
// after a difference, because many clients verify the content only at its end.
func equal(got, want io.Reader) (bool, error) {
	c := &comparer{want: want}
	if _, err := io.Copy(c, got); err != nil {
		return false, err
	}
	rest, err := io.Copy(io.Discard, want)
	return !c.wrong && rest == 0 && err == nil, nil
}

func (r *received) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, err)
}

// err returns an error that lists the content that is wrong or was not pulled.
func (r *received) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := r.wrong
	for d := range r.want {
		if !r.seen[d] {
			errs = append(errs, fmt.Errorf("%s was not pulled", d))
		}
	}
	return errors.Join(errs...)
}
