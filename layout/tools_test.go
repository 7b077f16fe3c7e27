package layout_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/layout"
)

// tool returns a function that runs a command and returns its output. The path
// of the command is in the environment variable with its name in upper case,
// such as REGCTL, or else the command is looked up in PATH. If the command is
// not installed, tool skips the test.
func tool(t *testing.T, name string) func(args ...string) string {
	path := os.Getenv(strings.ToUpper(name))
	if path == "" {
		var err error
		if path, err = exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	home := t.TempDir()
	return func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", cmd, out)
		return strings.TrimSpace(string(out))
	}
}

// copyAll copies a manifest with its blobs and children from one store to
// another. It returns the digest of the manifest.
func copyAll(t testing.TB, from, to registry.Store, fromRepo, ref, toRepo string, tags ...string) digest.Digest {
	m, err := from.GetManifest(t.Context(), fromRepo, ref)
	require.NoError(t, err)
	doc, err := manifest.Parse(m.MediaType, m.Content)
	require.NoError(t, err)
	for d := range doc.RequiredBlobs {
		require.Equal(t, d, pushBlob(t, to, toRepo, string(readBlob(t, from, fromRepo, d))))
	}
	for _, child := range doc.Manifests {
		copyAll(t, from, to, fromRepo, string(child.Digest), toRepo)
	}
	require.NoError(t, to.PutManifest(t.Context(), toRepo, m, tags, nil))
	return m.Digest
}

// ours uses a Store to write images and a referrer to repository team/app, and an image
// to repository app, once in a tree and once in a layout. It returns the directory of
// team/app in the tree, and the directory of the layout.
func ours(t *testing.T) (tree, one string) {
	from := open(t, "testdata", layout.ReadOnly())
	tree, one = t.TempDir(), emptyLayout(t)
	for _, to := range []*layout.Store{open(t, tree), open(t, one)} {
		const repo = "team/app"
		copyAll(t, from, to, "umoci", "v1", repo, "v1", "latest")
		copyAll(t, from, to, "regctl", "multi", repo, "multi")
		copyAll(t, from, to, "regctl", string(sbom), repo)
		copyAll(t, from, to, "umoci", "v2", repo, "moved")
		copyAll(t, from, to, "umoci", "v1", repo, "moved")
		copyAll(t, from, to, "umoci", "v1", "app", "v1")
		require.NoError(t, to.DeleteTag(t.Context(), repo, "latest"))
	}
	return filepath.Join(tree, "team", "app"), one
}

func TestSkopeoReadsWhatIsWritten(t *testing.T) {
	t.Parallel()
	skopeo := tool(t, "skopeo")
	app, one := ours(t)
	for _, ref := range []string{app + ":v1", app + ":moved", one + ":v1", one + ":team/app:moved"} {
		out := t.TempDir()
		skopeo("copy", "oci:"+ref, "dir:"+out)
		copied, err := os.ReadFile(filepath.Join(out, "manifest.json"))
		require.NoError(t, err)
		require.Equal(t, amd64, digest.FromBytes(copied), ref)
	}
	out := t.TempDir()
	skopeo("copy", "--all", "oci:"+app+":multi", "oci:"+out+":copy")
	wantImage(t, open(t, out, layout.ReadOnly(), layout.Repository("x")), "x", "copy", indexType, multi)
	require.Contains(t, skopeo("inspect", "oci:"+app+":v1"), `"Architecture": "amd64"`)
}

func TestSkopeoWritesWhatIsServed(t *testing.T) {
	t.Parallel()
	skopeo := tool(t, "skopeo")
	app, _ := ours(t)
	s := open(t, filepath.Dir(filepath.Dir(app)))
	wantImage(t, s, "team/app", "v1", imageType, amd64)
	skopeo("copy", "oci:testdata/umoci:v2", "oci:"+app+":v1")
	wantImage(t, s, "team/app", "v1", imageType, arm64)
	put(t, s, "team/app", 0, "v9")
	skopeo("copy", "oci:testdata/umoci:v2", "oci:"+filepath.Join(filepath.Dir(app), "new")+":v1")
	wantImage(t, s, "team/new", "v1", imageType, arm64)
	require.Equal(t, []string{"app:v1", "team/app:moved", "team/app:multi", "team/app:v1", "team/app:v9", "team/new:v1"}, tagsOf(t, s))
}

func TestUmociReadsAndWritesWhatIsServed(t *testing.T) {
	t.Parallel()
	umoci := tool(t, "umoci")
	app, one := ours(t)
	require.ElementsMatch(t, []string{"v1", "moved", "multi"}, strings.Fields(umoci("list", "--layout", app)))
	require.ElementsMatch(t, []string{"v1", "team/app:moved", "team/app:multi", "team/app:v1", "team/app@" + string(arm64), "team/app@" + string(sbom)}, strings.Fields(umoci("list", "--layout", one)))

	s := open(t, app, layout.Repository("app"))
	bundle := filepath.Join(t.TempDir(), "bundle")
	umoci("unpack", "--rootless", "--image", app+":v1", bundle)
	hello, err := os.ReadFile(filepath.Join(bundle, "rootfs", "hello.txt"))
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(hello))

	umoci("config", "--image", app+":v1", "--tag", "v2", "--architecture", "s390x")
	wantImage(t, s, "app", "v1", imageType, amd64)
	d, err := s.StatManifest(t.Context(), "app", "v2")
	require.NoError(t, err)
	wantImage(t, s, "app", "v2", imageType, d.Digest)
	umoci("remove", "--image", app+":v2")
	_, err = s.GetManifest(t.Context(), "app", "v2")
	wantNotExist(t, err)
	umoci("gc", "--layout", app)
	for _, tag := range []string{"v1", "multi"} {
		d, err := s.StatManifest(t.Context(), "app", tag)
		require.NoError(t, err)
		wantImage(t, s, "app", tag, d.MediaType, d.Digest)
	}
	put(t, s, "app", 0, "v3")
	require.ElementsMatch(t, []string{"v1", "v3", "moved", "multi"}, strings.Fields(umoci("list", "--layout", app)))
}

func TestRegctlReadsAndWritesWhatIsServed(t *testing.T) {
	t.Parallel()
	regctl := tool(t, "regctl")
	app, _ := ours(t)
	s := open(t, app, layout.Repository("app"))
	require.Equal(t, []string{"moved", "multi", "v1"}, strings.Fields(regctl("tag", "ls", "ocidir://"+app)))
	require.Equal(t, string(multi), regctl("manifest", "head", "ocidir://"+app+":multi"))
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		var config ocispec.Image
		require.NoError(t, json.Unmarshal([]byte(regctl("image", "config", "ocidir://"+app+":multi", "--platform", platform)), &config))
		require.Equal(t, strings.TrimPrefix(platform, "linux/"), config.Architecture)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	regctl("image", "copy", "--digest-tags", "ocidir://"+app+":multi", "ocidir://"+copied+":v1")
	wantImage(t, open(t, copied), "copy", "v1", indexType, multi)

	regctl("image", "copy", "ocidir://"+app+":v1", "ocidir://"+app+":v2")
	wantImage(t, s, "app", "v2", imageType, amd64)
	wantReferrers(t, s, "app", amd64, sbom)
	regctl("artifact", "put", "--subject", "ocidir://"+app+":v1", "--artifact-type", "application/vnd.example.other", "--file", "testdata/README.md")
	require.Len(t, collect(t, s.Referrers(t.Context(), "app", amd64, "")), 2)
	regctl("tag", "rm", "ocidir://"+app+":v1")
	_, err := s.GetManifest(t.Context(), "app", "v1")
	wantNotExist(t, err)
	put(t, s, "app", 0, "v3")
	require.Contains(t, strings.Fields(regctl("tag", "ls", "ocidir://"+app)), "v3")
}
