package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// The banner contains the configurations with which clients reach the upstreams
// through the command. It names only capabilities that the command has.
func TestSnippets(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	const pull, push = `capabilities = ["pull", "resolve"]`, `capabilities = ["pull", "resolve", "push"]`
	hosts := func(name, url, capabilities, more string) string {
		own := "" // In hosts.toml, a server without the key capabilities has all of them.
		if capabilities == pull {
			own = "    " + pull + "\n"
		}
		return "containerd, /etc/containerd/certs.d/" + name + "/hosts.toml:\n    server = \"" + url + "\"\n" + own + more +
			"    \n    [host.\"" + url + "\"]\n    " + capabilities + "\n" + more
	}
	table := func(prefix, location, insecure string) string {
		return "Podman, registries.conf:\n    [[registry]]\n    prefix = \"" + prefix + "\"\n    location = \"" + location + "\"\n    insecure = " + insecure + "\n"
	}
	for args, want := range map[string]func(host, ca string) string{
		"": func(host, _ string) string {
			return hosts("docker.io", "http://"+host, pull, "") + table("docker.io", host, "true") +
				"Docker, daemon.json, for pulls:\n    {\n    \t\"insecure-registries\": [\"" + host + "\"],\n    \t\"registry-mirrors\": [\"http://" + host + "\"]\n    }\n" +
				hosts("ghcr.io", "http://"+host, pull, "") + table("ghcr.io", host+"/ghcr.io", "true")
		},
		"-overlay":            func(host, _ string) string { return hosts("ghcr.io", "http://"+host, push, "") },
		"-overlay -read-only": func(host, _ string) string { return hosts("ghcr.io", "http://"+host, pull, "") },
		"-upstream-writes":    func(host, _ string) string { return hosts("docker.io", "http://"+host, push, "") },
		"-tls": func(host, ca string) string {
			return hosts("docker.io", "https://"+host, pull, fmt.Sprintf("    ca = %q\n", ca)) + table("docker.io", host, "false") +
				"Docker, daemon.json, for pulls:\n    {\n    \t\"registry-mirrors\": [\"https://" + host + "\"]\n    }\n"
		},
		// Containerd appends /v2 to the path. The configurations of other
		// clients have no path.
		"-path-prefix /mirror": func(host, _ string) string {
			return hosts("docker.io", "http://"+host+"/mirror", pull, "") + hosts("ghcr.io", "http://"+host+"/mirror", pull, "")
		},
	} {
		i := start(t, append(strings.Fields(args), "-upstream", "docker.io", "-upstream", "ghcr.io", "-record", t.TempDir())...)
		require.Contains(t, strings.Join(i.banner, "\n")+"\n", want(i.host, i.caFile()), args)
		require.Equal(t, 0, i.stop(t))
	}
}

// With -overlay, pushes stay in memory: neither the upstream nor the recording
// gets them. Pulls fetch from the upstream and are recorded.
func TestOverlayOfRecording(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	up := registrytest.NewServer(t)
	image := up.Push(t, "library/app:v1", content.Image())
	dir := t.TempDir()
	i := start(t, "-overlay", "-upstream", "docker.io="+up.URL, "-record", dir)
	require.Equal(t, string(image.Manifest), i.do(t, "GET", "/v2/library/app/manifests/v1", "").body)
	layer := i.pushBlob(t, "library/app", "a layer")
	i.pushTag(t, "library/app", "v1")
	require.Equal(t, emptyIndex, i.do(t, "GET", "/v2/library/app/manifests/v1", "").body)
	require.Equal(t, "a layer", i.do(t, "GET", "/v2/library/app/blobs/"+layer, "").body)
	require.Equal(t, string(image.Manifest), i.do(t, "GET", "/v2/library/app/manifests/"+string(image.Digest), "").body)
	require.Equal(t, 0, i.stop(t))
	for _, r := range up.Requests().Records() {
		require.Contains(t, []string{http.MethodGet, http.MethodHead}, r.Method, "the upstream gets no writes")
	}
	up.Stop()
	i = start(t, dir)
	require.Equal(t, string(image.Manifest), i.do(t, "GET", "/v2/library/app/manifests/v1", "").body)
	require.Contains(t, i.do(t, "GET", "/v2/library/app/blobs/"+layer, "").body, "BLOB_UNKNOWN")
	require.Equal(t, http.StatusMethodNotAllowed, i.do(t, "POST", "/v2/library/app/blobs/uploads/", "").StatusCode)
}

// With -upstream-writes, pushes and deletions go to the upstream, with the
// credentials of -upstream-user, and change the recording, too.
func TestUpstreamWrites(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	up := registrytest.NewServer(t, registry.WithAuthorizer(func(r *registry.Request, _ string, _ registry.Action) error {
		if name, password, _ := r.BasicAuth(); name != "u" || password != "p" {
			e := registry.Errorf(registry.CodeUnauthorized, "no user")
			e.Header = http.Header{"Www-Authenticate": {`Basic realm="x"`}}
			return e
		}
		return nil
	}))
	dir := t.TempDir()
	i := start(t, "-upstream-writes", "-upstream", "up.test="+up.URL, "-upstream-user", "u:p", "-record", dir)
	layer := i.pushBlob(t, "app", "a layer")
	i.pushTag(t, "app", "v1")
	i.pushTag(t, "app", "v2")
	require.Equal(t, []string{"v1", "v2"}, up.Tags(t, "app"))
	require.Equal(t, []byte("a layer"), up.GetBlob(t, "app", up.Get(t, "app:v1").Digest.Algorithm().FromString("a layer")))
	require.Equal(t, http.StatusAccepted, i.do(t, "DELETE", "/v2/app/manifests/v2", "").StatusCode)
	require.Equal(t, []string{"v1"}, up.Tags(t, "app"))
	require.Equal(t, 0, i.stop(t))
	up.Stop()
	i = start(t, "-offline", "-strict", dir)
	require.Equal(t, emptyIndex, i.do(t, "GET", "/v2/app/manifests/v1", "").body)
	require.Equal(t, "a layer", i.do(t, "GET", "/v2/app/blobs/"+layer, "").body)
	require.Equal(t, 0, i.stop(t))
}

// With -refresh, the command requests the given tag, or all tags, from the
// upstream again.
func TestRefreshOfRecording(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for refresh, want := range map[string]string{"": "old old", "v1": "new old", "library/app:v2": "old new", "all": "new new"} {
		up, dir := registrytest.NewServer(t), t.TempDir()
		images := map[string]string{}
		push := func(name string, layers int) {
			image := content.Image(content.Layers(layers))
			images[string(image.Manifest)] = name
			up.Push(t, "library/app:v1", image)
			up.Push(t, "library/app:v2", image)
		}
		pull := func(args ...string) string {
			i := start(t, append(args, "-upstream", "docker.io="+up.URL, "-record", dir)...)
			got := images[i.do(t, "GET", "/v2/library/app/manifests/v1", "").body] + " " + images[i.do(t, "GET", "/v2/library/app/manifests/v2", "").body]
			require.Equal(t, 0, i.stop(t))
			return got
		}
		push("old", 1)
		require.Equal(t, "old old", pull())
		push("new", 2)
		var args []string
		if refresh != "" {
			args = []string{"-refresh", refresh}
		}
		require.Equal(t, want, pull(args...), refresh)
		require.Equal(t, want, pull(), "the recording has what the refresh found")
	}
}

// With -offline, the command calls neither the upstream, though it is reachable,
// nor a credential helper.
func TestOfflineMakesNoCall(t *testing.T) {
	config, bin := t.TempDir(), t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	t.Setenv("PATH", bin)
	require.NoError(t, os.WriteFile(filepath.Join(config, "config.json"), []byte(`{"credsStore":"none"}`), 0o600))
	up := registrytest.NewServer(t)
	up.Push(t, "app:v1", content.Image())
	dir := t.TempDir()
	i := start(t, "-offline", "-strict", "-upstream", "up.test="+up.URL, "-record", dir)
	for target, name := range map[string]string{
		"manifests/v1": "up.test/app:v1", "tags/list": "the tags of up.test/app",
		"blobs/" + string(content.Image().Config.Digest):     "blob up.test/app@" + string(content.Image().Config.Digest),
		"referrers/" + string(content.Image().Config.Digest): "the referrers of up.test/app@" + string(content.Image().Config.Digest),
	} {
		for _, method := range []string{"HEAD", "GET"} {
			r := i.do(t, method, "/v2/app/"+target, "")
			require.Equal(t, http.StatusNotFound, r.StatusCode, target)
			if method == "GET" {
				require.Contains(t, r.body, `"not recorded: `+name+`; run with -record"`)
			}
		}
	}
	require.Equal(t, 1, i.stop(t))
	require.Equal(t, 0, up.Requests().Len())
	close(i.stderr)
	var listed []string
	for text := range i.stderr {
		if strings.HasPrefix(text, "not recorded: ") {
			listed = append(listed, strings.TrimSuffix(text, "\n"))
		}
	}
	d := string(content.Image().Config.Digest)
	require.Equal(t, []string{"not recorded: blob up.test/app@" + d, "not recorded: the referrers of up.test/app@" + d, "not recorded: the tags of up.test/app", "not recorded: up.test/app:v1"}, listed)
}
