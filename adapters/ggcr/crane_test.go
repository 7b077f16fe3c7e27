package ggcr_test

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/compare"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/adapters/ggcr"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// These tests check package crane as go-containerregistry's own tests do, with
// this package in place of servers and pushes made by hand.

func TestCrane(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	src, dst := reg.Ref("test/crane"), reg.Ref("test/crane/copy")
	img := randomImage(t, 5)
	app, err := ggcr.Content(img)
	require.NoError(t, err)

	require.NoError(t, crane.Push(img, src))
	reg.CheckRepository(t, "test/crane", map[string]content.Content{"latest": app})
	d, err := crane.Digest(src)
	require.NoError(t, err)
	require.Equal(t, app.Digest.String(), d)
	raw, err := crane.Manifest(src)
	require.NoError(t, err)
	require.Equal(t, app.Manifest, raw)
	config, err := crane.Config(src)
	require.NoError(t, err)
	require.Equal(t, reg.GetBlob(t, "test/crane", app.Config.Digest), config)
	layer, err := crane.PullLayer(src + "@" + app.Layers[0].Digest.String())
	require.NoError(t, err)
	layers, err := img.Layers()
	require.NoError(t, err)
	require.NoError(t, compare.Layers(layers[0], layer))

	require.NoError(t, crane.Copy(src, dst))
	require.NoError(t, crane.Tag(dst, "crane-tag"))
	reg.CheckRepository(t, "test/crane/copy", map[string]content.Content{"latest": app, "crane-tag": app})
	for _, opts := range [][]crane.Option{nil, {
		crane.Insecure, crane.WithTransport(http.DefaultTransport), crane.WithAuth(authn.Anonymous),
		crane.WithAuthFromKeychain(authn.DefaultKeychain), crane.WithUserAgent("crane/tests"),
	}} {
		pulled, err := crane.Pull(dst, opts...)
		require.NoError(t, err)
		require.NoError(t, compare.Images(img, pulled))
	}
	for _, tag := range []string{"1", "2", "3", "4"} {
		require.NoError(t, crane.Tag(dst, tag))
	}
	tags, err := crane.ListTags(dst)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2", "3", "4", "crane-tag", "latest"}, tags)

	require.Error(t, crane.Delete(dst+":nothing"))
	require.NoError(t, crane.Delete(src))
	require.Empty(t, reg.Tags(t, "test/crane"))
	_, err = crane.Pull(src)
	require.Error(t, err)
	reg.CheckTag(t, "test/crane/copy:latest", app)

	repos, err := crane.Catalog(reg.Host())
	require.NoError(t, err)
	require.Equal(t, []string{"test/crane", "test/crane/copy"}, repos)
	require.NoError(t, crane.Upload(layers[1], reg.Ref("test/upload")))
	require.NotEmpty(t, reg.GetBlob(t, "test/upload", app.Layers[1].Digest))
}

func TestCraneIndex(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	index := ggcr.Push(t, reg, "src:latest", nested(t))
	require.NoError(t, crane.Copy(reg.Ref("src"), reg.Ref("all")))
	reg.CheckTag(t, "all:latest", index)

	arm := &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	require.NoError(t, crane.Copy(reg.Ref("src"), reg.Ref("arm"), crane.WithPlatform(arm)))
	reg.CheckTag(t, "arm:latest", index.Children[0])
	_, err := crane.Manifest(reg.Ref("src"), crane.WithPlatform(&v1.Platform{OS: "does-not-exist", Architecture: "real fake doors"}))
	require.ErrorContains(t, err, "real fake doors")
}

func TestCraneFiles(t *testing.T) {
	t.Parallel()
	dir, img := t.TempDir(), randomImage(t, 5)
	file := filepath.Join(dir, "image.tar")
	require.NoError(t, crane.Save(img, "test/crane@"+digestOf(t, img), file))
	loaded, err := crane.Load(file)
	require.NoError(t, err)
	require.Equal(t, digestOf(t, img), digestOf(t, loaded))
	require.NoError(t, crane.SaveLegacy(img, "test/crane", filepath.Join(dir, "legacy.tar")))
	require.NoError(t, crane.SaveOCI(img, filepath.Join(dir, "layout")))

	var archive, exported bytes.Buffer
	w := tar.NewWriter(&archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "/some/file", Size: 8}))
	_, err = io.WriteString(w, "sentinel")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	layer := filepath.Join(dir, "layer.tar")
	require.NoError(t, os.WriteFile(layer, archive.Bytes(), 0o666))
	appended, err := crane.Append(img, layer)
	require.NoError(t, err)
	require.NoError(t, crane.Export(appended, &exported))
	found := map[string]string{}
	r := tar.NewReader(&exported)
	for h, err := r.Next(); err != io.EOF; h, err = r.Next() {
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		found[h.Name] = string(content)
	}
	require.Equal(t, "sentinel", found["/some/file"])
}

// This test is not parallel: it replaces the standard input.
func TestCraneStandardInput(t *testing.T) {
	layer, err := crane.Layer(map[string][]byte{"hello": []byte("world")})
	require.NoError(t, err)
	content, err := layer.Uncompressed()
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer func(stdin *os.File) { os.Stdin = stdin }(os.Stdin)
	os.Stdin = r
	go func() {
		io.Copy(w, content)
		w.Close()
	}()
	img, err := crane.Append(empty.Image, "-")
	require.NoError(t, err)
	layers, err := img.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
}

func TestCraneErrors(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t, registry.Without(registry.ListRepositories))
	invalid, missing := "/dev/null/@@@@@@", reg.Ref("some/image")
	for name, err := range map[string]error{
		"push":                      crane.Push(nil, invalid),
		"upload":                    crane.Upload(nil, invalid),
		"delete":                    crane.Delete(invalid),
		"delete a missing image":    crane.Delete(missing),
		"save":                      crane.Save(nil, invalid, ""),
		"save legacy":               crane.SaveLegacy(nil, invalid, ""),
		"save legacy to no file":    crane.SaveLegacy(nil, missing, invalid),
		"save to no layout":         crane.SaveOCI(nil, ""),
		"copy":                      crane.Copy(invalid, invalid),
		"copy a missing image":      crane.Copy(missing, missing),
		"copy to nowhere":           crane.Copy(missing, invalid),
		"tag":                       crane.Tag(invalid, invalid),
		"tag a missing image":       crane.Tag(missing, missing),
		"tag with no tag":           crane.Tag(missing, invalid),
		"pull":                      second(crane.Pull(invalid)),
		"digest":                    second(crane.Digest(invalid)),
		"manifest":                  second(crane.Manifest(invalid)),
		"config":                    second(crane.Config(invalid)),
		"config that is missing":    second(crane.Config(missing)),
		"list":                      second(crane.ListTags(invalid)),
		"list a missing repository": second(crane.ListTags(missing)),
		"append":                    second(crane.Append(nil, invalid)),
		"catalog":                   second(crane.Catalog(invalid)),
		"catalog that is missing":   second(crane.Catalog(reg.Host())),
		"pull a layer":              second(crane.PullLayer(invalid)),
		"load":                      second(crane.LoadTag("", invalid)),
		"load from no file":         second(crane.LoadTag(invalid, missing)),
	} {
		require.Error(t, err, name)
	}
}

func second[T any](_ T, err error) error { return err }
