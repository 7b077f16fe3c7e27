package upstream_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/upstream"
)

// replay starts an offline registry with the recording in a file, and no other
// content.
func replay(t *testing.T, file upstream.StoreOption) *registrytest.Server {
	t.Helper()
	return record(t, memstore.New(), file, upstream.Offline()).Server
}

// head sends a HEAD request, and returns the status and the Content-Length of
// the response.
func head(t *testing.T, s *registrytest.Server, target string) (int, string) {
	t.Helper()
	resp, err := s.Client().Head(s.URL + target)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, resp.Header.Get("Content-Length")
}

// The Store keeps the size of a blob from a HEAD until a GET shows that the blob
// is broken or missing.
func TestSizesAreForgotten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule   fault.Rule
		status int
		kept   int // status of a later HEAD request to an offline registry
	}{
		"another byte":   {fault.On(registry.GetBlob).Corrupt(0), 502, 404},
		"shorter":        {fault.On(registry.GetBlob).ContentLength(-9), 502, 404},
		"cut":            {fault.On(registry.GetBlob).Close(fault.AtByte(9)), 502, 404},
		"missing":        {fault.On(registry.GetBlob).Status(404), 404, 404},
		"no answer":      {fault.On(registry.GetBlob).Status(503), 503, 200},
		"not its digest": {fault.On(registry.GetBlob).Status(200).Body(fault.Text("<html>")), 502, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := registrytest.NewServer(t, registrytest.WithInMemory())
			layer := up.Push(t, "app:v1", content.Image(content.LayerSizes(100))).Layers[0]
			target := "/v2/app/blobs/" + string(layer.Digest)
			file := upstream.RecordTo(filepath.Join(t.TempDir(), "x.json"))
			front := record(t, memstore.New(), remote(up, "up.test"), file)
			status, size := head(t, front.Server, target)
			require.Equal(t, 200, status)
			require.Equal(t, "100", size)
			status, size = head(t, replay(t, file), target)
			require.Equal(t, 200, status)
			require.Equal(t, "100", size)
			up.Fault(t, c.rule)
			r := get(t, front.Server, target)
			require.True(t, r.Err != nil || r.Status == c.status, "%d %v", r.Status, r.Err)
			status, _ = head(t, replay(t, file), target)
			require.Equal(t, c.kept, status)
		})
	}
}

// The size of a fetched blob replaces a wrong size from a HEAD.
func TestWrongSizeIsReplaced(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t, registrytest.WithInMemory())
	layer := up.Push(t, "app:v1", content.Image(content.LayerSizes(100))).Layers[0]
	target := "/v2/app/blobs/" + string(layer.Digest)
	local, file := memstore.New(), upstream.RecordTo(filepath.Join(t.TempDir(), "x.json"))
	front := record(t, local, remote(up, "up.test"), file)
	up.Fault(t, fault.On(registry.HeadBlob).SetHeader("Content-Length", "7"))
	_, size := head(t, front.Server, target)
	require.Equal(t, "7", size)
	require.Equal(t, 200, get(t, front.Server, target).Status)
	for _, s := range []recorder{front, record(t, local, file, upstream.Offline())} {
		_, size := head(t, s.Server, target)
		require.Equal(t, "100", size)
	}
	status, _ := head(t, replay(t, file), target)
	require.Equal(t, 404, status, "the recording forgets the size")
}

// A client that disconnects in the middle of a blob does not make the Store
// forget its size.
func TestSizesStay(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t)
	layer := up.Push(t, "app:v1", content.Image(content.LayerSizes(1<<20))).Layers[0]
	file := upstream.RecordTo(filepath.Join(t.TempDir(), "x.json"))
	store, err := upstream.Open(memstore.New(), remote(up, "up.test"), file)
	require.NoError(t, err)
	defer store.Close()
	size, err := store.StatBlob(t.Context(), "app", layer.Digest)
	require.NoError(t, err)
	up.Fault(t, fault.On(registry.GetBlob).Stall(1000))
	r, err := store.OpenBlob(t.Context(), "app", layer.Digest)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	again, err := upstream.Open(memstore.New(), upstream.Offline(), file)
	require.NoError(t, err)
	kept, err := again.StatBlob(t.Context(), "app", layer.Digest)
	require.NoError(t, err)
	require.Equal(t, size, kept)
}

// The Store verifies a blob whose response has no Content-Length, since an early
// end of such a response looks like the regular end.
func TestBlobsOfUnknownSize(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("blob", 1000)
	d := digest.FromString(text)
	for name, sent := range map[string]string{"whole": text, "half": text[:2000], "none": "", "more": text + "x"} {
		local := memstore.New()
		front := record(t, local, upstream.Remote("up.test", upstream.RoundTripper(response{strings.NewReader(sent), -1})))
		r := get(t, front.Server, "/v2/app/blobs/"+string(d))
		_, err := local.StatBlob(t.Context(), "app", d)
		if name == "whole" {
			require.NoError(t, err)
			require.Equal(t, text, r.Body)
			continue
		}
		require.Error(t, err, name)
		require.True(t, r.Err != nil || r.Status == 502, "%s: %d %v", name, r.Status, r.Err)
		require.Less(t, len(r.Body), len(text), name)
	}
}

// A refuser is a transport that fails the test for each request.
type refuser struct{ t *testing.T }

func (r refuser) RoundTrip(request *http.Request) (*http.Response, error) {
	r.t.Errorf("a request went out: %s %s", request.Method, request.URL)
	return nil, errors.New("there is no network")
}

// An offline Store sends no request to the upstream, whichever operation a
// client requests.
func TestOfflineSendsNothing(t *testing.T) {
	t.Parallel()
	d := digest.FromString("x")
	for _, opts := range [][]upstream.StoreOption{nil, {upstream.Refresh("all")}, {upstream.PassWrites()}} {
		opts = append(opts, upstream.Offline(), upstream.Remote("up.test", upstream.RoundTripper(refuser{t})))
		front := record(t, memstore.New(), opts...)
		targets := []string{"/v2/", "/v2/_catalog", "/v2/app/manifests/v1", "/v2/app/manifests/" + string(d), "/v2/app/blobs/" + string(d), "/v2/app/tags/list",
			"/v2/app/referrers/" + string(d), "/v2/app/manifests/v1?ns=up.test"}
		answers(t, front.Server, targets)
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			for _, target := range append(targets, "/v2/app/blobs/uploads/", "/v2/app/blobs/uploads/?mount="+string(d)+"&from=b") {
				r, err := http.NewRequestWithContext(t.Context(), method, front.URL+target, strings.NewReader("{}"))
				require.NoError(t, err)
				resp, err := front.Client().Do(r)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, resp.Body)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Less(t, resp.StatusCode, 500, "%s %s", method, target)
			}
		}
	}
}

// The file of a recording contains no credentials, since users share it.
func TestRecordingHasNoCredentials(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t, registrytest.WithInMemory(), registry.WithAuthorizer(func(r *registry.Request, _ string, _ registry.Action) error {
		if _, password, _ := r.BasicAuth(); password != "hunter2" {
			e := registry.Errorf(registry.CodeUnauthorized, "no user")
			e.Header = http.Header{"Www-Authenticate": {`Basic realm="x"`}}
			return e
		}
		return nil
	}))
	up.Push(t, "app:v1", content.Image())
	file := filepath.Join(t.TempDir(), "x.json")
	front := record(t, memstore.New(), remote(up, "up.test", upstream.User("somebody", "hunter2")), upstream.RecordTo(file))
	require.Equal(t, 200, get(t, front.Server, "/v2/app/tags/list").Status)
	require.Equal(t, 404, get(t, front.Server, "/v2/app/manifests/none").Status)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "MANIFEST_UNKNOWN")
	require.NotContains(t, string(text), "hunter2")
	require.NotContains(t, string(text), "somebody")
}
