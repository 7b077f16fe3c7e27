package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A failingStore fails in every method.
type failingStore struct {
	registry.Store
	err error
}

func (s failingStore) Repositories(context.Context, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", s.err) }
}

func (s failingStore) StatBlob(context.Context, string, digest.Digest) (int64, error) {
	return 0, s.err
}

func (s failingStore) OpenBlob(context.Context, string, digest.Digest) (io.ReadSeekCloser, error) {
	return nil, s.err
}

func (s failingStore) CreateBlob(context.Context, string, int64) (registry.BlobWriter, error) {
	return nil, s.err
}

func (s failingStore) MountBlob(context.Context, string, digest.Digest, string) error { return s.err }

func (s failingStore) DeleteBlob(context.Context, string, digest.Digest) error { return s.err }

func (s failingStore) StatManifest(context.Context, string, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, s.err
}

func (s failingStore) GetManifest(context.Context, string, string) (registry.Manifest, error) {
	return registry.Manifest{}, s.err
}

func (s failingStore) PutManifest(context.Context, string, registry.Manifest, []string, func(string, digest.Digest) error) error {
	return s.err
}

func (s failingStore) DeleteManifest(context.Context, string, digest.Digest) error { return s.err }

func (s failingStore) DeleteTag(context.Context, string, string) error { return s.err }

func (s failingStore) Tags(context.Context, string, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if yield("a", nil) {
			yield("", s.err)
		}
	}
}

func (s failingStore) Referrers(context.Context, string, digest.Digest, digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		if yield(describe(imageType, "a"), nil) {
			yield(ocispec.Descriptor{}, s.err)
		}
	}
}

// Every failure of a store becomes an error with its text, and never a panic.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("the disk is on fire")
	for _, tt := range []struct {
		err    error
		status int
		code   registry.Code
	}{
		{boom, 500, "UNKNOWN"},
		{fmt.Errorf("writing: %w", errors.Join(boom, io.ErrShortWrite)), 500, "UNKNOWN"},
		{fmt.Errorf("the disk is on fire: %w", errors.ErrUnsupported), 405, registry.CodeUnsupported},
		{registry.Errorf(registry.CodeDenied, "the disk is on fire"), 403, registry.CodeDenied},
		{fmt.Errorf("quota: %w", &registry.Error{Code: registry.CodeTooManyRequests, Message: "the disk is on fire", Header: http.Header{"Retry-After": {"7"}}}), 429, registry.CodeTooManyRequests},
		{&registry.Error{Code: registry.CodeDenied, Status: 507, Message: "the disk is on fire"}, 507, registry.CodeDenied},
		{&registry.Error{Code: "UNKNOWN", Message: "the disk is on fire", Detail: func() {}}, 500, "UNKNOWN"},
	} {
		var failed []error
		h := &registryTest{t, registry.New(failingStore{memstore.New(), tt.err}, registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { failed = append(failed, e.Err) }))), nil}
		d := string(sum(""))
		for _, r := range [][2]string{
			{"GET", "/v2/_catalog"}, {"GET", "/v2/app/tags/list"}, {"GET", "/v2/app/referrers/" + d},
			{"GET", "/v2/app/blobs/" + d}, {"DELETE", "/v2/app/blobs/" + d}, {"POST", "/v2/app/blobs/uploads/?mount=" + d}, {"POST", "/v2/app/blobs/uploads/?digest=" + d},
			{"GET", "/v2/app/manifests/v1"}, {"PUT", "/v2/app/manifests/v1"}, {"DELETE", "/v2/app/manifests/v1"}, {"DELETE", "/v2/app/manifests/" + d},
		} {
			a := h.call(r[0], r[1], `{"schemaVersion":2,"manifests":[]}`)
			if tt.err.Error() == "UNKNOWN: the disk is on fire" {
				// The details cannot be encoded.
				require.Contains(t, h.wantError(500, a, "UNKNOWN").Body.String(), "encoding the details of an error")
				continue
			}
			h.wantError(tt.status, a, tt.code)
			require.Contains(t, a.Body.String(), "the disk is on fire", r)
			if tt.status == 429 {
				require.Equal(t, "7", a.Header().Get("Retry-After"))
			}
			if tt.status == 500 {
				require.ErrorIs(t, failed[len(failed)-1], tt.err)
			} else {
				require.NoError(t, failed[len(failed)-1])
			}
		}
		for _, target := range []string{"/v2/app/blobs/" + d, "/v2/app/manifests/v1", "/v2/app/manifests/" + d} {
			require.Zero(t, h.want(tt.status, h.call("HEAD", target, "")).Body.Len())
		}
		location := h.start("app")
		h.want(tt.status, h.call("PATCH", location, "x"))
		h.wantNoUpload(location)
	}
}

// A store may fail when the registry looks up the blobs of a manifest.
func TestStoreFailsWhenAManifestIsChecked(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	m := h.image("app")
	broken := &registryTest{t, registry.New(failingStore{h.store, errors.New("the disk is on fire")}), nil}
	a := broken.want(500, broken.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType))
	require.Contains(t, a.Body.String(), "looking up blob "+string(sum("{}"))+" of app: the disk is on fire")
}

// The registry never calls a store with an empty name.
func TestStoreIsNotAskedForWhatIsNoName(t *testing.T) {
	t.Parallel()
	h := &registryTest{t, registry.New(failingStore{memstore.New(), errors.New("should not be asked")}), nil}
	for _, from := range []string{"..%2Fx", "A", "a/", "%00"} {
		h.want(202, h.call("POST", "/v2/app/blobs/uploads/?mount="+string(sum("x"))+"&from="+from, ""))
	}
}

// A shortStore has blobs that fail after the first half.
type shortStore struct {
	registry.Store
	err error
}

type shortBlob struct {
	*strings.Reader
	err error
}

func (s shortStore) OpenBlob(context.Context, string, digest.Digest) (io.ReadSeekCloser, error) {
	return &shortBlob{strings.NewReader(strings.Repeat("x", 100_000)), s.err}, nil
}

// Read reads only the first half of the blob.
func (b *shortBlob) Read(p []byte) (int, error) {
	if b.Len() <= 50_000 {
		return 0, b.err
	}
	return b.Reader.Read(p[:min(len(p), 1000)])
}

// WriteTo hides the method of the Reader.
func (b *shortBlob) WriteTo() {}

func (b *shortBlob) Close() error { return nil }

// If a blob fails after the first half, its client must notice that the content
// is not complete.
func TestBlobFailsInMidRead(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{errors.New("the disk is on fire"), io.EOF} {
		seen := make(chan *registry.Exchange, 1)
		server := httptest.NewServer(registry.New(shortStore{memstore.New(), cause}, registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { seen <- e }))))
		t.Cleanup(server.Close)
		for _, header := range []string{"", "bytes=10-", "bytes=0-9,60000-70000"} {
			r, err := http.NewRequest("GET", server.URL+"/v2/app/blobs/"+string(sum("x")), nil)
			require.NoError(t, err)
			if header != "" {
				r.Header.Set("Range", header)
			}
			a, err := server.Client().Do(r)
			if err == nil {
				_, err = io.Copy(io.Discard, a.Body)
				a.Body.Close()
			}
			require.Error(t, err, header)
			e := <-seen
			require.Error(t, e.Err, header)
			require.Contains(t, e.Err.Error(), "sending "+string(sum("x")), header)
			if cause != io.EOF {
				require.ErrorIs(t, e.Err, cause, header)
			}
		}
	}
}

// A reader that cannot seek is a failure of the store.
func TestBlobCannotBeSought(t *testing.T) {
	t.Parallel()
	h := &registryTest{t, registry.New(unseekableStore{memstore.New()}), nil}
	require.Contains(t, h.want(500, h.call("GET", "/v2/app/blobs/"+string(sum("x")), "")).Body.String(), "no seek")
}

type unseekableStore struct{ registry.Store }

func (unseekableStore) OpenBlob(context.Context, string, digest.Digest) (io.ReadSeekCloser, error) {
	return unseekable{strings.NewReader("x")}, nil
}

type unseekable struct{ *strings.Reader }

func (unseekable) Seek(int64, int) (int64, error) { return 0, errors.New("no seek") }
func (unseekable) Close() error                   { return nil }

// A fullStore has writers that fail after some bytes, or when they commit.
type fullStore struct {
	registry.Store
	room             int
	write, commit    error
	readBack, closed bool
}

func (s *fullStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	w, err := s.Store.CreateBlob(ctx, repo, size)
	return &fullWriter{w, s}, err
}

type fullWriter struct {
	registry.BlobWriter
	store *fullStore
}

func (w *fullWriter) Write(p []byte) (int, error) {
	if len(p) > w.store.room && w.store.write != nil {
		n, _ := w.BlobWriter.Write(p[:w.store.room])
		w.store.room = 0
		return n, w.store.write
	}
	w.store.room -= len(p)
	return w.BlobWriter.Write(p)
}

func (w *fullWriter) ReadAt(p []byte, off int64) (int, error) {
	if w.store.readBack {
		return 0, errors.New("no reading back")
	}
	return w.BlobWriter.ReadAt(p, off)
}

func (w *fullWriter) Commit(ctx context.Context, d digest.Digest) error {
	if w.store.commit != nil {
		return w.store.commit
	}
	return w.BlobWriter.Commit(ctx, d)
}

func (w *fullWriter) Close() error {
	w.store.closed = true
	return w.BlobWriter.Close()
}

// If the store fails to write, the upload session ends and nothing is stored.
func TestStoreFailsInAnUpload(t *testing.T) {
	t.Parallel()
	full, d := errors.New("no space left"), digest.SHA512.FromString("0123456789")
	for name, store := range map[string]fullStore{
		"write": {room: 4, write: full}, "commit": {room: 100, commit: full}, "reading back": {room: 100, readBack: true},
		"unsupported": {room: 4, write: errors.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, chunk := range []bool{true, false} {
				store := store
				store.Store = memstore.New()
				h := &registryTest{t, registry.New(&store), &store}
				status := 500
				if store.write == errors.ErrUnsupported {
					status = 405
				}
				location, rest := h.start("app"), "0123456789"
				if chunk || name == "reading back" {
					a := h.chunk(location, 0, rest)
					if store.write != nil {
						h.want(status, a)
						h.wantNoUpload(location)
						require.True(t, store.closed)
						continue
					}
					h.want(202, a)
					rest = ""
				}
				h.want(status, h.finish(location, d, rest))
				h.wantNoUpload(location)
				require.True(t, store.closed)
				h.want(404, h.call("GET", "/v2/app/blobs/"+string(d), ""))
			}
			if name != "reading back" {
				store.Store = memstore.New()
				h := &registryTest{t, registry.New(&store), &store}
				require.GreaterOrEqual(t, h.call("POST", "/v2/app/blobs/uploads/?digest="+string(d), "0123456789").Code, 405)
				h.want(404, h.call("GET", "/v2/app/blobs/"+string(d), ""))
			}
		})
	}
}

// The registry hashes a blob as it arrives, with the algorithm of its digest if
// the client has announced that. It does not read the blob back.
func TestBlobIsNotReadBack(t *testing.T) {
	t.Parallel()
	const content = "0123456789"
	store := &fullStore{Store: memstore.New(), room: 1000, readBack: true}
	h := &registryTest{t, registry.New(store), store}
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		d := algorithm.FromString(content)
		h.want(201, h.finish(h.start("app"), d, content))
		h.want(201, h.call("POST", "/v2/app/blobs/uploads/?digest="+string(d), content))
		location := h.want(202, h.call("POST", "/v2/app/blobs/uploads/?digest-algorithm="+string(algorithm), "")).Header().Get("Location")
		h.want(202, h.chunk(location, 0, content[:4]))
		h.want(201, h.finish(location, d, content[4:]))
	}
}

// A watchedStore counts the blob writers that were closed.
type watchedStore struct {
	registry.Store
	mu     sync.Mutex
	closed int
}

func (s *watchedStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	w, err := s.Store.CreateBlob(ctx, repo, size)
	return &watchedWriter{w, s}, err
}

type watchedWriter struct {
	registry.BlobWriter
	store *watchedStore
}

func (w *watchedWriter) Close() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.closed++
	return w.BlobWriter.Close()
}

// The registry closes every writer in the end, however its upload ends.
func TestEveryWriterIsClosed(t *testing.T) {
	t.Parallel()
	store := &watchedStore{Store: memstore.New()}
	h := &registryTest{t, registry.New(store), store}
	for i, upload := range []func(location string){
		func(l string) { h.want(201, h.finish(l, sum("x"), "")) },
		func(l string) { h.want(400, h.finish(l, sum("y"), "")) },
		func(l string) { h.want(204, h.call("DELETE", l, "")) },
	} {
		location := h.start("app")
		h.want(202, h.chunk(location, 0, "x"))
		upload(location)
		require.Equal(t, i+1, store.closed)
	}
	h.pushBlob("app", "z")
	h.want(400, h.call("POST", "/v2/app/blobs/uploads/?digest="+string(sum("y")), "x"))
	require.Equal(t, 5, store.closed)
}

// If the body panics, as that of a middleware may, the session ends: no other
// request could claim it, and its writer would stay open.
func TestPanicOfABodyEndsTheUpload(t *testing.T) {
	t.Parallel()
	store := &watchedStore{Store: memstore.New()}
	h := &registryTest{t, registry.New(store), store}
	for i, method := range []string{"PATCH", "PUT"} {
		location := h.start("app")
		body := io.MultiReader(strings.NewReader("x"), panickingReader{})
		r := httptest.NewRequest(method, location+"?digest="+string(sum("x")), body)
		require.PanicsWithValue(t, "read", func() { h.ServeHTTP(httptest.NewRecorder(), r) })
		require.Equal(t, i+1, store.closed)
		h.wantNoUpload(location)
	}
}

type panickingReader struct{}

func (panickingReader) Read([]byte) (int, error) { panic("read") }

// A writer that returns a short count without an error has lost bytes.
func TestWriterStopsTooEarly(t *testing.T) {
	t.Parallel()
	var told error
	record := registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { told = e.Err }))
	h := &registryTest{t, registry.New(forgetfulStore{memstore.New()}, record), nil}
	h.want(500, h.call("POST", "/v2/app/blobs/uploads/?digest="+string(sum("xy")), "xy"))
	require.ErrorIs(t, told, io.ErrShortWrite)
}

type forgetfulStore struct{ registry.Store }

type forgetfulWriter struct{ registry.BlobWriter }

func (s forgetfulStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	w, err := s.Store.CreateBlob(ctx, repo, size)
	return forgetfulWriter{w}, err
}

func (forgetfulWriter) ReadFrom(r io.Reader) (int64, error) {
	n, _ := r.Read(make([]byte, 100))
	return int64(n - 1), nil
}

// A store may modify the annotations of a manifest: the next tag of the same
// manifest gets unmodified ones.
func TestAnnotationsAreTheStoresOwn(t *testing.T) {
	t.Parallel()
	store := &annotatingStore{Store: memstore.New()}
	h := &registryTest{t, registry.New(store), store}
	index := `{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"}}`
	for _, tag := range []string{"v1", "v2", "v3"} {
		h.want(201, h.call("PUT", "/v2/app/manifests/"+tag, index, "Content-Type", indexType))
		require.Equal(t, map[string]string{"a": "b"}, store.got)
	}
}

type annotatingStore struct {
	registry.Store
	got map[string]string
}

func (s *annotatingStore) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	s.got = maps.Clone(m.Annotations)
	m.Annotations["a"], m.Annotations["tag"] = "changed", tags[0]
	return s.Store.PutManifest(ctx, repo, m, tags, check)
}

// The writer of an upload outlives the requests that wrote to it.
func TestWriterOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	store := &contextStore{Store: memstore.New()}
	h := &registryTest{t, registry.New(store), store}
	location := h.start("app")
	ctx, cancel := context.WithCancel(context.Background())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PATCH", location, bytes.NewReader([]byte("x"))).WithContext(ctx))
	cancel()
	h.want(202, w)
	require.NoError(t, store.created.Err())
	h.want(201, h.finish(location, sum("x"), ""))
}

type contextStore struct {
	registry.Store
	created context.Context
}

func (s *contextStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	s.created = ctx
	return s.Store.CreateBlob(ctx, repo, size)
}
