package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

// The command records the content that clients pull from an upstream, and serves
// it when the upstream is gone.
func TestRecordAndReplay(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	users := auth.Bearer()
	user := users.User("u", "* **")
	up := registrytest.NewServer(t, users)
	image := up.Push(t, "library/app:v1", content.Image())
	index := up.Push(t, "team/tool:v1", content.Index(content.Image()))
	dir := t.TempDir()
	i := start(t, "-upstream", "docker.io="+up.URL, "-record", dir, "-upstream-user", user.Username+":"+user.Password)
	banner := strings.Join(i.banner, "\n")
	require.Contains(t, i.banner[0], ", and records docker.io, read-only")
	require.Contains(t, banner, "[host.\"http://"+i.host+"\"]")
	require.Contains(t, banner, "prefix = \"docker.io\"\n    location = \""+i.host+"\"")
	require.Contains(t, banner, `"registry-mirrors": ["http://`+i.host+`"]`)
	pull := func(i *instance, want string) {
		t.Helper()
		require.Equal(t, want, i.do(t, "GET", "/v2/app/manifests/v1?ns=docker.io", "").Status)
		require.Equal(t, want, i.do(t, "GET", "/v2/library/app/blobs/"+string(image.Layers[0].Digest), "").Status)
		require.Equal(t, want, i.do(t, "GET", "/v2/docker.io/team/tool/manifests/"+string(index.Digest), "").Status)
		require.Equal(t, "404 Not Found", i.do(t, "GET", "/v2/app/manifests/none", "").Status)
		require.Equal(t, "405 Method Not Allowed", i.do(t, "POST", "/v2/app/blobs/uploads/", "").Status)
	}
	pull(i, "200 OK")
	require.Equal(t, 0, i.stop(t))
	up.Stop()

	for _, args := range [][]string{{dir}, {"-offline", dir}, {"-upstream", "docker.io", "-record", dir, "-offline"}, {"-strict", dir}} {
		i := start(t, args...)
		require.Contains(t, strings.Join(i.banner, "\n"), "docker pull "+i.host+"/library/app:v1")
		pull(i, "200 OK")
		require.Equal(t, 0, i.stop(t), args)
	}
	i = start(t, "-offline", "-strict", dir)
	require.Contains(t, i.do(t, "GET", "/v2/app/manifests/v2", "").body, "not recorded: docker.io/library/app:v2; run with -record")
	require.Equal(t, 1, i.stop(t))
	close(i.stderr)
	var log strings.Builder
	for line := range i.stderr {
		log.WriteString(line)
	}
	require.Contains(t, log.String(), "\nnot recorded: docker.io/library/app:v2\n")

	// With -overlay, a push to the recording stays in memory.
	i = start(t, "-overlay", dir)
	i.pushTag(t, "new", "v1")
	require.Equal(t, "200 OK", i.do(t, "GET", "/v2/new/manifests/v1", "").Status)
	require.Equal(t, "200 OK", i.do(t, "GET", "/v2/app/manifests/v1?ns=docker.io", "").Status)
}

func TestRecordFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-upstream docker.io":             "-upstream needs -record DIR",
		"-record x":                       "-record needs -upstream NAME",
		"-upstream docker.io -record x y": "leave DIR out",
		"-offline":                        "-offline needs DIR",
		"-strict":                         "-strict needs DIR",
		"-offline -refresh all x":         "need a network",
		"-refresh all x":                  "need -upstream and -record",
		"-upstream a -record x -upstream-writes -overlay": "has no effect",
		"-upstream=": "the value is empty",
	} {
		_, err := parse(strings.Fields(args), nil)
		require.ErrorContains(t, err, want, args)
	}
	dir := t.TempDir()
	for args, want := range map[string]string{
		"-upstream-user a:b -upstream a.test -upstream b.test": "if there are several upstreams",
		"-upstream-user a -upstream a.test":                    "wants NAME:PASSWORD",
		"-upstream-user b.test=a:b -upstream a.test":           `names "b.test", but there is no -upstream "b.test"`,
		"-upstream a.test=ftp://x":                             "want http or https",
		"-upstream a.test -refresh :x":                         "cannot be refreshed",
		"-upstream a.test -upstream a.test":                    "given twice",
	} {
		s, err := parse(append(strings.Fields(args), "-record", dir), nil)
		require.NoError(t, err, args)
		_, _, err = s.openStore(nil)
		require.ErrorContains(t, err, want, args)
	}
}
