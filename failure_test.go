package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A failingStore is a store whose methods return err. Repositories yields only
// err; Tags and Referrers yield one entry before it.
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

// If a method of the store fails, the response is an error with the text of the
// failure: 405 for errors.ErrUnsupported, the status of a registry.Error, and 500
// for all other errors. After a failed PATCH, the upload session has ended.
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
				// The detail of the error is a function, which JSON cannot encode.
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

// If the store fails when the registry looks up the blobs of a pushed manifest,
// the response is 500 and names the blob.
func TestStoreFailsWhenAManifestIsChecked(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	m := h.image("app")
	broken := &registryTest{t, registry.New(failingStore{h.store, errors.New("the disk is on fire")}), nil}
	a := broken.want(500, broken.call("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType))
	require.Contains(t, a.Body.String(), "looking up blob "+string(sum("{}"))+" of app: the disk is on fire")
}

// If the repository to mount from has an invalid name, the registry does not ask
// the store for it.
func TestStoreIsNotAskedForWhatIsNoName(t *testing.T) {
	t.Parallel()
	h := &registryTest{t, registry.New(failingStore{memstore.New(), errors.New("should not be asked")}), nil}
	for _, from := range []string{"..%2Fx", "A", "a/", "%00"} {
		h.want(202, h.call("POST", "/v2/app/blobs/uploads/?mount="+string(sum("x"))+"&from="+from, ""))
	}
}

// A shortStore is a store whose blobs fail after the first half.
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

// Read fails after the first half of the blob.
func (b *shortBlob) Read(p []byte) (int, error) {
	if b.Len() <= 50_000 {
		return 0, b.err
	}
	return b.Reader.Read(p[:min(len(p), 1000)])
}

// WriteTo hides the WriteTo of the embedded Reader, which would read past the
// failure.
func (b *shortBlob) WriteTo() {}

func (b *shortBlob) Close() error { return nil }

// If the store fails in the middle of a blob, the registry cuts the connection,
// so that the client notices that the content is not complete.
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

// If the reader of a blob cannot seek, the response is 500.
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

// A store may modify the annotations of a manifest. If the manifest is pushed
// again, the store gets the original annotations.
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

// If the store wraps an Error in the error for missing content, the response has
// the status and text of that Error.
func TestStoreSaysWhyContentIsMissing(t *testing.T) {
	t.Parallel()
	reason := &registry.Error{Code: registry.CodeManifestUnknown, Status: 404, Message: "it was not recorded"}
	h := &registryTest{t, registry.New(failingStore{memstore.New(), fmt.Errorf("%w: %w", reason, fs.ErrNotExist)}), nil}
	d := string(sum(""))
	for _, target := range []string{"manifests/v1", "manifests/" + d, "blobs/" + d, "tags/list"} {
		a := h.call("GET", "/v2/app/"+target, "")
		h.wantError(404, a, registry.CodeManifestUnknown)
		require.Contains(t, a.Body.String(), "it was not recorded", target)
	}
}
