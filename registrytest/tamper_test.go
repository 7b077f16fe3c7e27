package registrytest

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
	"github.com/ocireg/registry/registrytest/content"
)

// A tamperServer is a registry with repository app, which has a blob, an image
// manifest and three tags.
type tamperServer struct {
	*Server
	t    *testing.T
	blob []byte
}

func newTamperServer(t *testing.T) *tamperServer {
	s := &tamperServer{NewServer(t), t, bytes.Repeat([]byte("0123456789"), 100)}
	s.PushBlob(t, "app", content.Bytes("application/octet-stream", s.blob))
	for _, tag := range []string{"v1", "v2", "v3"} {
		s.Push(t, "app:"+tag, content.Image())
	}
	return s
}

// fetch returns the response to a GET.
func (s *tamperServer) fetch(target string, header ...string) (status int, h http.Header, body string) {
	s.t.Helper()
	resp := testclient.New(s.t, s.Client(), s.URL).Get(target, header...)
	require.NoError(s.t, resp.Err)
	return resp.Status, resp.Header, resp.Body
}

func TestTamperWithBlob(t *testing.T) {
	t.Parallel()
	s := newTamperServer(t)
	d, whole := digest.FromBytes(s.blob), string(s.blob)
	path := "/v2/app/blobs/" + string(d)
	flipped := whole[:5] + "4" + whole[6:]
	for name, test := range map[string]struct {
		tampering Tampering
		status    int
		want      string
	}{
		"dropped":     {Dropped(), 404, ""},
		"replaced":    {Replaced([]byte("something else")), 200, "something else"},
		"emptied":     {Replaced(nil), 200, ""},
		"truncated":   {Truncated(100), 200, whole[:100]},
		"bit flipped": {BitFlipped(5), 200, flipped},
	} {
		undo := s.Tamper(t, "app", d, test.tampering)
		status, header, body := s.fetch(path)
		require.Equal(t, test.status, status, name)
		if status == 200 {
			require.Equal(t, test.want, body, name)
			require.Equal(t, string(d), header.Get("Docker-Content-Digest"), name)
			resp, err := s.Client().Head(s.URL + path)
			require.NoError(t, err)
			require.EqualValues(t, len(test.want), resp.ContentLength, name)
			if len(test.want) > 10 {
				_, _, body = s.fetch(path, "Range", "bytes=3-6")
				require.Equal(t, test.want[3:7], body, name)
				_, _, body = s.fetch(path, "Range", "bytes=-4")
				require.Equal(t, test.want[len(test.want)-4:], body, name)
			}
		}
		content, err := s.Store.OpenBlob(t.Context(), "app", d)
		require.NoError(t, err, "the store itself is not touched")
		content.Close()
		undo()
		undo()
		_, _, body = s.fetch(path)
		require.Equal(t, whole, body, name)
	}
}

func TestTamperWithManifest(t *testing.T) {
	t.Parallel()
	s := newTamperServer(t)
	m := s.Get(t, "app:v1")
	undo := s.Tamper(t, "app", m.Digest, Replaced([]byte(`{"schemaVersion":2}`)))
	for _, ref := range []string{"v1", string(m.Digest)} {
		status, header, body := s.fetch("/v2/app/manifests/" + ref)
		require.Equal(t, 200, status)
		require.Equal(t, `{"schemaVersion":2}`, body)
		require.Equal(t, string(m.Digest), header.Get("Docker-Content-Digest"))
		resp, err := s.Client().Head(s.URL + "/v2/app/manifests/" + ref)
		require.NoError(t, err)
		require.EqualValues(t, len(body), resp.ContentLength)
	}
	undo()
	_, _, body := s.fetch("/v2/app/manifests/v1")
	require.Equal(t, string(m.Manifest), body)

	s.Tamper(t, "app", m.Digest, Dropped())
	status, _, _ := s.fetch("/v2/app/manifests/v1")
	require.Equal(t, 404, status)
	_, _, body = s.fetch("/v2/app/tags/list")
	require.Contains(t, body, "v1", "the tag is still there")
}

// Tampering ends when a client puts the same content again, as clients do with content
// that is missing or broken.
func TestPuttingAgainMends(t *testing.T) {
	t.Parallel()
	s := newTamperServer(t)
	blob := "/v2/app/blobs/" + string(digest.FromBytes(s.blob))
	for _, tampering := range []Tampering{Dropped(), Truncated(1)} {
		s.Tamper(t, "app", digest.FromBytes(s.blob), tampering)
		_, _, body := s.fetch(blob)
		require.NotEqual(t, string(s.blob), body)
		c := testclient.New(t, s.Client(), s.URL)
		require.Equal(t, 201, c.Do("POST", "/v2/app/blobs/uploads/?digest="+string(digest.FromBytes(s.blob)), string(s.blob)).Status)
		_, _, body = s.fetch(blob)
		require.Equal(t, string(s.blob), body)
	}
	m := s.Get(t, "app:v1")
	s.Tamper(t, "app", m.Digest, Dropped())
	status, _, _ := s.fetch("/v2/app/manifests/v1")
	require.Equal(t, 404, status)
	require.NoError(t, (&tamperedStore{s.Store, &s.tampered}).PutManifest(t.Context(), "app", registry.Manifest{MediaType: m.MediaType, Digest: m.Digest, Content: m.Manifest}, nil, nil))
	status, _, _ = s.fetch("/v2/app/manifests/v1")
	require.Equal(t, 200, status)
}

func TestWhatIsDroppedCannotBeMountedOrDeleted(t *testing.T) {
	t.Parallel()
	s := newTamperServer(t)
	m := s.Get(t, "app:v1")
	s.Tamper(t, "app", digest.FromBytes(s.blob), Dropped())
	s.Tamper(t, "app", m.Digest, Dropped())
	st := tamperedStore{s.Store, &s.tampered}
	require.ErrorIs(t, st.MountBlob(t.Context(), "other", digest.FromBytes(s.blob), "app"), fs.ErrNotExist)
	require.ErrorIs(t, st.DeleteBlob(t.Context(), "app", digest.FromBytes(s.blob)), fs.ErrNotExist)
	require.ErrorIs(t, st.DeleteManifest(t.Context(), "app", m.Digest), fs.ErrNotExist)
}

func TestTamperEndsWithTheTest(t *testing.T) {
	t.Parallel()
	s := newTamperServer(t)
	t.Run("subtest", func(t *testing.T) {
		s.Tamper(t, "app", digest.FromBytes(s.blob), Dropped())
		status, _, _ := s.fetch("/v2/app/blobs/" + string(digest.FromBytes(s.blob)))
		require.Equal(t, 404, status)
	})
	status, _, _ := s.fetch("/v2/app/blobs/" + string(digest.FromBytes(s.blob)))
	require.Equal(t, 200, status)
}

func TestTamperingThatMakesNoSense(t *testing.T) {
	t.Parallel()
	s := newTamperServer(t)
	for want, tamper := range map[string]func(tb TB){
		"the Tampering is empty":          func(tb TB) { s.Tamper(tb, "app", digest.FromBytes(s.blob), Tampering{}) },
		"has 1000 bytes, so no byte 1000": func(tb TB) { s.Tamper(tb, "app", digest.FromBytes(s.blob), BitFlipped(1000)) },
		"so no byte 2000":                 func(tb TB) { s.Tamper(tb, "app", digest.FromBytes(s.blob), Truncated(2000)) },
		"does not exist":                  func(tb TB) { s.Tamper(tb, "other", digest.FromBytes(s.blob), Dropped()) },
	} {
		tb := faketb.New(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			tamper(tb)
		}()
		<-done
		require.Len(t, tb.Errors(), 1)
		require.Contains(t, tb.Errors()[0], want)
	}
}

// The test fails if no request meets the tampering, because it then tested nothing.
func TestTamperingWithoutEffectFailsTheTest(t *testing.T) {
	t.Parallel()
	s := newTamperServer(t)
	d := digest.FromBytes(s.blob)
	for name, test := range map[string]struct {
		requests func()
		failures int
	}{
		"no request":         {func() {}, 1},
		"another blob":       {func() { s.fetch("/v2/app/blobs/" + string(s.Get(t, "app:v1").Config.Digest)) }, 1},
		"another repository": {func() { s.fetch("/v2/other/blobs/" + string(d)) }, 1},
		"GET":                {func() { s.fetch("/v2/app/blobs/" + string(d)) }, 0},
		"HEAD":               {func() { s.Client().Head(s.URL + "/v2/app/blobs/" + string(d)) }, 1},
		"another part":       {func() { s.fetch("/v2/app/blobs/"+string(d), "Range", "bytes=1-") }, 1},
	} {
		tb := faketb.Try(t, func(tb *faketb.TB) {
			s.Tamper(tb, "app", d, BitFlipped(0))
			test.requests()
		})
		require.Len(t, tb.Errors(), test.failures, name)
		if test.failures > 0 {
			require.Contains(t, tb.Errors()[0], "tampering with "+string(d)+" of app had no effect", name)
		}
	}
	for name, tampering := range map[string]Tampering{"dropped": Dropped(), "truncated": Truncated(1), "replaced": Replaced(nil)} {
		tb := faketb.Try(t, func(tb *faketb.TB) {
			s.Tamper(tb, "app", d, tampering)
			s.Client().Head(s.URL + "/v2/app/blobs/" + string(d))
		})
		require.Empty(t, tb.Errors(), name)
	}
	m := s.Get(t, "app:v1").Digest
	for method, failures := range map[string]int{"HEAD": 1, "GET": 0} {
		tb := faketb.Try(t, func(tb *faketb.TB) {
			s.Tamper(tb, "app", m, BitFlipped(0))
			require.Equal(t, 200, testclient.New(t, s.Client(), s.URL).Do(method, "/v2/app/manifests/v1", "").Status)
		})
		require.Len(t, tb.Errors(), failures, method)
	}
	tb := faketb.Try(t, func(tb *faketb.TB) {
		s.Tamper(tb, "app", d, BitFlipped(0))
		tb.Errorf("something else")
	})
	require.Equal(t, []string{"something else"}, tb.Errors())
	require.Contains(t, tb.Log(), "had no effect")
}

// A tamperedStore passes the tests of a store, and returns a blob of a layout as an
// *os.File, as the layout does.
func TestTamperedStore(t *testing.T) {
	t.Parallel()
	conformance.Store(t, func(t *testing.T) registry.Store {
		s := &tamperedStore{memstore.New(), &tamperings{}}
		s.tampered.set("other", digest.FromString("x"), Dropped())
		return s
	})
	dir := t.TempDir()
	store, err := layout.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	require.NoError(t, content.Put(t.Context(), store, "app:v1", content.Image(content.Layers(1))))
	m, err := content.Get(t.Context(), store, "app:v1")
	require.NoError(t, err)
	layer := m.Layers[0].Digest
	blob, err := (&tamperedStore{store, &tamperings{}}).OpenBlob(context.Background(), "app", layer)
	require.NoError(t, err)
	defer blob.Close()
	require.IsType(t, &os.File{}, blob)
}
