package cmdline

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/content"
)

// A step is a task that the test tries with each tool.
type step struct {
	name  string
	large bool

	// run returns the outcome, or "" if the tool has no command for the task.
	run func(t *testing.T, c caller) string
}

var steps = []step{
	{name: "build", run: build},
	{name: "build for two platforms", run: buildIndex},
	{name: "push by tag", run: push},
	{name: "push by digest", run: pushByDigest},
	{name: "push an index", run: pushIndex},
	{name: "pull by tag", run: func(t *testing.T, c caller) string {
		s := serve(t, map[string]content.Content{"team/app:v1": image()})
		return pull(t, c, s.ref("team/app:v1"))
	}},
	{name: "pull by digest", run: func(t *testing.T, c caller) string {
		s := serve(t, map[string]content.Content{"team/app": image(), "team/app:other": content.Image()})
		return pull(t, c, s.ref("team/app@"+image().Digest.String()))
	}},
	{name: "pull an index", run: pullIndex},
	{name: "pull one platform", run: pullPlatform},
	{name: "run", run: runContainer},
	{name: "copy to another repository", run: mount},
	{name: "copy with what is attached", run: copySigned},
	{name: "tags over pages", run: tags},
	{name: "delete a tag", run: deleteTag},
	{name: "delete a manifest", run: deleteManifest},
	{name: "delete a blob", run: deleteBlob},
	{name: "sign and verify", run: sign},
	{name: "log in with Basic", run: func(t *testing.T, c caller) string { return login(t, c) }},
	{name: "log in for a token", run: func(t *testing.T, c caller) string { return login(t, c, "-token") }},
	{name: "HTTPS", run: https},
	{name: "a pull is cut once", run: cutPull},
	{name: "a push is cut once", run: cutPush},
	{name: "200 MiB", large: true, run: large},
}

func TestTools(t *testing.T) {
	table := matrix.OpenTable(t, docs, "tools")
	table.Declare(matrix.Version)
	for _, step := range steps {
		table.Declare(step.name)
	}
	table.CheckDeclared(t)
	var names []string
	for _, tool := range tools {
		names = append(names, tool.name)
	}
	table.CheckColumns(t, names)
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			need(t, append(tool.needs, tool.name)...)
			version := versionPattern.FindString(run(t, tool.name, tool.version))
			require.NotEmpty(t, version)
			check := table.Check
			if !table.IsOf(tool.name, version) {
				// A version other than the table's may have another outcome, so
				// the test only logs it.
				check = func(t *testing.T, step, tool, seen string) {
					t.Logf("%s %s, %s: %s", tool, version, step, seen)
				}
			}
			for _, step := range steps {
				t.Run(step.name, func(t *testing.T) {
					if step.large && testing.Short() {
						t.Skip("moves 400 MiB")
					}
					seen := step.run(t, tool.start(t))
					if seen == "" {
						check(t, step.name, tool.name, "–")
						t.Skipf("%s has no command for it", tool.name)
					}
					check(t, step.name, tool.name, seen)
				})
			}
		})
	}
}

var versionPattern = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// platform is the platform of the machine that runs the test.
const platform = "linux/" + runtime.GOARCH

func image(parts ...content.ImagePart) content.Content {
	return content.Image(append(parts, content.Platform(platform), content.Layers(2), content.LayerSizes(300_000))...)
}

func index() content.Content {
	return content.Index(content.Platforms(platform, "linux/s390x"))
}

// runnable returns an image of ocireg itself. A container of it prints the usage.
func runnable(t *testing.T) content.Content {
	t.Helper()
	program, err := os.ReadFile(ocireg)
	require.NoError(t, err)
	return content.Image(content.Platform(platform),
		content.FS(fstest.MapFS{"ocireg": {Data: program, Mode: 0o755}}),
		content.ImageConfig(ocispec.ImageConfig{Entrypoint: []string{"/ocireg"}, Cmd: []string{"-h"}}))
}

func runContainer(t *testing.T, c caller) string {
	if c.run == nil {
		return ""
	}
	app := runnable(t)
	s := serve(t, map[string]content.Content{"team/app:v1": app})
	out, err := c.run(s.ref("team/app:v1"), "-h")
	if err != nil && count(s.requests(t), 2, "get-blob") == 2 {
		// The tool pulled the image, but this machine does not run containers.
		t.Skipf("containers do not run here: %s", out)
	}
	require.NoError(t, err)
	require.Contains(t, out, "Usage: ocireg")
	return "ok"
}

func tags(t *testing.T, c caller) string {
	if c.tags == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/app:one": image(), "team/app:two": image()}, "-page-size", "1")
	got, err := c.tags(s.ref("team/app"))
	require.NoError(t, err)
	require.Contains(t, got, "one")
	require.Contains(t, got, "two")
	require.Equal(t, 2, count(s.requests(t), 2, "list-tags"))
	return "ok"
}

func deleteTag(t *testing.T, c caller) string {
	if c.deleteTag == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/app:one": image(), "team/app:two": image()})
	require.NoError(t, c.deleteTag(s.ref("team/app:one")))
	if len(s.state(t).Tags(t, "team/app")) == 0 {
		return "deletes the manifest, and so all of its tags"
	}
	require.Equal(t, []string{"two"}, s.state(t).Tags(t, "team/app"))
	return "ok"
}

func deleteManifest(t *testing.T, c caller) string {
	if c.deleteManifest == nil {
		return ""
	}
	other := content.Image()
	s := serve(t, map[string]content.Content{"team/app:one": image(), "team/app:two": image(), "team/app:other": other})
	require.NoError(t, c.deleteManifest(s.ref("team/app@"+image().Digest.String())))
	require.Equal(t, []string{"other"}, s.state(t).Tags(t, "team/app"))
	_, err := s.state(t).Store.StatManifest(t.Context(), "team/app", image().Digest.String())
	require.ErrorIs(t, err, fs.ErrNotExist)
	return "ok"
}

func deleteBlob(t *testing.T, c caller) string {
	if c.deleteBlob == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/app:v1": image()})
	layer := image().Layers[0].Digest
	require.NoError(t, c.deleteBlob(s.ref("team/app@"+layer.String())))
	_, err := s.state(t).Store.StatBlob(t.Context(), "team/app", layer)
	require.ErrorIs(t, err, fs.ErrNotExist)
	return "ok"
}

// sign signs an image with the tool and verifies the signature. Verification must
// fail for an image without a signature, and with another key.
func sign(t *testing.T, c caller) string {
	if c.sign == nil {
		return ""
	}
	key, another := keyPair(t), keyPair(t)
	s := serve(t, map[string]content.Content{"team/app:v1": image(), "team/other:v1": image()})
	ref := s.ref("team/app@" + image().Digest.String())
	require.Error(t, c.verify(key, ref))
	out, err := c.sign(key, ref)
	if strings.Contains(out, "Debian-local change: sigstore disabled") {
		return "disabled by Debian"
	}
	require.NoError(t, err)
	require.NoError(t, c.verify(key, ref))
	require.NoError(t, c.verify(key, s.ref("team/app:v1")))
	require.Error(t, c.verify(another, ref))
	require.Error(t, c.verify(key, s.ref("team/other:v1")))
	return "ok"
}

// use pulls the image with the tool and checks the digest. A tool that cannot
// pull builds an image on it instead.
func use(c caller, s *server, ref string) error {
	if c.pull == nil {
		_, err := c.build(s.ref(ref), s.ref("team/built:v1"))
		return err
	}
	got, err := c.pull(s.ref(ref))
	if err == nil && got != image().Digest.String() {
		err = fmt.Errorf("the tool pulled %s, which is not the image", got)
	}
	return err
}

func login(t *testing.T, c caller, args ...string) string {
	if c.login == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/app:v1": image()}, append(args, "-user", "ci:secret")...)
	require.Error(t, use(c, s, "team/app:v1"))
	if err := c.login(s.host, "ci", "wrong"); err == nil {
		require.Error(t, use(c, s, "team/app:v1"))
	}
	require.NoError(t, c.login(s.host, "ci", "secret"))
	require.NoError(t, use(c, s, "team/app:v1"))
	if c.push != nil {
		require.NoError(t, c.push(imageLayout(t, image()), s.ref("team/pushed:v1")))
		pushed(t, c, s, "team/pushed:v1", image())
	}
	return "ok"
}

func https(t *testing.T, c caller) string {
	if c.trust == nil {
		return ""
	}
	certs, others := t.TempDir(), t.TempDir()
	s := serve(t, map[string]content.Content{"team/app:v1": image()}, "-tls-dir", certs)
	serve(t, nil, "-tls-dir", others)
	require.NoError(t, c.trust(s.host, others))
	seen := "ok"
	if err := use(c, s, "team/app:v1"); err == nil {
		seen = "ok, trusts any certificate on loopback"
	}
	require.NoError(t, c.trust(s.host, certs))
	require.NoError(t, use(c, s, "team/app:v1"))
	if c.push != nil {
		require.NoError(t, c.push(imageLayout(t, image()), s.ref("team/pushed:v1")))
		pushed(t, c, s, "team/pushed:v1", image())
	}
	return seen
}
