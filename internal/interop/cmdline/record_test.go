package cmdline

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/internal/remote"
	"github.com/ocireg/registry/registrytest/content"
)

// recorded lists the tools that pull from a recording. The value is true if the tool
// can be configured to find the recording by the name of the recorded registry.
var recorded = map[string]bool{"skopeo": true, "crane": false, "regctl": false, "podman": true, "buildah": true, "ctr": true, "docker": true}

// mirrored is the name of the recorded registry in the configuration of clients.
// Docker supports mirrors for no other registry.
const mirrored = "docker.io"

// A tool pulls the same image from a recording as from the recorded registry,
// Distribution 2.8, which no longer runs then. The tool uses the address of the
// recording, or the name of the registry and the configuration that ocireg prints.
func TestRecordAndReplay(t *testing.T) {
	// These variables keep requests from reaching the real registry.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	for _, tool := range tools {
		configurable, ok := recorded[tool.name]
		if !ok {
			continue
		}
		t.Run(tool.name, func(t *testing.T) {
			need(t, append(tool.needs, tool.name, "docker-registry")...)
			t.Run("by its address", func(t *testing.T) { recordAndReplay(t, tool, false) })
			if configurable {
				t.Run("by name", func(t *testing.T) { recordAndReplay(t, tool, true) })
			}
		})
	}
}

func recordAndReplay(t *testing.T, tool tool, byName bool) {
	image := content.Image(content.Platform(platform), content.Layers(2))
	signature := content.Artifact("application/vnd.example.signature", content.Subject(image))
	targets := []string{
		"manifests/v1", "manifests/none", "tags/list", "referrers/" + string(image.Digest), "manifests/" + string(signature.Digest),
		"manifests/" + strings.Replace(string(image.Digest), ":", "-", 1),
		"blobs/" + string(image.Layers[0].Digest), "blobs/" + strings.Repeat("0", 64),
	}
	dir := filepath.Join(t.TempDir(), "images")
	// pull pulls the image with a new instance of the tool, which has not pulled
	// it before.
	pull := func(t *testing.T, s *server) string {
		c, ref := tool.start(t), s.ref("team/app:v1")
		if byName {
			ref = mirrored + "/team/app:v1"
			require.NoError(t, c.mirror(s))
		}
		digest, err := c.pull(ref)
		require.NoError(t, err)
		return digest
	}
	var digest string
	var answers []string
	ok := t.Run("record", func(t *testing.T) {
		// The registry starts before the tools set variables that it would read.
		up := matrix.StartDistribution(t, "inmemory: {}")
		there := &remote.Store{Base: up, Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
		require.NoError(t, content.Put(t.Context(), there, "team/app:v1", image))
		require.NoError(t, content.Put(t.Context(), there, "team/app", signature))
		s := serveDir(t, "", "-upstream", mirrored+"="+up, "-record", dir)
		digest = pull(t, s)
		answers = ask(t, s, targets)
	})
	if !ok {
		return
	}
	s := serveDir(t, dir, "-strict", "-offline")
	require.Equal(t, digest, pull(t, s))
	require.Equal(t, answers, ask(t, s, targets))
	s.stop() // ocireg exits with 1 if a request was not in the recording.
	if tool.name != "skopeo" || byName {
		return
	}
	// Other tools can read the recording, which is an ordinary layout.
	local := "oci:" + filepath.Join(dir, "team", "app") + ":v1"
	_, raw, err := tryIn(t, "", "skopeo", "inspect", "--raw", local)
	require.NoError(t, err)
	require.Equal(t, string(image.Manifest), raw)
	require.Contains(t, run(t, "skopeo", "inspect", local), `"Digest": "`+string(image.Digest)+`"`)
	copied := t.TempDir()
	run(t, "skopeo", "--insecure-policy", "copy", local, "dir:"+copied)
	layer, err := os.ReadFile(filepath.Join(copied, image.Layers[1].Digest.Encoded()))
	require.NoError(t, err)
	require.Len(t, layer, int(image.Layers[1].Size))
}

// snippet writes the configuration with the title, which the banner contains, to
// a file in a new directory. It returns the directory.
func (s *server) snippet(t *testing.T, title, name string) (dir string) {
	t.Helper()
	_, text, ok := strings.Cut(s.banner, title+":\n")
	require.True(t, ok, "%s", s.banner)
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "    ") {
			break
		}
		lines = append(lines, line[4:])
	}
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600))
	return strings.TrimSuffix(file, "/"+name)
}

// ask sends requests for the targets and returns the responses as text.
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
