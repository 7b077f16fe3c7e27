package cmdline

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/content"
)

// A step is a task for each tool. It returns the outcome, or "" if the tool has
// no command for it.
type step struct {
	name  string
	large bool
	run   func(t *testing.T, c caller) string
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
	table := matrix.OpenTable(t, "../../../docs/clients.md", "tools")
	table.Declare(matrix.Version)
	for _, step := range steps {
		table.Declare(step.name)
	}
	table.CheckDeclared(t)
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			need(t, append(tool.needs, tool.name)...)
			version := versionPattern.FindString(run(t, tool.name, tool.version))
			require.NotEmpty(t, version)
			check := table.Check
			if !table.IsOf(tool.name, version) {
				// It may do in another way whatever it is that it gets done.
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

var versionPattern = regexp.MustCompile(`\d+\.\d+\.\d+`)

// platform is that of this machine.
const platform = "linux/" + runtime.GOARCH

func image(parts ...content.ImagePart) content.Content {
	return content.Image(append(parts, content.Platform(platform), content.Layers(2), content.LayerSizes(300_000))...)
}

func index() content.Content {
	return content.Index(content.Platforms(platform, "linux/s390x"))
}

// runnable is an image of ocireg itself, which says how it is used.
func runnable(t *testing.T) content.Content {
	t.Helper()
	program, err := os.ReadFile(ocireg)
	require.NoError(t, err)
	return content.Image(content.Platform(platform),
		content.FS(fstest.MapFS{"ocireg": {Data: program, Mode: 0o755}}),
		content.ImageConfig(ocispec.ImageConfig{Entrypoint: []string{"/ocireg"}, Cmd: []string{"-h"}}))
}

func build(t *testing.T, c caller) string {
	if c.build == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/base:v1": image()})
	file, err := c.build(s.ref("team/base:v1"), s.ref("team/app:v1"))
	require.NoError(t, err)
	return built(t, s, s.state(t).Get(t, "team/app:v1"), image(), file)
}

// built checks that an image was built on a base, with a file in a layer above.
func built(t *testing.T, s *server, got, base content.Content, file string) string {
	t.Helper()
	below := len(base.Layers)
	require.Greater(t, len(got.Layers), below)
	require.Equal(t, diffIDs(t, base), storedDiffIDs(t, s, "team/app", got)[:below])
	require.Contains(t, files(t, s.state(t).GetBlob(t, "team/app", got.Layers[len(got.Layers)-1].Digest)), file)
	for i, layer := range base.Layers {
		if got.Layers[i].Digest != layer.Digest {
			return "ok, base packed anew"
		}
	}
	return "ok"
}

// diffIDs returns the digests of an image's layers when they are not packed.
func diffIDs(t *testing.T, c content.Content) []digest.Digest {
	t.Helper()
	text, err := io.ReadAll(c.Config.Open())
	require.NoError(t, err)
	return unpacked(t, text)
}

// storedDiffIDs returns those of an image in a repository.
func storedDiffIDs(t *testing.T, s *server, repo string, c content.Content) []digest.Digest {
	t.Helper()
	return unpacked(t, s.state(t).GetBlob(t, repo, c.Config.Digest))
}

func unpacked(t *testing.T, config []byte) []digest.Digest {
	t.Helper()
	var image ocispec.Image
	require.NoError(t, json.Unmarshal(config, &image))
	return image.RootFS.DiffIDs
}

// files lists the files in a layer, and checks that it is packed and not empty.
func files(t *testing.T, layer []byte) (names []string) {
	t.Helper()
	unzipped, err := gzip.NewReader(strings.NewReader(string(layer)))
	require.NoError(t, err)
	archive := tar.NewReader(unzipped)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return names
		}
		require.NoError(t, err)
		names = append(names, strings.TrimPrefix(strings.TrimPrefix(h.Name, "."), "/"))
	}
}

func buildIndex(t *testing.T, c caller) string {
	if c.buildIndex == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/base:v1": index()})
	require.NoError(t, c.buildIndex(s.ref("team/base:v1"), s.ref("team/app:v1"), platform, "linux/s390x"))
	got := s.state(t).Get(t, "team/app:v1")
	for base, m := range sameChildren(t, s, got) {
		below := len(base.Layers)
		require.Greater(t, len(m.Layers), below)
		require.Equal(t, diffIDs(t, base), storedDiffIDs(t, s, "team/app", m)[:below])
	}
	return "ok"
}

// sameChildren checks that an index has images for the same platforms as index,
// in any order, and yields the two for each.
func sameChildren(t *testing.T, s *server, got content.Content) iter.Seq2[content.Content, content.Content] {
	t.Helper()
	require.Len(t, got.Children, len(index().Children))
	return func(yield func(want, got content.Content) bool) {
		for _, want := range index().Children {
			i := slices.IndexFunc(got.Children, func(c content.Content) bool {
				return c.Platform != nil && c.Platform.Architecture == want.Platform.Architecture
			})
			require.GreaterOrEqual(t, i, 0, "nothing for %s", want.Platform.Architecture)
			if !yield(want, s.state(t).Get(t, "team/app@"+got.Children[i].Digest.String())) {
				return
			}
		}
	}
}

func push(t *testing.T, c caller) string {
	if c.push == nil {
		return ""
	}
	s := serve(t, nil)
	require.NoError(t, c.push(imageLayout(t, image()), s.ref("team/app:v1")))
	return pushed(t, c, s, "team/app:v1", image())
}

// pushed checks that an image has been pushed, and nothing else.
func pushed(t *testing.T, c caller, s *server, ref string, want content.Content) string {
	t.Helper()
	repo, tag, _ := strings.Cut(ref, ":")
	if c.repacks {
		got := s.state(t).Get(t, ref)
		require.Equal(t, diffIDs(t, want), storedDiffIDs(t, s, repo, got))
		s.state(t).CheckRepository(t, repo, map[string]content.Content{tag: got})
		for i, layer := range want.Layers {
			if got.Layers[i].Digest != layer.Digest {
				return "ok, packed anew"
			}
		}
		if got.Digest != want.Digest {
			return "ok, the manifest written anew"
		}
		return "ok"
	}
	s.state(t).CheckRepository(t, repo, map[string]content.Content{tag: want})
	return "ok"
}

func pushByDigest(t *testing.T, c caller) string {
	if c.push == nil || !c.byDigest {
		return ""
	}
	s := serve(t, nil)
	require.NoError(t, c.push(imageLayout(t, image()), s.ref("team/app@"+image().Digest.String())))
	s.state(t).CheckRepository(t, "team/app", nil, image())
	return "ok"
}

func pushIndex(t *testing.T, c caller) string {
	if c.pushIndex == nil {
		return ""
	}
	s := serve(t, nil)
	require.NoError(t, c.pushIndex(imageLayout(t, index()), s.ref("team/app:v1")))
	got := s.state(t).Get(t, "team/app:v1")
	if got.Digest == index().Digest {
		s.state(t).CheckTag(t, "team/app:v1", index())
		return "ok"
	}
	packed := false
	for want, m := range sameChildren(t, s, got) {
		require.Equal(t, diffIDs(t, want), storedDiffIDs(t, s, "team/app", m))
		packed = packed || m.Digest != want.Digest
	}
	if packed {
		return "ok, packed anew"
	}
	return "ok, the index written anew"
}

func pull(t *testing.T, c caller, ref string) string {
	t.Helper()
	if c.pull == nil {
		return ""
	}
	got, err := c.pull(ref)
	require.NoError(t, err)
	require.Equal(t, image().Digest.String(), got)
	return "ok"
}

func pullIndex(t *testing.T, c caller) string {
	if c.pullIndex == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/app:v1": index()})
	dir := t.TempDir()
	require.NoError(t, c.pullIndex(s.ref("team/app:v1"), dir))
	for m := range index().Manifests() {
		checkFile(t, dir, m.Digest)
	}
	for b := range index().Blobs() {
		checkFile(t, dir, b.Digest)
	}
	return "ok"
}

// checkFile checks that a layout has the content of a digest.
func checkFile(t *testing.T, dir string, want digest.Digest) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "blobs", want.Algorithm().String(), want.Encoded()))
	require.NoError(t, err)
	require.Equal(t, want, want.Algorithm().FromBytes(text))
}

func pullPlatform(t *testing.T, c caller) string {
	if c.pullPlatform == nil {
		return ""
	}
	s := serve(t, map[string]content.Content{"team/app:v1": index()})
	require.NoError(t, c.pullPlatform(s.ref("team/app:v1"), "linux", "s390x"))
	here, there := index().Children[0], index().Children[1]
	var got []string
	for _, r := range s.requests(t) {
		if r.Status == 200 && (r.Op == "get-manifest" || r.Op == "get-blob") {
			got = append(got, r.Reference)
		}
	}
	require.Contains(t, got, there.Config.Digest.String())
	require.Contains(t, got, there.Layers[0].Digest.String())
	require.NotContains(t, got, here.Config.Digest.String())
	return "ok"
}

func runContainer(t *testing.T, c caller) string {
	if c.run == nil {
		return ""
	}
	app := runnable(t)
	s := serve(t, map[string]content.Content{"team/app:v1": app})
	out, err := c.run(s.ref("team/app:v1"))
	if err != nil && count(s.requests(t), 2, "get-blob") == 2 {
		// The image arrived, but this machine does not run containers.
		t.Skipf("containers do not run here: %s", out)
	}
	require.NoError(t, err)
	require.Contains(t, out, "Usage: ocireg")
	return "ok"
}

// mount copies an image within a registry, twice: some tools know only then where
// its blobs are.
func mount(t *testing.T, c caller) string {
	if c.copy == nil {
		return ""
	}
	// It is another image each time, for a tool that remembers where it has seen
	// a blob does so for longer than this test lasts, and ports come again.
	app := image(content.Seed(uint64(time.Now().UnixNano())))
	s := serve(t, map[string]content.Content{"team/app:v1": app})
	repos := []string{"team/first", "team/second"}
	for _, repo := range repos {
		require.NoError(t, c.copy(s.ref("team/app:v1"), s.ref(repo+":v1")))
		require.Equal(t, diffIDs(t, app), storedDiffIDs(t, s, repo, s.state(t).Get(t, repo+":v1")))
	}
	var seen []string
	rs := s.requests(t)
	for _, repo := range repos {
		mounted, sent := 0, 0
		for _, r := range rs {
			switch {
			case r.Repository != repo:
			case r.Op == "mount-blob" && r.Status == 201:
				mounted++
			case r.In > 0 && slices.Contains([]string{"post-blob", "patch-upload", "put-upload"}, r.Op):
				sent++
			}
		}
		require.Equal(t, len(app.Layers)+1, mounted+sent)
		if sent == 0 {
			seen = append(seen, "all mounted")
		} else {
			seen = append(seen, fmt.Sprintf("%d mounted, %d sent", mounted, sent))
		}
	}
	return strings.Join(slices.Compact(seen), "; then ")
}

// copySigned copies an image that has a referrer, and a signature under a tag
// that is made of its digest.
func copySigned(t *testing.T, c caller) string {
	if c.copySigned == nil {
		return ""
	}
	signature := content.Artifact("", content.Config(content.Bytes("application/vnd.oci.image.config.v1+json", []byte(`{}`))),
		content.Bytes("application/vnd.dev.cosign.simplesigning.v1+json", []byte(`{}`)))
	tag := strings.Replace(image().Digest.String(), ":", "-", 1) + ".sig"
	sbom := content.SPDX(image())
	s := serve(t, map[string]content.Content{"team/app:v1": image(), "team/app:" + tag: signature, "team/app": sbom})
	require.NoError(t, c.copySigned(s.ref("team/app:v1"), s.ref("team/copy:v1")))
	state := s.state(t)
	state.CheckTag(t, "team/copy:v1", image())
	var seen []string
	if slices.Contains(state.Tags(t, "team/copy"), tag) {
		got := state.Get(t, "team/copy:"+tag)
		require.Len(t, got.Layers, 1)
		require.Equal(t, `{}`, string(state.GetBlob(t, "team/copy", got.Layers[0].Digest)))
		if got.Digest == signature.Digest {
			seen = append(seen, "the tag of the signature")
		} else {
			seen = append(seen, "the tag of the signature, its manifest written anew")
		}
	}
	if referrers := state.Referrers(t, "team/copy:v1"); len(referrers) > 0 {
		require.Len(t, referrers, 1)
		state.CheckRepository(t, "team/copy", map[string]content.Content{"v1": image(), tag: signature}, sbom)
		seen = append(seen, "the referrer")
	}
	if seen == nil {
		return "the image alone"
	}
	return strings.Join(seen, " and ")
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

// sign signs an image and verifies it. An image without a signature and another
// key must fail.
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

// use pulls the image at the reference and pushes with the tool as well. A tool
// that only builds, builds on that image.
func use(c caller, s *server, ref string) error {
	if c.pull == nil {
		_, err := c.build(s.ref(ref), s.ref("team/built:v1"))
		return err
	}
	got, err := c.pull(s.ref(ref))
	if err == nil && got != image().Digest.String() {
		err = fmt.Errorf("pulled %s", got)
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

func cutPull(t *testing.T, c caller) string {
	if c.pull == nil {
		return ""
	}
	layer := image().Layers[2].Digest.String()
	s := serve(t, map[string]content.Content{"team/app:v1": image()}, "-fault", "get-blob digest="+layer+" once close=150000")
	got, err := c.pull(s.ref("team/app:v1"))
	if err == nil {
		require.Equal(t, image().Digest.String(), got)
	}
	var asked []request
	for _, r := range s.requests(t) {
		if r.Op == "get-blob" && r.Reference == layer {
			asked = append(asked, r)
		}
	}
	require.NotEmpty(t, asked)
	require.NotEmpty(t, asked[0].Fault)
	require.EqualValues(t, 150_000, asked[0].Out)
	switch {
	case err != nil:
		return "failed"
	case asked[len(asked)-1].Status == 206:
		return "resumed"
	}
	require.Equal(t, 200, asked[len(asked)-1].Status)
	require.Greater(t, len(asked), 1)
	return "started over"
}

func cutPush(t *testing.T, c caller) string {
	if c.push == nil {
		return ""
	}
	s := serve(t, nil, "-fault", "patch-upload,put-upload once close=150000")
	// Whichever blob comes first, it has a byte that far.
	want := content.Image(content.LayerSizes(300_000), content.Config(content.Random("application/vnd.oci.image.config.v1+json", 300_000, 1)))
	if c.repacks {
		// These have to read the config, and push it last.
		want = content.Image(content.Platform(platform), content.LayerSizes(300_000))
	}
	err := c.push(imageLayout(t, want), s.ref("team/app:v1"))
	var taken, cut int64
	for _, r := range s.requests(t) {
		switch {
		case !slices.Contains([]string{"post-blob", "patch-upload", "put-upload"}, r.Op):
		case r.Fault != "":
			cut += r.In // More of it may have been read than was taken.
		default:
			taken += r.In
		}
	}
	require.GreaterOrEqual(t, cut, int64(150_000))
	if err != nil {
		require.Empty(t, s.state(t).Tags(t, "team/app"))
		return "failed"
	}
	pushed(t, c, s, "team/app:v1", want)
	var size int64
	for b := range s.state(t).Get(t, "team/app:v1").Blobs() {
		size += b.Size
	}
	if taken < size {
		return "resumed"
	}
	return "sent again"
}

func large(t *testing.T, c caller) string {
	if c.pull == nil {
		return ""
	}
	want := content.Image(content.Platform(platform), content.LayerSizes(200<<20))
	s := serve(t, map[string]content.Content{"team/app:v1": want})
	got, err := c.pull(s.ref("team/app:v1"))
	require.NoError(t, err)
	require.Equal(t, want.Digest.String(), got)
	if c.push != nil {
		require.NoError(t, c.push(imageLayout(t, want), s.ref("team/copy:v1")))
		pushed(t, c, s, "team/copy:v1", want)
	}
	return "ok"
}
