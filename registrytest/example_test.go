package registrytest_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// The tests below show how a test uses this package. They test pullManifest,
// which stands for the code of a project.

func TestExampleRetry(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image())
	reg.Fault(t, fault.On(registry.GetManifest).Times(2).Status(503).RetryAfter(0))

	got, err := pullManifest(reg.Client(), "http://"+reg.Ref("team/app:v1"))

	require.NoError(t, err)
	require.Equal(t, app.Digest, got)
	require.Equal(t, 3, reg.Requests().Op(registry.GetManifest).Len())
}

// In a bubble of package synctest, a client that backs off for five minutes waits
// exactly that long, and the test takes no time.
func TestExampleBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
		reg.Push(t, "team/app:v1", content.Image())
		reg.Fault(t, fault.On(registry.GetManifest).Times(2).Status(503).RetryAfter(150*time.Second))
		start := time.Now()

		_, err := pullManifest(reg.Client(), "http://"+reg.Ref("team/app:v1"))

		require.NoError(t, err)
		require.Equal(t, 5*time.Minute, time.Since(start))
	})
}

func TestExampleOutage(t *testing.T) {
	reg := registrytest.NewServer(t)
	reg.Push(t, "team/app:v1", content.Image())

	reg.Stop()
	_, err := pullManifest(reg.Client(), "http://"+reg.Ref("team/app:v1"))
	require.ErrorContains(t, err, "refused")

	reg.Start()
	_, err = pullManifest(reg.Client(), "http://"+reg.Ref("team/app:v1"))
	require.NoError(t, err)
}

// A client of a network reaches two registries by their host names: a mirror, which
// does not have the image yet, and the origin.
func TestExampleNetwork(t *testing.T) {
	net := registrytest.NewNetwork(t)
	origin, mirror := net.Registry("docker.io"), net.Registry("mirror.example.com")
	alpine := origin.Push(t, "library/alpine:3", content.Image())

	_, err := pullManifest(net.Client(), "https://mirror.example.com/library/alpine:3")
	require.ErrorContains(t, err, "404")
	got, err := pullManifest(net.Client(), "https://docker.io/library/alpine:3")
	require.NoError(t, err)
	require.Equal(t, alpine.Digest, got)
	require.Equal(t, 1, mirror.Requests().Len())
}

func TestExampleTLS(t *testing.T) {
	reg := registrytest.NewServer(t, registrytest.WithTLS())
	reg.Push(t, "team/app:v1", content.Image())

	_, err := pullManifest(reg.Client(), "https://"+reg.Ref("team/app:v1"))
	require.NoError(t, err)
	_, err = pullManifest(&http.Client{}, "https://"+reg.Ref("team/app:v1"))
	require.ErrorContains(t, err, "unknown authority")
}

func TestExampleExpiredCertificate(t *testing.T) {
	reg := registrytest.NewServer(t, registrytest.WithTLS(registrytest.ExpiredCert))
	_, err := pullManifest(reg.Client(), "https://"+reg.Ref("team/app:v1"))
	require.ErrorContains(t, err, "expired")
}

// pullManifest gets a manifest, and retries as long as the response has a
// Retry-After.
func pullManifest(c *http.Client, ref string) (digest.Digest, error) {
	scheme, ref, _ := strings.Cut(ref, "://")
	host, ref, _ := strings.Cut(ref, "/")
	repo, tag, _ := strings.Cut(ref, ":")
	for {
		resp, err := c.Get(scheme + "://" + host + "/v2/" + repo + "/manifests/" + tag)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		wait, retry := strconv.Atoi(resp.Header.Get("Retry-After"))
		switch {
		case err != nil:
			return "", err
		case resp.StatusCode == http.StatusOK:
			return digest.FromBytes(body), nil
		case retry != nil:
			return "", fmt.Errorf("pulling %s: %s", ref, resp.Status)
		}
		time.Sleep(time.Duration(wait) * time.Second)
	}
}
