package cmdline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
)

func push(t *testing.T, c caller) string {
	if c.push == nil {
		return ""
	}
	s := serve(t, nil)
	require.NoError(t, c.push(imageLayout(t, image()), s.ref("team/app:v1")))
	return pushed(t, c, s, "team/app:v1", image())
}

// pushed fails the test unless the repository has the image at the reference, and
// nothing else. It returns whether the tool packed the image again.
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

// checkFile fails the test unless the layout has the blob or manifest of the digest.
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

// mount copies an image within a registry, twice, because some tools learn from the
// first copy where its blobs are. It returns the numbers of blobs that were mounted and
// sent.
func mount(t *testing.T, c caller) string {
	if c.copy == nil {
		return ""
	}
	// The image is new each time. Some tools remember, for longer than this test
	// runs, which registry has a blob, and a later test may get the same port.
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
// made of the image's digest. It returns which of them were copied.
func copySigned(t *testing.T, c caller) string {
	if c.copySigned == nil {
		return ""
	}
	signature := content.Artifact("", content.Config(content.Bytes("application/vnd.oci.image.config.v1+json", []byte(`{}`))),
		content.Bytes("application/vnd.dev.cosign.simplesigning.v1+json", []byte(`{}`)))
	tag := strings.Replace(image().Digest.String(), ":", "-", 1) + ".sig"
	sbom := referrer.SPDX(image())
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
	// Both blobs are so large that the fault hits whichever is pushed first.
	want := content.Image(content.LayerSizes(300_000), content.Config(content.Random("application/vnd.oci.image.config.v1+json", 300_000, 1)))
	if c.repacks {
		// Tools that repack layers read the config and push it last.
		want = content.Image(content.Platform(platform), content.LayerSizes(300_000))
	}
	err := c.push(imageLayout(t, want), s.ref("team/app:v1"))
	var taken, cut int64
	for _, r := range s.requests(t) {
		switch {
		case !slices.Contains([]string{"post-blob", "patch-upload", "put-upload"}, r.Op):
		case r.Fault != "":
			cut += r.In // The registry may have read more of the blob than it kept.
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
