package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A fullStore is a store whose writers fail after room bytes, or when they
// commit or read back a blob.
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

// If the store fails during an upload, the session ends and the repository has
// no blob.
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

// If the client names the digest or its algorithm before it sends the bytes, the
// registry hashes them with that algorithm as they arrive. It does not read the
// blob back.
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

// A watchedStore counts the blob writers that are closed.
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

// The registry closes the writer of each upload, whether the upload succeeds,
// fails or is cancelled.
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

// If the body of a request or the store panics, the upload session ends.
// Otherwise, no other request could claim the session, and its writer would stay
// open.
func TestPanicEndsTheUpload(t *testing.T) {
	t.Parallel()
	d, other := sum("x"), digest.SHA512.FromString("x")
	for _, test := range []struct{ panics, request string }{
		{"body", "PATCH"}, {"body", "PUT ?digest=" + string(d)},
		{"create", "PATCH"}, {"create", "PUT ?digest=" + string(d)},
		{"write", "PATCH"}, {"write", "PUT ?digest=" + string(d)},
		{"commit", "PUT ?digest=" + string(d)},
		{"close", "PUT ?digest=" + string(d)}, {"close", "PUT ?digest=" + string(sum("y"))}, {"close", "DELETE"},
		{"read back", "PUT ?digest=" + string(other)},
	} {
		method, query, _ := strings.Cut(test.request, " ")
		t.Run(test.panics+" "+method, func(t *testing.T) {
			t.Parallel()
			store := &panickingStore{watchedStore: watchedStore{Store: memstore.New()}}
			h := &registryTest{t, registry.New(store, registry.WithUploadLimit(1)), store}
			location := h.start("app")
			body := io.Reader(strings.NewReader("x"))
			switch test.panics {
			case "read back", "close":
				h.want(202, h.chunk(location, 0, "x"))
				body = http.NoBody
			case "body":
				body = io.MultiReader(body, panickingReader{})
			}
			store.panics = test.panics
			r := httptest.NewRequest(method, location+query, body)
			require.PanicsWithValue(t, test.panics, func() { h.ServeHTTP(httptest.NewRecorder(), r) })
			store.panics = ""
			require.Equal(t, test.panics != "create", store.closed == 1)
			h.wantNoUpload(location)
			h.start("app") // The limit is one session, so this fails unless the first session has ended.
		})
	}
}

type panickingReader struct{}

func (panickingReader) Read([]byte) (int, error) { panic("body") }

// A panickingStore is a store that panics in the method that panics names, or in
// that method of its writers.
type panickingStore struct {
	watchedStore
	panics string
}

func (s *panickingStore) in(method string) {
	if s.panics == method {
		panic(method)
	}
}

func (s *panickingStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	s.in("create")
	w, err := s.watchedStore.CreateBlob(ctx, repo, size)
	return panickingWriter{w, s}, err
}

type panickingWriter struct {
	registry.BlobWriter
	store *panickingStore
}

func (w panickingWriter) Write(p []byte) (int, error) {
	w.store.in("write")
	return w.BlobWriter.Write(p)
}

func (w panickingWriter) ReadAt(p []byte, off int64) (int, error) {
	w.store.in("read back")
	return w.BlobWriter.ReadAt(p, off)
}

func (w panickingWriter) Commit(ctx context.Context, d digest.Digest) error {
	w.store.in("commit")
	return w.BlobWriter.Commit(ctx, d)
}

func (w panickingWriter) Close() error {
	defer w.store.in("close")
	return w.BlobWriter.Close()
}

// If the writer of one expired session panics in Close, the registry still
// closes the writers of the others.
func TestPanicOfAnExpiredUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &panickingStore{watchedStore: watchedStore{Store: memstore.New()}}
		h := &registryTest{t, registry.New(store), store}
		for range 3 {
			h.want(202, h.call("PATCH", h.start("app"), "x"))
		}
		time.Sleep(time.Hour)
		store.panics = "close"
		require.PanicsWithValue(t, "close", func() { h.start("app") })
		require.Equal(t, 3, store.closed)
		store.panics = ""
		h.start("app")
	})
}

// If ReadFrom of a writer returns too small a count without an error, the push
// fails with io.ErrShortWrite.
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

// The context of a blob writer is not cancelled when the request that created
// the writer ends.
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
