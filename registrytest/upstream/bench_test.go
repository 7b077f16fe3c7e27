package upstream_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A replay costs what the layout costs.
func BenchmarkReplay(b *testing.B) {
	up := registrytest.NewServer(b)
	image := up.Push(b, "library/app:v1", content.Image(content.LayerSizes(1<<20)))
	dir := b.TempDir()
	local, err := layout.Open(dir)
	require.NoError(b, err)
	defer local.Close()
	file := upstream.RecordTo(dir + "/" + upstream.RecordingFile)
	recording, err := upstream.Open(local, file, remote(up, "docker.io"))
	require.NoError(b, err)
	defer recording.Close()
	targets := map[string]string{
		"manifest": "/v2/library/app/manifests/v1",
		"blob":     "/v2/library/app/blobs/" + string(image.Layers[0].Digest),
	}
	for _, target := range targets {
		registry.New(recording).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
	}
	replay, err := upstream.Open(local, file, upstream.Offline())
	require.NoError(b, err)
	for _, h := range []struct {
		name string
		http.Handler
	}{
		{"layout", registry.New(local)}, {"replay", registry.New(replay, replay.Options()...)},
	} {
		server := httptest.NewServer(h)
		defer server.Close()
		for name, target := range targets {
			b.Run(name+"/"+h.name, func(b *testing.B) {
				for b.Loop() {
					resp, err := server.Client().Get(server.URL + target)
					require.NoError(b, err)
					require.Equal(b, 200, resp.StatusCode)
					resp.Body.Close()
				}
			})
		}
	}
}
