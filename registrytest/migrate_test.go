package registrytest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/overlay"
)

// The pages in docs/migrate quote these functions and tests. The tests before the
// migration are in internal/bench/migrate.

// sizeOf returns the size of an image's layers.
func sizeOf(client *http.Client, url string) (size int64, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, errors.New(resp.Status)
	}
	var m ocispec.Manifest
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		return 0, err
	}
	for _, l := range m.Layers {
		size += l.Size
	}
	return size, nil
}

func TestSizeOf(t *testing.T) {
	images, err := layout.OpenFS(os.DirFS("../layout/testdata"))
	require.NoError(t, err)
	store := overlay.New(images, memstore.New()) // keeps pushes in memory
	reg := registrytest.NewServer(t, registrytest.WithStore(store))

	size, err := sizeOf(reg.Client(), reg.URL+"/v2/umoci/manifests/v1")

	require.NoError(t, err)
	require.EqualValues(t, 102, size)
	require.Empty(t, reg.Requests().Op(registry.PutManifest, registry.PutUpload).Records())
}

// login reports whether a registry accepts the name and the password.
func login(client *http.Client, url, name, password string) (bool, error) {
	req, err := http.NewRequest(http.MethodGet, url+"/v2/", nil)
	if err != nil {
		return false, err
	}
	req.SetBasicAuth(name, password)
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

func TestLogin(t *testing.T) {
	a := auth.Basic()
	ci := a.User("ci")
	reg := registrytest.NewServer(t, a)

	ok, err := login(reg.Client(), reg.URL, ci.Username, ci.Password)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = login(reg.Client(), reg.URL, ci.Username, "wrong")
	require.NoError(t, err)
	require.False(t, ok)
}

// download returns the body of a response. If the connection is cut, it asks for
// the rest.
func download(client *http.Client, url string) (all []byte, err error) {
	for range 10 {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", len(all)))
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		part, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusPartialContent {
			return nil, errors.New(resp.Status)
		}
		if all = append(all, part...); err == nil {
			return all, nil
		}
	}
	return nil, errors.New("the connection was cut ten times")
}

func TestDownloadIsResumed(t *testing.T) {
	reg := registrytest.NewServer(t)
	blob := reg.PushBlob(t, "app", content.Random("application/octet-stream", 100_000, 1))
	reg.Fault(t, fault.On(registry.GetBlob).Times(2).Close(fault.AtByte(40_000)))

	got, err := download(reg.Client(), reg.URL+"/v2/app/blobs/"+blob.Digest.String())

	require.NoError(t, err)
	require.Equal(t, blob.Digest, digest.FromBytes(got))
	var asked []string
	for _, r := range reg.Requests().Op(registry.GetBlob).Records() {
		asked = append(asked, r.Range)
	}
	require.Equal(t, []string{"bytes=0-", "bytes=40000-", "bytes=80000-"}, asked)
}

// digestOf returns the digest of a tag. It asks once more after a 503.
func digestOf(client *http.Client, url string) (digest.Digest, error) {
	for range 2 {
		resp, err := client.Get(url)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return "", err
		case resp.StatusCode == http.StatusOK:
			return digest.FromBytes(body), nil
		case resp.StatusCode != http.StatusServiceUnavailable:
			return "", errors.New(resp.Status)
		}
	}
	return "", errors.New("the registry is unavailable")
}

func TestDigestOf(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image())
	reg.Fault(t, fault.On(registry.GetManifest).Once().Status(503))

	got, err := digestOf(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")

	require.NoError(t, err)
	require.Equal(t, app.Digest, got)
	_, err = digestOf(reg.Client(), reg.URL+"/v2/team/app/manifests/v2")
	require.ErrorContains(t, err, "404")
}
