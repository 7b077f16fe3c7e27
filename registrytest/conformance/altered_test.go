package conformance

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// An altered store has a function for each method. By default, the functions are
// the methods of the embedded store. An alteration replaces some of them.
type altered struct {
	registry.Store
	done           <-chan struct{} // closed at the end of the test
	repositories   func(ctx context.Context, after string) iter.Seq2[string, error]
	statBlob       func(ctx context.Context, repo string, d digest.Digest) (int64, error)
	openBlob       func(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error)
	createBlob     func(ctx context.Context, repo string, size int64) (registry.BlobWriter, error)
	mountBlob      func(ctx context.Context, repo string, d digest.Digest, from string) error
	deleteBlob     func(ctx context.Context, repo string, d digest.Digest) error
	statManifest   func(ctx context.Context, repo, reference string) (ocispec.Descriptor, error)
	getManifest    func(ctx context.Context, repo, reference string) (registry.Manifest, error)
	putManifest    func(ctx context.Context, repo string, m registry.Manifest, tags []string, check checkFunc) error
	deleteManifest func(ctx context.Context, repo string, d digest.Digest) error
	deleteTag      func(ctx context.Context, repo, tag string) error
	tags           func(ctx context.Context, repo, after string) iter.Seq2[string, error]
	referrers      func(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error]
}

type checkFunc = func(tag string, current digest.Digest) error

// alter returns a store in memory, altered by the function how.
func alter(t *testing.T, how func(a *altered)) *altered {
	s := memstore.New()
	a := &altered{
		Store: s, done: t.Context().Done(), repositories: s.Repositories, statBlob: s.StatBlob, openBlob: s.OpenBlob, createBlob: s.CreateBlob,
		mountBlob: s.MountBlob, deleteBlob: s.DeleteBlob, statManifest: s.StatManifest, getManifest: s.GetManifest,
		putManifest: s.PutManifest, deleteManifest: s.DeleteManifest, deleteTag: s.DeleteTag, tags: s.Tags, referrers: s.Referrers,
	}
	how(a)
	return a
}

func (a *altered) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return a.repositories(ctx, after)
}

func (a *altered) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	return a.statBlob(ctx, repo, d)
}

func (a *altered) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	return a.openBlob(ctx, repo, d)
}

func (a *altered) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	return a.createBlob(ctx, repo, size)
}

func (a *altered) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	return a.mountBlob(ctx, repo, d, from)
}

func (a *altered) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	return a.deleteBlob(ctx, repo, d)
}

func (a *altered) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	return a.statManifest(ctx, repo, reference)
}

func (a *altered) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	return a.getManifest(ctx, repo, reference)
}

func (a *altered) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	return a.putManifest(ctx, repo, m, tags, check)
}

func (a *altered) DeleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return a.deleteManifest(ctx, repo, d)
}

func (a *altered) DeleteTag(ctx context.Context, repo, tag string) error {
	return a.deleteTag(ctx, repo, tag)
}

func (a *altered) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return a.tags(ctx, repo, after)
}

func (a *altered) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return a.referrers(ctx, repo, subject, after)
}

// writers makes the store call alter for each BlobWriter that it returns. The
// function alter replaces functions of the writer.
func (a *altered) writers(alter func(w *alteredWriter)) {
	a.createBlob = func(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
		inner, err := a.Store.CreateBlob(ctx, repo, size)
		w := &alteredWriter{BlobWriter: inner, repo: repo, size: size, ctx: ctx}
		w.write, w.readAt, w.commit, w.close = inner.Write, inner.ReadAt, inner.Commit, inner.Close
		alter(w)
		return w, err
	}
}

type alteredWriter struct {
	registry.BlobWriter
	ctx    context.Context
	repo   string
	size   int64
	all    []byte
	write  func(p []byte) (int, error)
	readAt func(p []byte, off int64) (int, error)
	commit func(ctx context.Context, d digest.Digest) error
	close  func() error
}

func (w *alteredWriter) Write(p []byte) (int, error) {
	w.all = append(w.all, p...)
	return w.write(p)
}

func (w *alteredWriter) ReadAt(p []byte, off int64) (int, error) { return w.readAt(p, off) }

func (w *alteredWriter) Commit(ctx context.Context, d digest.Digest) error { return w.commit(ctx, d) }

func (w *alteredWriter) Close() error { return w.close() }

// A readingWriter is a BlobWriter with a method ReadFrom.
type readingWriter struct {
	registry.BlobWriter
	readFrom func(r io.Reader) (int64, error)
}

func (w *readingWriter) ReadFrom(r io.Reader) (int64, error) { return w.readFrom(r) }

// readFroms makes each BlobWriter of the store have a method ReadFrom, which
// calls readFrom.
func (a *altered) readFroms(readFrom func(w registry.BlobWriter, r io.Reader) (int64, error)) {
	a.createBlob = func(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
		w, err := a.Store.CreateBlob(ctx, repo, size)
		return &readingWriter{w, func(r io.Reader) (int64, error) { return readFrom(w, r) }}, err
	}
}

// readers makes the store call alter for each reader of a blob that it returns.
// The function alter replaces functions of the reader.
func (a *altered) readers(alter func(r *alteredReader)) {
	a.openBlob = func(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
		inner, err := a.Store.OpenBlob(ctx, repo, d)
		if err != nil {
			return nil, err
		}
		r := &alteredReader{ReadSeekCloser: inner, repo: repo, digest: d, read: inner.Read, seek: inner.Seek}
		alter(r)
		return r, nil
	}
}

type alteredReader struct {
	io.ReadSeekCloser
	repo   string
	digest digest.Digest
	read   func(p []byte) (int, error)
	seek   func(offset int64, whence int) (int64, error)
}

func (r *alteredReader) Read(p []byte) (int, error) { return r.read(p) }

func (r *alteredReader) Seek(offset int64, whence int) (int64, error) { return r.seek(offset, whence) }

// put puts a blob in the embedded store.
func (a *altered) put(repo string, content []byte) {
	ctx := context.Background()
	w, _ := a.Store.CreateBlob(ctx, repo, -1)
	w.Write(content)
	w.Commit(ctx, digest.FromBytes(content))
}

// all returns the items of a list, and its error.
func all[T any](list iter.Seq2[T, error]) (items []T, err error) {
	for item, err := range list {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

// yields returns a list that yields the items and then the error, unless it is
// nil.
func yields[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// after returns the items that follow the given one, or all if it is not among
// them.
func after(items []string, item string) []string {
	if i := slices.Index(items, item); i >= 0 {
		return items[i+1:]
	}
	return items
}

var errAltered = errors.New("altered")

// An alteration breaks a store in one way. Each of the named rules must fail for
// the broken store.
type alteration struct {
	name  string
	rules []string
	alter func(a *altered)
}
