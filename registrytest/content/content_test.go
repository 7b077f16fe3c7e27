package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/manifest"
)

// samples has valid content of every kind, with its digest. The digests must never
// change, because tests of users compare them with constants.
var samples = []struct {
	name   string
	build  func() Content
	digest digest.Digest
}{
	{"image", func() Content { return Image() }, "sha256:e713f3ce8e9450ea7d667ef7bdd174d4a969c7347ccd4320a135192860d76585"},
	{"image for arm", func() Content { return Image(Platform("linux/arm/v7")) }, "sha256:620062c40b3fb917c25c9cea7de41ee8ded8f9189003c79d6167fea854d8977d"},
	{"image with another seed", func() Content { return Image(Seed(1)) }, "sha256:1aef94d5cbc568fc034ad539a1df5216dc44ab0fb63aa96650c019b3e51f61a6"},
	{"image of three layers", func() Content { return Image(Layers(3)) }, "sha256:e83e30f5c153ac935134441df674e228c511b5336eb5138fa103fd858c7bef2b"},
	{"image without layers", func() Content { return Image(Layers(0)) }, "sha256:3e4e378c9a77f5b622bf09390aa33fec5b5918b584c4f4939ceecad0653ab993"},
	{"image of sizes", func() Content { return Image(LayerSizes(0, 1, 2070, 2071, 100_000, 2<<20)) }, "sha256:f2df620a18a1dbfaf687415fa4575cd6b53ba5b61bf4ec94b798158f7b730ae1"},
	{"image of files", func() Content {
		return Image(
			Files(map[string]string{"etc/os-release": "ID=test\n", "etc/hostname": "test\n", "bin/sh": ""}),
			Files(map[string]string{"etc/.wh.hostname": ""}),
		)
	}, "sha256:2ec804ad944c0b217cb813cc5f1d1b1defad5371d7d90676c204de5766233e51"},
	{"image of a file system", func() Content {
		return Image(FS(fstest.MapFS{
			"bin/true":         {Data: []byte("#!/bin/sh\n"), Mode: 0o700},
			"bin/yes":          {Data: []byte("true"), Mode: fs.ModeSymlink},
			"var/empty":        {Mode: fs.ModeDir},
			longName:           {Data: []byte("long")},
			"etc/überraschung": {Data: []byte("not ASCII")},
		}))
	}, "sha256:ecad82fae526d742f166be87c6bf71fdf103d62b5ecaa2cb3b0edfa4436c99a1"},
	{"image of plain layers", func() Content { return Image(Layers(1).Uncompressed(), LayerSizes(4096).Uncompressed(), Layers(1)) }, "sha256:09223b22a22e4b6641811cee8d3e7e6f296da4883ab602d3ee4583d8e50cb7c7"},
	{"image that runs", func() Content {
		return Image(ImageConfig(ocispec.ImageConfig{Cmd: []string{"/bin/true"}, Labels: map[string]string{"b": "2", "a": "1"}}))
	}, "sha256:5a9595dfc40d970bde76903e79da72c22b3d7740107a65650ce386f08bb50362"},
	{"image of a given size", func() Content { return Image(ManifestSize(4096)) }, "sha256:3f120393f22c64149eff7ee9d2511150ccffe3cb1295d62bd50dd5a5e97b5c5f"},
	{"image with annotations", func() Content {
		return Image(Annotation("b", "2"), Annotation("a", "1"), Layers(2).Annotated("title", "<layer & more>"))
	}, "sha256:6c046919b6a08e185d916a1cde9dd1c8b18330f1450c90214a5a8a7d252984fb"},
	{"image with SHA-512", func() Content { return Image(Algorithm(digest.SHA512), Bytes("a/b", []byte("c"))) }, "sha512:f831397f2d6509f4520b4d8c0a6309802c1dc097a331d7042e68897bd6d8d82dac1cdf393edab4404a680f491ad26b49fe306fbb5a2a0202dc54c661f42a217c"},
	{"Docker image", func() Content { return Image(Docker(), Layers(1), Layers(1).Uncompressed()) }, "sha256:a2897a0e6a7e8e9dcc50f0dfae4b6ddea8d6fea7b1c17d6ed68f8e3f96189f6f"},
	{"sparse image", func() Content { return Image(Layers(1).Absent(), Layers(1)) }, "sha256:ec8f5b90860e36f65b3d1f73894c5c70b0b1a6ae1a305e81607141eba532ba09"},
	{"non-distributable layers", func() Content {
		const url = "https://example.com/layer"
		return Image(Layers(1).NonDistributable(url), Layers(1).Uncompressed().NonDistributable(url))
	}, "sha256:046a1b37e833679981a4eb1408dabc853acace2e883f0a9155d5003929d1f217"},
	{"non-distributable Docker layer", func() Content { return Image(Docker(), Layers(1).NonDistributable("https://example.com/layer")) }, "sha256:41d25680b7679feafe0d985b43b241134d0944109da8c0f14e477e92d2050e27"},
	{"index", func() Content { return Index(Platforms("linux/amd64", "linux/arm64/v8")) }, "sha256:2aecaadf96ad4368935db586f6b110693d65cd41c4da0da9d50a4849e2c63524"},
	{"empty index", func() Content { return Index() }, "sha256:434dee09a34300413d1a44f76a5d34aa8902a405b1462febd8435e0176029ee3"},
	{"sparse index", func() Content { return Index(Image(), Platforms("linux/arm64").Absent()) }, "sha256:7b00e752d26f855a143aa0f4e6495a2136f580dc99f03f92229f09795593c039"},
	{"nested index", func() Content {
		inner := Index(Image(), Platform("linux/amd64"), ArtifactType("application/vnd.example.index"))
		return Index(inner, Index(inner, Image(Seed(1))))
	}, "sha256:09f092bc101b2dbc7252d49efe24ad86682454508bb0bc3418a4a8435510c9ce"},
	{"index of an attestation", func() Content {
		app := Image()
		return Index(app, Image(Platform("unknown/unknown")).Annotated("vnd.docker.reference.digest", app.Digest.String()))
	}, "sha256:e3d0341096f5ecc9aaf4a7286d23755b7e7f4ce7b6f11724f6c3fb339c1473e0"},
	{"Docker manifest list", func() Content { return Index(Docker(), Image(Docker()), Image(Docker(), Platform("linux/arm64"))) }, "sha256:af74c4432a0c0ebaf093b4b69be072ebed08f6e6f630842cb1aa4796945fe2c5"},
	{"artifact", func() Content { return Artifact("application/vnd.example") }, "sha256:04e331aa16c8a6c8fd8224b8d19e83271529cac051e6d02cbda0a8b781f117cd"},
	{"artifact of blobs", func() Content {
		return Artifact("application/vnd.example",
			Bytes("text/plain", []byte("hello")).Annotated(ocispec.AnnotationTitle, "hello.txt"),
			Random("application/octet-stream", 1000, 1),
			Annotation("key", "value"))
	}, "sha256:fe7d123ff11232d0cd4f53dfa212911c2145dcc55bcbe881cd435af0b00ce62b"},
	{"artifact by its config", func() Content {
		return Artifact("", Config(Bytes("application/vnd.cncf.helm.config.v1+json", []byte(`{"name":"chart"}`))),
			Bytes("application/vnd.cncf.helm.chart.content.v1.tar+gzip", nil))
	}, "sha256:a6f2518687e682d67fb5f3217e9fd3d43d9e8b6e3819f8208db9b105b41abfd0"},
	{"index as a referrer", func() Content { return Index(Subject(Image()), ArtifactType("application/vnd.example")) }, "sha256:753b68b5fbcebffb438a318848c57a6465b0da7cf85abecdc3a889c72cf63781"},
	{"raw", func() Content { return Raw(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[]}`)) }, "sha256:bc5857ac9458293d5111ab85c952172cd7f56bceb4e3014ddc4cafac8927b313"},
}

var longName = "usr/" + strings.Repeat("long/", 60) + "name"

func TestDigestsAreForever(t *testing.T) {
	t.Parallel()
	seen := make(map[digest.Digest]string)
	for _, s := range samples {
		c := s.build()
		require.NoError(t, c.Err(), s.name)
		require.Equal(t, s.digest, c.Digest, s.name)
		require.Empty(t, seen[c.Digest], s.name)
		seen[c.Digest] = s.name
	}
}

func TestSameCallSameContent(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		a, b := s.build(), s.build()
		require.Equal(t, a.Manifest, b.Manifest, s.name)
	}
}

// checkContent checks the properties that all valid content has.
func checkContent(t *testing.T, c Content) {
	require.NoError(t, c.Err())
	require.Equal(t, int64(len(c.Manifest)), c.Size)
	require.NoError(t, c.Digest.Validate())
	require.Equal(t, c.Digest.Algorithm().FromBytes(c.Manifest), c.Digest)

	doc, err := manifest.Parse(c.MediaType, c.Manifest)
	require.NoError(t, err)
	require.NoError(t, doc.Check(c.MediaType))
	require.Equal(t, doc.ArtifactType, c.ArtifactType)
	require.Equal(t, doc.Annotations, c.Annotations)

	// The fields of the Content repeat those of the manifest.
	require.Len(t, c.Layers, len(doc.Layers))
	for i, b := range c.Layers {
		require.Equal(t, doc.Layers[i], b.Descriptor)
	}
	if doc.Config != nil {
		require.Equal(t, *doc.Config, c.Config.Descriptor)
	}
	require.Len(t, c.Children, len(doc.Manifests))
	for i, child := range c.Children {
		d := doc.Manifests[i]
		require.Equal(t, child.Descriptor(), ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
		require.Equal(t, child.Platform, d.Platform)
		checkContent(t, child)
	}
	if manifest.Image(c.MediaType) {
		require.NotNil(t, doc.Layers, "layers is a list, not null")
	} else {
		require.NotNil(t, doc.Manifests, "manifests is a list, not null")
	}
	for _, b := range c.ownBlobs() {
		d, err := b.Digest.Algorithm().FromReader(b.Open())
		require.NoError(t, err)
		require.Equal(t, b.Digest, d)
		require.Equal(t, b.Size, b.Open().Size())
	}
	if c.Config.MediaType == ocispec.MediaTypeImageConfig || c.Config.MediaType == dockerImageConfig {
		checkImageConfig(t, c)
	}
}

func checkImageConfig(t *testing.T, c Content) {
	var config ocispec.Image
	require.NoError(t, json.NewDecoder(c.Config.Open()).Decode(&config))
	require.Equal(t, *c.Platform, config.Platform)
	require.Equal(t, "layers", config.RootFS.Type)
	require.NotNil(t, config.RootFS.DiffIDs)
	require.Len(t, config.RootFS.DiffIDs, len(c.Layers))
	require.Len(t, config.History, len(c.Layers))
	require.Equal(t, created(), *config.Created)
	for i, b := range c.Layers {
		content := readLayer(t, b)
		require.Equal(t, digest.FromBytes(content), config.RootFS.DiffIDs[i], "layer %d", i)
	}
}

func TestContentIsValid(t *testing.T) {
	t.Parallel()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			checkContent(t, s.build())
		})
	}
}

func TestInvalidPartsGiveErrors(t *testing.T) {
	t.Parallel()
	broken := Image(Platform("linux"))
	for name, test := range map[string]struct {
		content Content
		want    string
	}{
		"platform":             {broken, `"linux" is not a platform`},
		"platform, four parts": {Image(Platform("a/b/c/d")), "is not a platform"},
		"platform, empty":      {Image(Platform("/amd64")), "is not a platform"},
		"negative layer":       {Image(LayerSizes(-1)), "a layer cannot have a size of -1 bytes"},
		"negative blob":        {Image(Random("a/b", -1, 0)), "a blob cannot have a size of -1 bytes"},
		"negative config":      {Artifact("a/b", Config(Random("a/b", -1, 0))), "a blob cannot have a size of -1 bytes"},
		"manifest too small":   {Image(ManifestSize(10)), "more than the requested size of 10"},
		"manifest of nothing":  {Index(ManifestSize(0)), "a manifest cannot have a size of 0 bytes"},
		"absolute path":        {Image(Files(map[string]string{"/etc": ""})), "/etc: invalid argument"},
		"path that leaves":     {Image(Files(map[string]string{"../etc": ""})), "../etc: invalid argument"},
		"root as a file":       {Image(Files(map[string]string{".": ""})), "invalid argument"},
		"no file system":       {Image(FS(brokenFS{})), "building a layer: open .: broken"},
		"device":               {Image(FS(fstest.MapFS{"dev/null": {Mode: fs.ModeDevice}})), "archive dev/null: unsupported operation"},
		"algorithm":            {Image(Algorithm("md5")), `digest algorithm "md5"`},
		"artifact of no type":  {Artifact(""), "needs a type or a config"},
		"negative layers":      {Image(Layers(-1)), "an image cannot have -1 layers"},
		"broken child":         {Index(Index(broken)), `"linux" is not a platform`},
		"broken subject":       {refer(broken), `"linux" is not a platform`},
		"first error":          {Image(LayerSizes(-1), Platform("")), "a layer cannot have a size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, test.content.Err(), test.want)
			require.Equal(t, Content{err: test.content.err}, test.content)
		})
	}
}

type brokenFS struct{}

func (brokenFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("broken")}
}

func TestManifestSizeIsExact(t *testing.T) {
	t.Parallel()
	least := len(Image().Manifest)
	for _, n := range []int{least, least + 1, 4 << 20} {
		c := Image(ManifestSize(n))
		require.NoError(t, c.Err())
		require.Len(t, c.Manifest, n)
		require.Equal(t, Image().Layers[0].Digest, c.Layers[0].Digest)
	}
	require.Error(t, Image(ManifestSize(least-1)).Err())
}

func TestAbsentPartsAreListedButNotPut(t *testing.T) {
	t.Parallel()
	lower, upper := Bytes("a/b", []byte("lower")), Bytes("a/b", []byte("upper"))
	app := Image(lower.Absent(), upper)
	require.Equal(t, []digest.Digest{app.Config.Digest, upper.Digest}, digestsOf(app))
	require.Equal(t, lower.Digest, app.Layers[0].Digest)
	require.Equal(t, "lower", string(contentOf(t, app.Layers[0])))

	there, gone := Image(), Image(Platform("linux/arm64"))
	index := Index(there, gone.Absent())
	require.Equal(t, Index(there, gone).Digest, index.Digest)
	var manifests []digest.Digest
	for m := range index.Manifests() {
		manifests = append(manifests, m.Digest)
	}
	require.Equal(t, []digest.Digest{there.Digest, index.Digest}, manifests)
	require.Equal(t, digestsOf(there), digestsOf(index))

	// The child is absent only as part of this index, and not by itself.
	require.Equal(t, digestsOf(gone), digestsOf(index.Children[1]))
	require.Equal(t, digestsOf(gone), digestsOf(Index(index.Children[1])))
	require.Contains(t, digestsOf(Image(app.Layers[0])), lower.Digest)
	require.Contains(t, digestsOf(Image(Config(app.Layers[0]))), lower.Digest)
}

func TestContentWithoutBytesIsListedButNotPut(t *testing.T) {
	t.Parallel()
	elsewhere := Content{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 9}
	index := Index(elsewhere, Image())
	require.Equal(t, Index(elsewhere.Absent(), Image()).Digest, index.Digest)
	require.Equal(t, digestsOf(Image()), digestsOf(index))
	require.NoError(t, refer(elsewhere).Err())

	layer := Blob{Descriptor: ocispec.Descriptor{MediaType: "a/b", Digest: digest.FromString("y"), Size: 1}}
	require.NotContains(t, digestsOf(Image(layer)), layer.Digest)
	_, err := layer.Open().Read(make([]byte, 1))
	require.ErrorContains(t, err, "only its descriptor is known, not its content")
}

func TestManifestsAndBlobsComeOnceAndInOrder(t *testing.T) {
	t.Parallel()
	shared := Files(map[string]string{"a": "b"})
	amd, arm := Image(shared), Image(shared, Platform("linux/arm64"))
	require.Equal(t, amd.Layers[0].Digest, arm.Layers[0].Digest, "files are the same for all platforms")
	inner := Index(amd)
	outer := Index(inner, arm, amd)
	var manifests []digest.Digest
	for m := range outer.Manifests() {
		manifests = append(manifests, m.Digest)
	}
	require.Equal(t, []digest.Digest{amd.Digest, inner.Digest, arm.Digest, outer.Digest}, manifests)
	require.Equal(t, []digest.Digest{amd.Config.Digest, amd.Layers[0].Digest, arm.Config.Digest}, digestsOf(outer))
	for range outer.Manifests() {
		break
	}
	for range outer.Blobs() {
		break
	}
}

func TestPartsDoNotChangeTheirArguments(t *testing.T) {
	t.Parallel()
	b := Bytes("a/b", []byte("c"))
	b.Annotations = map[string]string{"own": "1"}
	layers, sum := Layers(2), Annotation("k", "v")
	first := Artifact("x/y", b.Annotated("title", "t"), layers.Annotated("title", "t").Absent(), sum)
	require.Equal(t, map[string]string{"own": "1"}, b.Annotations)
	require.Equal(t, map[string]string{"own": "1", "title": "t"}, first.Layers[0].Annotations)
	require.Equal(t, first.Digest, Artifact("x/y", b.Annotated("title", "t"), layers.Annotated("title", "t"), sum).Digest)
	plain := Artifact("x/y", layers)
	require.Empty(t, plain.Layers[1].Annotations)
	require.Contains(t, digestsOf(plain), plain.Layers[1].Digest)
	require.Empty(t, Artifact("x/y", Bytes("a/b", nil).NonDistributable("https://example.com"), Bytes("a/b", nil)).Layers[1].URLs)

	foreign := layers.NonDistributable("https://example.com/1")
	two := Image(foreign.NonDistributable("https://example.com/2"), foreign.NonDistributable("https://example.com/3"))
	require.Equal(t, []string{"https://example.com/1", "https://example.com/2"}, two.Layers[0].URLs)
	require.Equal(t, []string{"https://example.com/1", "https://example.com/3"}, two.Layers[3].URLs)

	children := Platforms("linux/amd64", "linux/arm64")
	sparse := Index(children.Absent().Annotated("k", "v"))
	require.Empty(t, digestsOf(sparse))
	require.Len(t, digestsOf(Index(children)), 4)
	require.NotEqual(t, Index(children).Digest, sparse.Digest)
}

// refer returns an artifact that refers to the subject.
func refer(subject Content, parts ...ArtifactPart) Content {
	return Artifact("application/spdx+json", append(parts, Subject(subject))...)
}

// The artifact type in a list of referrers is that of the manifest or, without one,
// the media type of its config.
func TestTypesOfReferrers(t *testing.T) {
	t.Parallel()
	subject := Image()
	for want, c := range map[string]Content{
		"application/vnd.cncf.notary.signature": Artifact("", Config(Bytes("application/vnd.cncf.notary.signature", []byte("{}"))), Subject(subject)),
		"application/vnd.example":               Artifact("application/vnd.example", Subject(subject)),
	} {
		m := stored(c.MediaType, c.Digest, c.Manifest)
		require.Equal(t, want, m.ArtifactType)
		require.Equal(t, subject.Digest, m.Subject)
	}
}

// No junk is a valid manifest, except for the one that is not UTF-8.
func TestJunkIsJunk(t *testing.T) {
	t.Parallel()
	accepted := map[string]bool{"not UTF-8": true}
	seen := make(map[string]bool)
	for name, c := range Junk() {
		require.NoError(t, c.Err())
		require.NotNil(t, c.Manifest, name)
		require.Equal(t, digest.FromBytes(c.Manifest), c.Digest)
		require.False(t, seen[name], name)
		seen[name] = true
		doc, err := manifest.Parse(c.MediaType, c.Manifest)
		if err == nil {
			err = doc.Check(c.MediaType)
		}
		require.Equal(t, accepted[name], err == nil, "%s: %v", name, err)
	}
	require.Subset(t, seen, accepted)
	for range Junk() {
		break
	}
}

func TestRawIsRead(t *testing.T) {
	t.Parallel()
	want := Index(Image(), refer(Image()), Annotation("a", "1"), ArtifactType("x/y"))
	got := Raw(want.MediaType, want.Manifest)
	require.Equal(t, want.Digest, got.Digest)
	require.Equal(t, want.Annotations, got.Annotations)
	require.Equal(t, want.ArtifactType, got.ArtifactType)
	require.Equal(t, want.Children[0].Descriptor(), got.Children[0].Descriptor())
	require.Equal(t, want.Children[0].Platform, got.Children[0].Platform)
	require.Equal(t, want.Children[1].ArtifactType, got.Children[1].ArtifactType)

	want = Image(Layers(2))
	got = Raw(want.MediaType, want.Manifest)
	require.Equal(t, want.Config.Descriptor, got.Config.Descriptor)
	require.Equal(t, want.Layers[1].Descriptor, got.Layers[1].Descriptor)

	require.Equal(t, bytes.Repeat([]byte{0}, 3), Raw("a/b", make([]byte, 3)).Manifest)
}

func digestsOf(c Content) (all []digest.Digest) {
	for b := range c.Blobs() {
		all = append(all, b.Digest)
	}
	return all
}
