package registry_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// pull is the client under test: it gets a manifest or a blob, and retries after
// the time in Retry-After.
func pull(c *http.Client, url string) (string, error) {
	for range 5 {
		resp, err := c.Get(url)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return "", err
		}
		if resp.StatusCode == http.StatusOK {
			return string(body), nil
		}
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			return "", fmt.Errorf("pulling: %s", resp.Status)
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
	return "", fmt.Errorf("pulling: gave up")
}

func TestPull(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image(content.Layers(3)))

	got, err := pull(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
	require.NoError(t, err)
	require.Equal(t, string(app.Manifest), got)

	reg.Requests().CheckSequence(t, registry.GetManifest)
}

// The test of a client that waits for five minutes takes no time, because it
// runs in a synctest bubble.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
		reg.Push(t, "team/app:v1", content.Image())
		reg.Fault(t, fault.On(registry.GetManifest).Times(2).Status(503).RetryAfter(150*time.Second))

		start := time.Now()
		_, err := pull(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
		require.NoError(t, err)
		require.Equal(t, 5*time.Minute, time.Since(start))
	})
}

// A golden file contains all requests of a client.
func TestGolden(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image())
	_, err := pull(reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
	require.NoError(t, err)
	_, err = pull(reg.Client(), reg.URL+"/v2/team/app/blobs/"+string(app.Layers[0].Digest))
	require.NoError(t, err)

	reg.Requests().CheckGolden(t, "testdata/pull.golden")
}

// Registries in a network have host names and certificates for these names.
func TestByName(t *testing.T) {
	network := registrytest.NewNetwork(t)
	hub := network.Registry("docker.io", registrytest.WithTLS())
	mirror := network.Registry("mirror.example.com", registrytest.WithTLS(), registry.WithReadOnly())
	hub.Push(t, "library/alpine:3", content.Image())
	mirror.Push(t, "library/alpine:3", content.Image())

	_, err := pull(network.Client(), "https://mirror.example.com/v2/library/alpine/manifests/3?ns=docker.io")
	require.NoError(t, err)
	require.Equal(t, 1, mirror.Requests().Len())
	require.Zero(t, hub.Requests().Len())
}

// A test that starts its own server needs only New.
func ExampleNew() {
	server := httptest.NewServer(registry.New(memstore.New(), registry.Without(registry.DeleteTag)))
	defer server.Close()

	resp, err := http.Get(server.URL + "/v2/")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.Status, resp.Header.Get("Docker-Distribution-Api-Version"))
	// Output: 200 OK registry/2.0
}

// A middleware gets the parsed request and may respond to it.
func ExampleWithMiddleware() {
	frozen := func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Op == registry.PutManifest && strings.HasPrefix(r.Repo, "release/") {
				return registry.Errorf(registry.CodeDenied, "%s is frozen", r.Repo)
			}
			return next(w, r)
		}
	}
	h := registry.New(memstore.New(), registry.WithMiddleware(frozen))

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PUT", "/v2/release/app/manifests/v1", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 403 {"errors":[{"code":"DENIED","message":"denied: release/app is frozen"}]}
}
