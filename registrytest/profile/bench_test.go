package profile_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/profile"
)

// BenchmarkManifestGet measures a GET of a manifest over HTTP, without a profile
// and with each profile. A profile may take at most a tenth longer. The profiles
// have no authentication, which takes the same time without a profile.
func BenchmarkManifestGet(b *testing.B) {
	b.Run("none", func(b *testing.B) { benchmarkManifestGet(b) })
	for p := range profile.All(profile.WithoutAuth()) {
		b.Run(p.Name(), func(b *testing.B) { benchmarkManifestGet(b, p) })
	}
}

func benchmarkManifestGet(b *testing.B, opts ...registrytest.Option) {
	reg := registrytest.NewServer(b, append(opts, registrytest.Options())...)
	image := reg.Push(b, "team/app:v1", content.Image())
	r, err := http.NewRequest("GET", reg.URL+"/v2/team/app/manifests/v1", nil)
	require.NoError(b, err)
	r.Header.Set("Accept", image.MediaType)
	client := reg.Client()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
	}
}
