package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/memstore"
)

func TestHostsAreNoPartOfReferences(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"127.0.0.1:5000/team/app:v1": `the reference begins with the host 127.0.0.1:5000: leave it out, as in "team/app:v1"`,
		"http://127.0.0.1:5000/a:v1": `the reference is a URL: leave out the scheme and the host 127.0.0.1:5000, as in "a:v1"`,
		"localhost:5000/app":         `the reference begins with the host localhost:5000: leave it out, as in "app"`,
		"[::1]:5000/app:v1":          `the reference begins with the host [::1]:5000: leave it out, as in "app:v1"`,
		"docker.io/App":              `"docker.io/App" is not the name of a repository`,
	} {
		require.ErrorContains(t, Put(t.Context(), memstore.New(), ref, Image()), "putting "+ref+": "+want)
		_, err := Get(t.Context(), memstore.New(), ref)
		require.ErrorContains(t, err, "reading "+ref+": "+want)
	}
	// The name of a repository may begin like that of a host.
	for _, ref := range []string{"docker.io/library/app:v1", "localhost/app:v1"} {
		require.NoError(t, Put(t.Context(), memstore.New(), ref, Image()))
	}
}

// A writeLog is a store that records its writes.
type writeLog struct {
	registry.Store
	lines []string
}

type loggedWriter struct {
	registry.BlobWriter
	log  *writeLog
	repo string
}

func (l *writeLog) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	w, err := l.Store.CreateBlob(ctx, repo, size)
	return loggedWriter{w, l, repo}, err
}

func (w loggedWriter) Commit(ctx context.Context, d digest.Digest) error {
	w.log.lines = append(w.log.lines, fmt.Sprintf("blob %s %s", w.repo, d))
	return w.BlobWriter.Commit(ctx, d)
}

func (l *writeLog) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	err := l.Store.MountBlob(ctx, repo, d, from)
	if err == nil {
		l.lines = append(l.lines, fmt.Sprintf("mount %s %s", repo, d))
	}
	return err
}

func (l *writeLog) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	l.lines = append(l.lines, fmt.Sprintf("manifest %s %s %v", repo, m.Digest, tags))
	return l.Store.PutManifest(ctx, repo, m, tags, check)
}

func TestPutWritesBlobsThenChildrenThenTheManifest(t *testing.T) {
	t.Parallel()
	one := Image(Bytes("a/b", []byte("1")))
	two := Image(Bytes("a/b", []byte("2")), Platform("linux/arm64"))
	index := Index(one, two, Image().Absent())
	l := &writeLog{Store: memstore.New()}
	require.NoError(t, Put(t.Context(), l, "app:v1", index))
	require.Equal(t, []string{
		"blob app " + string(one.Config.Digest),
		"blob app " + string(one.Layers[0].Digest),
		"blob app " + string(two.Config.Digest),
		"blob app " + string(two.Layers[0].Digest),
		"manifest app " + string(one.Digest) + " []",
		"manifest app " + string(two.Digest) + " []",
		"manifest app " + string(index.Digest) + " [v1]",
	}, l.lines)

	// Putting an image with a second tag writes no blob. Putting it into another
	// repository mounts its blobs.
	l.lines = nil
	require.NoError(t, Put(t.Context(), l, "app:v2", one))
	require.NoError(t, Put(t.Context(), l, "other", one))
	require.Equal(t, []string{
		"manifest app " + string(one.Digest) + " [v2]",
		"mount other " + string(one.Config.Digest),
		"mount other " + string(one.Layers[0].Digest),
		"manifest other " + string(one.Digest) + " []",
	}, l.lines)

	// A child that was absent from the store can be put later.
	require.NoError(t, Put(t.Context(), l, "app", index.Children[2]))
	_, err := l.GetManifest(t.Context(), "app", string(index.Children[2].Digest))
	require.NoError(t, err)
}

func TestErrorsOfPut(t *testing.T) {
	t.Parallel()
	app := Image()
	broken := errors.New("broken")
	tampered := Bytes("a/b", []byte("x"))
	tampered.Digest = digest.FromString("y")
	for name, test := range map[string]struct {
		store   registry.Store
		ref     string
		content Content
		want    string
	}{
		"reference":     {ref: "App", content: app, want: `putting App: "App" is not the name of a repository`},
		"broken":        {ref: "app", content: Image(Platform("x")), want: `putting app: building the content: "x" is not a platform`},
		"digest":        {ref: "app@" + string(digest.FromString("")), content: app, want: "the content has the digest " + string(app.Digest)},
		"nothing":       {ref: "app", content: Content{Digest: app.Digest}, want: "the content has no manifest, only its digest"},
		"wrong content": {ref: "app", content: Image(tampered), want: "blob " + string(tampered.Digest) + ": the content does not match the digest"},
		"stat":          {store: failing{on: "stat", err: broken}, ref: "app", content: app, want: "blob " + string(app.Config.Digest) + ": broken"},
		"mount":         {store: failing{on: "mount", err: broken}, ref: "app", content: app, want: "blob " + string(app.Config.Digest) + ": broken"},
		"create":        {store: failing{on: "create", err: broken}, ref: "app", content: app, want: "blob " + string(app.Config.Digest) + ": broken"},
		"manifest":      {store: failing{on: "manifest", err: broken}, ref: "app", content: app, want: "manifest " + string(app.Digest) + ": broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.store == nil {
				test.store = memstore.New()
			} else {
				test.store = failing{memstore.New(), test.store.(failing).on, test.store.(failing).err}
			}
			require.ErrorContains(t, Put(t.Context(), test.store, test.ref, test.content), test.want)
		})
	}
	err := PutBlob(t.Context(), memstore.New(), "app", Blob{Descriptor: ocispec.Descriptor{Digest: app.Digest}})
	require.ErrorContains(t, err, "only its descriptor is known, not its content")
	require.Error(t, PutBlob(t.Context(), memstore.New(), "app", Random("a/b", -1, 0)))
	// Put writes blobs to a store that cannot mount.
	require.NoError(t, Put(t.Context(), failing{memstore.New(), "mount", errors.ErrUnsupported}, "app", app))
}

// failing is a store with one method that fails.
type failing struct {
	registry.Store
	on  string
	err error
}

func (f failing) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	if f.on == "stat" {
		return 0, f.err
	}
	return f.Store.StatBlob(ctx, repo, d)
}

func (f failing) MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error {
	if f.on == "mount" {
		return f.err
	}
	return f.Store.MountBlob(ctx, repo, d, from)
}

func (f failing) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	if f.on == "create" {
		return nil, f.err
	}
	return f.Store.CreateBlob(ctx, repo, size)
}

func (f failing) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	if f.on == "open" {
		return nil, f.err
	}
	return f.Store.OpenBlob(ctx, repo, d)
}

func (f failing) GetManifest(ctx context.Context, repo, ref string) (registry.Manifest, error) {
	if f.on == "get" || f.on == "get digest" && strings.Contains(ref, ":") {
		return registry.Manifest{}, f.err
	}
	return f.Store.GetManifest(ctx, repo, ref)
}

func (f failing) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	if f.on == "manifest" {
		return f.err
	}
	return f.Store.PutManifest(ctx, repo, m, tags, check)
}

// Put stores the same manifests as a registry does if a client pushes them. The
// registry accepts all samples that are complete.
func TestPutIsLikeAPush(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := s.build()
			direct, pushed := memstore.New(), memstore.New()
			require.NoError(t, Put(t.Context(), direct, "app:v1", c))

			h := registry.New(pushed)
			send := func(method, url, mediaType string, body []byte) {
				t.Helper()
				r := httptest.NewRequest(method, url, bytes.NewReader(body))
				r.Header.Set("Content-Type", mediaType)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Equal(t, http.StatusCreated, w.Code, w.Body)
			}
			for b := range c.Blobs() {
				send("POST", "/v2/app/blobs/uploads/?digest="+string(b.Digest), "application/octet-stream", contentOf(t, b))
			}
			complete := true
			for m := range c.Manifests() {
				for _, b := range m.ownBlobs() {
					complete = complete && !b.absent
				}
				for _, child := range m.Children {
					complete = complete && !child.absent
				}
				if !complete && !strings.HasPrefix(s.name, "non-distributable") {
					continue
				}
				send("PUT", "/v2/app/manifests/"+string(m.Digest), m.MediaType, m.Manifest)
				got, err := pushed.GetManifest(t.Context(), "app", string(m.Digest))
				require.NoError(t, err)
				want, err := direct.GetManifest(t.Context(), "app", string(m.Digest))
				require.NoError(t, err)
				require.Equal(t, got, want)
			}
			// A registry on the store serves the content.
			h = registry.New(direct)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/app/manifests/v1", nil))
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, c.Manifest, w.Body.Bytes())
			require.Equal(t, c.MediaType, w.Header().Get("Content-Type"))
		})
	}
}

func TestJunkCanBePut(t *testing.T) {
	t.Parallel()
	s := State{memstore.New()}
	for name, c := range Junk() {
		s.Push(t, "app:junk", c)
		require.Equal(t, c.Manifest, s.Get(t, "app:junk").Manifest, name)
	}
}

// Put reads no subject or layers from a manifest of Docker's schema 1, as the registry
// reads none if a client pushes such a manifest.
func TestOldManifestsAreOpaque(t *testing.T) {
	t.Parallel()
	app := Image()
	m := stored(manifest.DockerSchema1, app.Digest, refer(app).Manifest)
	require.Equal(t, registry.Manifest{MediaType: manifest.DockerSchema1, Digest: app.Digest, Content: m.Content}, m)
	require.Empty(t, Raw(manifest.DockerSchema1, app.Manifest).Layers)
}
