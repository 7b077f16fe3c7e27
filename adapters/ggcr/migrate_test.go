package ggcr_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcrregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/adapters/ggcr"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
)

// docs/migrate/ggcr.md quotes these tests.

// promote copies an image within a registry. It repeats failed requests after 1ms.
func promote(src, dst name.Reference, opts ...remote.Option) error {
	opts = append(opts, remote.WithRetryBackoff(remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 3}))
	img, err := remote.Image(src, opts...)
	if err != nil {
		return err
	}
	return remote.Write(dst, img, opts...)
}

func TestPromoteBefore(t *testing.T) {
	backend := ggcrregistry.New(ggcrregistry.Logger(log.New(io.Discard, "", 0)))
	var unavailable atomic.Bool
	var uploads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") && unavailable.CompareAndSwap(true, false) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.Method == http.MethodPatch {
			uploads.Add(1)
		}
		backend.ServeHTTP(w, r)
	}))
	defer server.Close()
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	src, err := name.ParseReference(fmt.Sprintf("%s/staging/app:v1", u.Host))
	require.NoError(t, err)
	dst, err := name.ParseReference(fmt.Sprintf("%s/released/app:v1", u.Host))
	require.NoError(t, err)
	img, err := random.Image(1024, 3)
	require.NoError(t, err)
	require.NoError(t, remote.Write(src, img))
	want, err := img.Digest()
	require.NoError(t, err)
	unavailable.Store(true)
	uploads.Store(0)

	require.NoError(t, promote(src, dst))

	desc, err := remote.Head(dst)
	require.NoError(t, err)
	require.Equal(t, want, desc.Digest)
	require.Zero(t, uploads.Load())
}

func TestPromote(t *testing.T) {
	reg := registrytest.NewServer(t)
	img, err := random.Image(1024, 3)
	require.NoError(t, err)
	app := ggcr.Push(t, reg, "staging/app:v1", img)
	reg.Fault(t, fault.On(registry.PutManifest).Once().Status(503))

	require.NoError(t, promote(ggcr.Reference(t, reg, "staging/app:v1"), ggcr.Reference(t, reg, "released/app:v1")))

	reg.CheckTag(t, "released/app:v1", app)
	require.Equal(t, 4, reg.Requests().Op(registry.MountBlob).Status(201).Len())
	require.Zero(t, reg.Requests().Op(registry.PatchUpload).Len())
}
