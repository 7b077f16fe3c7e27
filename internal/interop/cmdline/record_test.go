package cmdline

import (
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/remote"
	"github.com/ocireg/registry/registrytest/content"
)

// recorded are the tools that pull from a recording.
var recorded = []string{"skopeo", "crane", "regctl", "podman", "buildah", "ctr", "docker"}

// A tool pulls the same from a recording as from the registry that was recorded,
// Distribution 2.8, which has ended by then.
func TestRecordAndReplay(t *testing.T) {
	for _, tool := range tools {
		if !slices.Contains(recorded, tool.name) {
			continue
		}
		t.Run(tool.name, func(t *testing.T) {
			need(t, append(tool.needs, tool.name, "docker-registry")...)
			image := content.Image(content.Platform(platform), content.Layers(2))
			signature := content.Artifact("application/vnd.example.signature", content.Subject(image))
			targets := []string{
				"manifests/v1", "manifests/none", "tags/list", "referrers/" + string(image.Digest), "manifests/" + string(signature.Digest),
				"manifests/" + strings.Replace(string(image.Digest), ":", "-", 1),
				"blobs/" + string(image.Layers[0].Digest), "blobs/" + strings.Repeat("0", 64),
			}
			outer := t
			var c caller
			dir := filepath.Join(t.TempDir(), "images")
			var digest string
			var answers []string
			ok := t.Run("record", func(t *testing.T) {
				up := startDistribution28(t, "")
				c = tool.start(outer) // It may set variables that docker-registry reads.
				there := &remote.Store{Base: up, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
				require.NoError(t, content.Put(t.Context(), there, "team/app:v1", image))
				require.NoError(t, content.Put(t.Context(), there, "team/app", signature))
				s := serveDir(t, "", "-upstream", up, "-record", dir)
				var err error
				digest, err = c.pull(s.ref("team/app:v1"))
				require.NoError(t, err)
				answers = ask(t, s, targets)
			})
			if !ok {
				return
			}
			s := serveDir(t, dir, "-strict", "-offline")
			again, err := c.pull(s.ref("team/app:v1"))
			require.NoError(t, err)
			require.Equal(t, digest, again)
			require.Equal(t, answers, ask(t, s, targets))
			s.stop() // It exits with 1 if a request was not recorded.
		})
	}
}

// ask returns the responses to requests for content of a repository.
func ask(t *testing.T, s *server, targets []string) (all []string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, target := range targets {
		resp, err := client.Get("http://" + s.host + "/v2/team/app/" + target)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		all = append(all, resp.Status+" "+resp.Header.Get("Content-Type")+" "+resp.Header.Get("Docker-Content-Digest")+" "+string(body))
	}
	return all
}
